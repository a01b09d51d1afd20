"""How sure is a figure, and is one system really better than another? Resample the sentences, or swap the systems' outputs.

n sentences, k statistics of each. A system is one run or several, as of several seeds: its figure is the mean of theirs.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy import float64
from numpy.typing import NDArray

Array = NDArray[float64]
Corpus = Callable[[Array], float]  # sums (k,) -> figure

TRIALS = 32  # made together: NumPy draws 32 bits at a time, so that any multiple continues what one large draw gives
TIE = 1e-9  # figures up to some 100 that are as near as this differ by rounding alone


def resamples(n: int, samples: int, seed: int) -> Iterator[Array]:
    """`samples` times: how often each of n sentences is drawn in n draws with replacement, (n,).

    The draws are those of sacreBLEU for the same seed, made one resample at a time: all at once would fill gigabytes.
    """
    rng = np.random.default_rng(seed)
    for _ in range(samples):
        yield np.bincount(rng.choice(n, size=n, replace=True), minlength=n).astype(float64)


def resampled(runs: Sequence[Array], corpus: Corpus, samples: int = 1000, seed: int = 12345) -> Array:
    """The figure of each run on the same resampled sentences: statistics (n, k) of each -> (samples, runs)."""
    joined = np.concatenate(runs, axis=1)
    sums = np.array([drawn @ joined for drawn in resamples(len(joined), samples, seed)])
    return np.array([[corpus(part) for part in np.split(row, len(runs))] for row in sums])


def interval(values: Array) -> tuple[float, float]:
    """The 95 % percentile interval of resampled figures (samples,) (Koehn 2004).

    The bounds are the order statistics that sacreBLEU reports half the distance of."""
    ordered, outside = np.sort(values), len(values) // 40
    return float(ordered[outside]), float(ordered[len(values) - outside - 1])


def bootstrap_interval(
    statistics: Array, corpus: Corpus, samples: int = 1000, seed: int = 12345
) -> tuple[float, float]:
    """`interval` of corpus(sums (k,)) over resampled sentences; statistics (n, k)."""
    return interval(resampled([statistics], corpus, samples, seed)[:, 0])


def share_reaching(values: Array, difference: float) -> float:
    """p = (1 + how many values are at least the difference that was seen) / (1 + how many there are)  (Riezler & Maxwell 2005, fig. 1).

    sacreBLEU counts those that exceed it, which is the same but for ties."""
    return float((np.sum(values >= difference - TIE) + 1) / (len(values) + 1))


def paired_bootstrap(system: Array, baseline: Array, difference: float) -> float:
    """p of a difference, from both systems' figures on the same resamples (samples,)  (Riezler & Maxwell 2005, fig. 2).

    The resampled differences are shifted by their mean: that is what they would be if there were none. As in sacreBLEU, but for ties; that
    is, without their signs, so that beyond some 1.5 standard errors it is the p of a one-sided test, half of a two-sided one."""
    differences = np.abs(system - baseline)
    return share_reaching(differences - differences.mean(), abs(difference))


def swaps(n: int, trials: int, seed: int) -> Iterator[Array]:
    """For each of `trials`, which of n sentences stay with their system: 1, or are swapped: 0; (up to TRIALS, n).

    The draws are those of sacreBLEU for the same seed."""
    rng = np.random.default_rng(seed)
    for start in range(0, trials, TRIALS):
        yield rng.integers(2, size=(min(TRIALS, trials - start), n), dtype=bool).astype(float64)


def randomisation(
    system: Sequence[Array], baseline: Sequence[Array], corpus: Corpus, trials: int = 10000, seed: int = 12345
) -> float:
    """Two-sided p of the difference between two systems by approximate randomisation  (Riezler & Maxwell 2005, fig. 1).

    If both were alike, it would not matter which of them wrote what: in each trial the sentences' outputs are swapped at
    random, the same sentences for all seeds. Runs are swapped with their partners if both systems have as many,
    else each with each; statistics (n, k) of each run."""
    pairs = list(zip(system, baseline, strict=True) if len(system) == len(baseline) else product(system, baseline))
    totals = [(ours.sum(0), theirs.sum(0)) for ours, theirs in pairs]
    seen = abs(float(np.mean([corpus(ours) - corpus(theirs) for ours, theirs in totals])))
    apart = np.concatenate([theirs - ours for ours, theirs in pairs], axis=1)
    differences: list[float] = []
    for stay in swaps(len(apart), trials, seed):
        for row in stay @ apart:  # what the system gets from the baseline, and the other way round
            moved = zip(totals, np.split(row, len(pairs)), strict=True)
            differences.append(
                abs(float(np.mean([corpus(ours + part) - corpus(theirs - part) for (ours, theirs), part in moved])))
            )
    return share_reaching(np.array(differences), seen)


def holm(p: Sequence[float]) -> list[float]:
    """p-values of several tests, each raised so that the chance of any false alarm among them stays what p says  (Holm 1979).

    The i-th smallest of m is multiplied by m - i + 1, and never falls below a smaller one's."""
    corrected, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = highest
    return corrected
