"""Do the measuring rods measure? Rates and operations worked out on paper; the scripts themselves with little to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).resolve().parents[1] / "scripts" / "bench"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """A script's own folder is where Python looks first."""
    monkeypatch.syspath_prepend(str(BENCH))


def test_a_rate_is_of_the_quiet_intervals():
    import clock

    quiet = [clock.Interval(wall, wall, 0.0, 10) for wall in (1.0, 2.0, 2.0, 5.0)]
    loud = [clock.Interval(100.0, 1.0, 0.9, 10)]
    found = clock.rate(quiet + loud)
    assert found == clock.Rate(value=4.0, low=5.0, high=5.0, quiet=4, all=5)
    assert clock.rate(quiet[:3] + loud).value == pytest.approx(40 / 105)  # too few are quiet: all count, and it shows
    assert clock.rate(quiet[:3] + loud).quiet == 3


def test_others_are_what_the_machine_did_beside_this_process():
    import clock

    found = clock.between(clock.Mark(10.0, 3.0, 50.0), clock.Mark(12.0, 4.0, 54.0), 7)
    assert found == clock.Interval(wall=2.0, own=1.0, foreign=1.5, amount=7)


def test_an_interval_of_work_is_seen():
    import clock

    start = clock.mark()
    while sum(os.times()[:2]) - start.own < 0.3:
        sum(range(10000))
    assert clock.between(start, clock.mark(), 1).own >= 0.3


def test_operations_on_paper():
    import limit

    linear, x = torch.nn.Linear(5, 7), torch.randn(3, 5, requires_grad=True)
    forward = 2 * 3 * 5 * 7
    assert limit.operations(lambda: linear(x)) == forward
    assert limit.operations(lambda: linear(x).sum().backward()) == 3 * forward  # of the input, and of the weight
    lstm, steps = torch.nn.LSTM(5, 6, batch_first=True), 4
    assert limit.operations(lambda: lstm(torch.randn(3, steps, 5))) == steps * 2 * 3 * (5 + 6) * 24
    assert limit.matrix_rate("32", size=64, seconds=0.01) > 0


def test_every_work_can_be_built():
    import work

    from seq2seq.nn.build import check_model

    for name in work.WORK:
        check_model(work.settings(name).model)


def script(name, *words):
    """What a script prints, on the embedded corpus."""
    environment = {name: value for name, value in os.environ.items() if name != "SEQ2SEQ_DATA"} | {"PYTHONPATH": str(BENCH.parents[1])}
    command = [sys.executable, BENCH / f"{name}.py", *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.slow
def test_training_and_decoding_are_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2SEQ_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    small = ["model.embedding=16", "model.hidden=16", "data.pairs=500", "tokenizer.size=300", "training.batch_tokens=256"]
    lines = script("train", "A1", "--updates", "4", "--threads", "1", "--wait", "0", "--set", *small)
    assert [line.split(" | ")[0] for line in lines[1:]] == ["| work", "| ---", "| A1"]
    lines = script("decode", "A1", "--lines", "8", "--batch", "4", "--tokens", "3", "--threads", "1", "--wait", "0", "--set", *small)
    assert lines[-1].startswith("| A1 | 32 | 4 | ")
    assert "pairs/s" in script("data", "--pairs", "3000")[1]


@pytest.mark.slow
def test_startup_is_measured(tiny_run):
    lines = script("startup", tiny_run, "--times", "1", "--wait", "0")
    assert [line.split("  ")[0] for line in lines[1:]] == ["python -c 'import torch'", "seq2seq --help", "first line of seq2seq translate"]
