"""How is it kept what a run looked at, for every sentence of a test set? One zip file, an entry a sentence, nothing in it code.

An entry is a line of JSON (subwords, alternatives, the shape of the maps, whether there are centres), then the bytes of the
weights (T, S), of the maps (layers, heads, T, S) and of the centres (T,), float32 with the lowest byte first.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import RunError


class Alternative(NamedTuple):
    """Another hypothesis of the beam."""

    text: str
    score: float


class AttentionRecord(NamedTuple):
    """What a variant looked at while it wrote one sentence. Weights are bytes: 255 is a weight of 1."""

    source: tuple[str, ...]  # subwords, EOS included
    target: tuple[str, ...]
    weights: NDArray[np.uint8]  # (T, S) what the head and the plots see
    maps: NDArray[np.uint8] | None = None  # (layers, heads, T, S) where there is more than one
    centers: NDArray[np.float32] | None = None  # (T,) of a predicted window, in source positions from 0
    alternatives: tuple[Alternative, ...] = ()


MAPS = 2**28  # bytes of single maps before compression that one file takes: behind them sentences have the mean alone
ENTRY = 2**26  # bytes; an entry that claims more is not ours
MOST = 1000  # layers, or heads
KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of compression; others raise errors of their own
DAMAGED = (  # what reading a file raises that is not ours, a list in a list in a list ... among it
    OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
CENTERS = np.dtype("<f4")


class AttentionRecordWriter:
    """Takes sentences in any order, into an open file."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self.file, self.left = file, MAPS

    def add(self, number: int, found: AttentionRecord) -> None:
        """Sentence `number`, from 0. Its single maps are left out where the file has no room for more, or an entry would be too large."""
        maps = found.maps
        if maps is not None and (maps.nbytes > self.left or maps.nbytes + found.weights.nbytes > ENTRY // 2):
            maps = None
        self.left -= 0 if maps is None else maps.nbytes
        head = {
            "source": found.source, "target": found.target, "alternatives": found.alternatives,
            "maps": None if maps is None else maps.shape[:2], "centers": found.centers is not None,
        }  # fmt: skip
        centers = b"" if found.centers is None else found.centers.astype(CENTERS).tobytes()
        body = [found.weights.tobytes(), b"" if maps is None else maps.tobytes(), centers]
        self.file.writestr(str(number), json.dumps(head, ensure_ascii=False).encode() + b"\n" + b"".join(body))


class AttentionRecordFile(Sequence[AttentionRecord]):
    """Every sentence of a test set, read when it is asked for. RunError, with the path, for a file that is damaged or not ours."""

    def __init__(self, path: Path, sentences: int) -> None:
        self.path, self.sentences = path, sentences

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

    @cached_property
    def file(self) -> zipfile.ZipFile:
        """Opened once: its list of entries is as long as the test set."""
        return zipfile.ZipFile(self.path)

    def read(self, number: int) -> AttentionRecord:
        """One entry, checked: what a stranger wrote must fit what it says of itself."""
        try:
            entry = self.file.getinfo(str(number))
            if entry.file_size > ENTRY:
                raise ValueError(f"{entry.file_size} bytes are too many for a sentence")
            if entry.compress_type not in KINDS:
                raise ValueError(f"compression {entry.compress_type} is not ours")
            head, _, body = self.file.read(entry).partition(b"\n")
            return parsed(json.loads(head), body)
        except DAMAGED as error:
            raise RunError(f"{self.path}: sentence {number + 1} cannot be read: {error}") from None


def parsed(head: dict[str, Any], body: bytes) -> AttentionRecord:
    """One of DAMAGED where the head is not that of the body, or a number is not finite."""
    source, target = (tuple(str(piece) for piece in head[name]) for name in ("source", "target"))
    shape = len(target), len(source)
    layers, heads = (int(n) for n in head["maps"] or (0, 0))
    sizes = (
        shape[0] * shape[1],
        layers * heads * shape[0] * shape[1],
        CENTERS.itemsize * shape[0] * bool(head["centers"]),
    )
    if head["maps"] and not (0 < layers <= MOST and 0 < heads <= MOST):
        raise ValueError(f"{layers} layers of {heads} heads are none")
    if sum(sizes) != len(body):
        raise ValueError(f"{len(body)} bytes in place of {sum(sizes)}")
    weights, maps, centers = (body[sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(3))
    others = tuple(Alternative(str(text), float(score)) for text, score in head["alternatives"])
    places = np.frombuffer(centers, CENTERS).astype(np.float32) if head["centers"] else None
    if not np.isfinite([other.score for other in others]).all() or (
        places is not None and not np.isfinite(places).all()
    ):
        raise ValueError("scores and centres must be finite numbers")
    return AttentionRecord(
        source, target, np.frombuffer(weights, np.uint8).reshape(shape),
        np.frombuffer(maps, np.uint8).reshape(layers, heads, *shape) if head["maps"] else None,
        places, others,
    )  # fmt: skip


def in_bytes(weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    """255 is a weight of 1."""
    return np.asarray((weights.clip(0, 1) * 255).round(), dtype=np.uint8)


def from_bytes(weights: NDArray[np.uint8], whole: bool) -> NDArray[np.float32]:
    """The weights again, (T, S). whole: their rows sum to one, and what small ones lost by rounding is spread over those that were left
    with nothing; among hundreds of positions it can be most of a row."""
    found = np.asarray(weights / 255, dtype=np.float32)
    if whole:
        lost = (1 - found.sum(1, keepdims=True)).clip(0)
        found += lost * (weights == 0) / np.maximum((weights == 0).sum(1, keepdims=True), 1)
    return found


EMPTY = AttentionRecord((), (), np.zeros((0, 0), np.uint8))  # of a line without text
