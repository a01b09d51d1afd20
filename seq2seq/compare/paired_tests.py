"""Significance tests of variants against the baseline, over sentences and over seeds, with Holm's correction.

The figure of a variant is the mean over its seeds. The paired tests over sentences average the seeds inside each
resample, and so speak of these runs; the test SEEDS speaks of the variants. r resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import ClassVar

import numpy as np

from seq2seq.compare.result import SEEDS, Figure
from seq2seq.compare.variants import Variant
from seq2seq.evaluation.bleu import PAIRED_TESTS, SACREBLEU_METRICS, sacrebleu_p_values
from seq2seq.evaluation.over_seeds import distinct_runs, interval_over_seeds, p_over_seeds
from seq2seq.evaluation.scores import Array, MetricOptions, Score
from seq2seq.evaluation.significance import bootstrap_p_value, holm, percentile_interval, randomisation, resample_scores
from seq2seq.evaluation.testset import TestSet

Scores = Mapping[str, Sequence[Score]]  # variant -> one score per seed
PValues = dict[str, dict[str, float]]  # test -> variant -> p-value


@dataclass(frozen=True)
class TestOptions:
    """What to compute, and on which test set."""

    __test__: ClassVar[bool] = False  # tells pytest that this is no class of tests

    test: TestSet
    metric_options: MetricOptions  # language and seed; its `bootstrap` is 0, since the runs are resampled together
    metrics: Sequence[str]  # keys of METRICS
    bootstrap: int = 1000  # resamples; 0: neither intervals nor the bootstrap test
    trials: int = 10000  # of approximate randomisation; 0: without this test

    @property
    def samples(self) -> dict[str, int]:
        """Test -> number of resamples or trials, without the tests that are switched off."""
        return {name: n for name, n in zip(PAIRED_TESTS, (self.bootstrap, self.trials), strict=True) if n}


def resampled_means(scores: Scores, options: TestOptions) -> dict[str, Array]:
    """Variant -> (r,) figures on resampled sentences: the same sentences for all runs, averaged over seeds."""
    flat = [score for by_seed in scores.values() for score in by_seed]
    values = resample_scores(
        [score.statistics for score in flat],
        flat[0].formula,
        samples=options.bootstrap,
        seed=options.metric_options.seed,
    )
    ends = np.cumsum([len(by_seed) for by_seed in scores.values()])[:-1]
    return {name: part.mean(1) for name, part in zip(scores, np.split(values, ends, axis=1), strict=True)}


def with_intervals(
    figures: Mapping[str, Figure], scores: Scores, resampled: Mapping[str, Array], most: float | None
) -> dict[str, Figure]:
    """The figures with their 95% intervals, of those that were resampled.

    Over seeds and sentences where a variant has two distinct runs, else over sentences alone. most: the largest
    possible value."""
    found = {}
    for name, figure in figures.items():
        interval = None
        if name in resampled:
            values = distinct_values(scores[name])
            if len(values) > 1:
                low, high = interval_over_seeds(values, float(resampled[name].var(ddof=1)))
                interval = max(low, 0.0), high if most is None else min(high, most)
            else:
                interval = percentile_interval(resampled[name])
        found[name] = figure._replace(interval=interval)
    return found


def distinct_values(runs: Sequence[Score]) -> list[float]:
    """The scores of a variant's runs, equal runs once."""
    return [runs[i].value for i in distinct_runs([run.statistics for run in runs])]


def with_p_values(
    figures: Mapping[str, Figure],
    scores: Scores,
    resampled: Mapping[str, Array],
    baseline: str,
    options: TestOptions,
    sacrebleu: PValues,
) -> dict[str, Figure]:
    """The figures, all but the baseline's with p-values and Holm-corrected p-values.

    Where sacreBLEU has a p-value as well, the larger one is reported. The two differ in ties alone: sacreBLEU does not
    count swaps that give exactly the observed difference, and where few sentences differ most swaps do."""
    p: PValues = {}
    for test in options.samples:
        own = own_p_values(test, scores, resampled, baseline, options)
        theirs = sacrebleu.get(test, {})
        p[test] = {name: max(value, theirs.get(name, 0.0)) for name, value in own.items()}
    if resampled:
        p[SEEDS] = p_values_over_seeds(scores, resampled, baseline)
    corrected = {test: dict(zip(values, holm(list(values.values())), strict=True)) for test, values in p.items()}
    return {name: figure._replace(p=p_of(p, name), corrected=p_of(corrected, name)) for name, figure in figures.items()}


def p_of(p: PValues, name: str) -> dict[str, float]:
    """Test -> p-value of one variant, of the tests that it has."""
    return {test: values[name] for test, values in p.items() if name in values}


def p_values_over_seeds(scores: Scores, resampled: Mapping[str, Array], baseline: str) -> dict[str, float]:
    """p-value over seeds and sentences of every variant that has two distinct runs, if the baseline has two as well."""
    values = {name: distinct_values(runs) for name, runs in scores.items()}
    return {
        name: p_over_seeds(
            system=values[name],
            baseline=values[baseline],
            sentences=float((resampled[name] - resampled[baseline]).var(ddof=1)),
        )
        for name in values
        if name != baseline and len(values[name]) > 1 and len(values[baseline]) > 1
    }


def own_p_values(
    test: str, scores: Scores, resampled: Mapping[str, Array], baseline: str, options: TestOptions
) -> dict[str, float]:
    """p-value of every variant against the baseline, by this package's implementation of `test`."""
    base = scores[baseline]
    p = {}
    for name, by_seed in scores.items():
        if name == baseline:
            continue
        if test == "bootstrap":
            difference = mean(score.value for score in by_seed) - mean(score.value for score in base)
            p[name] = bootstrap_p_value(system=resampled[name], baseline=resampled[baseline], difference=difference)
        else:
            system, reference = ([score.statistics for score in runs] for runs in (by_seed, base))
            p[name] = randomisation(
                system=system,
                baseline=reference,
                formula=base[0].formula,
                trials=options.trials,
                seed=options.metric_options.seed,
            )
    return p


def sacrebleu_tests(rows: Sequence[Variant], options: TestOptions) -> dict[str, PValues]:
    """Metric -> sacreBLEU's own p-values. Empty with several seeds, which it cannot test; rows[0] is the baseline."""
    names = [name for name in options.metrics if name in SACREBLEU_METRICS]
    if not names or not one_seed_each(rows) or len(rows) < 2:
        return {}
    systems = [row.runs[0].evaluation.hypotheses for row in rows]
    by_test = {
        test: sacrebleu_p_values(
            test, names, systems, options.test.references, options=options.metric_options, samples=n
        )
        for test, n in options.samples.items()
    }
    others = [row.name for row in rows[1:]]
    return {
        name: {test: dict(zip(others, values[name], strict=True)) for test, values in by_test.items()} for name in names
    }


def one_seed_each(rows: Sequence[Variant]) -> bool:
    """Whether every variant has a single run."""
    return all(len(row.runs) == 1 for row in rows)
