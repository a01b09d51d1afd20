"""Which pairs does a data configuration name?"""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.config import DataConfig
from seq2seq.config.data import GENERATED
from seq2seq.data.readers import READERS, FileLayout, LinkedPair, Pair, find_file, read_lines, read_text, require_pairs
from seq2seq.errors import ConfigError, choose
from seq2seq.ids import BREAK

ALIGN_HINT = "a word aligner makes it of the two sides, a line `0-0 1-2` for each pair (training.guided_alignment)"

if TYPE_CHECKING:
    from seq2seq.data.toy.summarization import NewsCorpus
    from seq2seq.data.toy.translation import ToyCorpus


def data_root(data: DataConfig) -> Path:
    """The folder that relative file names belong to."""
    return Path(data.root or os.environ.get("SEQ2SEQ_DATA") or "data").expanduser()


def train_pairs(data: DataConfig) -> Iterator[Pair]:
    """The training pairs as they are, unfiltered. DataError if there are none."""
    return _pairs(data, "train", data.train)


def linked_pairs(data: DataConfig) -> Iterator[LinkedPair]:
    """The training pairs with their word links: the toy corpus' own, or of format=text those of `links_file` beside the text.
    ConfigError for other formats; DataError for links that do not fit."""
    from seq2seq.data.word_links import read_linked

    if data.format == "toy":
        return (LinkedPair(*example) for example in _toy(data).train)
    if data.format != "text":
        raise ConfigError(
            f"data.format={data.format} has no word links to learn from: data=toy has, and format=text in files NAME.align"
        )
    root, layout = data_root(data), _layout(data)
    files = [
        (name, *(links_file(data, name) or (find_file(f"{name}.align", root, ALIGN_HINT), False)))
        for name in data.train
    ]
    pairs = (pair for name, path, turn in files for pair in read_linked(read_text([name], layout), path, turn))
    return require_pairs(pairs, f"data.train={data.train}")


def dev_pairs(data: DataConfig) -> Iterator[Pair]:
    """The development pairs. DataError if there are none."""
    return _pairs(data, "dev", data.dev)


def test_names(data: DataConfig) -> list[str]:
    """The names of the test sets."""
    return ["test"] if data.format in GENERATED else list(data.test)


def test_pairs(data: DataConfig, name: str) -> Iterator[Pair]:
    """The pairs of the test set `name`, read now. ConfigError if there is none of that name."""
    return _pairs(data, "test", _test_files(data, name), f"test.{name}")


def gold_alignment(data: DataConfig, split: str) -> list[str] | None:
    """Gold word alignment of "dev" or of a test set, a line "0-0 1-2" for each pair; None if there is none.

    format=text finds it by `links_file`. DataError if some are there and some not."""
    if data.format == "toy":
        from seq2seq.data.toy.translation import pharaoh

        return [pharaoh(example.alignment) for example in getattr(_toy(data), "dev" if split == "dev" else "test")]
    names = data.dev if split == "dev" else _test_files(data, split)
    if data.format != "text":
        return None
    from seq2seq.data.word_links import swap_links

    files = [links_file(data, name) for name in names]
    if not any(files):
        return None
    given = (
        file or (find_file(f"{name}.align", data_root(data)), False) for name, file in zip(names, files, strict=True)
    )
    return [swap_links(line) if turn else line for path, turn in given for line in read_lines(path)]


def links_file(data: DataConfig, name: str) -> tuple[Path, bool] | None:
    """The file with the word links of the pairs NAME, .gz or not, and whether they are those of the other direction: NAME.en-de.align
    counts English words first, whichever way the run translates; NAME.align goes the run's way."""
    ways = {f"{data.source}-{data.target}.align": False, f"{data.target}-{data.source}.align": True, "align": False}
    found = ((data_root(data) / f"{name}.{end}{packed}", turn) for end, turn in ways.items() for packed in ("", ".gz"))
    return next(((path, turn) for path, turn in found if path.is_file()), None)


test_names.__test__ = test_pairs.__test__ = False  # type: ignore[attr-defined]  # pytest would collect them


def _test_files(data: DataConfig, name: str) -> Sequence[str]:
    if not test_names(data):
        raise ConfigError(f"data={data.name} has no test set (data.test is empty)")
    return choose({"test": [""]} if data.format in GENERATED else data.test, name, "test set")


def _pairs(data: DataConfig, split: str, names: Sequence[str], what: str = "") -> Iterator[Pair]:
    """`split` is a generated corpus' name for it, `what` is data's."""
    if data.format in GENERATED:
        return (Pair(example.source, example.target) for example in getattr(_toy(data), split))
    if not names:
        raise ConfigError(f"data.{what or split}=[] names no files: a corpus needs them (data={data.name})")
    return require_pairs(_read(data, names), f"data.{what or split}={list(names)}")


def _read(data: DataConfig, names: Sequence[str]) -> Iterator[Pair]:
    breaks = f" {BREAK} " if data.keep_breaks else " "
    if data.format == "hub":
        from seq2seq.data.readers import read_hub

        local = data_root(data) / data.hub
        return read_hub(
            str(local) if local.is_dir() else data.hub, names, data.source, data.target, data.hub_config, breaks
        )
    return READERS[data.format](names, _layout(data, breaks))


def _layout(data: DataConfig, breaks: str = " ") -> FileLayout:
    return FileLayout(data_root(data), data.source, data.target, data.columns, data.how, breaks)


def _toy(data: DataConfig) -> "ToyCorpus | NewsCorpus":
    return _generated(data.format, data.pairs, data.toy_seed)


@lru_cache(maxsize=1)
def _generated(kind: str, pairs: int, seed: int) -> "ToyCorpus | NewsCorpus":
    from seq2seq.data.toy import summarization, translation

    return (
        summarization.generate_summaries(pairs, seed)
        if kind == "toy_summaries"
        else translation.generate_translations(pairs, seed)
    )
