"""The benchmark scripts: rates, FLOPs and traffic equal those computed by hand; each script runs on small inputs."""

import itertools
import json
import math
import os
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).resolve().parents[1] / "scripts" / "bench"


@pytest.fixture(autouse=True)
def bench_path(monkeypatch):
    """Modules of scripts/bench can be imported, as in the scripts themselves."""
    monkeypatch.syspath_prepend(str(BENCH))


def test_rate_uses_quiet_intervals_only():
    import clock

    quiet = [clock.Interval(wall, wall, 0.0, 10) for wall in (1.0, 2.0, 2.0, 5.0)]
    disturbed = [clock.Interval(100.0, 1.0, 0.9, 10)]
    assert clock.rate(quiet + disturbed) == clock.Rate(value=4.0, low=5.0, high=5.0, quiet=4, all=5)
    assert clock.rate(quiet[:3] + disturbed).value == pytest.approx(40 / 105)  # fewer than four are quiet: all are used
    assert clock.rate(quiet[:3] + disturbed).quiet == 3


def test_foreign_load_is_that_of_other_processes():
    import clock

    interval = clock.between(clock.Timestamp(10.0, 3.0, 50.0), clock.Timestamp(12.0, 4.0, 54.0), 7)
    assert interval == clock.Interval(wall=2.0, own=1.0, foreign=1.5, amount=7)


def test_cpu_time_of_this_process_is_measured():
    import clock

    start = clock.now()
    while sum(os.times()[:4]) - start.own < 0.1:
        sum(range(10000))
    assert clock.between(start, clock.now(), 1).own >= 0.1


def test_operations_equal_those_counted_by_hand():
    import limit

    linear, x = torch.nn.Linear(5, 7), torch.randn(3, 5, requires_grad=True)
    forward = 2 * 3 * 5 * 7
    assert limit.operations(lambda: linear(x)) == forward
    assert (
        limit.operations(lambda: linear(x).sum().backward()) == 3 * forward
    )  # two more products for the gradients of input and weight
    lstm, steps = torch.nn.LSTM(5, 6, batch_first=True), 4
    assert limit.operations(lambda: lstm(torch.randn(3, steps, 5))) == steps * 2 * 3 * (5 + 6) * 24
    assert limit.matrix_rate("32", size=64, seconds=0.01) > 0


def test_traffic_equals_that_counted_by_hand():
    """A view moves nothing; a tensor that is two arguments of an operation is read once."""
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


@pytest.mark.slow
def test_every_workload_can_be_built():
    import work

    from seq2seq.nn.build import build_meta_model

    for name in work.WORKLOADS:
        build_meta_model(work.settings(name).model)


def test_terms_are_counted_as_whole_words_and_as_often_as_required(tmp_path, random_run, lines, capsys):
    import terms

    assert terms.drawn("Der Mann mit Hut, Max7 oder Mütze.", 9, 1) in (["Mann", "Mütze"], ["Mütze", "Mann"])
    assert len(terms.drawn("Der Mann mit einer Mütze.", 1, 1)) == 1
    assert terms.share(["Hund Hunde Katze", ""], [["Hund", "Hund", "Katze"], ["Hund"]]) == 0.5
    source, reference = tmp_path / "in", tmp_path / "ref"
    source.write_text("".join(f"{line}\n" for line in lines[:4]))
    reference.write_text("Der Mann sieht Hunde\n" * 4)
    terms.main([*map(str, (random_run(), source, reference)), "--beam", "2", "--terms", "1", "2"])
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [(row[0], row[1], row[3]) for row in rows] == [("2", "4", "100.0 %"), ("2", "8", "100.0 %")]


def script(name, *words):
    """The lines that a script prints, on the embedded corpus."""
    environment = {name: value for name, value in os.environ.items() if name != "SEQ2SEQ_DATA"} | {
        "PYTHONPATH": str(BENCH.parents[1])
    }
    command = [sys.executable, BENCH / f"{name}.py", *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.slow
def test_training_and_decoding_benchmarks_run(tmp_path, monkeypatch):
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
def test_gpu_benchmark_measures_without_a_gpu(tmp_path, monkeypatch):
    """A training, a translation and what needs a GPU, in this process."""
    import gpu

    wanted = [gpu.Cell("train", "A3", "32", 0, False), gpu.Cell("decode", "A3", "int8", 2, False)]
    wanted.append(gpu.Cell("train", "A3", "32", 0, True))
    monkeypatch.setattr(gpu, "cells", lambda name, plan: list(wanted))
    monkeypatch.setattr(gpu, "RECORDS", False)
    plan = gpu.make_plan(tmp_path, Namespace(work=["A3"], dry_run=True, beam=2))
    found = {}
    gpu.measure("A3", plan, time.time() + 1000, found.__setitem__)
    assert list(found) == wanted
    training, decoding, graphs = found.values()
    assert training["updates"] == plan.repeats == len(training["tokens"]) == len(decoding["tokens"])
    operations = training["operations_per_token"] / training["matrix_rate"]
    assert training["share"] == pytest.approx([rate * operations for rate in training["tokens"]])
    assert decoding["tokens"] == pytest.approx([rate * plan.texts["A"].mean for rate in decoding["sentences"]])
    assert graphs == {"note": "needs a GPU"}
    rows = [{**cell._asdict(), **result} for cell, result in found.items()]
    report = {"machine": gpu.machine(), "plan": gpu.describe(plan, 1.0), "rows": rows}
    lines = [line for line in gpu.tables(json.loads(json.dumps(report))).splitlines() if line.startswith("| A3")]
    assert [line.count(" | ") for line in lines] == [9, 9, 8]
    assert lines[1] == "| A3 | 32 | yes | – | – | – | – | – | – | needs a GPU |"


def test_gpu_benchmark_ends_in_time(tmp_path, monkeypatch):
    """Rows for which there is no time are not begun; a process that is late is ended, and its rows say why."""
    import gpu

    plan = gpu.make_plan(tmp_path, Namespace(work=["A3"], dry_run=True, beam=2))
    found = {}
    gpu.measure("A3", plan, time.time(), found.__setitem__)
    assert {result["note"] for result in found.values()} == {gpu.OUT_OF_TIME, "needs a GPU"}
    monkeypatch.setattr(gpu, "GRACE", 0.0)
    rows = dict(gpu.measured_apart("A3", plan, time.time() - 1))
    assert rows == {cell: {"note": gpu.OUT_OF_TIME} for cell in gpu.cells("A3", plan)}


@pytest.mark.parametrize(("every", "marks"), [(1.0, [8.0, 10.0, 12.0, 14.0, 16.0, 18.0]), (7.0, [21.0, 28.0])])
def test_intervals_of_a_training_end_in_time(every, marks, monkeypatch):
    """The warm-up is two fifths of the time and three updates, the rest five intervals; slow updates make fewer."""
    import gpu
    import updates

    clock = Namespace(now=0.0)
    monkeypatch.setattr(gpu.time, "time", lambda: clock.now)
    loader = Namespace(batches=Namespace(wait_seconds=0.0))
    batch = Namespace(source=torch.ones(2, 3, dtype=torch.long))
    module = Namespace(
        update=Namespace(batches=[batch], tokens=torch.tensor(5)),
        training_losses=None,
        trainer=Namespace(datamodule=loader),
    )
    plan = gpu.Plan({}, Path(), 1, 1, (1,), warm=3, repeats=5)
    watch = gpu.Watch(18.0, plan)
    with pytest.raises(updates.MeasuredError):  # noqa: PT012
        while True:
            clock.now += every
            watch.after_update(module)
    assert [mark["time"] for mark in watch.marks] == pytest.approx(marks)
    assert all(mark["targets"] == 5 * every_count(before, mark) for before, mark in itertools.pairwise(watch.marks))


def every_count(before, after):
    """The updates between two marks."""
    return after["updates"] - before["updates"]


@pytest.mark.slow
def test_gpu_benchmark_dry_run(tmp_path):
    lines = script("gpu", "A1", "B-rnn", "--dry-run", "--json", str(tmp_path / "gpu.json"))
    assert lines[0].startswith("**A dry run**")
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert len([line for line in lines if line.startswith(("| A1 |", "| B-rnn |"))]) == len(rows) == 2 * 16
    assert {row["note"] for row in rows if not row["graphs"]} == {""}


def test_exchange_of_gradients_equals_that_computed_by_hand():
    """Ten million gradients in one bucket, and as many again as a bucket holds in two."""
    import ranks as bench

    network = bench.Network(8, "", bandwidth=100e9, hop=1e-6)
    parts = bench.exchange(10_000_000, network)
    assert parts.ring == pytest.approx(2 * 7 / 8 * 40e6 / (bench.LINE_SHARE * 100e9) + 14e-6)
    assert parts.copies == pytest.approx(160e6 / bench.MEMORY)
    assert parts.host == pytest.approx(bench.HOST_CALLS * 14 * bench.HOST_HOP)
    bucket = bench.ranks.BUCKET
    one, two = (bench.exchange(count, network).ring / count for count in (bucket, 2 * bucket))
    assert one == pytest.approx(two)
    assert bench.exchange(bucket + 1, network).ring - bench.exchange(bucket, network).ring > 13e-6


def test_collectives_of_an_update_are_timed(monkeypatch):
    """Those of the warm-up do not count; a process alone exchanges nothing."""
    import ranks as bench
    import updates

    clock = Namespace(now=0.0)

    def passes(seconds):
        clock.now += seconds

    monkeypatch.setattr(bench.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(bench.time, "process_time", lambda: clock.now / 2)
    monkeypatch.setattr(bench.dist, "barrier", lambda: passes(1))
    monkeypatch.setattr(bench.ranks, "greatest", lambda value: passes(value))
    monkeypatch.setattr(bench.ranks, "world_size", lambda: 2)
    before = bench.ranks.greatest
    with bench.Timed(1, 2) as watch, pytest.raises(updates.MeasuredError):  # noqa: PT012
        for wanted in (50, 40, 3, 4):
            clock.now += 10
            bench.ranks.greatest(wanted)
            watch.after_update(None)
    assert bench.ranks.greatest is before
    parts = {"calls": 2, "cpu": 14.5, "greatest": 7.0, "greatest calls": 2, "greatest cpu": 3.5, "waiting": 2.0}
    assert watch.found() == {"seconds": 14.5, "cpu": 7.25, "total": 29.0, "parts": parts, "updates": 2}
    assert bench.share([watch.found(), {"parts": {}, "total": 1.0}], "waiting") == pytest.approx(1 / 29)


@pytest.mark.slow
def test_benchmark_of_several_processes_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    small = ["--wait", "0", "--updates", "2", "--warm", "1", "--set", "model.embedding=8", "model.hidden=8"]
    assert script("ranks", "group", "toy", *small)[-1].startswith("| toy | ")
    lines = script("ranks", "train", "toy", "--rounds", "1", *small)
    rows = [line.split(" | ") for line in lines if line.startswith("| toy")]
    assert [row[1] for row in rows[:3]] == ["1 process, 1 thread", "1 process, 2 threads", "2 processes, 1 thread each"]
    assert rows[3][-2] == "3.0"  # collectives: the gradients, and two numbers
    lines = script("ranks", "evaluate", "--rounds", "1", "--lines", "6", "--trained", "1", "--wait", "0")
    assert [line.split(" | ")[0] for line in lines[-4:-1]] == [f"| {row[1]}" for row in rows[:3]]
    assert len(script("ranks", "estimate")) == 2 + 3 * 3


@pytest.mark.slow
def test_startup_benchmark_runs(tiny_run):
    lines = script("startup", tiny_run, "--times", "1", "--wait", "0")
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "python -c 'import torch'",
        "seq2seq --help",
        "first line of seq2seq translate",
    ]


@pytest.mark.slow
def test_threads_benchmark_runs(tiny_run):
    lines = script("threads", tiny_run, "--sentences", "1", "2", "--rounds", "2", "--tokens", "3")
    assert [line.split(" | ")[1] for line in lines[1:]] == ["sentences", "---", "1", "2"]


@pytest.mark.slow
def test_formats_are_tabled(random_run):
    """Every format of ours; those of other libraries have rows, whether they are installed or not."""
    run = random_run(
        "model=transformer", "model.size=16", "model.heads=2", "model.feedforward=16", "model.encoder_layers=1",
        "model.decoder_layers=1",
    )  # fmt: skip
    lines = script("formats", "test", str(run), "--lines", "4", "--formats", "onnx", "pt2", "weights", "huggingface")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:-2]]
    assert [row[1:3] for row in rows[:6]] == [
        ["checkpoint", "float32"], ["onnx", "float32"], ["onnx", "int8"], ["onnx", "float16"],
        ["pt2", "float32"], ["weights", "float32"],
    ]  # fmt: skip
    for row in rows[:6]:
        if row[2] == "float32":
            assert row[-1] == "4 of 4", row
    assert {row[1] for row in rows[6:]} == {"huggingface"}


FAKE_PEER = """
import torch
import watch

probe = watch.begin()
if probe.job.job == "train":
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    while True:
        model(torch.ones(1, 2)).sum().backward()
        probe.amount += 7
        optimizer.step()
if probe.job.job == "decode":
    for numbers in watch.batches(probe.job):
        probe.timed(len(numbers), lambda: sum(range(10000)))
"""


@pytest.fixture
def fake_peer(tmp_path, monkeypatch):
    """A peer that only pretends to train and to translate, in the environment of the tests; and options of peers.py."""
    import peers
    from peer import install

    script = tmp_path / "peer" / "run_pretender.py"
    script.parent.mkdir()
    script.write_text(f"import sys\nsys.path[:0] = [{str(BENCH / 'peer')!r}, {str(BENCH)!r}]\n{FAKE_PEER}")
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


@pytest.mark.slow
def test_peer_is_measured(fake_peer, tmp_path):
    import peers

    peer, options = fake_peer
    for name in ("test.en", "test.de"):
        (tmp_path / name).write_text("a b\n\nc\na\nb c d\ne\nf\n")
    result = peers.measure_peer(peer, "A1", "train", tmp_path, options)
    assert result.rate.all == options.updates
    assert result.memory > 10
    (tmp_path / "pretender-A1-1.json").write_text("an older result")
    result = peers.measure_peer(peer, "A1", "alone", tmp_path, options)
    assert result.rate.all == 3 * (options.lines - 1)  # three times each, without the line that warms up


@pytest.mark.slow
def test_tokens_of_a_peer_are_those_of_the_measured_updates(fake_peer, tmp_path):
    import json

    import peers

    peer, options = fake_peer
    peers.measure_peer(peer, "A1", "train", tmp_path, options)
    intervals = json.loads((tmp_path / "pretender-A1-1.json").read_text())["intervals"]
    assert [amount for *_, amount in intervals] == [7] * options.updates


def test_failing_peer_is_reported_and_left_out(fake_peer, tmp_path, capsys):
    import peers

    peer, options = fake_peer
    (tmp_path / "peer" / "run_pretender.py").write_text("raise SystemExit('no such thing')")
    assert math.isnan(peers.measure_peer(peer, "A1", "train", tmp_path, options).rate.value)
    options.job = "decode"
    assert not peers.prepare_peer(peer, "A1", tmp_path, options)
    printed = capsys.readouterr().err
    assert "Pretender 1 does not run A1: no such thing" in printed
    assert "Pretender 1 is left out: no such thing" in printed


@pytest.mark.slow  # creates an environment
def test_peer_that_cannot_be_installed_is_left_out(fake_peer, tmp_path, monkeypatch, capsys):
    import peers
    from peer import install

    peer, options = fake_peer
    monkeypatch.setattr(peers, "environment", install.environment)
    site = tmp_path / "base" / "lib" / "python3" / "site-packages"
    site.mkdir(parents=True)
    (tmp_path / "base" / "complete").touch()
    absent = peer._replace(environment="absent", packages=[["--no-index", "there-is-no-such-package"]])
    assert not peers.prepare_peer(absent, "A1", tmp_path, options)
    assert "Pretender 1 is left out: " in capsys.readouterr().err


def test_ratios_are_taken_within_a_round(fake_peer, capsys):
    import clock
    import peers

    def measurement(value):
        return peers.Measurement(clock.Rate(value, value, value, 4, 5), 100.0)

    options = fake_peer[1]
    options.rounds = 3
    rates = {"ours, 32": (20, 30, 60), "Other": (10, 20, 20)}
    peers.print_table("A1", options, {who: [measurement(v) for v in values] for who, values in rates.items()})
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| Other")]
    assert rows == [["| Other", "20 [10, 20]", "2.00 [1.50, 3.00]", "100", "12 of 15 |"]]


def test_table_has_the_fastest_first_and_failures_last(fake_peer, capsys):
    import clock
    import peers

    def measurement(value):
        return peers.Measurement(clock.Rate(value, value, value, 4, 5), 100.0)

    rates = {"ours, 32": 20, "Broken": math.nan, "Fast": 30, "Slow": 10}
    peers.print_table("A1", fake_peer[1], {who: [measurement(value)] for who, value in rates.items()})
    rows = [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines() if "100" in line]
    assert rows == ["| Fast", "| ours, 32", "| Slow", "| Broken"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("metric", ["mean", "log"])
@pytest.mark.parametrize("sentences", [60, 300])
@pytest.mark.parametrize("runs", [(2, 2), (3, 3), (4, 4), (5, 5), (2, 5)])
def test_seeds_make_false_alarms_in_at_most_5_percent(runs, sentences, metric):
    """Of 200 comparisons with a large spread over seeds; sentences alone make them in most."""
    import numpy as np
    import seed_tests

    options = {"runs": runs, "sentences": sentences, "metric": metric, "spread": 10.0}
    found = seed_tests.rates(np.random.default_rng(3), 200, **options)
    assert found["compare"] <= 0.05
    assert found["sentences"] > 0.5
    if runs[0] > 2:
        options["spread"] = 1.0
        assert seed_tests.rates(np.random.default_rng(4), 50, **options, effect=20.0)["compare"] > 0.5
