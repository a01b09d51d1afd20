"""How does an encoded corpus lie on disk, so that any pair is at hand without being in memory?

A folder of flat arrays, read through memory maps: the ids of all sentences one after the other, and where each begins.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import DataError

Ids = NDArray[np.integer]
FORMAT_VERSION = 1  # raised whenever a folder would be read differently
WRITE_BLOCK = 4096  # pairs written together
META = "arrays.json"  # written last: a folder without it is not whole
MAX_LENGTH = 1 << 20


class EncodedPair(NamedTuple):
    """An encoded pair, EOS at the end of each."""

    source: Sequence[int] | Ids
    target: Sequence[int] | Ids  # ids >= the target vocabulary's size: unknown words that can be copied
    copy: Sequence[int] | Ids  # what copying each source token yields; as long as source
    links: Sequence[int] | Ids = ()  # t s t s ...: target tokens and the source tokens that they are linked with


class Rows(Protocol):
    """Encoded pairs by number; what batches are made of."""

    def __len__(self) -> int: ...
    def row(self, i: int) -> EncodedPair: ...


class Corpus(Protocol):
    """Encoded pairs whose segmentation may differ from epoch to epoch; lengths, EOS included, do not."""

    target_size: int
    sampled: bool  # whether rows differ from epoch to epoch

    def __len__(self) -> int: ...
    @property
    def source_lengths(self) -> NDArray[np.int32]: ...
    @property
    def target_lengths(self) -> NDArray[np.int32]: ...
    def at(self, epoch: int) -> Rows: ...


class _RaggedWriter:
    """Appends sequences of numbers to NAME.ids and their ends to NAME.bounds."""

    def __init__(self, folder: Path, name: str, dtype: str, files: ExitStack) -> None:
        self.ids = files.enter_context((folder / f"{name}.ids").open("wb"))
        self.bounds = files.enter_context((folder / f"{name}.bounds").open("wb"))
        self.bounds.write(np.zeros(1, np.int64).tobytes())
        self.dtype, self.total = dtype, 0

    def append(self, block: list[Sequence[int] | Ids]) -> None:
        ids = np.fromiter((i for sequence in block for i in sequence), np.int64)
        bounds = self.total + np.cumsum([len(sequence) for sequence in block], dtype=np.int64)
        self.ids.write(ids.astype(self.dtype).tobytes())
        self.bounds.write(bounds.tobytes())
        self.total = int(bounds[-1])


class _RowWriter:
    """Appends encoded pairs, a block at a time."""

    def __init__(self, folder: Path, types: dict[str, str], files: ExitStack) -> None:
        self.sides = {name: _RaggedWriter(folder, name, dtype, files) for name, dtype in types.items()}
        self.block: list[EncodedPair] = []
        self.pairs, self.same = 0, True  # whether copying yields the source ids in every row

    def add(self, row: EncodedPair) -> None:
        self.block.append(row)
        self.pairs, self.same = self.pairs + 1, self.same and row.copy == row.source
        if len(self.block) == WRITE_BLOCK:
            self.flush()

    def flush(self) -> None:
        if self.block:
            for name, side in self.sides.items():
                side.append([getattr(row, name) for row in self.block])
        self.block = []


@contextmanager
def write_arrays(
    folder: Path, source_size: int, target_size: int, longest: int = MAX_LENGTH, linked: bool = False
) -> Iterator[Callable[[EncodedPair], None]]:
    """A function that adds an encoded pair to `folder`, which is whole when the block has ended well.

    `longest` bounds the tokens of a source, hence the ids of its unknown words: below target_size + longest. Links are kept if the
    pairs are `linked`; `longest` then bounds both sides."""
    types = {
        "source": _dtype(source_size),
        "target": _dtype(target_size + longest),
        "copy": _dtype(target_size + longest),
    }
    types |= {"links": _dtype(longest)} if linked else {}
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        writer = _RowWriter(folder, types, files)
        yield writer.add
        writer.flush()
    if writer.same:
        for file in folder.glob("copy.*"):
            file.unlink()
    totals = {name: side.total for name, side in writer.sides.items() if not (writer.same and name == "copy")}
    _write_meta(folder, writer.pairs, target_size, types, totals)


def join_arrays(parts: Sequence[Path], folder: Path) -> None:
    """The pairs of folders that were written alike, one after the other, in `folder`. One is open at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    counts, sides = zip(*[(len(part), set(part.sides)) for part in map(PairArrays, parts)], strict=True)
    first, totals = PairArrays(parts[0]), {}
    for name in (name for name in first.types if any(name in kept for kept in sides)):
        totals[name] = 0
        with (folder / f"{name}.ids").open("wb") as ids, (folder / f"{name}.bounds").open("wb") as bounds:
            bounds.write(np.zeros(1, np.int64).tobytes())
            for part in map(PairArrays, parts):
                side = part.sides.get(name, part.sides["source"])
                ids.write(side.ids.astype(first.types[name]).tobytes())
                bounds.write((side.bounds[1:] + totals[name]).tobytes())
                totals[name] += len(side.ids)
    _write_meta(folder, sum(counts), first.target_size, first.types, totals)


def _write_meta(folder: Path, pairs: int, target_size: int, types: dict[str, str], totals: dict[str, int]) -> None:
    meta = {"format": FORMAT_VERSION, "pairs": pairs, "target_size": target_size, "types": types, "totals": totals}
    (folder / META).write_text(json.dumps(meta), encoding="utf-8")


def _dtype(size: int) -> str:
    return "|u1" if size <= 1 << 8 else "<u2" if size <= 1 << 16 else "<i4"


class _Ragged:
    """Sequences of different lengths, mapped from disk."""

    def __init__(self, folder: Path, name: str, dtype: str, count: int, total: int) -> None:
        self.ids = _map(folder / f"{name}.ids", dtype, total)
        self.bounds = _map(folder / f"{name}.bounds", "<i8", count + 1)

    def __getitem__(self, i: int) -> Ids:
        return self.ids[self.bounds[i] : self.bounds[i + 1]]

    def lengths(self) -> NDArray[np.int32]:
        out = np.empty(len(self.bounds) - 1, np.int32)
        return np.subtract(self.bounds[1:], self.bounds[:-1], out=out, casting="unsafe")


def _map(path: Path, dtype: str, count: int) -> Ids:
    expected = count * np.dtype(dtype).itemsize
    if not path.is_file() or path.stat().st_size != expected:
        raise DataError(f"{path} is missing or cut short: delete the folder {path.parent}, it will be made again")
    return np.asarray(np.memmap(path, dtype, "r")) if expected else np.empty(0, dtype)


class PairArrays:
    """Encoded pairs on disk, EOS at the end of each side; it is its own rows in every epoch."""

    sampled = False

    def __init__(self, folder: Path) -> None:
        """DataError if the folder is not whole."""
        try:
            meta = json.loads((folder / META).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder}: no encoded corpus can be read there; delete the folder, it will be made again"
            ) from error
        if meta.get("format") != FORMAT_VERSION:
            raise DataError(f"{folder} was written by another version: delete it, it will be made again")
        self.folder, self.target_size, self._pairs, self.types = (
            folder,
            int(meta["target_size"]),
            int(meta["pairs"]),
            meta["types"],
        )
        self.sides = {
            name: _Ragged(folder, name, self.types[name], self._pairs, total) for name, total in meta["totals"].items()
        }

    def __len__(self) -> int:
        return self._pairs

    def source(self, i: int) -> Ids:
        """Source ids of pair i."""
        return self.sides["source"][i]

    def target(self, i: int) -> Ids:
        """Target ids of pair i; ids >= target_size are unknown words that stand in the source too."""
        return self.sides["target"][i]

    def copy(self, i: int) -> Ids:
        """What copying each source token yields, as long as the source."""
        return self.sides.get("copy", self.sides["source"])[i]

    def links(self, i: int) -> Sequence[int] | Ids:
        """t s t s ...: which target tokens of pair i are linked with which source tokens; nothing where that is not known."""
        return self.sides["links"][i] if "links" in self.sides else ()

    def row(self, i: int) -> EncodedPair:
        """All of pair i."""
        return EncodedPair(self.source(i), self.target(i), self.copy(i), self.links(i))

    @property
    def source_lengths(self) -> NDArray[np.int32]:
        """Tokens of each source, EOS included."""
        return self.sides["source"].lengths()

    @property
    def target_lengths(self) -> NDArray[np.int32]:
        """Tokens of each target, EOS included."""
        return self.sides["target"].lengths()

    def at(self, epoch: int) -> Rows:
        """Its rows: the same in every epoch."""
        return self
