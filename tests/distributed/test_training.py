"""Training on several devices: the same losses and weights as on one, to rounding, with dropout."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2seq.errors import ConfigError
from seq2seq.runs.directory import Run
from seq2seq.runs.metrics import read_metrics
from seq2seq.training.checkpoint import read_checkpoint
from seq2seq.training.checks import check_shares
from seq2seq.training.resume import resume
from tests.config.built import built

Train = Callable[..., Path]
FOUR = (
    "training.accumulate=4", "training.batch_tokens=64", "model.dropout=0.3", "training.ema=0.5",
    "training=sgd", "training.schedule=constant", # Adam makes steps of its learning rate where gradients are rounding
)  # fmt: skip
COLUMNS = ("loss", "gradient_norm", "dev_loss", "dev_score", "target_tokens", "learning_rate")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            ("training.accumulate=1", "training.batch_tokens=600"),
            ("training.accumulate=1", "cannot be shared by trainer.devices=2", "training.accumulate=2", "tokens=300"),
        ),
        (("training.accumulate=2", "trainer.accelerator=cpu"), ("more than there are here: 1 CPU core",)),
    ],
)
def test_devices_that_cannot_be_are_refused(
    words: tuple[str, ...], parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.training.checks.available_cores", lambda: 1)
    with pytest.raises(ConfigError) as caught:
        check_shares(built("trainer.devices=2", *words))
    assert all(part in str(caught.value) for part in parts), caught.value


def shown(run: Path) -> list[str]:
    """The dev sentences that the log shows, without translations, which change where scores are rounded."""
    lines = (run / "log.txt").read_text(encoding="utf-8").splitlines()
    return [line.split(" ", 2)[2] for line in lines if re.match(r"\S+ \S+ dev \d+  (source|reference)", line)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("model", ["rnn", "transformer"])
def test_devices_change_no_figure_and_no_weight(
    model: str,
    trained: Train,
    small_config: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """1 x 4, 2 x 2 and 4 x 1, devices x micro-batches; and a run of two that goes on with four, then with one."""
    caplog.set_level("INFO", "seq2seq")
    monkeypatch.setattr("seq2seq.training.checks.available_cores", lambda: 4)
    size = () if model == "rnn" else ("model=transformer", "model.size=8", "model.heads=2", "model.feedforward=8")
    runs = [trained(*FOUR, *size, f"trainer.devices={devices}") for devices in (1, 2, 4)]
    changing = trained(*FOUR, *size, "trainer.devices=2", "training.max_updates=2")
    for devices, updates in ((4, 4), (1, 6)):
        words = [*FOUR, *size, f"trainer.devices={devices}", f"training.max_updates={updates}", f"resume={changing}"]
        resume(small_config(changing.parent, *words))  # type: ignore[arg-type]
    first, *others = [read_checkpoint(run / "checkpoints/last.ckpt")["state_dict"] for run in (*runs, changing)]
    for other in others:
        assert all((other[name] - weight).abs().max() < 1e-5 for name, weight in first.items())
    expected = read_metrics(runs[0] / "metrics.csv")
    for run in runs[1:]:
        found = read_metrics(run / "metrics.csv")
        assert [row["update"] for row in found] == [row["update"] for row in expected]
        for one, two in zip(found, expected, strict=True):
            for name in COLUMNS:
                assert one[name] == two[name] or float(one[name]) == pytest.approx(float(two[name]), rel=1e-4), name
        assert [row["batches"] for row in found] == [row["batches"] for row in expected]
        assert Run.open(run).info["target_tokens"] == Run.open(runs[0]).info["target_tokens"]
        assert run.name == runs[0].name
        assert shown(run) == shown(runs[0]) != []
