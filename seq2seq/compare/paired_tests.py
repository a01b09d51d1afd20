"""Are the variants really different from the baseline? Paired tests over sentences, corrected for how many they are.

A variant's figure is the mean over its seeds. r resamples.
"""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import NamedTuple

import numpy as np

from seq2seq.compare.result import Figure
from seq2seq.compare.variants import Variant
from seq2seq.evaluation.bleu import PAIRED_TESTS, SACREBLEU_METRICS, sacrebleu_p_values
from seq2seq.evaluation.score import Array, MetricOptions, Score
from seq2seq.evaluation.significance import bootstrap_p_value, holm, percentile_interval, randomisation, resample_scores
from seq2seq.evaluation.testset import TestSet

Scores = Mapping[str, Sequence[Score]]  # variant -> of each seed
Values = dict[str, dict[str, float]]  # test -> variant -> p


class TestOptions(NamedTuple):
    """What is wanted."""

    test: TestSet
    how: MetricOptions  # the language, the seed; its own bootstrap is 0, since runs are resampled together
    metrics: Sequence[str]  # rows of METRICS
    bootstrap: int = 1000  # resamples; 0: no intervals, and no such test
    trials: int = 10000  # of approximate randomisation; 0: no such test

    @property
    def samples(self) -> dict[str, int]:
        """Of each test that is asked for."""
        return {name: n for name, n in zip(PAIRED_TESTS, (self.bootstrap, self.trials), strict=True) if n}


def resample(scores: Scores, asked: TestOptions) -> dict[str, Array]:
    """Variant -> (r,): sentences are drawn, the same for all runs, and scores averaged over seeds inside each resample."""
    flat = [score for some in scores.values() for score in some]
    values = resample_scores([score.statistics for score in flat], flat[0].formula, asked.bootstrap, asked.how.seed)
    ends = np.cumsum([len(some) for some in scores.values()])[:-1]
    return {name: part.mean(1) for name, part in zip(scores, np.split(values, ends, axis=1), strict=True)}


def with_intervals(figures: Mapping[str, Figure], drawn: Mapping[str, Array]) -> dict[str, Figure]:
    """The same figures, each with that of its resamples."""
    return {
        name: f._replace(interval=percentile_interval(drawn[name])) if name in drawn else f
        for name, f in figures.items()
    }


def with_tests(
    figures: Mapping[str, Figure],
    scores: Scores,
    drawn: Mapping[str, Array],
    baseline: str,
    asked: TestOptions,
    theirs: Values,
) -> dict[str, Figure]:
    """The same figures, all but the baseline's with p and corrected p: the larger of ours and, where there are some, `theirs`.

    Those are sacreBLEU's, and the same but for ties: it does not count swaps that give the very difference that was seen, and where few
    sentences differ most of them do."""
    others = [name for name in scores if name != baseline]
    found = {}
    for test in asked.samples:
        own = theirs.get(test, {})
        found[test] = {name: max(p, own.get(name, p)) for name, p in ours(test, scores, drawn, baseline, asked).items()}
    corrected = {
        test: dict(zip(others, holm([values[name] for name in others]), strict=True)) for test, values in found.items()
    }
    return {
        name: f._replace(p=row(found, name), corrected=row(corrected, name)) if name in others else f
        for name, f in figures.items()
    }


def row(values: Values, name: str) -> dict[str, float]:
    """Test -> p of one variant."""
    return {test: some[name] for test, some in values.items()}


def ours(test: str, scores: Scores, drawn: Mapping[str, Array], baseline: str, asked: TestOptions) -> dict[str, float]:
    """p of every variant but the baseline."""
    base, found = scores[baseline], {}
    for name, some in scores.items():
        if name != baseline and test == "bootstrap":
            difference = mean(score.value for score in some) - mean(score.value for score in base)
            found[name] = bootstrap_p_value(system=drawn[name], baseline=drawn[baseline], difference=difference)
        elif name != baseline:
            here, there = ([score.statistics for score in runs] for runs in (some, base))
            found[name] = randomisation(
                system=here, baseline=there, formula=base[0].formula, trials=asked.trials, seed=asked.how.seed
            )
    return found


def sacrebleus(rows: Sequence[Variant], asked: TestOptions) -> dict[str, Values]:
    """Metric -> sacreBLEU's own p-values, which it has for one run against another; the first row is the baseline."""
    names = [name for name in asked.metrics if name in SACREBLEU_METRICS]
    if not names or not one_seed_each(rows) or len(rows) < 2:
        return {}
    systems = [row.cells[0].evaluated.hypotheses for row in rows]
    made = {
        test: sacrebleu_p_values(test, names, systems, asked.test.references, options=asked.how, samples=n)
        for test, n in asked.samples.items()
    }
    others = [row.name for row in rows[1:]]
    return {
        name: {test: dict(zip(others, values[name], strict=True)) for test, values in made.items()} for name in names
    }


def one_seed_each(rows: Sequence[Variant]) -> bool:
    """Whether no variant has several runs."""
    return all(len(row.cells) == 1 for row in rows)
