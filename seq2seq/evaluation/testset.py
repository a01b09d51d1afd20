"""On what are runs evaluated? A test set of their settings, or plain files, with the word links where they are known."""

import hashlib
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from seq2seq.config import DataConfig
from seq2seq.data.corpora import dev_pairs, gold_alignment, test_names, test_pairs
from seq2seq.data.readers import read_lines
from seq2seq.data.word_links import GoldAlignment, count_words
from seq2seq.errors import ConfigError, DataError, choose
from seq2seq.evaluation.alignment import read_gold


class TestSet(NamedTuple):
    """Sources with one or more sets of references."""

    name: str
    sources: list[str]
    references: list[list[str]]  # one list for each set of references
    gold: list[GoldAlignment] | None = None  # word alignments of the sources with the first references

    @property
    def sha256(self) -> str:
        """Of the text, without the links."""
        return text_hash(self.sources, *self.references)

    def reversed(self) -> "TestSet":
        """The other direction: the first references are the sources."""
        return TestSet(f"{self.name}-reversed", self.references[0], [self.sources])

    def with_gold(self, path: Path) -> "TestSet":
        """The same with the links in a file; `evaluation.gold` says which notations it may have. DataError for other text."""
        return self.linked(list(read_lines(path)), str(path).removesuffix(".gz"))

    def linked(self, lines: Sequence[str], name: str) -> "TestSet":
        """The same with the links in the lines of the file `name`. DataError as `read_gold`."""
        sizes = [
            (count_words(source), count_words(target))
            for source, target in zip(self.sources, self.references[0], strict=True)
        ]
        gold = read_gold(lines, sizes, name)
        if self.sources and not any(one.possible for one in gold):
            raise DataError(f"{name} has no link: nothing can be compared with it")
        return self._replace(gold=gold)


TestSet.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it


def chosen(data: DataConfig, name: str | None) -> str:
    """The name that was asked for, or that of the only test set. ConfigError, with the choices, where none was and there are others."""
    known = test_names(data)
    if not name and len(known) != 1:
        raise ConfigError(f"--test is missing; choose one of: {', '.join([*known, 'dev'])}")
    return name or known[0]


def from_settings(data: DataConfig, name: str, gold: Path | None = None) -> TestSet:
    """The test set `name` of a run's data settings, or its dev set, with its own links or those in the file `gold`. ConfigError for
    another name, DataError for its files."""
    choose(dict.fromkeys([*test_names(data), "dev"]), name, "--test")
    pairs = list(dev_pairs(data) if name == "dev" else test_pairs(data, name))
    test = TestSet(name, [p.source for p in pairs], [[p.target for p in pairs]])
    if gold:
        return test.with_gold(gold)
    lines = gold_alignment(data, name)
    return test if lines is None else test.linked(lines, f"the gold alignment of {name}")


def from_files(source: Path, references: Sequence[Path], gold: Path | None = None) -> TestSet:
    """Plain files; counts must agree. The name tells other text apart, even in files of the same name."""
    sources, sets = list(read_lines(source)), [list(read_lines(path)) for path in references]
    for path, lines in zip(references, sets, strict=True):
        if len(lines) != len(sources):
            raise DataError(f"{source} has {len(sources)} lines, but {path} has {len(lines)}")
    test = TestSet(
        re.sub(r"\W+", "-", source.name.removesuffix(".gz")) + f"-{text_hash(sources, *sets)[:8]}", sources, sets
    )
    return test.with_gold(gold) if gold else test


def text_hash(*texts: Sequence[str]) -> str:
    """SHA-256 of lines; as hexadecimal digits."""
    return hashlib.sha256("\n".join(chain(*texts)).encode()).hexdigest()
