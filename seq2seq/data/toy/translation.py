"""An embedded parallel corpus: generated English sentences, each with one German translation and gold word links.

The sentences come from the synchronous grammar in `grammar`, the words in `lexicon` and the sentence patterns in
`templates`.
"""

import random
from itertools import pairwise
from typing import NamedTuple

from seq2seq.data.toy.grammar import TranslationExample
from seq2seq.data.toy.templates import TEMPLATES
from seq2seq.errors import ConfigError


class ToyCorpus(NamedTuple):
    """Three lists of examples; no source sentence occurs twice in all of them."""

    train: list[TranslationExample]
    dev: list[TranslationExample]
    test: list[TranslationExample]


def generate_translations(pairs: int = 24000, seed: int = 1, *, dev: int = 500, test: int = 500) -> ToyCorpus:
    """A corpus of `pairs` training examples, the same for the same arguments on every machine.

    Each template has its share of the corpus. Raises ConfigError if `pairs` is more than the grammar can generate."""
    total = pairs + dev + test
    if total > max_sentences():
        raise ConfigError(
            f"data.pairs={pairs} is more than the toy grammar can generate: at most {max_sentences() - dev - test}"
        )
    rng = random.Random(seed)
    found: dict[str, TranslationExample] = {}
    for template, count in zip(TEMPLATES.values(), _apportioned(total), strict=True):
        wanted = len(found) + count
        while len(found) < wanted:
            example = template.draw(rng)
            found.setdefault(example.source, example)
    examples = list(found.values())
    rng.shuffle(examples)
    return ToyCorpus(examples[dev + test :], examples[:dev], examples[dev : dev + test])


def max_sentences() -> int:
    """The size of the largest corpus in which every template has its share and uses at most half of its derivations.

    Beyond that, drawing a new derivation would be slow."""
    return min(int(template.size / 2 / template.share) for template in TEMPLATES.values())


def _apportioned(total: int) -> list[int]:
    """Numbers of examples in proportion to the shares of the templates; they sum to `total`."""
    bounds, sum_of_shares = [0.0], sum(template.share for template in TEMPLATES.values())
    for template in TEMPLATES.values():
        bounds.append(bounds[-1] + template.share / sum_of_shares)
    return [round(total * high) - round(total * low) for low, high in pairwise(bounds)]
