"""Is whoever trains told that the attention does not do its work, once, and only when it stays so?"""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seq2seq.config import AttentionConfig, RNNConfig
from seq2seq.data.readers import Pair
from seq2seq.evaluation.attention_maps import AttentionMap
from seq2seq.launch.compose import compose_config
from seq2seq.training import validation
from seq2seq.training.run import train
from seq2seq.training.validation import IN_A_ROW, SAMPLE, Watch

FLAT = np.full((6, 8), 1 / 8, np.float32)
PAIRS = [Pair(f"a {i}", "b") for i in range(SAMPLE + 9)] + [Pair("", "b")]


def moving(number: int) -> Any:
    """A word for a word, but begun somewhere else in each sentence."""
    return np.eye(8, dtype=np.float32)[(np.arange(6) + number) % 8] * 0.9 + 0.1 / 8


@pytest.fixture
def validate(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Validations in which the attention to each sentence is that given; what is told in all of them."""
    caplog.set_level(logging.WARNING, "seq2seq")

    def run(*weights: Callable[[int], Any], attention: AttentionConfig | None = None) -> list[str]:
        watch = Watch(SimpleNamespace(forced=list), RNNConfig(attention=attention or AttentionConfig()), PAIRS)  # type: ignore[arg-type]
        for of in weights:

            def look(_: Any, found: list[Any], of: Any = of) -> Any:
                assert len(found) == SAMPLE
                return ((i, AttentionMap(of(i), None, None)) for i in range(len(found)))

            monkeypatch.setattr(validation, "compute_attention_maps", look)
            watch()
        return [record.getMessage() for record in caplog.records]

    return run


def test_what_stays_wrong_is_told_once(validate: Callable[..., list[str]]) -> None:
    (told,) = validate(*[lambda i: FLAT] * (IN_A_ROW + 4))
    assert told.startswith("attention: ")
    assert "uniform" in told


def test_what_goes_away_is_not_told(validate: Callable[..., list[str]]) -> None:
    assert not validate(*[lambda i: FLAT] * (IN_A_ROW - 1), moving, *[lambda i: FLAT] * (IN_A_ROW - 1), moving)


def test_no_attention_is_not_judged(validate: Callable[..., list[str]]) -> None:
    assert not validate(*[lambda i: FLAT] * IN_A_ROW, attention=AttentionConfig(scorer="uniform"))


def test_a_training_tells_it(small: Callable[..., list[str]], tmp_path: Path) -> None:
    """Weights so small that every score is nothing; a window's centre is looked at as well."""
    words = ("model.init=1e-6", "training.learning_rate=1e-9", "training.max_updates=3", "training.validate_every=1")
    run = train(compose_config(small(tmp_path, *words, "data.max_words=60")))
    assert (run / "log.txt").read_text().count("attention: ") == 1
