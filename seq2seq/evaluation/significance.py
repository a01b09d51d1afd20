"""Confidence intervals and paired significance tests of corpus scores, by resampling sentences or swapping outputs.

n sentences, k statistics per sentence, r resamples. `formula` maps summed statistics (k,) to a score; both are fields
of `scores.Score`. A system is one run or several (one per seed); its score is the mean over its runs. To compare two
lists of translations:

    [system], [baseline] = (metrics.score(lines, [references], ["bleu"], bootstrap=0) for lines in (ours, theirs))
    p = paired_bootstrap(system=[system.statistics], baseline=[baseline.statistics], formula=system.formula)
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy import float64
from numpy.typing import NDArray

Array = NDArray[float64]
Formula = Callable[[Array], float]  # sums (k,) -> score

TRIALS_PER_BLOCK = 32  # NumPy draws 32 bits at a time: blocks of any multiple continue the stream of one large draw
TIE_TOLERANCE = 1e-9  # scores up to about 100 that differ by less differ by rounding alone


def resample_counts(n: int, samples: int, seed: int) -> Iterator[Array]:
    """`samples` times how often each of n sentences is drawn in n draws with replacement, (n,).

    The draws are those of sacreBLEU for the same seed, made one resample at a time: all together would fill gigabytes.
    """
    rng = np.random.default_rng(seed)
    for _ in range(samples):
        yield np.bincount(rng.choice(n, size=n, replace=True), minlength=n).astype(float64)


def resample_scores(runs: Sequence[Array], formula: Formula, *, samples: int = 1000, seed: int = 12345) -> Array:
    """The score of each run on the same resampled sentences, (samples, runs).

    `runs` holds the statistics (n, k) of each run."""
    joined = np.concatenate(runs, axis=1)
    sums = np.array([drawn @ joined for drawn in resample_counts(len(joined), samples, seed)])
    return np.array([[formula(part) for part in np.split(row, len(runs))] for row in sums])


def percentile_interval(values: Array) -> tuple[float, float]:
    """The 95 % percentile interval of resampled scores (r,) (Koehn 2004).

    The bounds are the order statistics that sacreBLEU reports half the distance of."""
    ordered, outside = np.sort(values), len(values) // 40
    return float(ordered[outside]), float(ordered[len(values) - outside - 1])


def bootstrap_interval(
    statistics: Array, formula: Formula, *, samples: int = 1000, seed: int = 12345
) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the score of `statistics` (n, k)."""
    return percentile_interval(resample_scores([statistics], formula, samples=samples, seed=seed)[:, 0])


def p_value(values: Array, observed: float) -> float:
    """p of an observed difference, given differences under the null hypothesis  (Riezler & Maxwell 2005, fig. 1).

    p = (1 + how many of `values` are at least `observed`) / (1 + how many there are). sacreBLEU counts those that
    exceed it, which is the same but for ties."""
    return float((np.sum(values >= observed - TIE_TOLERANCE) + 1) / (len(values) + 1))


def bootstrap_p_value(*, system: Array, baseline: Array, difference: float) -> float:
    """p of a difference, from the scores (r,) of two systems on the same resamples  (Riezler & Maxwell 2005, fig. 2).

    The resampled differences are shifted by their mean, which puts them where they would lie under the null hypothesis.
    As in sacreBLEU, but for ties, their signs are dropped before the shift, so that beyond some 1.5 standard errors
    this is the p of a one-sided test, half of a two-sided one."""
    differences = np.abs(system - baseline)
    return p_value(differences - differences.mean(), abs(difference))


def paired_bootstrap(
    *,
    system: Sequence[Array],
    baseline: Sequence[Array],
    formula: Formula,
    samples: int = 1000,
    seed: int = 12345,
) -> float:
    """p of the difference between two systems by paired bootstrap resampling  (Koehn 2004).

    `system` and `baseline` hold the statistics (n, k) of each of their runs, on the same sentences. Scores are averaged
    over the runs inside each of `samples` resamples; see `bootstrap_p_value` for how p is computed and read."""
    scores = resample_scores([*system, *baseline], formula, samples=samples, seed=seed)
    observed = [float(np.mean([formula(run.sum(0)) for run in runs])) for runs in (system, baseline)]
    return bootstrap_p_value(
        system=scores[:, : len(system)].mean(1),
        baseline=scores[:, len(system) :].mean(1),
        difference=observed[0] - observed[1],
    )


def swap_masks(n: int, trials: int, seed: int) -> Iterator[Array]:
    """For each of `trials`, which of n sentences are swapped (1), in blocks (up to TRIALS_PER_BLOCK, n).

    The draws are those of sacreBLEU for the same seed. It keeps what we swap, which changes only the difference's sign.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, trials, TRIALS_PER_BLOCK):
        yield rng.integers(2, size=(min(TRIALS_PER_BLOCK, trials - start), n), dtype=bool).astype(float64)


def randomisation(
    *,
    system: Sequence[Array],
    baseline: Sequence[Array],
    formula: Formula,
    trials: int = 10000,
    seed: int = 12345,
) -> float:
    """Two-sided p of the difference between two systems by approximate randomisation  (Riezler & Maxwell 2005, fig. 1).

    Under the null hypothesis it does not matter which system wrote a sentence: each trial swaps the outputs of random
    sentences, the same ones for all runs. `system` and `baseline` hold the statistics (n, k) of each of their runs.
    Each run is swapped with its partner if both systems have as many runs, else each with each."""
    pairs = list(zip(system, baseline, strict=True) if len(system) == len(baseline) else product(system, baseline))
    totals = [(ours.sum(0), theirs.sum(0)) for ours, theirs in pairs]
    observed = abs(float(np.mean([formula(ours) - formula(theirs) for ours, theirs in totals])))
    gaps = np.concatenate([theirs - ours for ours, theirs in pairs], axis=1)
    differences: list[float] = []
    for swap in swap_masks(len(gaps), trials, seed):
        for row in swap @ gaps:  # what a swap adds to the sums of each system and takes from those of its baseline
            moved = zip(totals, np.split(row, len(pairs)), strict=True)
            swapped = [formula(ours + part) - formula(theirs - part) for (ours, theirs), part in moved]
            differences.append(abs(float(np.mean(swapped))))
    return p_value(np.array(differences), observed)


def holm(p: Sequence[float]) -> list[float]:
    """p-values of several tests, corrected for the family-wise error rate  (Holm 1979).

    The i-th smallest of m is multiplied by m - i + 1, capped at 1, and never falls below a smaller one's."""
    corrected, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = highest
    return corrected
