"""Readers of parallel text: plain text, TSV, CSV, JSONL and CoNLL files, and data sets of the Hugging Face hub.

All readers stream: a corpus need not fit in memory.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from seq2seq.data.files import find_file, read_lines, unpacked_name, user_path
from seq2seq.data.tables import Row, csv_rows, tsv_rows, two_columns
from seq2seq.errors import ConfigError, DataError, MissingError, choose, counted, nearest_hint, quoted, shortened

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
    source: str  # format=text: file ending; others: column or field
    target: str
    columns: Sequence[int] = ()  # format=tsv and csv: columns of source and target; (): by the header, or the only two
    how: str = ""  # how to obtain the corpus, for messages
    breaks: str = " "  # format=csv and jsonl: replaces a line break inside a target
    labels: bool = False  # format=jsonl: whether fields may hold numbers and lists, as labels and words do


Reader = Callable[[Sequence[str], FileLayout], Iterator[Pair]]


def find_sides(name: str, layout: FileLayout) -> tuple[Path, Path]:
    """The files NAME.{source} and NAME.{target}.

    Raises MissingError if one is missing, DataError if NAME itself is a file, which another format would read."""
    try:
        source, target = (
            find_file(f"{name}.{ending}", layout.root, layout.how) for ending in (layout.source, layout.target)
        )
    except MissingError as error:
        if not (layout.root / user_path(name)).is_file():
            raise
        kind = Path(unpacked_name(name)).suffix.removeprefix(".")
        if kind in READERS:
            raise DataError(f"{name} is one file with both sides: data.format={kind} reads it") from error
        raise DataError(
            f"{name} is a file, but data.format=text needs what is common to the names of two, such as train for"
            f" train.{layout.source} and train.{layout.target}"
        ) from error
    return source, target


def read_text(names: Sequence[str], layout: FileLayout) -> Iterator[Pair]:
    """Read the files NAME.{source} and NAME.{target} of each name.

    Raises DataError if their numbers of lines differ."""
    for name in names:
        yield from read_parallel(*find_sides(name, layout))


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
    """Read two columns of tab-separated files; there is no quoting. Raises DataError as `two_columns`."""
    return _read_tables(names, layout, tsv_rows)


def read_csv(names: Sequence[str], layout: FileLayout) -> Iterator[Pair]:
    """Read two columns of CSV files, as `csv_rows` does. Raises DataError as that and `two_columns`."""
    return _read_tables(names, layout, csv_rows)


def _read_tables(
    names: Sequence[str], layout: FileLayout, read_rows: Callable[[Path], Iterator[Row]]
) -> Iterator[Pair]:
    for name in names:
        path = find_file(name, layout.root, layout.how)
        rows = two_columns(path, read_rows(path), source=layout.source, target=layout.target, columns=layout.columns)
        for _, source, target in rows:
            yield Pair(one_line(source), one_line(target, layout.breaks))


def read_jsonl(names: Sequence[str], layout: FileLayout) -> Iterator[Pair]:
    """Read two fields of files of one JSON object per line.

    Raises DataError if a line is no such object or lacks a field."""
    for path in (find_file(name, layout.root, layout.how) for name in names):
        for number, line in enumerate(read_lines(path), 1):
            row, where = _record(line, f"{path}:{number}"), f"{path}:{number}"
            sides = {"source": layout.source, "target": layout.target}
            yield pair_from_record(row, **sides, where=where, breaks=layout.breaks, labels=layout.labels)


def _record(line: str, where: str) -> Any:
    """The JSON object in a line. Raises DataError if there is none."""
    advice = "data.format=jsonl needs one object on each line, as `jq -c` writes them"
    if not line.strip():
        raise DataError(f"{where}: an empty line; {advice}")
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not valid JSON at character {error.pos + 1}; {advice}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists nested thousands of times
        raise DataError(f"{where}: not valid JSON of a pair of texts; {advice}") from error
    if isinstance(row, list):
        raise DataError(f"{where}: a list; {advice} (`jq -c '.[]'` for a file that is one list)")
    return row


def read_conll(names: Sequence[str], layout: FileLayout) -> Iterator[Pair]:
    """Read sentences of one word and its tag a line, in columns between spaces or tabs, and between empty lines.

    The columns are those of `layout.columns`, counted from 0, or without them the first and the last one. Before a
    sentence, lines of comments, which begin with "#" and a space, and -DOCSTART- lines are left out. Raises DataError
    for a line without these columns."""
    for path in (find_file(name, layout.root, layout.how) for name in names):
        words: list[str] = []
        tags: list[str] = []
        columns = 0
        for number, line in enumerate(chain(read_lines(path), [""]), 1):
            if not line.strip():
                if words:
                    yield Pair(" ".join(words), " ".join(tags))
                words, tags = [], []
            elif words or not line.startswith(("# ", "-DOCSTART-")):
                cells = line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))
                if words and len(cells) != columns:
                    wanted = counted(columns, "column")
                    raise DataError(
                        f"{path}:{number}: {counted(len(cells), 'column')}, but the line before has {wanted}"
                    )
                columns = len(cells)
                first, last = layout.columns or (0, len(cells) - 1)
                if len(cells) < 2 or max(first, last) >= len(cells):
                    needed = (
                        f"data.columns=[{first},{last}], counted from 0" if layout.columns else "a word and its tag"
                    )
                    raise DataError(f"{path}:{number}: {counted(len(cells), 'column')}, but {needed}")
                words.append(cells[first].strip().replace(" ", "_"))
                tags.append(cells[last].strip().replace(" ", "_"))


def pair_from_record(
    row: Any, *, source: str, target: str, where: str, breaks: str = " ", labels: bool = False
) -> Pair:
    """The pair in the fields `source` and `target` of a record, or of the record in its field "translation".

    Line breaks become spaces, in the target `breaks`, so that each side is one line wherever it is written. With
    `labels` a field may hold a number, and a list of words or labels. Raises DataError, naming the field that is
    missing, the nearest name and all fields."""
    if isinstance(row, dict) and not {source, target} & row.keys() and isinstance(row.get("translation"), dict):
        row = row["translation"]
    return Pair(_field(row, source, where, " ", labels), _field(row, target, where, breaks, labels))


def _field(row: Any, name: str, where: str, breaks: str, labels: bool) -> str:
    if not isinstance(row, dict):
        raise DataError(f"{where}: {_json_type(row)}, not an object with the field {name!r}")
    if name not in row:
        hint = nearest_hint(name, map(str, row))
        fields = ", ".join(shortened(field, 40) for field in row)
        raise DataError(f"{where}: no field {name!r}{hint}; the fields are: {fields} (data.source, data.target)")
    value = _written(row[name]) if labels else row[name]
    if not isinstance(value, str):
        raise DataError(f"{where}: field {name!r} is {_json_type(value)}, not text")
    if "\0" in value:
        raise DataError(f"{where}: field {name!r} holds a NUL, which is not text")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise DataError(f"{where}: field {name!r} holds half a surrogate pair, which is not a character")
    return one_line(value, breaks)


def _written(value: Any) -> Any:
    """A number, true or false as text, and a list of texts and numbers as their line.

    Spaces inside one of them become "_"."""
    if isinstance(value, list | tuple) and all(isinstance(one, str | int | float) for one in value):
        return " ".join(str(_written(one)).strip().replace(" ", "_") for one in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _json_type(value: Any) -> str:
    """How JSON calls the type of a value."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def one_line(text: str, breaks: str = " ") -> str:
    """`text` with its line breaks replaced by `breaks`; unless that is a space, lines are stripped, and empty ones left
    out."""
    if "\n" not in text:
        return text
    lines = text.replace("\r\n", "\n").split("\n")
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
    name: str,
    splits: Sequence[str],
    *,
    source: str,
    target: str,
    config: str = "",
    breaks: str = " ",
    labels: bool = False,
) -> Iterator[Pair]:
    """The pairs in `splits` of the data set `name`: a name on the hub, or a folder written by `save_to_disk`.

    `config` is the data set's configuration, if it has several; `source` and `target` are fields, at the top or inside
    a column "translation"; a line break inside a target becomes `breaks`. With `labels` numbers of classes become the
    names that the data set has of them, and lists are joined. Raises MissingError if it cannot be loaded,
    ConfigError for a split that a folder does not have."""
    datasets = _library()
    for split in splits:
        rows = _rows(datasets, name, split, config)
        classes = _class_names(rows, target) if labels else []
        for number, row in enumerate(rows, 1):
            where = f"{name}[{split}]:{number}"
            named = row | {target: _named(row[target], classes, where)} if classes and target in row else row
            yield pair_from_record(named, source=source, target=target, where=where, breaks=breaks, labels=labels)


def _class_names(rows: Any, field: str) -> list[str]:
    """The names of the classes that a field of a data set, or a list in it, has numbers of; [] if it has none."""
    feature = (getattr(rows, "features", None) or {}).get(field)
    return [*(getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None) or ())]


def _named(value: Any, classes: Sequence[str], where: str) -> Any:
    """Numbers of classes, one or a list, as names. Raises DataError for -1, which stands for a hidden label."""
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(one, int) and 0 <= one < len(classes) for one in numbers):
        numbers_of = f"no number of one of its {len(classes)} classes: does this split have labels?"
        raise DataError(f"{where}: {shortened(value)} is {numbers_of}")
    names = [classes[one] for one in numbers]
    return names if isinstance(value, list) else names[0].replace(" ", "_")


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingError("data.format=hub needs the package `datasets`: pip install 'seq2seq[hub]'") from error
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
        raise MissingError(
            f"data.hub={quoted(name)}, split {quoted(split)} cannot be loaded ({type(error).__name__} in the package"
            " `datasets`): see that both exist, and for a name on the hub that the network reaches it"
        ) from error
    splits = loaded if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}
    return choose(splits, split, f"split of {name}")


def _downloaded(datasets: Any, name: Sequence[str], split: str) -> Any:
    try:
        return datasets.load_dataset(*name, split=split)
    except RuntimeError:  # a data set made by a script, which the library no longer runs
        return datasets.load_dataset(*name, split=split, revision=PARQUET)


READERS: dict[str, Reader] = {  # data.format -> reader of files
    "text": read_text,
    "tsv": read_tsv,
    "csv": read_csv,
    "jsonl": read_jsonl,
    "conll": read_conll,
}
