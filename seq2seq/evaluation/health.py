"""Does the attention do its work? Weights of a sample of sentences -> warnings in plain words.

T target and S source pieces or words, ends of sentences included; D the width of a local window, p its predicted centre. Knows nothing of
models: the weights are arrays, and what is not learnt is not judged.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import float64
from numpy.typing import NDArray

Array = NDArray[float64]

FEWEST_SENTENCES = 10  # below that a warning would be about sentences, not about a model
SHORTEST = 3  # steps and positions: with fewer everything is sharp, flat and fixed at once
SHARP = 0.98  # of a step's weight on one position: the slope of a softmax there is a fiftieth of its largest
SHARP_STEPS = 0.98  # of the steps: a well trained aligner is sharp often, but spreads out where a word comes from two
FLAT = 0.98  # of the largest entropy: below it lies every Gaussian that is narrower than the sentence
FLAT_STEPS = 0.95  # the few others are ends of sentences
FIXED = 0.8  # of all weight on one position: an end of sentence that rests the attention takes up to a half
STILL = 0.1  # of the standard deviation of an even walk over the sentence
AT_END = 0.5  # positions from the first or the last: nearer to it than to its neighbour
AT_END_STEPS = 0.9  # an even walk over ten positions is there in a tenth of its steps
OUTSIDE = 0.5  # of the 2D + 1 positions: from there on the window sees more beyond the sentence than of it
SAME = 0.05  # of the weight moves between sentences: it is a third and more where they are read, even by an undertrained model
FEWEST_PAIRS = 10  # of sentences of one length
COMPARED = 20  # steps of a sentence are compared with those of another: what is kept of each length stays small


class Sentence(NamedTuple):
    """What the warnings need to know of one sentence. Shares are of its steps or of their weight; nan: it does not say."""

    sharp: float  # steps with at least SHARP of their weight on one position
    flat: float  # steps as good as uniform over the positions that they may see
    last: float  # weight on the last position
    fixed: float  # weight on the one position that gets most of the sentence
    still: float  # standard deviation of p over the steps, as a share of that of an even walk from end to end
    moved: float  # the same in positions
    at_end: float  # steps with p at an end
    outside: float  # positions of the window beyond the ends
    change: float  # weight that lies elsewhere in the last sentence of the same length, step by step


class Health:
    """Takes one sentence at a time and keeps some numbers of each, so that whole sets can be looked at."""

    def __init__(self, width: int | None = None, learnt: bool = True) -> None:
        """width: D of a local window, None where all positions are seen. learnt: False where the weights are as they are by choice
        (mean pooling, the last position only): nothing is then warned of."""
        self.width = width
        self.learnt = learnt
        self.sentences: list[Sentence] = []
        self.previous: dict[int, Array] = {}  # S -> first steps of the last sentence of that length

    def add(self, weights: Any, centers: Any = None) -> None:
        """weights (T, S) >= 0, rows of any sum; centers (T,) p of a predicted window, in positions from 0. Without them a window's
        centre is the number of the step. ValueError for other shapes."""
        array = np.asarray(weights, dtype=float64)
        middle = None if centers is None else np.asarray(centers, dtype=float64)
        if array.ndim != 2 or (middle is not None and middle.shape != array.shape[:1]):
            raise ValueError(
                f"weights of shape {array.shape} and centres of shape {np.shape(centers)} are not of (T, S) and (T,)"
            )
        if self.learnt and min(array.shape) >= SHORTEST:
            self.sentences.append(self._look(array, middle))

    def found(self) -> dict[str, str]:
        """Each thing that is wrong, a row of WARNINGS, in a sentence; most telling first, what another one explains is left out."""
        if len(self.sentences) < FEWEST_SENTENCES:
            return {}
        said = {name: warning for name, find in WARNINGS.items() if (warning := find(self.sentences))}
        return {name: warning for name, warning in said.items() if not said.keys() & EXPLAINED_BY.get(name, set())}

    def warnings(self) -> list[str]:
        """The sentences of `found`."""
        return list(self.found().values())

    def _look(self, weights: Array, centers: Array | None) -> Sentence:
        steps, positions = weights.shape
        distance = None if self.width is None else self._distance(steps, positions, centers)
        own = normal(weights if distance is None or centers is None else weights / self._gain(distance))
        seen = np.full(len(own), positions) if distance is None else (np.abs(distance) <= (self.width or 0)).sum(1)
        mean = own.mean(0)
        still, moved, at_end = (np.nan,) * 3 if centers is None else walk(centers, positions)
        return Sentence(
            sharp=float((own.max(1) >= SHARP).mean()),
            flat=float(is_flat(own, seen).mean()),
            last=float(mean[-1]),
            fixed=float(mean.max()),
            still=still,
            moved=moved,
            at_end=at_end,
            outside=np.nan if distance is None else self._outside(steps, positions, centers),
            change=self._change(own),
        )

    def _distance(self, steps: int, positions: int, centers: Array | None) -> Array:
        """s - p (T, S); of local-m a step behind the end looks around the last position."""
        middle = np.minimum(np.arange(steps), positions - 1) if centers is None else centers
        return np.asarray(np.arange(positions) - middle[:, None], dtype=float64)

    def _gain(self, distance: Array) -> Array:
        """The Gaussian that the weights were multiplied by (Luong et al. 2015, eq. 10); 1 where it let nothing through."""
        inside = np.abs(distance) <= (self.width or 0)
        return np.where(inside, np.exp(-2 * (distance / max(self.width or 0, 1)) ** 2), 1.0)

    def _outside(self, steps: int, positions: int, centers: Array | None) -> float:
        """The mean share of the 2D + 1 positions around the centre that lie beyond the ends."""
        width = self.width or 0
        middle = np.minimum(np.arange(steps) if centers is None else np.round(centers), positions - 1)
        inside = np.minimum(middle + width, positions - 1) - np.maximum(middle - width, 0) + 1
        return float(1 - np.clip(inside, 0, None).mean() / (2 * width + 1))

    def _change(self, own: Array) -> float:
        """Total variation between the steps of this sentence and those of the last one of its length."""
        positions, here = own.shape[1], own[:COMPARED]
        before, self.previous[positions] = self.previous.get(positions), here
        if before is None:
            return np.nan
        both = min(len(before), len(here))
        return float(np.abs(before[:both] - here[:both]).sum(1).mean() / 2)


def normal(weights: Array) -> Array:
    """Rows that sum to one; a row without any weight, as when small ones were rounded to bytes, is as good as uniform."""
    sums = weights.sum(1, keepdims=True)
    return np.where(sums > 0, weights / np.where(sums > 0, sums, 1), 1 / weights.shape[1])


def is_flat(weights: Array, seen: Array) -> NDArray[np.bool_]:
    """(T,) Is a step's entropy as good as the largest over the positions that it may see? Not where it may see but one."""
    entropy = -(weights * np.log(np.where(weights > 0, weights, 1))).sum(1)
    return (entropy >= FLAT * np.log(np.maximum(seen, 1))) & (seen > 1)


def walk(centers: Array, positions: int) -> tuple[float, float, float]:
    """Standard deviation of the centres as a share of an even walk's, in positions, and the share of steps at an end."""
    deviation = float(centers.std())
    nearest = np.minimum(centers, positions - 1 - centers)
    even = float(np.linspace(0, positions - 1, len(centers)).std())
    return deviation / even, deviation, float((nearest <= AT_END).mean())


def mean(sentences: Sequence[Sentence], name: str) -> float:
    """Over the sentences that say; nan if none does."""
    values = [value for sentence in sentences if not np.isnan(value := getattr(sentence, name))]
    return float(np.mean(values)) if values else float("nan")


def pinned(sentences: Sequence[Sentence]) -> str:
    """The predicted centre is at an end."""
    share = mean(sentences, "at_end")
    return (
        f"The predicted centre is pinned: in {share:.0%} of the steps it is at an end of the sentence."
        if share >= AT_END_STEPS
        else ""
    )


def still(sentences: Sequence[Sentence]) -> str:
    """The predicted centre does not go along the sentence."""
    if not mean(sentences, "still") < STILL:
        return ""
    moved = mean(sentences, "moved")
    return f"The window never moves: over the steps of a sentence its centre has a standard deviation of {moved:.2g} positions."


def outside(sentences: Sequence[Sentence]) -> str:
    """The window is wider than what it looks at."""
    if not (share := mean(sentences, "outside")) >= OUTSIDE:
        return ""
    return f"The local window is mostly outside the sentence: {share:.0%} of its 2D + 1 positions lie beyond the ends."


def last(sentences: Sequence[Sentence]) -> str:
    """Everything on the end of the sentence."""
    share = mean(sentences, "last")
    return (
        f"The attention rests on the last token: it gets {share:.0%} of all weight, whatever the step."
        if share >= FIXED
        else ""
    )


def fixed(sentences: Sequence[Sentence]) -> str:
    """Everything on one position of the sentence."""
    share = mean(sentences, "fixed")
    return (
        f"The attention stands still: one position of a sentence gets {share:.0%} of its weight, whatever the step."
        if share >= FIXED
        else ""
    )


def collapsed(sentences: Sequence[Sentence]) -> str:
    """Each step looks at one position alone."""
    if not (share := mean(sentences, "sharp")) >= SHARP_STEPS:
        return ""
    return (
        f"The attention has collapsed: in {share:.1%} of the steps one position has {SHARP:.0%} of the weight or more, "
        "so that no other is learnt from."
    )


def flat(sentences: Sequence[Sentence]) -> str:
    """Each step looks at all positions alike."""
    if not (share := mean(sentences, "flat")) >= FLAT_STEPS:
        return ""
    return f"The attention chooses nothing: in {share:.0%} of the steps the weights are as good as uniform."


def same(sentences: Sequence[Sentence]) -> str:
    """Sentences of the same length are looked at in the same way, step by step."""
    pairs = sum(not np.isnan(sentence.change) for sentence in sentences)
    if pairs < FEWEST_PAIRS or not (share := mean(sentences, "change")) < SAME:
        return ""
    return (
        f"The attention ignores the source: between two sentences of the same length only {share:.1%} of a step's weight lies elsewhere, "
        f"whatever their words ({pairs} pairs)."
    )


WARNINGS: dict[str, Callable[[Sequence[Sentence]], str]] = {  # each an empty string where all is well
    "pinned": pinned,
    "still": still,
    "outside": outside,
    "last": last,
    "fixed": fixed,
    "collapsed": collapsed,
    "flat": flat,
    "same": same,
}

EXPLAINED_BY = {  # warnings that say no more once one of these was given
    "still": {"pinned"},
    "fixed": {"last"},
    "collapsed": {"last", "fixed"},
    "same": {"last", "fixed", "flat"},
}
