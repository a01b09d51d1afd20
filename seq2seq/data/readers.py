"""Readers of parallel text: plain text, TSV and JSONL files, and data sets of the Hugging Face hub.

A line ends at "\\n" only (U+2028, U+0085 and a "\\r" inside a line are text); the "\\r" of a CRLF ending and a byte
order mark at the start of a file are dropped. All readers stream: a corpus need not fit in memory.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from seq2seq.errors import ConfigError, DataError, MissingError, choose

T = TypeVar("T")

PARQUET = "refs/convert/parquet"  # the hub's own copy of a data set that comes as a script; scripts are never run


class Pair(NamedTuple):
    """A source text and its target: a translation or a summary."""

    source: str
    target: str


class LinkedPair(NamedTuple):
    """A pair with word links."""

    source: str
    target: str
    links: tuple[tuple[int, int], ...]  # (source word, target word), counted from 0


AnyPair = Pair | LinkedPair


class FileLayout(NamedTuple):
    """Where the files of a corpus are, and how its sides are found in them."""

    root: Path  # folder of relative file names
    source: str  # format=text: file ending; format=jsonl: field
    target: str
    columns: Sequence[int] = (0, 1)  # format=tsv: columns of source and target
    how: str = ""  # how to obtain the corpus, for messages
    breaks: str = " "  # format=jsonl: replaces a line break inside a target


Reader = Callable[[Sequence[str], FileLayout], Iterator[Pair]]


def find_file(name: str, root: Path, how: str = "") -> Path:
    """The path of the file `name` (absolute, or under `root`), or of the same with .gz.

    Raises MissingError if there is neither, DataError if it is a folder; `how` tells the user how to obtain the
    file."""
    path = root / name
    if path.is_dir():
        raise DataError(f"{path} is a folder, but a text file is needed")
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    present = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, present, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    where = f"relative names are looked up in {root.absolute()} (data.root, or $SEQ2SEQ_DATA)"
    advice = f". How to obtain it: {how}" if how else ""
    raise MissingError(f"{path} is missing, also with .gz{hint}; {where}{advice}")


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, gzip-compressed if its name ends in .gz.

    Raises DataError, naming file and line."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield decode_line(line, path, number)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a complete gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def decode_line(line: bytes, path: Path | str, number: int) -> str:
    """Line `number` (from 1) of `path` without its ending; the first one also without a byte order mark.

    Raises DataError, with the position in the line, if it is not UTF-8."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{number}: not UTF-8 (byte 0x{line[error.start]:02x} at place {error.start + 1})"
        ) from error
    return text.removesuffix("\n").removesuffix("\r")


def read_text(names: Sequence[str], layout: FileLayout) -> Iterator[Pair]:
    """Read the files NAME.{source} and NAME.{target} of each name.

    Raises DataError if their numbers of lines differ."""
    for name in names:
        source, target = (
            find_file(f"{name}.{ending}", layout.root, layout.how) for ending in (layout.source, layout.target)
        )
        yield from read_parallel(source, target)


def read_parallel(source_path: Path, target_path: Path) -> Iterator[Pair]:
    """The pairs of two files, line by line. Raises DataError if their numbers of lines differ."""
    paths = source_path, target_path
    sides = [read_lines(path) for path in paths]
    for done, (source, target) in enumerate(zip_longest(*sides)):
        if source is None or target is None:
            counts = [
                done + sum(1 for _ in side) + (line is not None)
                for side, line in zip(sides, (source, target), strict=True)
            ]
            raise DataError(f"{paths[0]} has {counts[0]} lines, but {paths[1]} has {counts[1]}")
        yield Pair(source, target)


def read_tsv(names: Sequence[str], layout: FileLayout) -> Iterator[Pair]:
    """Read two columns of tab-separated files; there is no quoting.

    Raises DataError if a line has too few columns."""
    first, second = layout.columns
    for path in (find_file(name, layout.root, layout.how) for name in names):
        for number, line in enumerate(read_lines(path), 1):
            cells = line.split("\t")
            if len(cells) <= max(first, second):
                found = f"{len(cells)} columns" if line else "an empty line"
                raise DataError(f"{path}:{number}: {found}, but data.columns=[{first},{second}] (counted from 0)")
            yield Pair(cells[first], cells[second])


def read_jsonl(names: Sequence[str], layout: FileLayout) -> Iterator[Pair]:
    """Read two fields of files of one JSON object per line.

    Raises DataError if a line is no such object or lacks a field."""
    for path in (find_file(name, layout.root, layout.how) for name in names):
        for number, line in enumerate(read_lines(path), 1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:  # RecursionError: deeply nested lists
                raise DataError(f"{path}:{number}: not valid JSON ({error})") from error
            yield pair_from_record(
                row, source=layout.source, target=layout.target, where=f"{path}:{number}", breaks=layout.breaks
            )


def pair_from_record(row: Any, *, source: str, target: str, where: str, breaks: str = " ") -> Pair:
    """The pair in the fields `source` and `target` of a record, or of the record in its field "translation".

    Line breaks become spaces, in the target `breaks`, so that each side is one line wherever it is written. Raises
    DataError, naming the field that is missing, the nearest name and all fields."""
    if isinstance(row, dict) and not {source, target} & row.keys() and isinstance(row.get("translation"), dict):
        row = row["translation"]
    return Pair(_field(row, source, where, " "), _field(row, target, where, breaks))


def _field(row: Any, name: str, where: str, breaks: str) -> str:
    if not isinstance(row, dict):
        raise DataError(f"{where}: a {type(row).__name__}, not an object with the fields {name!r} ...")
    if name not in row:
        near = get_close_matches(name, map(str, row), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise DataError(
            f"{where}: no field {name!r}{hint}; the fields are: {', '.join(map(str, row))} (data.source, data.target)"
        )
    if not isinstance(value := row[name], str):
        raise DataError(f"{where}: field {name!r} is a {type(value).__name__}, not text")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise DataError(f"{where}: field {name!r} holds half a surrogate pair, which is not a character")
    lines = value.replace("\r\n", "\n").split("\n")
    return breaks.join(lines if breaks == " " else [line.strip() for line in lines if line.strip()])


def require_pairs(pairs: Iterable[T], what: str) -> Iterator[T]:
    """The same pairs. Raises DataError at the end if there are none; `what` opens its message."""
    empty = True
    for pair in pairs:
        empty = False
        yield pair
    if empty:
        raise DataError(f"{what} holds no pairs")


def read_hub(
    name: str, splits: Sequence[str], *, source: str, target: str, config: str = "", breaks: str = " "
) -> Iterator[Pair]:
    """The pairs in `splits` of the data set `name`: a name on the hub, or a folder written by `save_to_disk`.

    `config` is the data set's configuration, if it has several; `source` and `target` are fields, at the top or inside
    a column "translation"; a line break inside a target becomes `breaks`. Raises MissingError if it cannot be loaded,
    ConfigError for a split that a folder does not have."""
    datasets = _library()
    for split in splits:
        for number, row in enumerate(_rows(datasets, name, split, config), 1):
            where = f"{name}[{split}]:{number}"
            yield pair_from_record(row, source=source, target=target, where=where, breaks=breaks)


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingError(
            f"data.format=hub needs the package `datasets`: pip install 'seq2seq[hub]' ({error})"
        ) from error
    return datasets


def _rows(datasets: Any, name: str, split: str, config: str) -> Any:
    saved = any((Path(name) / marker).is_file() for marker in ("dataset_dict.json", "state.json"))
    if saved and config:
        raise ConfigError(
            f"data.hub_config={config!r} would be ignored: the folder {name} holds one configuration already"
        )
    try:
        if not saved:
            return _downloaded(datasets, [name, config] if config else [name], split)
        loaded = datasets.load_from_disk(name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise MissingError(f"data.hub={name!r}, split {split!r} cannot be loaded: {error}") from error
    splits = loaded if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}
    return choose(splits, split, f"split of {name}")


def _downloaded(datasets: Any, name: Sequence[str], split: str) -> Any:
    try:
        return datasets.load_dataset(*name, split=split)
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
    return datasets.load_dataset(*name, split=split, revision=PARQUET)


READERS: dict[str, Reader] = {"text": read_text, "tsv": read_tsv, "jsonl": read_jsonl}  # data.format -> reader of files
