"""Rows of tables in text files, TSV and CSV, and the two columns of them that hold source and target."""

import csv
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from seq2seq.config.languages import find_language
from seq2seq.data.files import read_lines
from seq2seq.errors import DataError, quoted, shortened

Row = tuple[int, list[str]]  # the number of its first line, and its fields
MAX_FIELD = 1 << 24  # characters of a CSV field; more are those of a quote that is never closed
DELIMITERS = ",;\t"
HEADINGS = {  # words of column names
    "source", "target", "src", "tgt", "trg", "text", "texts", "sentence", "sentences", "translation",
    "translations", "original", "reference", "references", "input", "output", "article", "articles", "summary",
    "summaries", "document", "documents", "title", "headline", "abstract", "highlights", "id", "index", "language",
    "lang", "english", "german", "french", "spanish", "italian", "portuguese", "dutch", "polish", "czech",
    "russian", "ukrainian", "turkish", "arabic", "hebrew", "persian", "hindi", "chinese", "japanese", "korean",
    "vietnamese", "indonesian", "romanian", "hungarian", "greek", "swedish", "danish", "norwegian", "finnish",
    "deutsch", "français", "español", "italiano", "label", "labels", "class", "classes", "category",
    "categories", "tag", "tags", "review", "reviews", "sentiment", "comment", "tweet",
}  # fmt: skip


def tsv_rows(path: Path) -> Iterator[Row]:
    """The rows of a tab-separated file, which has no quoting. Raises DataError as `read_lines`."""
    for number, line in enumerate(read_lines(path), 1):
        yield number, line.split("\t")


def csv_rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV file (RFC 4180); empty lines between them are skipped.

    Fields are separated by commas, semicolons or tabs, whichever the first line has more of. Raises DataError, naming
    the line, if a quote is not closed or is followed by text, and as `read_lines`."""
    first = re.sub(r'"[^"]*"?', "", next(read_lines(path), ""))
    delimiter = max(DELIMITERS, key=first.count)
    lines = (f"{line}\n" for line in read_lines(path))
    rows = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        number = rows.line_num + 1
        csv.field_size_limit(MAX_FIELD)  # of the whole process, in which other tables have another limit
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise DataError(
                f"{path}:{number}: not valid CSV: a quote is not closed or is followed by text (inside a quoted field"
                " it is written twice), or a line ends in \\r alone"
            ) from error
        if row is None:
            return
        if row:
            yield number, row


def two_columns(
    path: Path, rows: Iterator[Row], *, source: str, target: str, columns: Sequence[int] = ()
) -> Iterator[tuple[int, str, str]]:
    """Number of its line, source and target of each row.

    With `columns`, counted from 0, there is no header. Without, the first row is a header if it has the names `source`
    and `target`; else the two columns are source and target.

    Raises DataError for a row that is longer or shorter than the first one, a header with other names, and more than
    two columns of which none are chosen."""
    found = next(rows, None)
    if found is None:
        return
    start, first = found
    chosen = tuple(columns)
    if not chosen and {source, target} <= {cell.strip() for cell in first}:
        chosen = _by_name(first, source, f"{path}:{start}"), _by_name(first, target, f"{path}:{start}")
    else:
        chosen = chosen or _by_order(first, source, target, f"{path}:{start}")
        if len(first) <= max(chosen):
            setting = f"data.columns=[{chosen[0]},{chosen[1]}], counted from 0" if columns else "two are needed"
            raise DataError(f"{path}:{start}: {_fields(first)}, but {setting}")
        yield start, first[chosen[0]], first[chosen[1]]
    for number, row in rows:
        if len(row) != len(first):
            raise DataError(f"{path}:{number}: {_fields(row)}, but line {start} has {len(first)}")
        yield number, row[chosen[0]], row[chosen[1]]


def _by_name(header: Sequence[str], name: str, where: str) -> int:
    names = [cell.strip() for cell in header]
    if names.count(name) > 1:
        raise DataError(f"{where}: the header has {names.count(name)} columns {quoted(name)}")
    return names.index(name)


def _by_order(first: Sequence[str], source: str, target: str, where: str) -> tuple[int, int]:
    """The only two columns of a table without a header. DataError if there are more, or if the row looks like one."""
    names = [cell.strip() for cell in first]
    known = {source.casefold(), target.casefold()}
    headings = [cell for cell in names if cell.casefold() in known or _is_heading(cell)]
    if len(headings) > 1 or any(cell.casefold() in known for cell in names):
        near = [_likely_name(name, names) for name in (source, target)]
        hint = f" (did you mean {quoted(near[0])} and {quoted(near[1])}?)" if all(near) and near[0] != near[1] else ""
        raise DataError(
            f"{where}: this looks like a header, with the columns {', '.join(shortened(n, 40) for n in names)}, but"
            f" lacks {source!r} or {target!r}{hint}: set data.source and data.target to the names of two columns; or if"
            " it is a pair of texts, data.columns=[0,1]"
        )
    if len(first) > 2:
        raise DataError(
            f"{where}: {_fields(first)}: choose two, either by data.columns=[0,1], counted from 0, or by a header row"
            " with the names in data.source and data.target"
        )
    return 0, 1


def _likely_name(name: str, names: Sequence[str]) -> str:
    """The one of `names` that names the same language, or else is written much alike; "" if none is."""
    wanted = find_language(name)
    same = [one for one in names if wanted and (found := find_language(one)) and found.tag == wanted.tag]
    return next(iter(same or get_close_matches(name, names, n=1)), "")


def _is_heading(cell: str) -> bool:
    words = set(re.findall(r"[^\W\d_]+", cell.casefold()))
    return bool(words) and words <= HEADINGS


def _fields(row: Sequence[str]) -> str:
    if row == [""]:
        return "an empty line"
    return "1 field" if len(row) == 1 else f"{len(row)} fields"
