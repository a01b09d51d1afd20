"""What a comparison says of single sentences and of attention: length buckets, sentence scores, windows, warnings."""

from collections.abc import Callable

import numpy as np
import pytest

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.result import Comparison
from seq2seq.evaluation.attention_records import AttentionRecord, quantize
from seq2seq.evaluation.metrics import score

Make = Callable[..., EvaluatedRun]
Compared = Callable[..., Comparison]
REFERENCES = ["A B C D", "C D E F", "A B C D E", "D E F G H", "A B C D E F", "G H I J K L"]  # as in conftest.py
HYPOTHESES = ["A B C D", "D C E F", "A B C", "D E F x H", "a b c d e f", "x x x x x"]


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge1"])
def test_length_buckets_are_scored_by_themselves(metric: str, make_run: Make, compared: Compared) -> None:
    """The mean over seeds of the score of the bucket's sentences alone."""
    other = [*HYPOTHESES[1:], HYPOTHESES[0]]
    found = compared([make_run(HYPOTHESES), make_run(other, "seed=2")], metric)
    assert list(found.buckets) == ["2", "3", "4", "5-6", "7"]
    for value, sentences in zip(found.rows[0].buckets[metric], ([0, 1], [2], [3], [4], [5]), strict=True):
        alone = [
            score([text[i] for i in sentences], [[REFERENCES[i] for i in sentences]], [metric], bootstrap=0)[0].value
            for text in (HYPOTHESES, other)
        ]
        assert value == pytest.approx(np.mean(alone))


def test_sentence_qualities_are_chrf_of_the_first_seed(make_run: Make, compared: Compared) -> None:
    found = compared([make_run(HYPOTHESES, "variant=a"), make_run(REFERENCES, "variant=a", "seed=2")])
    alone = [
        score([line], [[reference]], ["chrf"], bootstrap=0)[0].value
        for line, reference in zip(HYPOTHESES, REFERENCES, strict=True)
    ]
    assert found.qualities == {"a": pytest.approx(alone)}
    assert len({round(value) for value in alone}) > 3
    assert found.hypotheses == {"a": HYPOTHESES}


def test_windows_have_the_width_of_the_settings(make_run: Make, compared: Compared) -> None:
    local = ("model.attention.window=local_m", "model.attention.width=4", "variant=local")
    assert compared([make_run(HYPOTHESES, "variant=all"), make_run(HYPOTHESES, *local)]).windows == {"local": 4}


def records(collapsed: bool) -> list[AttentionRecord]:
    """Attention in twelve sentences of four positions: along the diagonal, or all on the last position."""
    diagonal = np.eye(4, dtype=np.uint8) * 200 + 13
    last = np.array([[0, 0, 0, 255]] * 4, np.uint8)
    return [
        AttentionRecord(("a", "b", "c", ""), ("A", "B", "C", ""), last if collapsed else np.roll(diagonal, i, axis=0))
        for i in range(12)
    ]


def test_health_warnings_of_every_seed(make_run: Make, compared: Compared) -> None:
    """They name the seed where there are several; a seed without stored attention has none."""
    healthy, collapsed = records(collapsed=False), records(collapsed=True)
    runs = [
        make_run(HYPOTHESES, f"seed={seed}", "variant=a", explained=attention)
        for seed, attention in ((1, healthy), (2, collapsed), (3, None))
    ]
    others = [
        make_run(HYPOTHESES, "variant=b", explained=collapsed),
        make_run(HYPOTHESES, "variant=c", explained=healthy),
    ]
    found = compared([*runs, *others]).health
    assert [warning.variant for warning in found] == ["a", "b"]
    assert found[0].sentence == f"Seed 2: {found[1].sentence}"
    assert "the last token" in found[1].sentence
    assert compared(runs[:1]).health == []
    assert [warning.sentence for warning in compared(runs[1:2]).health] == [found[1].sentence]


def test_rounding_of_stored_weights_causes_no_warning(make_run: Make, compared: Compared) -> None:
    """Bytes keep 0.4 of the weight at one position and round 0.001 at each of 600 to zero."""
    weights = np.full((4, 600), 0.6 / 600, np.float32) + 0.4 * np.eye(4, 600, dtype=np.float32)
    stored = [
        AttentionRecord(("a",) * 600, ("A", "B", "C", ""), quantize(np.roll(weights, 7 * i, axis=1))) for i in range(12)
    ]
    assert compared([make_run(HYPOTHESES, "variant=d", explained=stored)]).health == []
