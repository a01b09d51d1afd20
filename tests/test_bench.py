"""Do the measuring rods measure? Rates and operations worked out on paper; the scripts themselves with little to do."""

import math
import os
import subprocess
import sys
from argparse import Namespace
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
    while sum(os.times()[:4]) - start.own < 0.3:
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


def test_traffic_on_paper():
    """A product reads and writes; a view moves nothing; what is read twice at once is read once."""
    import limit

    a, b = torch.randn(3, 5), torch.randn(5, 7)
    assert limit.traffic(lambda: a @ b) == 4 * (3 * 5 + 5 * 7 + 3 * 7)
    c = torch.randn(2, 3, 5)
    assert limit.traffic(lambda: c @ b) == 4 * (2 * 3 * 5 + 5 * 7 + 2 * 3 * 7)
    assert limit.traffic(lambda: a.t()[1:]) == 0
    assert limit.traffic(lambda: torch.empty(1000)) == 0
    assert limit.traffic(lambda: a + a) == 4 * (15 + 15)
    assert limit.traffic(lambda: a.add_(1)) == 4 * 15
    assert limit.bandwidth(size=1000, seconds=0.01) > 0


def test_every_work_can_be_built():
    import work

    from seq2seq.nn.build import build_meta_model

    for name in work.WORK:
        build_meta_model(work.settings(name).model)


def script(name, *words):
    """What a script prints, on the embedded corpus."""
    environment = {name: value for name, value in os.environ.items() if name != "SEQ2SEQ_DATA"} | {
        "PYTHONPATH": str(BENCH.parents[1])
    }
    command = [sys.executable, BENCH / f"{name}.py", *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.slow
def test_training_and_decoding_are_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2SEQ_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    small = [
        "model.embedding=16",
        "model.hidden=16",
        "data.pairs=500",
        "tokenizer.size=300",
        "training.batch_tokens=256",
    ]
    lines = script("train", "A1", "--updates", "4", "--threads", "1", "--wait", "0", "--set", *small)
    assert [line.split(" | ")[0] for line in lines[1:]] == ["| work", "| ---", "| A1"]
    lines = script(
        "train", "A3", "--updates", "3", "--warm", "1", "--wait", "0", "--set", *small[2:], "training.accumulate=2"
    )
    assert lines[-1].endswith("of 3 |")
    lines = script("parts", "train", "A1", "--top", "3", "--threads", "1", "--wait", "0", "--set", *small)
    assert lines[2].startswith("train A1 32: ")
    assert len(lines) == 9
    lines = script(
        "decode",
        "A1",
        "--lines",
        "8",
        "--batch",
        "4",
        "--tokens",
        "3",
        "--threads",
        "1",
        "--wait",
        "0",
        "--set",
        *small,
    )
    assert lines[-1].startswith("| A1 | 32 | 4 | ")
    assert "pairs/s" in script("data", "--pairs", "3000", "--large", "9000")[1]


@pytest.mark.slow
def test_startup_is_measured(tiny_run):
    lines = script("startup", tiny_run, "--times", "1", "--wait", "0")
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "python -c 'import torch'",
        "seq2seq --help",
        "first line of seq2seq translate",
    ]


PRETENDER = """
import torch
import watch

seen = watch.begin()
if seen.job.job == "train":
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    while True:
        model(torch.ones(1, 2)).sum().backward()
        seen.amount += 7
        optimizer.step()
if seen.job.job == "decode":
    for numbers in watch.batches(seen.job):
        seen.timed(len(numbers), lambda: sum(range(10000)))
"""


@pytest.fixture
def pretender(tmp_path, monkeypatch):
    """A peer that only pretends to train and to translate, in this environment; and the command's options."""
    import peers
    from peer import install

    script = tmp_path / "peer" / "run_pretender.py"
    script.parent.mkdir()
    script.write_text(f"import sys\nsys.path[:0] = [{str(BENCH / 'peer')!r}, {str(BENCH)!r}]\n{PRETENDER}")
    monkeypatch.setattr(peers, "HERE", tmp_path)
    monkeypatch.setattr(peers, "environment", lambda home, peer: Path(sys.executable))
    options = {
        "home": tmp_path,
        "threads": 1,
        "updates": 5,
        "lines": 6,
        "precision": ["32"],
        "rounds": 1,
        "wait": 0,
        "job": "train",
    }
    peer = install.Peer("Pretender 1", "pretender", "", [], train=("A1",), decode=("A1",), makes="pretender")
    monkeypatch.setattr(peers, "PEERS", [peer])
    return peer, Namespace(**options)


def test_a_peer_is_watched(pretender, tmp_path):
    import peers

    peer, options = pretender
    for name in ("test.en", "test.de"):
        (tmp_path / name).write_text("a b\n\nc\na\nb c d\ne\nf\n")
    found = peers.theirs(peer, "A1", "train", tmp_path, options)
    assert found.rate.all == options.updates
    assert found.memory > 10
    (tmp_path / "pretender-A1-1.json").write_text("an older result")
    found = peers.theirs(peer, "A1", "alone", tmp_path, options)
    assert found.rate.all == 3 * (options.lines - 1)  # three times each, but for the one that warms up


@pytest.mark.slow
def test_the_tokens_of_a_peer_are_those_of_the_updates_that_count(pretender, tmp_path):
    import json

    import peers

    peer, options = pretender
    peers.theirs(peer, "A1", "train", tmp_path, options)
    intervals = json.loads((tmp_path / "pretender-A1-1.json").read_text())["intervals"]
    assert [amount for *_, amount in intervals] == [7] * options.updates


def test_a_peer_that_fails_is_named_and_left_out(pretender, tmp_path, capsys):
    import peers

    peer, options = pretender
    (tmp_path / "peer" / "run_pretender.py").write_text("raise SystemExit('no such thing')")
    assert math.isnan(peers.theirs(peer, "A1", "train", tmp_path, options).rate.value)
    options.job = "decode"
    assert not peers.ready(peer, "A1", tmp_path, options)
    said = capsys.readouterr().err
    assert "Pretender 1 does not run A1: no such thing" in said
    assert "Pretender 1 is left out: no such thing" in said


@pytest.mark.slow  # makes an environment
def test_a_peer_that_cannot_be_installed_is_left_out(pretender, tmp_path, monkeypatch, capsys):
    import peers
    from peer import install

    peer, options = pretender
    monkeypatch.setattr(peers, "environment", install.environment)
    site = tmp_path / "base" / "lib" / "python3" / "site-packages"
    site.mkdir(parents=True)
    (tmp_path / "base" / "complete").touch()
    absent = peer._replace(environment="absent", packages=[["--no-index", "there-is-no-such-package"]])
    assert not peers.ready(absent, "A1", tmp_path, options)
    assert "Pretender 1 is left out: " in capsys.readouterr().err


def test_ratios_are_of_the_same_round(pretender, capsys):
    import clock
    import peers

    def found(value):
        return peers.Found(clock.Rate(value, value, value, 4, 5), 100.0)

    options = pretender[1]
    options.rounds = 3
    peers.table(
        "A1", options, {"ours, 32": [found(v) for v in (20, 30, 60)], "Other": [found(v) for v in (10, 20, 20)]}
    )
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| Other")]
    assert rows == [["| Other", "20 [10, 20]", "2.00 [1.50, 3.00]", "100", "12 of 15 |"]]
