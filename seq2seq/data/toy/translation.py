"""Which parallel corpus needs no download, gives each sentence one right translation, and knows its word links?

English and German from the synchronous grammar in `grammar`, over the words of `lexicon` and the kinds of `sentences`.
"""

import random
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from seq2seq.data.toy.templates import TEMPLATES, TranslationExample
from seq2seq.errors import ConfigError
from seq2seq.utils.files import write_text


class ToyCorpus(NamedTuple):
    """Three lists of examples; no source sentence occurs twice in them all."""

    train: list[TranslationExample]
    dev: list[TranslationExample]
    test: list[TranslationExample]


def generate_translations(pairs: int = 24000, seed: int = 1, dev: int = 500, test: int = 500) -> ToyCorpus:
    """A corpus of `pairs` training examples, the same for the same arguments on every machine.

    Each kind of sentence has its share. Raises ConfigError if `pairs` is more than the grammar can give.
    """
    total = pairs + dev + test
    if total > max_sentences():
        raise ConfigError(
            f"data.pairs={pairs} is more than the toy grammar can give: at most {max_sentences() - dev - test}"
        )
    rng = random.Random(seed)
    found: dict[str, TranslationExample] = {}
    for kind, wanted in zip(TEMPLATES.values(), _apportioned(total), strict=True):
        wanted += len(found)
        while len(found) < wanted:
            example = kind.draw(rng)
            found.setdefault(example.source, example)
    examples = list(found.values())
    rng.shuffle(examples)
    return ToyCorpus(examples[dev + test :], examples[:dev], examples[dev : dev + test])


def max_sentences() -> int:
    """The most sentences that leave every kind its share, and no kind more than half used up, so that drawing stays quick."""
    return min(int(kind.size / 2 / kind.share) for kind in TEMPLATES.values())


def pharaoh(alignment: Iterable[tuple[int, int]]) -> str:
    """Links as `0-0 1-2`: source position, target position."""
    return " ".join(f"{i}-{j}" for i, j in alignment)


def write_corpus(folder: Path, corpus: ToyCorpus) -> None:
    """Write {train,dev,test}.{en,de,align} into `folder`, one line for each example."""
    for split, examples in corpus._asdict().items():
        _write_lines(folder / f"{split}.en", (example.source for example in examples))
        _write_lines(folder / f"{split}.de", (example.target for example in examples))
        _write_lines(folder / f"{split}.align", (pharaoh(example.alignment) for example in examples))


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines), follow=True)


def _apportioned(total: int) -> list[int]:
    """Whole numbers in the proportion of the shares that sum to `total`."""
    bounds, sum_of_shares = [0.0], sum(kind.share for kind in TEMPLATES.values())
    for kind in TEMPLATES.values():
        bounds.append(bounds[-1] + kind.share / sum_of_shares)
    return [round(total * high) - round(total * low) for low, high in pairwise(bounds)]
