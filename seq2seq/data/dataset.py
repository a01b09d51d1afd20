"""Encoded corpora as flat arrays on disk, read through memory maps.

A folder holds, for each side, the ids of all sentences one after the other (NAME.ids) and the offsets at which they
begin (NAME.bounds), and `arrays.json` with sizes and dtypes.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import DataError
from seq2seq.runtime.untrusted import MIB, TEXT, WHOLE, fits, open_file, read_json

Ids = NDArray[np.integer]
FORMAT_VERSION = 1  # raised whenever a folder would be read differently
WRITE_BLOCK = 4096  # pairs written together
CHECK_BLOCK = 1 << 16  # pairs checked together
META = "arrays.json"  # written last: a folder without it is incomplete
META_SHAPE = {"pairs": WHOLE, "target_size": WHOLE, "types": {...: TEXT}, "totals": {...: WHOLE}}
DTYPES = {"|u1", "<u2", "<i4"}  # of ids
LARGEST_ARRAY = 2**44  # bytes, far more than any corpus
MAX_LENGTH = 1 << 20  # tokens of a source, unless the caller knows a lower bound


class EncodedPair(NamedTuple):
    """An encoded pair; source, target and copy end with EOS."""

    source: Sequence[int] | Ids
    target: Sequence[int] | Ids  # ids >= the size of the target vocabulary are unknown words that can be copied
    copy: Sequence[int] | Ids  # the target id that copying each source token yields; as long as source
    links: Sequence[int] | Ids = ()  # t s t s ...: positions of linked target and source tokens


class Rows(Protocol):
    """Encoded pairs by number, as `collate` reads them."""

    def __len__(self) -> int: ...
    def row(self, i: int) -> EncodedPair:
        """Pair i."""
        ...


class Corpus(Protocol):
    """Encoded pairs whose segmentation may differ between epochs. The lengths that batches are planned by do not."""

    target_size: int  # of the target vocabulary
    sampled: bool  # whether rows differ between epochs

    def __len__(self) -> int: ...
    @property
    def source_lengths(self) -> NDArray[np.int32]:
        """Tokens of each source, EOS included."""
        ...

    @property
    def target_lengths(self) -> NDArray[np.int32]:
        """Tokens of each target, EOS included."""
        ...

    def epoch_rows(self, epoch: int) -> Rows:
        """The encoded pairs of one epoch."""
        ...


class _RaggedWriter:
    """Appends sequences of ids to NAME.ids and their ends to NAME.bounds."""

    def __init__(self, folder: Path, name: str, dtype: str, files: ExitStack) -> None:
        self.ids = files.enter_context((folder / f"{name}.ids").open("wb"))
        self.bounds = files.enter_context((folder / f"{name}.bounds").open("wb"))
        self.bounds.write(np.zeros(1, np.int64).tobytes())
        self.dtype, self.total = dtype, 0

    def append(self, block: list[Sequence[int] | Ids]) -> None:
        """Write the sequences of a block."""
        ids = np.fromiter((i for sequence in block for i in sequence), np.int64)
        bounds = self.total + np.cumsum([len(sequence) for sequence in block], dtype=np.int64)
        self.ids.write(ids.astype(self.dtype).tobytes())
        self.bounds.write(bounds.tobytes())
        self.total = int(bounds[-1])


class _RowWriter:
    """Appends encoded pairs, WRITE_BLOCK at a time."""

    def __init__(self, folder: Path, types: dict[str, str], files: ExitStack) -> None:
        self.sides = {name: _RaggedWriter(folder, name, dtype, files) for name, dtype in types.items()}
        self.block: list[EncodedPair] = []
        self.pairs = 0
        self.copy_is_source = True  # in every row so far

    def add(self, row: EncodedPair) -> None:
        """Write a pair, once its block is full."""
        self.block.append(row)
        self.pairs += 1
        self.copy_is_source = self.copy_is_source and row.copy == row.source
        if len(self.block) == WRITE_BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write the pairs of the block so far."""
        if self.block:
            for name, side in self.sides.items():
                side.append([getattr(row, name) for row in self.block])
        self.block = []


@contextmanager
def write_arrays(
    folder: Path, source_size: int, target_size: int, *, max_length: int = MAX_LENGTH, linked: bool = False
) -> Iterator[Callable[[EncodedPair], None]]:
    """Yield a function that adds an encoded pair to `folder`, which is complete once the block ends without an error.

    `max_length` bounds the tokens of a source, hence the ids of its unknown words: below target_size + max_length. With
    `linked`, links are written, and `max_length` bounds both sides. A `copy` that equals `source` in every pair is not
    stored."""
    types = {
        "source": _dtype(source_size),
        "target": _dtype(target_size + max_length),
        "copy": _dtype(target_size + max_length),
    }
    if linked:
        types["links"] = _dtype(max_length)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        writer = _RowWriter(folder, types, files)
        yield writer.add
        writer.flush()
    totals = {name: side.total for name, side in writer.sides.items()}
    if writer.copy_is_source:
        del totals["copy"]
        for file in folder.glob("copy.*"):
            file.unlink()
    _write_meta(folder, writer.pairs, target_size, types, totals)


def join_arrays(parts: Sequence[Path], folder: Path) -> None:
    """Concatenate folders that `write_arrays` wrote with the same arguments into `folder`.

    Only one of them is open at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    counts, sides = zip(*[(len(part), set(part.sides)) for part in map(PairArrays, parts)], strict=True)
    first, totals = PairArrays(parts[0]), {}
    for name in first.types:
        if not any(name in stored for stored in sides):
            continue
        totals[name] = 0
        with (folder / f"{name}.ids").open("wb") as ids, (folder / f"{name}.bounds").open("wb") as bounds:
            bounds.write(np.zeros(1, np.int64).tobytes())
            for part in map(PairArrays, parts):
                side = part.sides.get(name, part.sides["source"])  # a part without `copy` copies its source ids
                ids.write(side.ids.astype(first.types[name]).tobytes())
                bounds.write((side.bounds[1:] + totals[name]).tobytes())
                totals[name] += len(side.ids)
    _write_meta(folder, sum(counts), first.target_size, first.types, totals)


def _write_meta(folder: Path, pairs: int, target_size: int, types: dict[str, str], totals: dict[str, int]) -> None:
    meta = {
        "format": FORMAT_VERSION,
        "pairs": pairs,
        "target_size": target_size,
        "types": types,
        "totals": totals,
        "sha256": _hash_arrays(folder, totals),
    }
    (folder / META).write_text(json.dumps(meta), encoding="utf-8")


def _hash_arrays(folder: Path, names: Iterable[str]) -> str:
    """SHA-256 of the arrays of these names, as hexadecimal digits."""
    digest = hashlib.sha256()
    for path in (folder / f"{name}.{end}" for name in names for end in ("ids", "bounds")):
        with open_file(path, LARGEST_ARRAY, error=DataError) as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _dtype(size: int) -> str:
    return "|u1" if size <= 1 << 8 else "<u2" if size <= 1 << 16 else "<i4"


class _Ragged:
    """Sequences of different lengths, memory-mapped."""

    def __init__(self, folder: Path, name: str, dtype: str, count: int, total: int) -> None:
        self.ids = _map(folder / f"{name}.ids", dtype, total)
        self.bounds = _map(folder / f"{name}.bounds", "<i8", count + 1)
        if self.bounds[0] != 0 or self.bounds[-1] != total or (self.bounds[1:] < self.bounds[:-1]).any():
            raise DataError(f"{folder / name}.bounds is damaged: it does not divide {total} ids into {count} sentences")

    def __getitem__(self, i: int) -> Ids:
        return self.ids[self.bounds[i] : self.bounds[i + 1]]

    def lengths(self) -> NDArray[np.int32]:
        """The length of each sequence."""
        out = np.empty(len(self.bounds) - 1, np.int32)
        return np.subtract(self.bounds[1:], self.bounds[:-1], out=out, casting="unsafe")

    def highest(self, start: int, stop: int) -> tuple[NDArray[np.int64], int]:
        """The highest id of each of the sequences start to stop - 1, none of which is empty, and the lowest of all."""
        first, last = int(self.bounds[start]), int(self.bounds[stop])
        ids = self.ids[first:last]
        return np.maximum.reduceat(ids, self.bounds[start:stop] - first).astype(np.int64), int(ids.min())


def _map(path: Path, dtype: str, count: int) -> Ids:
    expected = count * np.dtype(dtype).itemsize
    with open_file(path, expected, error=DataError) as file:
        if os.fstat(file.fileno()).st_size != expected:
            raise DataError(f"{path} is truncated")
        return np.asarray(np.memmap(file, dtype, "r")) if expected else np.empty(0, dtype)


def _read_meta(folder: Path) -> dict[str, Any]:
    """What `_write_meta` wrote. Raises DataError if it is missing, damaged, or of another version."""
    meta = read_json(folder / META, MIB, error=DataError)
    if not isinstance(meta, dict) or meta.get("format") != FORMAT_VERSION:
        raise DataError(f"{folder} was written by another version")
    known = fits(meta, META_SHAPE) and {"source", "target"} <= meta["totals"].keys() <= meta["types"].keys()
    if not known or not meta["types"].keys() <= set(EncodedPair._fields) or not set(meta["types"].values()) <= DTYPES:
        raise DataError(f"{folder / META} is damaged")
    return meta


class PairArrays:
    """A folder of encoded pairs, as `write_arrays` wrote it: a `Corpus` with the same rows in every epoch."""

    sampled = False

    def __init__(self, folder: Path) -> None:
        """Map the arrays of `folder`. Raises DataError if it is incomplete, damaged, or of another version."""
        meta = _read_meta(folder)
        self.folder = folder
        self.target_size, self._pairs = meta["target_size"], meta["pairs"]
        self.types: dict[str, str] = meta["types"]
        self.checksum = str(meta.get("sha256", ""))  # of all arrays; '' if an early version wrote them
        self.sides = {
            name: _Ragged(folder, name, self.types[name], self._pairs, total) for name, total in meta["totals"].items()
        }

    def check_hash(self) -> None:
        """Raise DataError unless the arrays are bit by bit what was written."""
        if self.checksum and _hash_arrays(self.folder, self.sides) != self.checksum:
            raise DataError(f"{self.folder} is damaged: its SHA-256 is not that of what was written")

    def check_ids(self, source_size: int, target_size: int) -> None:
        """Raise DataError unless all ids are of vocabularies of these sizes, and all links of tokens of their pair.

        Ids beyond the target vocabulary must be those of unknown words of the pair's source."""
        for start in range(0, len(self), CHECK_BLOCK):
            if not self._ids_fit(start, min(start + CHECK_BLOCK, len(self)), source_size, target_size):
                raise DataError(f"{self.folder} is damaged: it holds ids that are not in the vocabulary")
        if self.target_size != target_size:
            raise DataError(f"{self.folder} is of another vocabulary")

    def _ids_fit(self, start: int, stop: int, source_size: int, target_size: int) -> bool:
        """`check_ids` for the pairs start to stop - 1."""
        sides = [self.sides["source"], self.sides["target"], self.sides.get("copy", self.sides["source"])]
        sizes = [np.diff(side.bounds[start : stop + 1]) for side in sides]
        if min(size.min() for size in sizes) < 1 or not (sizes[0] == sizes[2]).all():
            return False
        (source, low), (target, low_target), (copy, low_copy) = (side.highest(start, stop) for side in sides)
        if min(low, low_target, low_copy) < 0 or source.max() >= source_size:
            return False
        fit = (copy < target_size + sizes[0]) & (target <= np.maximum(copy, target_size - 1))
        return bool(fit.all()) and ("links" not in self.sides or self._links_fit(start, stop, sizes[0], sizes[1]))

    def _links_fit(self, start: int, stop: int, source: Ids, target: Ids) -> bool:
        """Whether the links of the pairs start to stop - 1 are of tokens of pairs of these lengths."""
        links = self.sides["links"]
        counts = np.diff(links.bounds[start : stop + 1])
        if (counts % 2).any():
            return False
        t, s = links.ids[links.bounds[start] : links.bounds[stop]].reshape(-1, 2).T
        inside = (t < np.repeat(target, counts // 2)) & (s < np.repeat(source, counts // 2)) & (t >= 0) & (s >= 0)
        return bool(inside.all())

    def __len__(self) -> int:
        return self._pairs

    def source(self, i: int) -> Ids:
        """Source ids of pair i."""
        return self.sides["source"][i]

    def target(self, i: int) -> Ids:
        """Target ids of pair i; ids >= target_size are unknown words that also occur in the source."""
        return self.sides["target"][i]

    def target_counts(self) -> NDArray[np.int64]:
        """How often each target id occurs in all pairs (target_size,), without unknown words that the source has."""
        counts = np.bincount(self.sides["target"].ids, minlength=self.target_size)
        return counts[: self.target_size]

    def copy(self, i: int) -> Ids:
        """The target id that copying each source token of pair i yields; as long as the source."""
        return self.sides.get("copy", self.sides["source"])[i]

    def links(self, i: int) -> Sequence[int] | Ids:
        """t s t s ...: positions of linked target and source tokens of pair i; empty if no links were written."""
        return self.sides["links"][i] if "links" in self.sides else ()

    def row(self, i: int) -> EncodedPair:
        """Pair i."""
        return EncodedPair(self.source(i), self.target(i), self.copy(i), self.links(i))

    @property
    def source_lengths(self) -> NDArray[np.int32]:
        """Tokens of each source, EOS included."""
        return self.sides["source"].lengths()

    @property
    def target_lengths(self) -> NDArray[np.int32]:
        """Tokens of each target, EOS included."""
        return self.sides["target"].lengths()

    def epoch_rows(self, epoch: int) -> Rows:
        """The corpus itself: its rows are the same in every epoch."""
        return self
