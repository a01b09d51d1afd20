"""Attention records: the attention of every sentence of a test set, in one zip file that is read a sentence at a time.

An entry per sentence: a line of JSON (subwords, alternatives, layers and heads of the maps, whether there are centres),
then the bytes of the weights (T, S), of the maps (layers, heads, T, S) and of the centres (T,), little-endian float32.
The file may be hostile: nothing in it is code, and every entry is checked when it is read.
"""

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import RunError
from seq2seq.runtime.untrusted import open_file, parse_json


class Alternative(NamedTuple):
    """A hypothesis of the beam other than the best."""

    text: str
    score: float


class AttentionRecord(NamedTuple):
    """The attention over one translation; weights are quantized to bytes, 255 being a weight of 1."""

    source: tuple[str, ...]  # subwords, EOS included
    target: tuple[str, ...]
    weights: NDArray[np.uint8]  # (T, S) the last layer's, mean over its heads
    maps: NDArray[np.uint8] | None = None  # (layers, heads, T, S); None for a single head
    centers: NDArray[np.float32] | None = None  # (T,) of a predicted window, in source positions from 0
    alternatives: tuple[Alternative, ...] = ()


EMPTY_RECORD = AttentionRecord((), (), np.zeros((0, 0), np.uint8))  # of an empty line

MAX_MAPS_BYTES = 2**28  # of all maps in a file, before compression; maps that exceed it are left out
MAX_ENTRY_BYTES = 2**26  # of an entry, before compression: a larger one was not written by AttentionRecordWriter
MAX_HEADS = 1000  # in a layer, and layers
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # other methods raise errors of their own
READ_ERRORS = (  # what reading a damaged or hostile file can raise
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    RuntimeError,  # RecursionError, of deeply nested JSON, is one
    zipfile.BadZipFile,
    zlib.error,
)
# the two records at the end of a zip file, as its specification (APPNOTE.TXT, 4.3.15 and 4.3.16) has them
LONG_END, LONG_SIGNATURE = struct.Struct("<4sLQL"), b"PK\x06\x07"
END, END_SIGNATURE = struct.Struct("<4s4H2LH"), b"PK\x05\x06"
MAX_SHORT_ENTRIES = 2**16 - 1  # more need the long record
MAX_ENTRY_IN_DIRECTORY = 64  # bytes; an entry named by a number has 46 and its digits
MAX_FILE_BYTES = 2**30
CENTERS_DTYPE = np.dtype("<f4")


class RecordError(ValueError):
    """A file or entry that is not as AttentionRecordWriter writes it."""


class AttentionRecordWriter:
    """Writes records into an open zip file, in any order of sentences."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self.file, self.free = file, MAX_MAPS_BYTES

    def add(self, number: int, record: AttentionRecord) -> None:
        """Write the record of sentence `number`, from 0.

        Its maps are left out if they exceed what is left of MAX_MAPS_BYTES, or half of MAX_ENTRY_BYTES."""
        maps = record.maps
        if maps is not None and (maps.nbytes > self.free or maps.nbytes + record.weights.nbytes > MAX_ENTRY_BYTES // 2):
            maps = None
        self.free -= 0 if maps is None else maps.nbytes
        head = {
            "source": record.source, "target": record.target, "alternatives": record.alternatives,
            "maps": None if maps is None else maps.shape[:2], "centers": record.centers is not None,
        }  # fmt: skip
        body = record.weights.tobytes()
        if maps is not None:
            body += maps.tobytes()
        if record.centers is not None:
            body += record.centers.astype(CENTERS_DTYPE).tobytes()
        entry = zipfile.ZipInfo(str(number))  # without the time, so that the same translations are the same file
        content = json.dumps(head, ensure_ascii=False).encode() + b"\n" + body
        how = {"compress_type": self.file.compression, "compresslevel": self.file.compresslevel}
        self.file.writestr(entry, content, **how)


class AttentionRecordFile(Sequence[AttentionRecord]):
    """The records of every sentence of a test set, each read from the zip file when it is indexed.

    Opening it raises RunError if the file is missing, damaged, or has another number of entries.

    Indexing raises RunError, with the path, if the file or the entry is damaged or of another format."""

    def __init__(self, path: Path, sentences: int) -> None:
        self.path, self.sentences = path, sentences
        stored = open_file(path, MAX_FILE_BYTES)
        try:
            _check_directory(stored, sentences)
            self.file = zipfile.ZipFile(stored)  # stays open: its directory has an entry per sentence
            if len(self.file.namelist()) != sentences:
                raise RecordError(f"it has {len(self.file.namelist())} entries in place of {sentences}")
        except READ_ERRORS as error:
            stored.close()
            raise RunError(f"{path} cannot be read: {_reason(error)}") from error

    def __len__(self) -> int:
        return self.sentences

    @overload
    def __getitem__(self, index: int) -> AttentionRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[AttentionRecord]: ...
    def __getitem__(self, index: int | slice) -> AttentionRecord | list[AttentionRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.sentences))]
        if not -self.sentences <= index < self.sentences:
            raise IndexError(index)
        return self.read(index % self.sentences)

    def __iter__(self) -> Iterator[AttentionRecord]:
        return (self[i] for i in range(self.sentences))

    def read(self, number: int) -> AttentionRecord:
        """The record of sentence `number`, from 0. Raises RunError if it cannot be read."""
        try:
            entry = self.file.getinfo(str(number))
            if entry.file_size > MAX_ENTRY_BYTES:
                raise RecordError(f"{entry.file_size} bytes are too many for a sentence")
            if entry.compress_type not in COMPRESSIONS:
                raise RecordError(f"compression {entry.compress_type} is not supported")
            head, _, body = self.file.read(entry).partition(b"\n")
            return parse_record(parse_json(head), body)
        except READ_ERRORS as error:
            raise RunError(f"{self.path}: sentence {number + 1} cannot be read: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Why a file cannot be read, in our own words."""
    return str(error) if isinstance(error, RecordError) else "it is damaged"


def _check_directory(file: IO[bytes], entries: int) -> None:
    """Raise RecordError unless the directory of a zip file has the size of one of so many entries, named by numbers.

    A small file can have millions of entries, which zipfile reads when it opens the file. It finds the size of the
    directory in the file's last bytes, or, in large files, in a record before them."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - LONG_END.size - END.size))
    last = file.read()
    before, end = last[: -END.size], last[-END.size :]
    if len(end) < END.size or not end.startswith(END_SIGNATURE) or END.unpack(end)[-1]:  # the length of a comment
        raise RecordError("it is no zip file, or not a whole one")
    if entries < MAX_SHORT_ENTRIES and before.startswith(LONG_SIGNATURE):
        raise RecordError("its directory is that of a larger file")
    if entries < MAX_SHORT_ENTRIES and END.unpack(end)[5] > MAX_ENTRY_IN_DIRECTORY * entries:
        raise RecordError(f"it has more than {entries} entries")


def parse_record(head: dict[str, Any], body: bytes) -> AttentionRecord:
    """The record with this JSON head and these bytes.

    Raises one of READ_ERRORS if they do not fit each other, or a number is not finite."""
    source, target = (tuple(str(piece) for piece in head[name]) for name in ("source", "target"))
    T, S = len(target), len(source)
    layers, heads = (int(n) for n in head["maps"] or (0, 0))
    if head["maps"] and not (0 < layers <= MAX_HEADS and 0 < heads <= MAX_HEADS):
        raise RecordError(f"{layers} layers of {heads} heads are out of range")
    weights_end = T * S
    maps_end = weights_end + layers * heads * T * S
    centers_end = maps_end + (T * CENTERS_DTYPE.itemsize if head["centers"] else 0)
    if len(body) != centers_end:
        raise RecordError(f"{len(body)} bytes instead of {centers_end}")
    weights = np.frombuffer(body[:weights_end], np.uint8).reshape(T, S)
    maps = centers = None
    if head["maps"]:
        maps = np.frombuffer(body[weights_end:maps_end], np.uint8).reshape(layers, heads, T, S)
    if head["centers"]:
        centers = np.frombuffer(body[maps_end:], CENTERS_DTYPE).astype(np.float32)
    alternatives = tuple(Alternative(str(text), float(score)) for text, score in head["alternatives"])
    scores_finite = np.isfinite([alternative.score for alternative in alternatives]).all()
    if not scores_finite or (centers is not None and not np.isfinite(centers).all()):
        raise RecordError("scores and centres must be finite numbers")
    return AttentionRecord(source, target, weights, maps, centers, alternatives)


def quantize(weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Weights from 0 to 1 as the nearest bytes; 255 is a weight of 1."""
    return np.asarray((weights.clip(0, 1) * 255).round(), dtype=np.uint8)


def dequantize(weights: NDArray[np.uint8], normalize: bool) -> NDArray[np.float32]:
    """Weights (T, S) from bytes.

    normalize: rows are known to sum to one, so what a row lacks is spread over its zeros. Weights below half a byte
    were rounded to zero; among hundreds of positions these can be most of a row."""
    values = np.asarray(weights / 255, dtype=np.float32)
    if normalize:
        missing = (1 - values.sum(1, keepdims=True)).clip(0)
        values += missing * (weights == 0) / np.maximum((weights == 0).sum(1, keepdims=True), 1)
    return values
