"""Is every figure what was put in? A comparison of runs that were never trained, counted by hand."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.columns import COLUMNS, LABELS, impossible, metric
from seq2seq.compare.compare import compare
from seq2seq.compare.paired_tests import TestOptions
from seq2seq.compare.result import Comparison
from seq2seq.compare.variants import group
from seq2seq.data.word_links import GoldAlignment
from seq2seq.evaluation import metrics
from seq2seq.evaluation.attention_records import AttentionRecord, quantize
from seq2seq.evaluation.metrics import score
from seq2seq.evaluation.score import MetricOptions
from seq2seq.evaluation.testset import TestSet

Make = Callable[..., EvaluatedRun]
SOURCES = ["a b", "c d", "a b c", "d e f g", "a b c d e f", "g h i j k l m"]  # 2, 2, 3, 4, 6 and 7 words
REFERENCES = ["A B C D", "C D E F", "A B C D E", "D E F G H", "A B C D E F", "G H I J K L"]
HYPOTHESES = ["A B C D", "D C E F", "A B C", "D E F x H", "a b c d e f", "x x x x x"]
METRICS = "2,1000,1,2,9\n4,3000,2,8,8\n6,4000,12,9,7\n"  # 1000, 2000 and 100 tokens by second; 500, 333.3, 1000 by processor second
GOLD = [GoldAlignment(frozenset({(0, 0), (1, 1)}), frozenset({(0, 0), (1, 1), (0, 1)}))] * 6


def compared(
    cells: Sequence[EvaluatedRun], *metrics: str, gold: list[GoldAlignment] | None = None, samples: int = 40
) -> Comparison:
    variants, _ = group(cells)
    asked = TestOptions(
        TestSet("made", SOURCES, [REFERENCES], gold),
        MetricOptions("en", bootstrap=0),
        metrics or ("chrf",),
        samples,
        samples,
    )
    return compare(variants, variants[0], asked)


def figures(*cells: EvaluatedRun, **more: Any) -> dict[str, float]:
    """Of the first variant."""
    return {key: figure.value for key, figure in compared(cells, **more).rows[0].figures.items()}


def counted(*pairs: tuple[float, float]) -> np.ndarray:
    """Sums of six sentences; those that are not given are of nothing."""
    return np.array([*pairs, *[(0, 0)] * (6 - len(pairs))], dtype=float)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_scores_are_against_every_set_of_references(name: str, make_cell: Make) -> None:
    """As the metric itself has them, which is not what it has with the first set alone."""
    sets = [["a b c d e"] * 3, HYPOTHESES[:3]]
    (expected,) = score(HYPOTHESES[:3], sets, [name], bootstrap=0)
    found = metric(name, make_cell(HYPOTHESES[:3]), TestSet("made", ["s"] * 3, sets), MetricOptions(bootstrap=0))
    assert found.value == pytest.approx(expected.value)
    assert f"nrefs:{len(sets)}" in found.signature
    assert found.value != pytest.approx(score(HYPOTHESES[:3], sets[:1], [name], bootstrap=0)[0].value)


def test_what_training_and_decoding_cost(make_cell: Make) -> None:
    """By metrics.csv, run.json, the weights (2 x 3 + 5) and 12 sentences in 4 seconds, 6 of the processors."""
    info = {"peak_memory": 812, "seconds": 21.5, "processor_seconds": 37.25}
    found = figures(make_cell(HYPOTHESES, metrics=METRICS, info=info))
    assert found["training_tokens_per_second"] == pytest.approx(1000)
    assert found["training_tokens_per_processor_second"] == pytest.approx(500)
    assert found["decoding_sentences_per_second"] == 3
    assert found["decoding_sentences_per_processor_second"] == 2
    assert [
        found[name] for name in ("parameters", "peak_memory", "training_seconds", "training_processor_seconds")
    ] == [
        11,
        812,
        21.5,
        37.25,
    ]
    assert not {"peak_memory", "training_seconds", "training_tokens_per_second"} & figures(make_cell(HYPOTHESES)).keys()


def test_sums_of_sentences_become_figures(make_cell: Make) -> None:
    """Each column has its own sums: entropy 6 of 8, its share 1 of 8, diagonality 7 of 8, 3 unknown of 12 subwords."""
    sums = {
        "entropy": counted((4, 3), (2, 5)), "entropy_share": counted((1, 3), (0, 5)), "diagonality": counted((3, 3), (4, 5)),
        "unknown": counted((0, 3), (3, 9)),
    }  # fmt: skip
    found = figures(make_cell(HYPOTHESES, sums=sums))
    expected = {"entropy": 0.75, "entropy_share": 0.125, "diagonality": 0.875, "unknown": 25}
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_behaviour_is_counted(make_cell: Make) -> None:
    """Bigrams: 3 + 3 + 2 + 4 + 5 + 4, three of which come again. Words: 4 + 4 + 3 + 5 + 6 + 5, six of which stand in the source."""
    found = figures(make_cell(HYPOTHESES))
    assert found["repetition"] == pytest.approx(100 * 3 / 21)
    assert found["copied"] == pytest.approx(100 * 6 / 27)


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge1"])
def test_each_span_of_source_lengths_has_its_own_figure(metric: str, make_cell: Make) -> None:
    """The mean over the seeds of what the sentences of the span alone would have."""
    other = [*HYPOTHESES[1:], HYPOTHESES[0]]
    found = compared([make_cell(HYPOTHESES), make_cell(other, "seed=2")], metric)
    assert list(found.buckets) == ["2", "3", "4", "5-6", "7"]
    for values, where in zip(found.rows[0].buckets[metric], ([0, 1], [2], [3], [4], [5]), strict=True):
        alone = [
            score([text[i] for i in where], [[REFERENCES[i] for i in where]], [metric], bootstrap=0)
            for text in (HYPOTHESES, other)
        ]
        assert values == pytest.approx(np.mean([one[0].value for one in alone]))


def test_the_alignment_error_is_that_of_the_links(make_cell: Make) -> None:
    """Of 3 links a sentence one is sure and one more possible: AER 1 - (1 + 2) / (3 + 2); the one that is one-to-one is sure."""
    links = {"argmax": [{(0, 0), (0, 1), (5, 5)}] * 6, "one-to-one": [{(1, 1)}] * 6}
    found = figures(make_cell(HYPOTHESES, links=links), gold=GOLD)
    expected = {
        "aer": 40,
        "precision": 200 / 3,
        "recall": 50,
        "aer_one_to_one": 100 / 3,
        "precision_one_to_one": 100,
        "recall_one_to_one": 50,
    }
    assert {name: found[name] for name in found if name.startswith(("aer", "precision", "recall"))} == pytest.approx(
        expected
    )


def test_the_quality_of_a_sentence_is_its_own(make_cell: Make) -> None:
    """That by which the explorer sorts: of the first seed."""
    found = compared([make_cell(HYPOTHESES, "variant=a"), make_cell(REFERENCES, "variant=a", "seed=2")])
    alone = [
        score([line], [[reference]], ["chrf"], bootstrap=0)[0].value
        for line, reference in zip(HYPOTHESES, REFERENCES, strict=True)
    ]
    assert found.qualities == {"a": pytest.approx(alone)}
    assert len({round(value) for value in alone}) > 3
    assert found.hypotheses == {"a": HYPOTHESES}


def test_windows_are_those_of_the_settings(make_cell: Make) -> None:
    local = ("model.attention.window=local_m", "model.attention.width=4", "variant=local")
    assert compared([make_cell(HYPOTHESES, "variant=all"), make_cell(HYPOTHESES, *local)]).windows == {"local": 4}


def test_columns_that_nobody_can_have_are_known_before() -> None:
    assert not [
        key
        for key in COLUMNS
        if impossible(key, list(LABELS), True, "union") and not re.search("_(intersection|grow)", key)
    ]
    assert impossible("ter", ["bleu", "chrf"], True, "") == "the metrics are bleu, chrf; --metrics chooses them"
    for key in ("aer", "precision_one_to_one", "recall_union"):
        assert impossible(key, [], False, "union").endswith("--gold FILE names them")
        assert not impossible(key, [], True, "union")
    assert (
        impossible("aer_grow_diag_final_and", [], True, "union")
        == "it is made by --reverse RUN --symmetrize grow-diag-final-and"
    )
    assert impossible("aer_union", [], True, "")


def looked(last: bool) -> list[AttentionRecord]:
    """Twelve sentences of four positions, read from end to end or the last position alone."""
    weights = np.eye(4, dtype=np.uint8) * 200 + 13 if not last else np.array([[0, 0, 0, 255]] * 4, np.uint8)
    return [
        AttentionRecord(("a", "b", "c", ""), ("A", "B", "C", ""), np.roll(weights, i if not last else 0, axis=0))
        for i in range(12)
    ]


def test_every_seed_is_asked_for_its_health(make_cell: Make) -> None:
    """Named where there are several; a seed whose attention is not kept, or that is well, says nothing."""
    well, ill = looked(last=False), looked(last=True)
    cells = [
        make_cell(HYPOTHESES, f"seed={seed}", "variant=a", explained=seen)
        for seed, seen in ((1, well), (2, ill), (3, None))
    ]
    found = compared(
        [*cells, make_cell(HYPOTHESES, "variant=b", explained=ill), make_cell(HYPOTHESES, "variant=c", explained=well)]
    ).health
    assert [warned.variant for warned in found] == ["a", "b"]
    assert found[0].sentence == f"Seed 2: {found[1].sentence}"
    assert found[1].sentence.startswith("The attention rests on the last token")
    long = np.full((4, 600), 0.6 / 600, np.float32) + 0.4 * np.eye(
        4, 600, dtype=np.float32
    )  # of which bytes keep the 0.4 alone
    spread = [
        AttentionRecord(("a",) * 600, ("A", "B", "C", ""), quantize(np.roll(long, 7 * i, axis=1))) for i in range(12)
    ]
    assert compared([make_cell(HYPOTHESES, "variant=d", explained=spread)]).health == []
    assert compared(cells[:1]).health == []
    assert [warned.sentence[:7] for warned in compared(cells[1:2]).health] == ["The att"]
