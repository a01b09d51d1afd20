"""Fixtures for tests of training: runs of settings that are composed once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from seq2seq.config import Config
from seq2seq.config.io import every_setting
from tests.settings import changed


@pytest.fixture(scope="session")
def small_config(small_settings: Callable[..., list[str]]) -> Callable[..., Config]:
    """`small_config(runs, *settings)`: what `small_settings` is composed to. Each choice of groups is composed once."""
    from seq2seq.launch.compose import compose_config

    compose = cache(lambda *groups: compose_config(small_settings(Path("runs"), *groups)))

    def make(runs: Path, *settings: str) -> Config:
        single = [setting for setting in settings if setting.partition("=")[0] in every_setting()]
        groups = [setting for setting in settings if setting not in single]
        return changed(compose(*groups), f"runs={runs}", *single)

    return make


@pytest.fixture(scope="session")
def trained(small_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """As in tests/conftest.py: `trained(*settings)` trains a small model and returns its run directory."""
    from seq2seq.training.run import train

    return lambda *settings: train(small_config(tmp_path_factory.mktemp("runs"), *settings))
