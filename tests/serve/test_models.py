"""Models as they are named on the command line, and their search settings."""

from collections.abc import Callable
from pathlib import Path

import pytest

from seq2seq.errors import ConfigError, RunError
from seq2seq.runtime.search_config import SearchConfig
from seq2seq.serve.models import read_model

SCHEMAS = Path(__file__).resolve().parents[1] / "runtime/schemas"


def test_bundles_and_runs_say_what_they_translate(tiny_run: Path) -> None:
    graphs, named, weights, run = (
        read_model(str(word))
        for word in (SCHEMAS / "1-rnn.s2s", f"fast={SCHEMAS / '1-rnn.s2s'}", SCHEMAS / "1-weights.s2s", tiny_run)
    )
    assert (graphs.name, named.name, weights.name, run.name) == ("1-rnn", "fast", "1-weights", tiny_run.name)
    for model in (graphs, weights, run):
        assert (model.task, model.source, model.target) == ("translation", "en", "de")


def test_name_of_a_folder_may_hold_an_equals_sign(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "a=b").symlink_to(tiny_run)
    assert read_model(str(tmp_path / "a=b")).path == tmp_path / "a=b"
    assert read_model(f"c={tmp_path}/a=b").name == "c"


@pytest.mark.parametrize("word", ["nowhere", "name=nowhere"])
def test_missing_model_is_named(word: str) -> None:
    with pytest.raises(RunError, match=r"^nowhere is not a run directory: it does not exist"):
        read_model(word)


@pytest.mark.slow  # it trains a run of its own
def test_settings_without_effect_are_refused(random_run: Callable[..., Path]) -> None:
    model = read_model(str(random_run("model.attention.scorer=uniform")))
    with pytest.raises(ConfigError, match=r"search\.replace_unknown=true would be ignored"):
        model.check_search(SearchConfig(replace_unknown=True), {"replace_unknown"})
