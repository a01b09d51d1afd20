"""Which training pairs are left out, how many for which reason, and where is a long text cut?"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache

from seq2seq.data.readers import AnyPair


class PairFilter:
    """Keeps pairs that are worth training on, and counts the rest in `dropped`: reason -> pairs.

    A pair goes when a side is empty, has more than `max_words` white-space words, or more than `max_ratio` times the
    words of the other side and 3: (n > max_ratio * (m + 3)). The 3 is grace for short sentences. Before all that its sides
    are cut to so many words as `truncate` says of source and target, 0: not; `cut` counts the pairs of each."""

    def __init__(self, max_words: int, max_ratio: float, truncate: tuple[int, int] = (0, 0)) -> None:
        self.max_words, self.max_ratio, self.truncate = max_words, max_ratio, truncate
        self.read = 0
        self.dropped: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()

    def reason(self, pair: AnyPair) -> str | None:
        """Why `pair` is left out; None if it is kept."""
        shorter, longer = sorted(len(side.split()) for side in (pair.source, pair.target))
        if not shorter:
            return "an empty side"
        if longer > self.max_words:
            return f"more than {self.max_words} words"
        if longer > self.max_ratio * (shorter + 3):
            return f"sides out of proportion ({self.max_ratio:g})"
        return None

    def __call__(self, pairs: Iterable[AnyPair]) -> Iterator[AnyPair]:
        for whole in pairs:
            source, target = map(truncate_words, (whole.source, whole.target), self.truncate)
            pair = whole._replace(source=source, target=target)
            self.read += 1
            self.cut.update(source=pair.source != whole.source, target=pair.target != whole.target)
            if reason := self.reason(pair):
                self.dropped[reason] += 1
            else:
                yield pair


def truncate_words(text: str, words: int) -> str:
    """The first `words` white-space words of a text, and what stands before and between them; all of it if `words` is 0."""
    if not words or len(text) < 2 * words:  # one that has as many words is at least so long
        return text
    found = _first(words).match(text)
    return found[0] if found else text


@cache
def _first(words: int) -> re.Pattern[str]:
    """So many words with another one behind."""
    return re.compile(rf"\s*\S+(?:\s+\S+){{{words - 1}}}(?=\s+\S)")
