"""The pairs and word alignments that a `DataConfig` names: training, development and test sets, read or generated."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.config import DataConfig
from seq2seq.config.data import GENERATED, LINKED
from seq2seq.data.files import PACKED, find_file, read_lines, user_path
from seq2seq.data.labels import PairType, labelled
from seq2seq.data.readers import (
    READERS,
    FileLayout,
    LinkedPair,
    Pair,
    find_sides,
    read_hub,
    read_text,
    require_pairs,
)
from seq2seq.data.word_links import format_links, read_linked, swap_links
from seq2seq.errors import ConfigError, choose
from seq2seq.ids import BREAK

if TYPE_CHECKING:
    from seq2seq.data.toy.labelled import LabelledCorpus
    from seq2seq.data.toy.summarization import NewsCorpus
    from seq2seq.data.toy.translation import ToyCorpus

ALIGN_HINT = "a word aligner writes it, one line `0-0 1-2` for each pair of lines (training.guided_alignment)"


def data_root(data: DataConfig) -> Path:
    """The folder of relative file names: data.root, $SEQ2SEQ_DATA or ./data."""
    return user_path(data.root or os.environ.get("SEQ2SEQ_DATA") or "data")


def cache_root(data: DataConfig) -> Path:
    """The folder of all prepared corpora: data.cache, $SEQ2SEQ_CACHE or ./cache."""
    return user_path(data.cache or os.environ.get("SEQ2SEQ_CACHE") or "cache")


def train_pairs(data: DataConfig) -> Iterator[Pair]:
    """The training pairs, unfiltered. Raises ConfigError if data.train is empty, DataError if the files are."""
    return _pairs(data, "train", data.train)


def linked_pairs(data: DataConfig) -> Iterator[LinkedPair]:
    """The training pairs with their word links.

    They are those of the toy corpus, or for format=text those in the `links_file` of each name. Raises ConfigError for
    other formats, DataError for links that do not fit the text."""
    if data.format in LINKED:
        return _checked((LinkedPair(*example) for example in _toy(data).train), data, "data.train")
    data.check_word_links()
    layout = _layout(data)
    files = zip(data.train, _links_files(data), strict=True)
    pairs = (pair for name, (path, swapped) in files for pair in read_linked(read_text([name], layout), path, swapped))
    return _checked(require_pairs(pairs, f"data.train={data.train}"), data, f"data.train={data.train}")


def text_files(data: DataConfig, linked: bool = False) -> list[Path]:
    """The files that hold the training and development pairs, and with `linked` the word links of the training pairs.

    None for a generated corpus or a data set of the hub. Raises MissingError if there is no such file."""
    files = _files(data, (*data.train, *data.dev))
    return files + ([path for path, _ in _links_files(data)] if linked and data.format == "text" else [])


def files_of_tests(data: DataConfig) -> list[Path]:
    """The files that hold the test sets, as `text_files`."""
    return _files(data, [name for names in data.test.values() for name in names])


def _files(data: DataConfig, names: Sequence[str]) -> list[Path]:
    if data.format in GENERATED or data.format == "hub":
        return []
    layout = _layout(data)
    if data.format != "text":
        return [find_file(name, layout.root, layout.how) for name in names]
    return [path for name in names for path in find_sides(name, layout)]


def dev_pairs(data: DataConfig) -> Iterator[Pair]:
    """The development pairs. Raises ConfigError if data.dev is empty, DataError if the files are."""
    return _pairs(data, "dev", data.dev)


def test_names(data: DataConfig) -> list[str]:
    """The names of the test sets."""
    return ["test"] if data.format in GENERATED else list(data.test)


def test_pairs(data: DataConfig, name: str) -> Iterator[Pair]:
    """The pairs of the test set `name`. Raises ConfigError if there is none of that name, DataError if it is empty."""
    return _pairs(data, "test", _test_files(data, name), f"test.{name}")


def _links_files(data: DataConfig) -> list[tuple[Path, bool]]:
    """The `links_file` of each name of data.train. Raises MissingError for one without."""
    root = data_root(data)
    return [links_file(data, name) or (find_file(f"{name}.align", root, ALIGN_HINT), False) for name in data.train]


def gold_alignment(data: DataConfig, split: str) -> list[str] | None:
    """The gold word alignment of "dev" or of a test set, one line "0-0 1-2" for each pair; None if there is none.

    For format=text it is in the `links_file` of each name. Raises DataError if only some of the names have one."""
    if data.format in LINKED:
        examples = getattr(_toy(data), "dev" if split == "dev" else "test")
        return [format_links(example.alignment) for example in examples]
    names = data.dev if split == "dev" else _test_files(data, split)
    if data.format != "text":
        return None
    files = [links_file(data, name) for name in names]
    if not any(files):
        return None
    lines = []
    for name, file in zip(names, files, strict=True):
        path, swapped = file or (find_file(f"{name}.align", data_root(data)), False)
        lines += [swap_links(line) if swapped else line for line in read_lines(path)]
    return lines


def links_file(data: DataConfig, name: str) -> tuple[Path, bool] | None:
    """The file with the word links of the pairs NAME, and whether it names the target word first; None without one.

    NAME.en-de.align names the English word first, whichever way the run translates; NAME.align the source word of the
    run. The file may be plain or compressed."""
    endings = {f"{data.source}-{data.target}.align": False, f"{data.target}-{data.source}.align": True, "align": False}
    for ending, swapped in endings.items():
        for packed in ("", *PACKED):
            path = data_root(data) / user_path(f"{name}.{ending}{packed}")
            if path.is_file():
                return path, swapped
    return None


test_names.__test__ = test_pairs.__test__ = False  # type: ignore[attr-defined]  # pytest would collect them as tests


def _test_files(data: DataConfig, name: str) -> Sequence[str]:
    if not test_names(data):
        raise ConfigError(f"data={data.name} has no test set (data.test is empty)")
    return choose({"test": [""]} if data.format in GENERATED else data.test, name, "test set")


def _pairs(data: DataConfig, split: str, names: Sequence[str], what: str = "") -> Iterator[Pair]:
    """`split` is the field of a generated corpus, `what` (default: the same) the setting to name in messages."""
    if data.format in GENERATED:
        pairs = (Pair(example.source, example.target) for example in getattr(_toy(data), split))
        return _checked(pairs, data, f"data.{what or split}")
    if not names:
        raise ConfigError(f"data.{what or split}=[] names no files: a corpus needs them (data={data.name})")
    named = f"data.{what or split}={list(names)}"
    return _checked(require_pairs(_read(data, names), named), data, named)


def _checked(pairs: Iterator[PairType], data: DataConfig, what: str) -> Iterator[PairType]:
    return pairs if data.targets == "text" else labelled(pairs, data.targets, what)


def _read(data: DataConfig, names: Sequence[str]) -> Iterator[Pair]:
    breaks = f" {BREAK} " if data.keep_breaks else " "
    if data.format == "hub":
        local = data_root(data) / data.hub
        name = str(local) if local.is_dir() else data.hub
        labels = data.targets != "text"
        sides = {"source": data.source, "target": data.target}
        return read_hub(name, names, **sides, config=data.hub_config, breaks=breaks, labels=labels)
    return READERS[data.format](names, _layout(data, breaks))


def _layout(data: DataConfig, breaks: str = " ") -> FileLayout:
    return FileLayout(
        root=data_root(data),
        source=data.source,
        target=data.target,
        columns=data.columns,
        how=data.how,
        breaks=breaks,
        labels=data.targets != "text",
    )


def _toy(data: DataConfig) -> "ToyCorpus | NewsCorpus | LabelledCorpus":
    return _generated(data.format, data.pairs, data.toy_seed)


@lru_cache(maxsize=1)
def _generated(kind: str, pairs: int, seed: int) -> "ToyCorpus | NewsCorpus | LabelledCorpus":
    from seq2seq.data.toy import entities, sentiment, summarization, translation

    generators: dict[str, Callable[[int, int], ToyCorpus | NewsCorpus | LabelledCorpus]] = {
        "toy": translation.generate_translations,
        "toy_summaries": summarization.generate_summaries,
        "toy_sentiment": sentiment.generate_sentiment,
        "toy_entities": entities.generate_entities,
    }
    return generators[kind](pairs, seed)
