"""Filters for training pairs, and the truncation of their texts to the first words."""

from collections import Counter
from collections.abc import Iterable, Iterator

from seq2seq.data.readers import AnyPair
from seq2seq.runtime.words import count_words, is_blank, truncate_words


class PairFilter:
    """Truncates pairs, yields those that are worth training on, and counts the rest in `dropped`: reason -> pairs.

    A pair is dropped if a side is blank (with `blank_targets` only for the source), has more than `max_characters`
    characters (0: no limit), which would take long to split into subwords, has more than `max_words` words, as
    `words.count_words` counts them, or has n words where the other side has m and n > max_ratio * (m + 3); the 3 spares
    short sentences. Before that, source and target are truncated to the two numbers of words in `truncate` (0: not
    truncated); `truncated` counts the pairs of each side, `read` all pairs."""

    def __init__(
        self,
        max_words: int,
        max_ratio: float,
        truncate: tuple[int, int] = (0, 0),
        max_characters: int = 0,
        blank_targets: bool = False,
    ) -> None:
        self.max_words, self.max_ratio, self.truncate = max_words, max_ratio, truncate
        self.max_characters, self.blank_targets = max_characters, blank_targets
        self.read = 0
        self.dropped: Counter[str] = Counter()
        self.truncated: Counter[str] = Counter()

    def drop_reason(self, pair: AnyPair) -> str | None:
        """Why `pair` is dropped; None if it is kept."""
        sides = pair.source, pair.target
        if is_blank(pair.source) or (is_blank(pair.target) and not self.blank_targets):
            return "an empty side"
        if self.max_characters and max(map(len, sides)) > self.max_characters:
            return f"more than {self.max_characters:,} characters"
        shorter, longer = sorted(map(count_words, sides))
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
