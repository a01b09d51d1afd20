"""What the embedded corpora of labelled texts share: their examples, and how many different ones are drawn."""

import random
from collections.abc import Callable
from typing import NamedTuple

from seq2seq.errors import ConfigError

MAX_PAIRS = 1_000_000  # of far more possible texts: duplicates stay rare


class LabelledExample(NamedTuple):
    """A text, its labels, and links (word, label) from each label to the words that decide it, both counted from 0.

    Of a tag for each word there are none."""

    source: str
    target: str
    alignment: tuple[tuple[int, int], ...] = ()


class LabelledCorpus(NamedTuple):
    """Three lists of examples; no text occurs twice in all of them."""

    train: list[LabelledExample]
    dev: list[LabelledExample]
    test: list[LabelledExample]


def draw_corpus(
    draw: Callable[[random.Random], LabelledExample], pairs: int, seed: int, *, dev: int, test: int
) -> LabelledCorpus:
    """A corpus of `pairs` training examples, each drawn by `draw`; the same for the same arguments on every machine.

    Raises ConfigError for more than MAX_PAIRS."""
    if pairs > MAX_PAIRS:
        raise ConfigError(f"data.pairs={pairs} is more than the grammar of this corpus generates: at most {MAX_PAIRS}")
    rng, found = random.Random(seed), dict[str, LabelledExample]()
    while len(found) < pairs + dev + test:
        example = draw(rng)
        found.setdefault(example.source, example)
    examples = list(found.values())
    return LabelledCorpus(examples[dev + test :], examples[:dev], examples[dev : dev + test])
