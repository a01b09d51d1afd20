"""Validation: checks of the attention, when it takes place, and what ends training."""

import csv
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq.config import AttentionConfig, RNNConfig
from seq2seq.data.readers import Pair
from seq2seq.evaluation.attention_maps import AttentionMap
from seq2seq.runs.directory import Run
from seq2seq.training import validation
from seq2seq.training.checkpoint import Checkpoint, CheckpointKeeper
from seq2seq.training.optim import Plateau
from seq2seq.training.validation import (
    MONITORED_PAIRS,
    VALIDATIONS_IN_A_ROW,
    AttentionMonitor,
    DevFigures,
    DevSet,
    EarlyStopping,
    Validation,
)

NO_LIMITS = ("training.max_updates=0", "training.patience=0")
PAIRS = [Pair(f"a {i}", "b") for i in range(MONITORED_PAIRS + 9)] + [Pair("", "b")]


def flat(number: int) -> Any:
    """Uniform attention of 6 target tokens to 8 positions, whatever the sentence."""
    return np.full((6, 8), 1 / 8, np.float32)


def diagonal(number: int) -> Any:
    """Attention that moves along the source, from another position in each sentence."""
    return np.eye(8, dtype=np.float32)[(np.arange(6) + number) % 8] * 0.9 + 0.1 / 8


@pytest.fixture
def warnings_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """`warnings_of(*weights)`: what is logged in validations whose attention is given, as functions of the sentence."""
    caplog.set_level(logging.WARNING, "seq2seq")

    def run(*weights: Callable[[int], Any], attention: AttentionConfig | None = None) -> list[str]:
        model = RNNConfig(attention=attention or AttentionConfig())
        monitor = AttentionMonitor(SimpleNamespace(forced_decode=list), model, PAIRS)  # type: ignore[arg-type]
        for weights_of in weights:

            def given_maps(translator: Any, pairs: list[Any], weights_of: Any = weights_of) -> Any:
                assert len(pairs) == MONITORED_PAIRS
                return ((i, AttentionMap(weights_of(i), None, None)) for i in range(len(pairs)))

            monkeypatch.setattr(validation, "compute_attention_maps", given_maps)
            monitor.check()
        return [record.getMessage() for record in caplog.records]

    return run


def test_lasting_problem_is_logged_once(warnings_of: Callable[..., list[str]]) -> None:
    (warning,) = warnings_of(*[flat] * (VALIDATIONS_IN_A_ROW + 4))
    assert warning.startswith("attention: ")
    assert "uniform" in warning


def test_passing_problem_is_not_logged(warnings_of: Callable[..., list[str]]) -> None:
    some = [flat] * (VALIDATIONS_IN_A_ROW - 1)
    assert not warnings_of(*some, diagonal, *some, diagonal)


def test_attention_that_is_not_learned_is_not_checked(warnings_of: Callable[..., list[str]]) -> None:
    assert not warnings_of(*[flat] * VALIDATIONS_IN_A_ROW, attention=AttentionConfig(scorer="uniform"))


def test_training_logs_the_warning(trained: Callable[..., Path]) -> None:
    """With weights so small that all scores are equal."""
    words = ("model.init=1e-6", "training.learning_rate=1e-9", "training.max_updates=3", "training.validate_every=1")
    run = trained(*words, "training.monitor=loss")
    assert (run / "log.txt").read_text().count("attention: ") == 1


def validations(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["dev_loss"]]


def test_max_epochs_ends_with_a_last_validation(trained: Callable[..., Path]) -> None:
    run = trained(*NO_LIMITS, "training.max_epochs=2", "training.validate_every=0", "training.batch_tokens=8192")
    rows = validations(run)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert int(rows[1]["update"]) == 2 * int(rows[0]["update"]) == Run.open(run).info["updates"]


def script_scores(scores: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the dev set give these scores, one after another."""
    remaining = iter(scores)
    monkeypatch.setattr(DevSet, "evaluate", lambda self, module: DevFigures(1.0, next(remaining)))


def test_patience_counts_validations_without_improvement(
    trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    script_scores([1.0, 3.0, 2.0, 3.0, 9.0], monkeypatch)
    run = trained(*NO_LIMITS, "training.patience=2", "training.validate_every=1")
    assert len(validations(run)) == 4
    assert Run.open(run).info["weights_from"] == [2]


def test_stop_at_ends_at_the_score(trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    script_scores([1.0, 29.9, 30.0, 31.0], monkeypatch)
    run = trained(*NO_LIMITS, "training.stop_at=30", "training.validate_every=1")
    assert len(validations(run)) == 3
    assert Run.open(run).info["dev_score"] == 30.0


def test_max_minutes_does_not_count_validation(trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each update takes a second, and each validation an hour."""
    now = [0.0]
    monkeypatch.setattr("seq2seq.training.resources.time.perf_counter", lambda: now[0])
    original = Checkpoint.on_train_batch_start

    def second(*arguments: Any) -> None:
        now[0] += 1
        original(*arguments)

    def hour(self: Any, module: Any) -> DevFigures:
        now[0] += 3600
        return DevFigures(1.0, 1.0)

    monkeypatch.setattr(Checkpoint, "on_train_batch_start", second)
    monkeypatch.setattr(DevSet, "evaluate", hour)
    run = trained(*NO_LIMITS, "training.max_minutes=0.1", "training.validate_every=4")
    assert [(row["update"], row["seconds"]) for row in validations(run)] == [("4", "4"), ("6", "6")]
    assert Run.open(run).info["seconds"] == 6


def test_last_update_is_validated_once_and_useless_outputs_are_logged(
    trained: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Four updates teach nothing; without a score nothing is translated, and nothing is known of the outputs."""
    for monitor in ("bleu", "loss"):
        caplog.clear()
        run = trained(f"training.monitor={monitor}", "training.max_updates=4")
        assert [(row["update"], row["epoch"]) for row in validations(run)] == [("3", "1"), ("4", "1")]
        assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4
        found = [message for message in caplog.messages if message.startswith("dev outputs: ")]
        assert bool(found) == (monitor == "bleu")
        assert len(found) == len(set(found))


def test_resumed_validation_goes_on_with_its_scores_and_its_patience(tmp_path: Path) -> None:
    def make() -> Validation:
        parts: Any = dict.fromkeys(("dev", "checkpoint", "metrics", "clock", "average"))
        keeper, stopping = CheckpointKeeper(tmp_path, 3, "none"), EarlyStopping(patience=3, stop_at=0)
        return Validation(**parts, keeper=keeper, every=1, stopping=stopping, plateau=Plateau(2, 0.5))

    first, second = make(), make()
    first.last_update, first.keeper.scores = 7, {5: (9.0, -1.0), 7: (8.0, -2.0)}
    for score in (9.0, 8.0, 8.5, 8.5):
        first.stopping.step(score, score == 9.0)
        first.plateau.step(score)  # type: ignore[union-attr]
    second.load_state_dict(first.state_dict())
    assert second.stopping == first.stopping
    assert (second.stopping.waited, second.stopping.best) == (3, 9.0)
    assert second.stopping.stop_reason() == first.stopping.stop_reason() is not None
    assert second.state_dict() == first.state_dict()
    assert second.last_update == 7
    assert second.keeper.ranked() == [5, 7]
    assert second.plateau.scale == first.plateau.scale == 0.5  # type: ignore[union-attr]
