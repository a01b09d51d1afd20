"""Error rates of tests between two variants with few runs each, by simulation.

python scripts/bench/seed_tests.py [--comparisons 400]

A run's value in a sentence is the sum of what the sentence is worth to all runs, what it is worth to its variant, noise
of the run in this sentence, and the run's own level. Only the levels differ between the lines that are printed.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np

from seq2seq.evaluation.over_seeds import Variance, p_over_seeds, p_value, variance_over_runs

Values = np.ndarray  # (runs, sentences)
LEVEL = 0.05  # of every test
LEVELS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {  # distribution of runs: mean 0, deviation 1
    "normal": lambda rng, runs: rng.normal(size=runs),
    "collapse": lambda rng, runs: (0.1 - (rng.random(runs) < 0.1)) / 0.3,  # one of ten runs fails
}
METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # sums (..., 2) -> score
    "mean": lambda sums: sums[..., 0] / sums[..., 1],
    "log": lambda sums: 50 * np.log2(1 + np.maximum(sums[..., 0] / sums[..., 1], 0) / 50),  # curved, as BLEU is
}


def draw(rng: np.random.Generator, runs: int, shared: np.ndarray, *, spread: float, level: str, mean: float) -> Values:
    """The values of one variant."""
    own = shared + 5 * rng.normal(size=shared.size) + 10 * rng.normal(size=(runs, shared.size))
    return mean + spread * LEVELS[level](rng, runs)[:, None] + own


def resampled(values: Values, counts: np.ndarray, lengths: np.ndarray, metric: str) -> np.ndarray:
    """The score of each run on resampled sentences, (resamples, runs)."""
    sums = np.stack([counts @ (values * lengths).T, np.repeat((counts @ lengths)[:, None], len(values), 1)], -1)
    return METRICS[metric](sums)


def sentences_alone(system: Values, baseline: Values, scores: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether the difference is significant by the bootstrap's variance over sentences, the runs being as they are."""
    variance = float((system.mean(1) - baseline.mean(1)).var(ddof=1))
    difference = float(scores[0].mean() - scores[1].mean())
    return abs(difference) > NormalDist().inv_cdf(1 - LEVEL / 2) * math.sqrt(variance)


def seeds_and_sentences(system: Values, baseline: Values, scores: tuple[np.ndarray, np.ndarray]) -> bool:
    """The test of `seq2seq compare`, which has to agree with that over sentences."""
    variance = float((system.mean(1) - baseline.mean(1)).var(ddof=1))
    p = p_over_seeds(system=list(scores[0]), baseline=list(scores[1]), sentences=variance)
    return p < LEVEL and sentences_alone(system, baseline, scores)


def two_level_bootstrap(
    system: Values, baseline: Values, scores: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> bool:
    """The percentile bootstrap that draws runs and sentences."""
    differences = drawn_mean(system, rng) - drawn_mean(baseline, rng)
    return 2 * min((differences <= 0).mean(), (differences >= 0).mean()) < LEVEL


def drawn_mean(values: Values, rng: np.random.Generator) -> np.ndarray:
    """For each resample of sentences (resamples, runs) the mean over as many runs, drawn with replacement."""
    chosen = rng.integers(values.shape[1], size=values.shape)
    return np.take_along_axis(values, chosen, 1).mean(1)


def welch(scores: tuple[np.ndarray, np.ndarray]) -> bool:
    """Welch's t test of the runs, the sentences being as they are."""
    sources = [variance_over_runs(list(runs)) for runs in scores]
    total = sum(source.value for source in sources)
    freedom = total**2 / sum(source.value**2 / source.freedom for source in sources)
    return p_value(float(scores[0].mean() - scores[1].mean()), [Variance(total, round(freedom, 1))]) < LEVEL


def almost_stochastic_order(
    scores: tuple[np.ndarray, np.ndarray], rng: np.random.Generator, resamples: int = 200
) -> bool:
    """Whether either variant is almost stochastically better (Dror et al. 2019).

    The upper bound of the violation ratio at confidence 0.95 has to be below 0.2 (Ulmer et al. 2022)."""
    one, other = scores
    n, m = len(one), len(other)
    for better, worse in ((one, other), (other, one)):
        ratio = violation(better, worse)
        drawn = [violation(rng.choice(better, n), rng.choice(worse, m)) for _ in range(resamples)]
        if ratio + NormalDist().inv_cdf(0.95) * float(np.std(drawn)) < 0.2:
            return True
    return False


def violation(better: np.ndarray, worse: np.ndarray) -> float:
    """The share of the squared distance between two quantile functions where the better one is below the other."""
    at = (np.arange(60) + 0.5) / 60
    gap = np.sort(worse)[(at * len(worse)).astype(int)] - np.sort(better)[(at * len(better)).astype(int)]
    whole = float((gap**2).sum())
    return float((gap[gap > 0] ** 2).sum()) / whole if whole else 0.5


def rates(
    rng: np.random.Generator,
    comparisons: int,
    *,
    runs: tuple[int, int],
    spread: float,
    level: str = "normal",
    sentences: int = 300,
    metric: str = "mean",
    effect: float = 0.0,
) -> dict[str, float]:
    """How often each test calls two variants different whose means differ by `effect`, of so many comparisons."""
    found: dict[str, list[bool]] = {}
    for _ in range(comparisons):
        shared, lengths = 20 * rng.normal(size=sentences), rng.integers(1, 30, sentences).astype(float)
        counts = rng.multinomial(sentences, np.full(sentences, 1 / sentences), size=200).astype(float)
        means = (50.0, 50.0 + effect)
        drawn = [
            draw(rng, count, shared, spread=spread, level=level, mean=mean)
            for count, mean in zip(runs, means, strict=True)
        ]
        system, baseline = (resampled(values, counts, lengths, metric) for values in drawn)
        ones = np.ones((1, sentences))
        scores = tuple(resampled(values, ones, lengths, metric)[0] for values in drawn)
        results = {
            "sentences": sentences_alone(system, baseline, scores),
            "two-level bootstrap": two_level_bootstrap(system, baseline, scores, rng),
            "stochastic order": almost_stochastic_order(scores, rng),
            "Welch": welch(scores),
            "compare": seeds_and_sentences(system, baseline, scores),
        }
        for name, different in results.items():
            found.setdefault(name, []).append(bool(different))
    return {name: float(np.mean(each)) for name, each in found.items()}


def rate_lines(comparisons: int) -> Iterator[str]:
    """A Markdown table: error rates for variants of one distribution, then how often far ones are told apart."""
    names = ("sentences", "two-level bootstrap", "stochastic order", "Welch", "compare")
    yield "| runs | spread | distribution | apart | " + " | ".join(names) + " |"
    yield "| --- | ---: | --- | ---: |" + " ---: |" * len(names)
    rng = np.random.default_rng(1)
    cases = [(0.0, level, spread) for level in LEVELS for spread in (1.0, 10.0)]
    for effect, level, spread in [*cases, (10.0, "normal", 1.0), (10.0, "normal", 3.0)]:
        for runs in ((2, 2), (3, 3), (5, 5), (2, 5)):
            found = rates(rng, comparisons, runs=runs, spread=spread, level=level, effect=effect)
            figures = " | ".join(f"{100 * found[name]:.1f} %" for name in names)
            yield f"| {runs[0]}, {runs[1]} | {spread:g} | {level} | {effect:g} | {figures} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=400)
    options = parser.parse_args()
    for line in rate_lines(options.comparisons):
        print(line, flush=True)


if __name__ == "__main__":
    main()
