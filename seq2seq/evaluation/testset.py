"""Test sets: sources, references and gold alignments, from a run's data settings or from plain files."""

import hashlib
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from seq2seq.config import DataConfig
from seq2seq.data.corpora import dev_pairs, gold_alignment, test_names, test_pairs
from seq2seq.data.files import read_lines, unpacked_name
from seq2seq.data.labels import labelled
from seq2seq.data.readers import Pair
from seq2seq.data.word_links import GoldAlignment, count_spaced_words
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
        """SHA-256 of sources and references, as hexadecimal digits; the gold alignments do not count."""
        return text_hash(self.sources, *self.references)

    def reversed(self) -> "TestSet":
        """The test set of the other direction, whose sources are the first references; without gold alignments."""
        return TestSet(f"{self.name}-reversed", self.references[0], [self.sources])

    def with_gold_file(self, path: Path) -> "TestSet":
        """The test set with the gold alignments of a file. Raises DataError as `with_gold`."""
        return self.with_gold(list(read_lines(path)), unpacked_name(str(path)))

    def with_gold(self, lines: Sequence[str], name: str) -> "TestSet":
        """The test set with gold alignments: the lines of the file `name`, as read by `alignment.read_gold`.

        Raises DataError for lines that are no links or do not fit the text, and if there is no link at all."""
        sizes = [
            (count_spaced_words(source), count_spaced_words(target))
            for source, target in zip(self.sources, self.references[0], strict=True)
        ]
        gold = read_gold(lines, sizes, name)
        if self.sources and not any(one.possible for one in gold):
            raise DataError(f"{name} has no link: nothing can be compared with it")
        return self._replace(gold=gold)


TestSet.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it


def choose_name(data: DataConfig, name: str | None) -> str:
    """`name` if it is given, else the name of the only test set of the data settings.

    Raises ConfigError, with the choices, if none is given and there is not exactly one."""
    known = test_names(data)
    if not name and len(known) != 1:
        raise ConfigError(f"--test is missing; choose one of: {', '.join([*known, 'dev'])}")
    return name or known[0]


def load_test_set(data: DataConfig, name: str, gold: Path | None = None) -> TestSet:
    """The test set `name` of a run's data settings, or its `dev` set.

    Its gold alignments are those of the file `gold`, else its own if it has some. Raises ConfigError for an unknown
    name, DataError for files that cannot be read."""
    choose(dict.fromkeys([*test_names(data), "dev"]), name, "--test")
    pairs = list(dev_pairs(data) if name == "dev" else test_pairs(data, name))
    test = TestSet(name, [p.source for p in pairs], [[p.target for p in pairs]])
    if gold:
        return test.with_gold_file(gold)
    lines = gold_alignment(data, name)
    return test if lines is None else test.with_gold(lines, f"the gold alignment of {name}")


def read_test_set(
    source: Path, references: Sequence[Path], gold: Path | None = None, *, targets: str = "text"
) -> TestSet:
    """The test set of plain text files, one line per sentence. targets: what references are, as data.targets.

    Its name ends in a hash of the text, so that other text in files of the same names gets another one. Raises
    DataError if the files differ in length, and as `labelled`."""
    sources, sets = list(read_lines(source)), [list(read_lines(path)) for path in references]
    for number, (path, lines) in enumerate(zip(references, sets, strict=True)):
        if len(lines) != len(sources):
            raise DataError(f"{source} has {len(sources)} lines, but {path} has {len(lines)}")
        if targets != "text":
            pairs = list(labelled(map(Pair, sources, lines), targets, str(path), "line"))
            sources, sets[number] = [pair.source for pair in pairs], [pair.target for pair in pairs]
    stem = re.sub(r"\W+", "-", unpacked_name(source.name))
    test = TestSet(f"{stem}-{text_hash(sources, *sets)[:8]}", sources, sets)
    return test.with_gold_file(gold) if gold else test


def text_hash(*texts: Sequence[str]) -> str:
    """SHA-256 of the lines of all texts, as hexadecimal digits."""
    return hashlib.sha256("\n".join(chain(*texts)).encode()).hexdigest()
