"""Tests and intervals over the seeds of a training and the sentences of a test set together.

A variant has two to five runs, too few to be resampled: a bootstrap over them finds differences between two variants of
one distribution far too often, where their runs differ more than their sentences do. So the variance over the runs is
estimated and weighed by the t distribution of its degrees of freedom, beside the variance over the sentences, which is
that of the bootstrap (Cochran & Cox 1950). docs/explanation/statistics.md has the error rates of both.
"""

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, variance
from typing import NamedTuple

import numpy as np

from seq2seq.evaluation.significance import Array, Formula, resample_scores

LEVELS = np.geomspace(1e-9, 1, 2000)  # probabilities that critical values are tabulated for
MANY = 10_000.0  # degrees of freedom of a variance that is as good as known; t is normal to 1e-4
SAME = 1e-9  # scores up to about 100 that differ by less differ by rounding alone


class Variance(NamedTuple):
    """One source of the variance of an estimate."""

    value: float
    freedom: float  # degrees of freedom of `value`: how well it is known


def variance_over_runs(scores: Sequence[float]) -> Variance:
    """The variance of the mean of a variant's scores, one for each run; at least two."""
    return Variance(variance(scores) / len(scores), len(scores) - 1)


def critical_values(sources: Sequence[Variance]) -> Array:
    """What |estimate| / standard error exceeds by chance with each probability in LEVELS (Cochran & Cox 1950, 4.14).

    The critical values of t for the degrees of freedom of each source, weighted by its variance."""
    weights = [source.value for source in sources]
    values = [student_critical_values(source.freedom) for source in sources]
    return np.average(values, axis=0, weights=weights)


def critical_value(sources: Sequence[Variance], level: float = 0.05) -> float:
    """What |estimate| / standard error exceeds by chance with probability `level`."""
    return float(np.interp(level, LEVELS, critical_values(sources)))


def p_value(difference: float, sources: Sequence[Variance]) -> float:
    """Two-sided p of a difference, whose variance is the sum of the sources."""
    total = sum(source.value for source in sources)
    if abs(difference) < SAME:
        return 1.0
    if not total:
        return float(LEVELS[0])
    ratio = abs(difference) / math.sqrt(total)
    return float(np.interp(-ratio, -critical_values(sources), LEVELS))


def p_over_seeds(*, system: Sequence[float], baseline: Sequence[float], sentences: float) -> float:
    """Two-sided p of the difference between the mean scores of two variants, for other seeds and other sentences.

    `system` and `baseline` hold the score of each run, two at least; `sentences` is the variance of the difference over
    resampled sentences. The runs of both need neither be equally many nor vary equally, and are not paired: seeds give
    models of different parts no common starting point. What runs and sentences share of the variance is counted in
    both, so that p is rather too large."""
    difference = fmean(system) - fmean(baseline)
    return p_value(difference, [variance_over_runs(system), variance_over_runs(baseline), Variance(sentences, MANY)])


def interval_over_seeds(scores: Sequence[float], sentences: float) -> tuple[float, float]:
    """The 95 % interval of the mean score of a variant, for other seeds and other sentences.

    `scores` holds the score of each run, two at least; `sentences` is the variance of their mean over resampled
    sentences."""
    sources = [variance_over_runs(scores), Variance(sentences, MANY)]
    mean, total = fmean(scores), sum(source.value for source in sources)
    if not total:
        return mean, mean
    half = critical_value(sources) * math.sqrt(total)
    return mean - half, mean + half


def two_level_test(
    *,
    system: Sequence[Array],
    baseline: Sequence[Array],
    formula: Formula,
    samples: int = 1000,
    seed: int = 12345,
) -> float | None:
    """p of the difference between two variants, for other seeds and other sentences; see `p_over_seeds`.

    `system` and `baseline` hold the statistics (n, k) of each of their runs, on the same sentences. Equal runs count
    once. None if either has only one."""
    ours, theirs = ([runs[i] for i in distinct_runs(runs)] for runs in (system, baseline))
    if min(len(ours), len(theirs)) < 2:
        return None
    resampled = resample_scores([*ours, *theirs], formula, samples=samples, seed=seed)
    differences = resampled[:, : len(ours)].mean(1) - resampled[:, len(ours) :].mean(1)
    return p_over_seeds(
        system=[formula(run.sum(0)) for run in ours],
        baseline=[formula(run.sum(0)) for run in theirs],
        sentences=float(differences.var(ddof=1)),
    )


def distinct_runs(runs: Sequence[Array]) -> list[int]:
    """The indices of the runs (n, k) that equal no earlier one: a copy of a run says nothing of other seeds."""
    return [i for i, run in enumerate(runs) if not any(np.array_equal(run, other) for other in runs[:i])]


@cache
def student_critical_values(freedom: float) -> Array:
    """What |t| exceeds with each probability in LEVELS, for so many degrees of freedom."""
    values = np.geomspace(1e-6, 1e10, 4000)
    tails = student_tail(values, freedom)
    possible = tails > 0
    logs = np.interp(np.log(LEVELS), np.log(tails[possible])[::-1], np.log(values[possible])[::-1])
    return np.exp(logs)


def student_tail(t: Array, freedom: float) -> Array:
    """P(|T| > t) of Student's t distribution, for t >= 0 and one degree of freedom at least.

    With t = sqrt(freedom) tan(u) it is the share of the integral of cos(u)^(freedom - 1) over [0, pi / 2] that lies
    beyond u(t) (Abramowitz & Stegun 1964, 26.7); by Gauss-Legendre quadrature."""
    nodes, weights = quadrature_points(200)
    start = np.arctan(np.asarray(t) / math.sqrt(freedom))[..., None]
    width = (math.pi / 2 - start) / 2
    part = (np.cos(start + width * (nodes + 1)) ** (freedom - 1) * weights * width).sum(-1)
    whole = math.sqrt(math.pi) / 2 * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
    return np.asarray(part / whole)


@cache
def quadrature_points(count: int) -> tuple[Array, Array]:
    """Nodes and weights of Gauss-Legendre quadrature over [-1, 1]."""
    return np.polynomial.legendre.leggauss(count)
