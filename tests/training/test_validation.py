"""Validation: checks of the attention, when it takes place, and what ends training."""

import csv
import logging
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq.config import AttentionConfig, RNNConfig, TrainingConfig
from seq2seq.data.readers import Pair
from seq2seq.errors import ConfigError
from seq2seq.evaluation.attention_maps import AttentionMap
from seq2seq.runs.directory import Run
from seq2seq.training import validation
from seq2seq.training.checkpoint import Checkpoint, CheckpointKeeper
from seq2seq.training.optim import Plateau
from seq2seq.training.validation import (
    EXAMPLE_CHARACTERS,
    MONITORED_PAIRS,
    VALIDATIONS_IN_A_ROW,
    AttentionMonitor,
    DevExample,
    DevFigures,
    DevSet,
    EarlyStopping,
    Validation,
    dev_examples,
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


@pytest.mark.parametrize(
    ("pairs", "count", "lines"), [(500, 3, [84, 251, 417]), (2, 3, [1, 2]), (9, 0, []), (4, 4, [1, 2, 3, 4])]
)
def test_examples_are_spread_over_the_dev_set(pairs: int, count: int, lines: list[int]) -> None:
    texts = [Pair(f"s{i}", f"r{i}") for i in range(1, pairs + 1)]
    found = dev_examples(texts, [f"h{i}" for i in range(1, pairs + 1)], count)
    assert found == [(line, f"s{line}", f"r{line}", f"h{line}") for line in lines]


def test_rows_of_an_example_are_short_and_safe_to_print() -> None:
    rows = DevExample(7, "a\x1b[31m\u2028b", "long " * EXAMPLE_CHARACTERS, "").rows()
    assert rows[0] == "dev 7  source      a\\x1b[31m\\u2028b"
    assert rows[1].startswith("dev 7  reference   long long ")
    assert len(rows[1]) < EXAMPLE_CHARACTERS + 50
    assert rows[2] == "dev 7  hypothesis  "


SHOW = ("training.max_updates=2", "training.validate_every=1", "training.dev_lines=10", "trainer.progress=none")


def shown(run: Path) -> list[str]:
    """What the log has of dev sentences, without the time."""
    lines = (run / "log.txt").read_text(encoding="utf-8").splitlines()
    return [line.split(" ", 2)[2] for line in lines if re.match(r"\S+ \S+ dev \d", line)]


def test_each_validation_logs_the_same_sentences(
    trained: Callable[..., Path], corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seq2seq")
    run = trained(*SHOW, "training.show=2")
    sides = [(corpus / f"dev.{side}").read_text(encoding="utf-8").splitlines() for side in ("en", "de")]
    for rows in (shown(run)[:6], shown(run)[6:]):
        assert [row.partition("  ")[0] for row in rows] == ["dev 3"] * 3 + ["dev 8"] * 3
        for line, (source, reference, hypothesis) in zip((3, 8), (rows[:3], rows[3:]), strict=True):
            assert source == f"dev {line}  source      {sides[0][line - 1]}"
            assert reference == f"dev {line}  reference   {sides[1][line - 1]}"
            assert hypothesis.startswith(f"dev {line}  hypothesis  ")
    if find_spec("tensorboard") is not None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        board = EventAccumulator(str(run / "tensorboard"))
        board.Reload()
        events = board.Tensors("dev/text_summary")
        assert [event.step for event in events] == [1, 2]
        assert events[0].tensor_proto.string_val[0].decode() == "".join(f"    {row}\n" for row in shown(run)[:6])


@pytest.mark.parametrize("words", [("training.show=0",), ("training.monitor=loss",)])
def test_no_sentences_are_logged(
    words: tuple[str, ...], trained: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seq2seq")
    run = trained(*[word for word in SHOW if "dev_lines" not in word], *words)
    assert len(re.findall(r"update \d  dev loss ", (run / "log.txt").read_text(encoding="utf-8"))) == 2
    assert shown(run) == []


def test_sentences_without_decoding_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.show=5 would be ignored: training\.monitor=loss decodes nothing"):
        TrainingConfig(monitor="loss", show=5)
    assert TrainingConfig(monitor="loss", show=0).show == 0
    with pytest.raises(ConfigError, match=r"training\.show=101 is too large: at most 100"):
        TrainingConfig(show=101)


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
