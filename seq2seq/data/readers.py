"""How do files become pairs of sentences?

Lines end at "\\n" alone (U+2028, U+0085 and a "\\r" inside a line are text); the "\\r" of a CRLF ending and a byte order
mark at the head of a file are no text. Everything streams: a corpus need not fit in memory.
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


class Pair(NamedTuple):
    """A sentence, or a document, and what it should become."""

    source: str
    target: str


class LinkedPair(NamedTuple):
    """A pair whose words are linked: (source word, target word), counted from 0."""

    source: str
    target: str
    links: tuple[tuple[int, int], ...]


AnyPair = Pair | LinkedPair


class FileLayout(NamedTuple):
    """Where the files of a corpus are, and what its sides are called."""

    root: Path  # folder of relative names
    source: str  # format=text: file ending; jsonl: field
    target: str
    columns: Sequence[int] = (0, 1)  # format=tsv
    how: str = ""  # how the corpus is had
    breaks: str = " "  # format=jsonl: what a line break inside a target becomes


Reader = Callable[[Sequence[str], FileLayout], Iterator[Pair]]


def find_file(name: str, root: Path, how: str = "") -> Path:
    """The file `name` (absolute, or under `root`), or the same with .gz. MissingError if there is neither."""
    path = root / name
    if path.is_dir():
        raise DataError(f"{path} is a folder, where a file of lines is needed")
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    near = get_close_matches(
        path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else [], n=1, cutoff=0.5
    )
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    tail = f". To have it: {how}" if how else ""
    where = f"files are looked for under {root.absolute()} (data.root, or $SEQ2SEQ_DATA)"
    raise MissingError(f"{path} is missing, also with .gz{hint}; {where}{tail}")


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, gzip-compressed if it ends in .gz. DataError names file and line."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield decode_line(line, path, number)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def decode_line(line: bytes, path: Path | str, number: int) -> str:
    """A line without its ending, and the first one without a byte order mark. DataError, which names the place, if it is not UTF-8."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{number}: not UTF-8 (byte 0x{line[error.start]:02x} at place {error.start + 1})"
        ) from error
    return text.removesuffix("\n").removesuffix("\r")


def read_text(names: Sequence[str], layout: FileLayout) -> Iterator[Pair]:
    """Two plain files for each name: name.source and name.target, line by line. DataError if their counts differ."""
    for name in names:
        yield from read_parallel(
            *(find_file(f"{name}.{ending}", layout.root, layout.how) for ending in (layout.source, layout.target))
        )


def read_parallel(*paths: Path) -> Iterator[Pair]:
    """Two plain files, line by line. DataError if their counts differ."""
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
    """Columns separated by tabs; nothing is quoted. DataError if a line has too few."""
    first, second = layout.columns
    for path in (find_file(name, layout.root, layout.how) for name in names):
        for number, line in enumerate(read_lines(path), 1):
            cells = line.split("\t")
            if len(cells) <= max(first, second):
                raise DataError(
                    f"{path}:{number}: {len(cells)} columns, but data.columns=[{first},{second}] (counted from 0)"
                )
            yield Pair(cells[first], cells[second])


def read_jsonl(names: Sequence[str], layout: FileLayout) -> Iterator[Pair]:
    """One JSON object a line. DataError if it is none, or lacks a field."""
    for path in (find_file(name, layout.root, layout.how) for name in names):
        for number, line in enumerate(read_lines(path), 1):
            try:
                row = json.loads(line)
            except (
                ValueError,
                RecursionError,
            ) as error:  # an integer of thousands of digits, a list in a list in a list ...
                raise DataError(f"{path}:{number}: not JSON, or none that can be a pair ({error})") from error
            yield pair_from_record(row, layout.source, layout.target, f"{path}:{number}", layout.breaks)


def pair_from_record(row: Any, source: str, target: str, where: str, breaks: str = " ") -> Pair:
    """The pair in the fields of a record, or in those of its field "translation". Line breaks become spaces, in the target
    `breaks`: one side is one line wherever it is written. DataError names the field, the nearest and all."""
    if (
        isinstance(row, dict)
        and isinstance(inner := row.get("translation"), dict)
        and not {source, target} & row.keys()
    ):
        row = inner
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
        raise DataError(f"{where}: field {name!r} holds half a surrogate pair, which is no character")
    lines = value.replace("\r\n", "\n").split("\n")
    return breaks.join(lines if breaks == " " else [line.strip() for line in lines if line.strip()])


def require_pairs(pairs: Iterable[T], what: str) -> Iterator[T]:
    """The same pairs. DataError at the end if there were none."""
    empty = True
    for pair in pairs:
        empty = False
        yield pair
    if empty:
        raise DataError(f"{what} holds no pairs")


READERS: dict[str, Reader] = {"text": read_text, "tsv": read_tsv, "jsonl": read_jsonl}


PARQUET = "refs/convert/parquet"  # the hub's own copy of a data set that comes as a program, which is never run


def read_hub(
    name: str, splits: Sequence[str], source: str, target: str, config: str = "", breaks: str = " "
) -> Iterator[Pair]:
    """The rows of `splits` of the data set `name`: a name on the hub, or a folder written by `save_to_disk`; of its configuration
    `config`, if it has several. A line break inside a target becomes `breaks`.

    Fields are `source` and `target`, at the top or inside a column "translation". DataError if it cannot be had,
    ConfigError for a split that a folder does not have."""
    datasets = _library()
    for split in splits:
        for number, row in enumerate(_rows(datasets, name, split, config), 1):
            yield pair_from_record(row, source, target, f"{name}[{split}]:{number}", breaks)


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
            f"data.hub_config={config!r} would be ignored: the folder {name} holds what one configuration gave"
        )
    try:
        if not saved:
            return _downloaded(datasets, [name, config] if config else [name], split)
        loaded = datasets.load_from_disk(name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise MissingError(f"data.hub={name!r}, split {split!r} cannot be had: {error}") from error
    splits = loaded if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}
    return choose(splits, split, f"split of {name}")


def _downloaded(datasets: Any, name: Sequence[str], split: str) -> Any:
    try:
        return datasets.load_dataset(*name, split=split)
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
    return datasets.load_dataset(*name, split=split, revision=PARQUET)
