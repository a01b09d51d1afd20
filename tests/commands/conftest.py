"""Fixtures of the tests of commands."""

import dataclasses
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seq2seq import cli
from seq2seq.config.io import build_config, read_config, write_config
from seq2seq.ids import EOS
from seq2seq.runs.weights import save_weights

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """`call(*words, stdin=...)`: exit code, stdout and stderr of a command."""

    def run(*words: object, stdin: str | bytes = "") -> tuple[int, str, str]:
        raw = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw), isatty=lambda: False))
        capsys.readouterr()
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        return (code, *capsys.readouterr())

    return run


VARIANTS = {
    "rnn-general": (),
    "rnn-uniform-last": ("model/attention=none",),
    "transformer-dot": (
        "model=transformer",
        "model/attention=dot",
        "model.size=16",
        "model.heads=2",
        "model.feedforward=16",
    ),
}


@pytest.fixture(scope="session")
def runs(trained: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: rnn-general and rnn-uniform-last with seeds 1 and 2, transformer-dot with seed 1.

    Each has random weights of its own, and so other translations."""
    folder = tmp_path_factory.mktemp("compared")
    for name, words in VARIANTS.items():
        run = trained("training.max_updates=2", "training.monitor=loss", "search.beam=3", *words)
        shutil.copytree(run, folder / f"{name}-1")
        if "transformer" not in name:
            resaved(run, folder / f"{name}-2", seed=2)
        for copy in folder.glob(f"{name}-*"):
            disturb(copy, 7 * int(copy.name[-1]) + len(name))
    return folder


def resaved(run: Path, copy: Path, **settings: Any) -> Path:
    """A copy of a run as if it had been trained with other settings: values, or dicts of those of a group."""
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("evaluation"))
    values = dataclasses.asdict(read_config(copy / "config.yaml"))
    for name, value in settings.items():
        values[name] = values[name] | value if isinstance(value, dict) else value
    write_config(build_config(values), copy / "config.yaml")
    return copy


def disturb(run: Path, seed: int) -> None:
    """Give a run random weights, whose translations differ between sentences."""
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.randn(w.shape, generator=generator) for name, w in load_file(run / "weights.safetensors").items()
    }
    weights["head.output.bias"][EOS] = 1.0
    save_weights(weights, run)


@pytest.fixture
def runs_copy(runs: Path, tmp_path: Path) -> Path:
    """A copy of `runs` that the test may change."""
    return Path(shutil.copytree(runs, tmp_path / "runs"))


@pytest.fixture(scope="session")
def fast_options() -> tuple[object, ...]:
    """Options that make a comparison fast."""
    return ("--bootstrap", 40, "--trials", 20, "--metrics", "chrf,rougeL")


@pytest.fixture
def compared(call: Call, fast_options: tuple[object, ...]) -> Callable[..., Any]:
    """`compared(*words)`: the JSON output of the command, with the options `fast_options`."""

    def run(*words: object) -> Any:
        code, out, err = call("compare", *words, *fast_options, "--format", "json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture(scope="session")
def row() -> Callable[[Any, str], Any]:
    """`row(found, variant)`: the row of a variant in a comparison's JSON."""
    return lambda found, variant: next(row for row in found["rows"] if row["variant"] == variant)


@pytest.fixture(scope="session")
def gold(runs: Path, corpus: Path) -> Path:
    """A gold file that links the first words of both sides."""
    path = corpus / "links.talp"
    path.write_text("1-1\n" * 12)
    return path
