"""Which training pairs are left out, and how many for which reason?"""

from collections import Counter
from collections.abc import Iterable, Iterator

from seq2seq.data.text import Pair


class Filters:
    """Keeps pairs that are worth training on, and counts the rest in `dropped`: reason -> pairs.

    A pair goes when a side is empty, has more than `max_words` white-space words, or more than `max_ratio` times the
    words of the other side and 3: (n > max_ratio * (m + 3)). The 3 is grace for short sentences."""

    def __init__(self, max_words: int, max_ratio: float) -> None:
        self.max_words, self.max_ratio = max_words, max_ratio
        self.read = 0
        self.dropped: Counter[str] = Counter()

    def reason(self, pair: Pair) -> str | None:
        """Why `pair` is left out; None if it is kept."""
        shorter, longer = sorted(len(side.split()) for side in pair)
        if not shorter:
            return "an empty side"
        if longer > self.max_words:
            return f"more than {self.max_words} words"
        if longer > self.max_ratio * (shorter + 3):
            return f"sides out of proportion ({self.max_ratio:g})"
        return None

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        for pair in pairs:
            self.read += 1
            if reason := self.reason(pair):
                self.dropped[reason] += 1
            else:
                yield pair
