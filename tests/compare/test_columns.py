"""The columns of a comparison, computed for runs of known content and counted by hand."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.columns import COLUMNS, METRIC_LABELS, metric_score, unavailable_reason
from seq2seq.compare.result import Comparison
from seq2seq.data.word_links import GoldAlignment
from seq2seq.evaluation import metrics
from seq2seq.evaluation.metrics import score
from seq2seq.evaluation.scores import MetricOptions
from seq2seq.evaluation.testset import TestSet

Make = Callable[..., EvaluatedRun]
Values = Callable[..., dict[str, float]]
HYPOTHESES = ["A B C D", "D C E F", "A B C", "D E F x H", "a b c d e f", "x x x x x"]
# 1000, 2000 and 100 tokens per second; 500, 333.3 and 1000 per second of CPU time
METRICS = "2,1000,1,2,9\n4,3000,2,8,8\n6,4000,12,9,7\n"
GOLD = [GoldAlignment(frozenset({(0, 0), (1, 1)}), frozenset({(0, 0), (1, 1), (0, 1)}))] * 6


@pytest.fixture
def values(compared: Callable[..., Comparison]) -> Values:
    """`values(*runs, gold=None)`: column -> value of the first variant."""

    def first_row(*runs: EvaluatedRun, **options: Any) -> dict[str, float]:
        return {key: figure.value for key, figure in compared(runs, **options).rows[0].figures.items()}

    return first_row


def sums_of_six(*pairs: tuple[float, float]) -> np.ndarray:
    """(6, 2) sums of six sentences; those that are not given are empty."""
    return np.array([*pairs, *[(0, 0)] * (6 - len(pairs))], dtype=float)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_metrics_use_every_set_of_references(name: str, make_run: Make) -> None:
    """The value is that of the metric itself, and not that with the first set alone."""
    hypotheses, other = HYPOTHESES[:3], "a b c d e"
    if name == "entity_f1":  # of tags
        hypotheses, other = ["B-a I-a", "B-b", "O B-a"], "B-c B-c"
    sets = [[other] * 3, hypotheses]
    (expected,) = score(hypotheses, sets, [name], bootstrap=0)
    found = metric_score(name, make_run(hypotheses), TestSet("made", ["s"] * 3, sets), MetricOptions(bootstrap=0))
    assert found.value == pytest.approx(expected.value)
    assert f"nrefs:{len(sets)}" in found.signature
    assert found.value != pytest.approx(score(hypotheses, sets[:1], [name], bootstrap=0)[0].value)


def test_speed_size_and_memory(make_run: Make, values: Values) -> None:
    """From metrics.csv, run.json, the weights (2 x 3 + 5), and 12 sentences in 4 seconds, 6 of CPU time."""
    info = {"peak_memory": 812, "seconds": 21.5, "processor_seconds": 37.25}
    found = values(make_run(HYPOTHESES, metrics=METRICS, info=info))
    expected = {
        "training_tokens_per_second": 1000,
        "training_tokens_per_processor_second": 500,
        "decoding_sentences_per_second": 3,
        "decoding_sentences_per_processor_second": 2,
        "parameters": 11,
        "peak_memory": 812,
        "training_seconds": 21.5,
        "training_processor_seconds": 37.25,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    without_info = values(make_run(HYPOTHESES))
    assert not {"peak_memory", "training_seconds", "training_tokens_per_second"} & without_info.keys()


def test_attention_columns_are_ratios_of_sums(make_run: Make, values: Values) -> None:
    """Entropy 6 of 8, its share 1 of 8, diagonality 7 of 8, 3 unknown of 12 subwords."""
    sums = {
        "entropy": sums_of_six((4, 3), (2, 5)),
        "entropy_share": sums_of_six((1, 3), (0, 5)),
        "diagonality": sums_of_six((3, 3), (4, 5)),
        "unknown": sums_of_six((0, 3), (3, 9)),
    }
    found = values(make_run(HYPOTHESES, sums=sums))
    expected = {"entropy": 0.75, "entropy_share": 0.125, "diagonality": 0.875, "unknown": 25}
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_repetition_and_copying(make_run: Make, values: Values) -> None:
    """3 of the 3 + 3 + 2 + 4 + 5 + 4 bigrams are repeated, 6 of the 4 + 4 + 3 + 5 + 6 + 5 words are in the source."""
    found = values(make_run(HYPOTHESES))
    assert found["repetition"] == pytest.approx(100 * 3 / 21)
    assert found["copied"] == pytest.approx(100 * 6 / 27)


def test_alignment_error(make_run: Make, values: Values) -> None:
    """Of 3 links per sentence one is sure and another possible: AER is 1 - (1 + 2) / (3 + 2)."""
    links = {"argmax": [{(0, 0), (0, 1), (5, 5)}] * 6, "one-to-one": [{(1, 1)}] * 6}
    found = values(make_run(HYPOTHESES, links=links), gold=GOLD)
    expected = {
        "aer": 40,
        "precision": 200 / 3,
        "recall": 50,
        "aer_one_to_one": 100 / 3,
        "precision_one_to_one": 100,
        "recall_one_to_one": 50,
    }
    alignment = {name: value for name, value in found.items() if name.startswith(("aer", "precision", "recall"))}
    assert alignment == pytest.approx(expected)


def test_precision_and_recall_of_no_links_have_no_value(make_run: Make, values: Values) -> None:
    """Precision without predicted links, recall without sure gold links."""
    found = values(make_run(HYPOTHESES, links={"argmax": [set()] * 6}), gold=GOLD)
    assert "precision" not in found
    assert found["recall"] == 0
    possible = [one._replace(sure=frozenset()) for one in GOLD]
    found = values(make_run(HYPOTHESES, links={"argmax": [{(0, 1)}] * 6}), gold=possible)
    assert "recall" not in found
    assert "precision" in found


def test_unavailable_columns_have_a_reason() -> None:
    unavailable = [key for key in COLUMNS if unavailable_reason(key, list(METRIC_LABELS), True, "union")]
    assert unavailable
    assert all(re.search("_(intersection|grow)", key) for key in unavailable)
    assert unavailable_reason("ter", ["bleu", "chrf"], True, "") == "the metrics are bleu, chrf; --metrics chooses them"
    for key in ("aer", "precision_one_to_one", "recall_union"):
        assert unavailable_reason(key, [], False, "union").endswith("--gold FILE names them")
        assert not unavailable_reason(key, [], True, "union")
    by_reverse = "it is made by --reverse RUN --symmetrize grow-diag-final-and"
    assert unavailable_reason("aer_grow_diag_final_and", [], True, "union") == by_reverse
    assert unavailable_reason("aer_union", [], True, "")
