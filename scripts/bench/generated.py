"""Generated text of the size of a corpus: made-up words, as frequent as Zipf's law has them, in sentences of random
length. It teaches a model nothing, and costs as much time as real text."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

SPREAD = 6.0  # shape of the gamma distribution of lengths: their standard deviation is 0.41 times their mean


class Text(NamedTuple):
    """The size of a text."""

    pairs: int  # for training; there are as many lines of dev and test as `lines`
    words: int  # different ones, the entries of the vocabulary
    mean: int  # words of a sentence
    lines: int = 1000


def write(folder: Path, text: Text, seed: int = 1) -> None:
    """Write the text to files in `folder`. Both sides of a pair have about the same length; `seed` decides all."""
    random = np.random.default_rng(seed)
    share = 1 / np.arange(1, text.words + 1)
    names = np.array([f"w{number}" for number in range(text.words)])
    for split, pairs in (("train", text.pairs), ("dev", text.lines), ("test", text.lines)):
        lengths = np.maximum(1, random.gamma(SPREAD, text.mean / SPREAD, pairs).round()).astype(int)
        others = np.maximum(1, (lengths * random.uniform(0.85, 1.15, pairs)).round()).astype(int)
        for side, sizes in (("en", lengths), ("de", others)):
            words = names[random.choice(text.words, sizes.sum(), p=share / share.sum())]
            lines = (" ".join(line) for line in np.split(words, np.cumsum(sizes)[:-1]))
            folder.joinpath(f"{split}.{side}").write_text("\n".join(lines) + "\n", encoding="utf-8")


def settings(folder: Path, text: Text) -> list[str]:
    """The settings by which the text in `folder` is read, each word one token."""
    files = ["data.train=[train]", "data.dev=[dev]", "+data.test.test=[test]"]
    place = [f"data.root={folder}", f"data.cache={folder / 'cache'}"]
    return ["data=mine", *place, *files, "tokenizer=word", "tokenizer.joint=true", f"tokenizer.size={text.words}"]
