"""Filters for training pairs, and truncation of long texts to their first words."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache

from seq2seq.data.readers import AnyPair


class PairFilter:
    """Truncates pairs, yields those that are worth training on, and counts the rest in `dropped`: reason -> pairs.

    A pair is dropped if a side is empty, has more than `max_words` white-space words, or has n words where the other
    side has m and n > max_ratio * (m + 3); the 3 spares short sentences. Before that, source and target are truncated
    to the two numbers of words in `truncate` (0: not truncated); `truncated` counts the pairs of each side, `read` all
    pairs."""

    def __init__(self, max_words: int, max_ratio: float, truncate: tuple[int, int] = (0, 0)) -> None:
        self.max_words, self.max_ratio, self.truncate = max_words, max_ratio, truncate
        self.read = 0
        self.dropped: Counter[str] = Counter()
        self.truncated: Counter[str] = Counter()

    def drop_reason(self, pair: AnyPair) -> str | None:
        """Why `pair` is dropped; None if it is kept."""
        shorter, longer = sorted(len(side.split()) for side in (pair.source, pair.target))
        if not shorter:
            return "an empty side"
        if longer > self.max_words:
            return f"more than {self.max_words} words"
        if longer > self.max_ratio * (shorter + 3):
            return f"sides out of proportion ({self.max_ratio:g})"
        return None

    def __call__(self, pairs: Iterable[AnyPair]) -> Iterator[AnyPair]:
        """The pairs that are kept, truncated."""
        for whole in pairs:
            source, target = map(truncate_words, (whole.source, whole.target), self.truncate)
            pair = whole._replace(source=source, target=target)
            self.read += 1
            self.truncated.update(source=pair.source != whole.source, target=pair.target != whole.target)
            if reason := self.drop_reason(pair):
                self.dropped[reason] += 1
            else:
                yield pair


def truncate_words(text: str, words: int) -> str:
    """`text` up to the end of its first `words` white-space words; all of it if it has no more, or if `words` is 0."""
    if not words or len(text) < 2 * words:  # too short to have more words
        return text
    found = _first_words(words).match(text)
    return found[0] if found else text


@cache
def _first_words(words: int) -> re.Pattern[str]:
    """Matches so many words, if another one follows."""
    return re.compile(rf"\s*\S+(?:\s+\S+){{{words - 1}}}(?=\s+\S)")
