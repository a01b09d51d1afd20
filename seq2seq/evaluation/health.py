"""Health of an attention mechanism: warnings, in plain sentences, from the weights of a sample of sentences.

T target and S source pieces or words, ends of sentences included; D the width of a local window, p its predicted
centre. This module knows no models: weights are arrays, and weights that are not learned are not judged.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import float64
from numpy.typing import NDArray

Array = NDArray[float64]

MIN_SENTENCES = 10  # with fewer a warning would be about the sentences, not about the model
MIN_LENGTH = 3  # steps and positions: shorter sentences are sharp, flat and fixed at the same time
SHARP = 0.98  # of a step's weight on one position: the gradient of a softmax there is a fiftieth of its largest
SHARP_STEPS = 0.98  # of the steps: a well trained aligner is often sharp, but spreads out where a word comes from two
FLAT = 0.98  # of the largest entropy: every Gaussian that is narrower than the sentence lies below it
FLAT_STEPS = 0.95  # of the steps: the few others are ends of sentences
FIXED = 0.8  # of all weight on one position: an end of sentence that attention rests on takes up to a half
STILL = 0.1  # of the standard deviation of an even walk over the sentence
AT_END = 0.5  # positions from the first or the last: nearer to it than to its neighbour
AT_END_STEPS = 0.9  # of the steps: an even walk over ten positions is there in a tenth of its steps
OUTSIDE = 0.5  # of the 2D + 1 positions: from there on more of the window is beyond the sentence than in it
SAME = 0.05  # of the weight moves between sentences; even in an undertrained model that reads the source, a third does
MIN_PAIRS = 10  # of sentences of one length
COMPARED_STEPS = 20  # of each sentence are compared with another's, so that what is kept of each length stays small


class SentenceHealth(NamedTuple):
    """Statistics of one sentence's attention; nan where one does not apply."""

    sharp: float  # share of steps with at least SHARP of their weight on one position
    flat: float  # share of steps as good as uniform over the positions that they may see
    last: float  # share of weight on the last position
    fixed: float  # share of weight on the one position that gets most of the sentence
    still: float  # standard deviation of p over the steps, as a share of that of an even walk from end to end
    moved: float  # the same in positions
    at_end: float  # share of steps with p at an end
    outside: float  # share of the window's positions beyond the ends
    change: float  # share of weight that lies elsewhere in the last sentence of the same length, step by step


class Health:
    """Collects statistics of attention, sentence by sentence, and warns of what is wrong.

    A few numbers are kept of each sentence, so that whole corpora can be added."""

    def __init__(self, width: int | None = None, learned: bool = True) -> None:
        """width: D of a local window, None if all positions are visible. learned: whether the weights are learned; if
        not, as in mean pooling, there are no warnings."""
        self.width = width
        self.learned = learned
        self.sentences: list[SentenceHealth] = []
        self.previous: dict[int, Array] = {}  # S -> first steps of the last sentence of that length

    def add(self, weights: Any, centers: Any = None) -> None:
        """Add a sentence: weights (T, S) >= 0, rows of any sum; centers (T,) p of a predicted window, from 0.

        Without centers, a window's centre is the number of the step. Raises ValueError for other shapes."""
        array = np.asarray(weights, dtype=float64)
        middle = None if centers is None else np.asarray(centers, dtype=float64)
        if array.ndim != 2 or (middle is not None and middle.shape != array.shape[:1]):
            raise ValueError(
                f"weights of shape {array.shape} and centres of shape {np.shape(centers)} are not of (T, S) and (T,)"
            )
        if self.learned and min(array.shape) >= MIN_LENGTH:
            self.sentences.append(self._statistics(array, middle))

    def warnings(self) -> dict[str, str]:
        """The warnings that apply, by name in WARNINGS, without those that another one implies.

        Empty for fewer than MIN_SENTENCES sentences."""
        if len(self.sentences) < MIN_SENTENCES:
            return {}
        found = {name: sentence for name, find in WARNINGS.items() if (sentence := find(self.sentences))}
        return {name: sentence for name, sentence in found.items() if not found.keys() & IMPLIED_BY.get(name, set())}

    def _statistics(self, weights: Array, centers: Array | None) -> SentenceHealth:
        steps, positions = weights.shape
        distance = None if self.width is None else self._distance(steps, positions, centers)
        rows = normalize_rows(weights if distance is None or centers is None else weights / self._gain(distance))
        visible = np.full(len(rows), positions) if distance is None else (np.abs(distance) <= (self.width or 0)).sum(1)
        mean = rows.mean(0)
        still, moved, at_end = (np.nan,) * 3 if centers is None else walk(centers, positions)
        return SentenceHealth(
            sharp=float((rows.max(1) >= SHARP).mean()),
            flat=float(is_flat(rows, visible).mean()),
            last=float(mean[-1]),
            fixed=float(mean.max()),
            still=still,
            moved=moved,
            at_end=at_end,
            outside=np.nan if distance is None else self._outside(steps, positions, centers),
            change=self._change(rows),
        )

    def _distance(self, steps: int, positions: int, centers: Array | None) -> Array:
        """s - p (T, S); in local-m, the centre of steps beyond the last position stays there."""
        middle = np.minimum(np.arange(steps), positions - 1) if centers is None else centers
        return np.asarray(np.arange(positions) - middle[:, None], dtype=float64)

    def _gain(self, distance: Array) -> Array:
        """The Gaussian that the weights were multiplied by (Luong et al. 2015, eq. 10); 1 outside the window."""
        inside = np.abs(distance) <= (self.width or 0)
        return np.where(inside, np.exp(-2 * (distance / max(self.width or 0, 1)) ** 2), 1.0)

    def _outside(self, steps: int, positions: int, centers: Array | None) -> float:
        """The mean share of the 2D + 1 positions around the centre that lie beyond the ends."""
        width = self.width or 0
        middle = np.minimum(np.arange(steps) if centers is None else np.round(centers), positions - 1)
        inside = np.minimum(middle + width, positions - 1) - np.maximum(middle - width, 0) + 1
        return float(1 - np.clip(inside, 0, None).mean() / (2 * width + 1))

    def _change(self, rows: Array) -> float:
        """Mean total variation distance of the steps from those of the last sentence of the same length."""
        positions, current = rows.shape[1], rows[:COMPARED_STEPS]
        before, self.previous[positions] = self.previous.get(positions), current
        if before is None:
            return np.nan
        both = min(len(before), len(current))
        return float(np.abs(before[:both] - current[:both]).sum(1).mean() / 2)


def normalize_rows(weights: Array) -> Array:
    """The weights (T, S) with rows that sum to one.

    A row of zeros, as when small weights were rounded to bytes, becomes uniform."""
    sums = weights.sum(1, keepdims=True)
    return np.where(sums > 0, weights / np.where(sums > 0, sums, 1), 1 / weights.shape[1])


def is_flat(weights: Array, visible: Array) -> NDArray[np.bool_]:
    """(T,) whether the entropy of each row of (T, S) is at least FLAT of the largest over its `visible` positions (T,).

    False where only one position is visible."""
    entropy = -(weights * np.log(np.where(weights > 0, weights, 1))).sum(1)
    return (entropy >= FLAT * np.log(np.maximum(visible, 1))) & (visible > 1)


def walk(centers: Array, positions: int) -> tuple[float, float, float]:
    """Standard deviation of the centres (T,) relative to an even walk's, and in positions; share of steps at an end."""
    deviation = float(centers.std())
    nearest = np.minimum(centers, positions - 1 - centers)
    even = float(np.linspace(0, positions - 1, len(centers)).std())
    return deviation / even, deviation, float((nearest <= AT_END).mean())


def mean_of(sentences: Sequence[SentenceHealth], name: str) -> float:
    """The mean of a statistic over the sentences to which it applies; nan if there are none."""
    values = [value for sentence in sentences if not np.isnan(value := getattr(sentence, name))]
    return float(np.mean(values)) if values else float("nan")


def pinned(sentences: Sequence[SentenceHealth]) -> str:
    """Warns if the predicted centre is at an end of the sentence in most steps."""
    share = mean_of(sentences, "at_end")
    if not share >= AT_END_STEPS:  # nan warns of nothing
        return ""
    return f"The predicted centre is pinned: in {share:.0%} of the steps it is at an end of the sentence."


def still(sentences: Sequence[SentenceHealth]) -> str:
    """Warns if the predicted centre hardly moves over a sentence."""
    if not mean_of(sentences, "still") < STILL:
        return ""
    moved = mean_of(sentences, "moved")
    return (
        "The window never moves: over the steps of a sentence its centre has a standard deviation of "
        f"{moved:.2g} positions."
    )


def outside(sentences: Sequence[SentenceHealth]) -> str:
    """Warns if most of the window lies beyond the sentence."""
    share = mean_of(sentences, "outside")
    if not share >= OUTSIDE:
        return ""
    return f"The local window is mostly outside the sentence: {share:.0%} of its 2D + 1 positions lie beyond the ends."


def last(sentences: Sequence[SentenceHealth]) -> str:
    """Warns if most weight is on the last position."""
    share = mean_of(sentences, "last")
    if not share >= FIXED:
        return ""
    return f"The attention rests on the last token: it gets {share:.0%} of all weight, whatever the step."


def fixed(sentences: Sequence[SentenceHealth]) -> str:
    """Warns if most weight of a sentence is on one position."""
    share = mean_of(sentences, "fixed")
    if not share >= FIXED:
        return ""
    return f"The attention stands still: one position of a sentence gets {share:.0%} of its weight, whatever the step."


def collapsed(sentences: Sequence[SentenceHealth]) -> str:
    """Warns if nearly every step has all its weight on one position."""
    share = mean_of(sentences, "sharp")
    if not share >= SHARP_STEPS:
        return ""
    return (
        f"The attention has collapsed: in {share:.1%} of the steps one position has {SHARP:.0%} of the weight or more, "
        "so that no other is learned from."
    )


def flat(sentences: Sequence[SentenceHealth]) -> str:
    """Warns if nearly every step is as good as uniform."""
    share = mean_of(sentences, "flat")
    if not share >= FLAT_STEPS:
        return ""
    return f"The attention chooses nothing: in {share:.0%} of the steps the weights are as good as uniform."


def same(sentences: Sequence[SentenceHealth]) -> str:
    """Warns if sentences of the same length have the same weights, step by step."""
    pairs = sum(not np.isnan(sentence.change) for sentence in sentences)
    share = mean_of(sentences, "change")
    if pairs < MIN_PAIRS or not share < SAME:
        return ""
    return (
        f"The attention ignores the source: between two sentences of the same length only {share:.1%} of a "
        f"step's weight lies elsewhere, whatever their words ({pairs} pairs)."
    )


# each returns "" if all is well; the most telling first
WARNINGS: dict[str, Callable[[Sequence[SentenceHealth]], str]] = {
    "pinned": pinned,
    "still": still,
    "outside": outside,
    "last": last,
    "fixed": fixed,
    "collapsed": collapsed,
    "flat": flat,
    "same": same,
}

IMPLIED_BY = {  # warnings that add nothing once one of these is given
    "still": {"pinned"},
    "fixed": {"last"},
    "collapsed": {"last", "fixed"},
    "same": {"last", "fixed", "flat"},
}
