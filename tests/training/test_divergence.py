"""A training that has diverged is no success; one that is short, or overfits, is."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2seq.config import Config
from seq2seq.errors import TrainingError
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import load_model
from seq2seq.training.divergence import FinalLoss
from seq2seq.training.resume import complete
from seq2seq.training.run import train

GUESSING = math.log(100)
NAN = math.nan
CASES = {  # dev loss, training loss, updates, dev loss before training -> whether it has diverged
    "good": (1.0, 0.9, 1000, 4.7, False),
    "not finite": (NAN, NAN, 1000, 4.7, True),
    "far above guessing": (3e8, 2e8, 60, 4.7, True),
    "training loss unknown": (3e8, NAN, 60, 4.7, True),
    "a few updates": (GUESSING + 0.2, GUESSING + 0.2, 6, GUESSING + 0.1, False),
    "many updates for nothing": (GUESSING + 0.2, GUESSING + 0.2, 1000, GUESSING + 0.1, True),
    "better than a bad start": (50.0, 48.0, 6, 80.0, False),
    "overfits": (9.0, 0.1, 1000, 4.7, False),
    "a learning rate of 0": (GUESSING + 0.2, GUESSING + 0.2, 1000, GUESSING + 0.2, False),
}


@pytest.mark.parametrize("name", CASES)
def test_divergence_is_a_loss_that_is_worse_than_guessing_and_than_before(name: str) -> None:
    dev, train_loss, updates, before, diverged = CASES[name]
    assert FinalLoss(dev, train_loss, updates, 100).diverged(lambda: before) is diverged


def test_training_that_diverges_ends_with_an_error_and_keeps_its_weights(
    small_config: Callable[..., Config], tmp_path: Path
) -> None:
    """Also when the grid that it belongs to is repeated."""
    config = small_config(
        tmp_path, "training.learning_rate=1e5", "training.label_smoothing=0.3", "training.dev_lines=1"
    )
    with pytest.raises(TrainingError, match=r"has diverged: the dev loss is .* has 5\.30; lower .*=100000; the w"):
        train(config)
    run = Run.open(next(tmp_path.iterdir()))
    assert run.info["finished"]
    assert run.info["diverged"]
    assert sum(p.numel() for p in load_model(run).parameters()) == run.info["parameters"]
    with pytest.raises(TrainingError, match="has diverged: delete it"):
        complete(config)
