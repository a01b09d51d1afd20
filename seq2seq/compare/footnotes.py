"""The sentences below the table: how means, intervals, tests and decoding speed were obtained."""

from collections.abc import Sequence

from seq2seq.compare.paired_tests import TestOptions, one_seed_each
from seq2seq.compare.variants import Variant
from seq2seq.compare.verdicts import SIGNIFICANCE_LEVEL
from seq2seq.evaluation.bleu import SACREBLEU_METRICS

TEST_NAMES = {
    "bootstrap": "paired bootstrap as in sacreBLEU (in effect one-sided, {:,} resamples)",
    "randomisation": "two-sided approximate randomisation ({:,} trials)",
}


def footnotes(rows: Sequence[Variant], options: TestOptions, *, over_seeds: bool) -> list[str]:
    """All of them; rows[0] is the baseline. over_seeds: whether any figure was tested over seeds."""
    notes = [] if one_seed_each(rows) else ["Values are means over seeds ± sample standard deviation."]
    if options.bootstrap:
        notes.append(interval_note(rows, options))
    if options.samples and len(rows) > 1:
        notes += test_notes(rows, options, over_seeds)
    return [*notes, *decoding_note(rows)]


def interval_note(rows: Sequence[Variant], options: TestOptions) -> str:
    """What [low, high] is."""
    resamples = f"{options.bootstrap:,} resamples, seed {options.metric_options.seed}"
    over_sentences = f"over sentences, percentile bootstrap ({resamples})"
    if one_seed_each(rows):
        return f"[low, high]: 95% confidence interval {over_sentences}."
    over_seeds = "over seeds and sentences, by the t distribution of the variance over seeds and that of the bootstrap"
    if all(len(row.runs) > 1 for row in rows):
        return f"[low, high]: 95% confidence interval {over_seeds} ({resamples})."
    return f"[low, high]: 95% confidence interval {over_seeds}; of variants with one seed {over_sentences}."


def test_notes(rows: Sequence[Variant], options: TestOptions, over_seeds: bool) -> list[str]:
    """What p is, and what the words beside it mean."""
    tests = [TEST_NAMES[name].format(n) for name, n in options.samples.items()]
    if over_seeds:
        tests.append("two-sided test over seeds and sentences (Cochran and Cox)")
    largest = "the largest of " if len(tests) > 1 else ""
    notes = [
        f"p: {largest}{', '.join(tests)}, against {rows[0].name}, each Holm-corrected over the rows of the column. "
        f"{implementation_note(rows, options)}"
    ]
    meaning = f"every test finds a difference (p < {SIGNIFICANCE_LEVEL})"
    here = '"here": in these runs, as no test over seeds was possible'
    if over_seeds:
        every = all(len(row.runs) > 1 for row in rows)
        notes.append(
            f"better, worse: {meaning}{'' if every else f'; {here}'}. seeds disagree, not over seeds: these sentences "
            "show a difference that the seeds do not bear out."
        )
    else:
        notes.append(f"better here, worse here: {meaning}; {here}.")
    return notes


def implementation_note(rows: Sequence[Variant], options: TestOptions) -> str:
    """A sentence on whose implementation of the tests was used."""
    if not one_seed_each(rows):
        return (
            "Over sentences, scores are averaged over seeds within each resample, which sacreBLEU does not support; "
            "the tests are this package's own."
        )
    if any(name in SACREBLEU_METRICS for name in options.metrics):
        return (
            "BLEU, chrF and TER are tested by sacreBLEU and by this package, which counts ties, and the larger p "
            "is reported; other columns are tested by this package."
        )
    return "The tests are this package's own."


def decoding_note(rows: Sequence[Variant]) -> list[str]:
    """Under what conditions decoding speed was measured; none if they differ, which the header says."""
    timed = [run.evaluation.decoding for row in rows for run in row.runs]
    conditions = [tuple(one[name] for name in ("threads", "device", "batch")) for one in timed]
    if len(set(conditions)) > 1:
        return []
    threads, device, batch = conditions[0]
    return [
        f"Decoding speed: {threads} thread{'' if threads == 1 else 's'}, device {device}, batches of {batch} "
        "sentences, all hypotheses of the beam returned."
    ]
