"""What a run records of its resources: parameters, time, memory, tokens, and the checksum of its batches."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import Run
from seq2seq.runs.metrics import read_metrics
from seq2seq.runs.weights import load_model
from seq2seq.training.resources import Clock
from seq2seq.training.resume import resume

TRANSFORMER = ("model=transformer", "model.size=8", "model.heads=2", "model.feedforward=16", "model.encoder_layers=1")


def checksums(run: Path) -> list[tuple[str, str]]:
    return [(row["update"], row["batches"]) for row in read_metrics(run / "metrics.csv") if row["loss"]]


def test_batches_depend_on_the_seed_but_not_on_the_variant(tiny_run: Path, trained: Callable[..., Path]) -> None:
    found = checksums(tiny_run)
    assert [update for update, _ in found] == ["2", "4", "6"]
    assert len({checksum for _, checksum in found}) == 3
    for settings in (
        TRANSFORMER,
        ("model/attention=local_p", "model.cell=gru", "model.dropout=0.5", "training.learning_rate=0.1"),
    ):
        assert checksums(trained(*settings)) == found
    assert not set(checksums(trained("seed=2"))) & set(found)


def test_finished_run_records_its_resources(tiny_run: Path) -> None:
    info = Run.open(tiny_run).info
    assert info["parameters"] == sum(p.numel() for p in load_model(Run.open(tiny_run)).parameters())
    assert info["target_tokens"] == int(read_metrics(tiny_run / "metrics.csv")[-2]["target_tokens"])
    assert info["batches"] == checksums(tiny_run)[-1][1]
    assert 50 < info["peak_memory"] < 50_000
    assert ("peak_gpu_memory" in info) == torch.cuda.is_initialized()


def test_tokens_after_the_last_row_are_counted(trained: Callable[..., Path]) -> None:
    often, seldom = (Run.open(trained("training.max_updates=5", f"trainer.log_every={every}")) for every in (1, 3))
    assert often.info["target_tokens"] == seldom.info["target_tokens"]
    assert often.info["batches"] == seldom.info["batches"] == checksums(often.folder)[-1][1]


def test_run_of_a_version_without_these_figures_can_be_resumed(run_copy: Path) -> None:
    """As written by a version without checksums."""
    path, table = run_copy / "checkpoints" / "last.ckpt", run_copy / "metrics.csv"
    new = ("parameters", "target_tokens", "batches", "peak_memory")
    state = torch.load(path, weights_only=True)
    del state["loops"]["fit_loop"]["state_dict"]["combined_loader"][0]["checksum"]
    torch.save(state, path)
    (run_copy / "run.json").write_text(
        json.dumps({name: value for name, value in Run.open(run_copy).info.items() if name not in new})
    )
    lines = [line.split(",") for line in table.read_text().splitlines()]
    place = lines[0].index("batches")
    table.write_text("".join(",".join([*line[:place], *line[place + 1 :]]) + "\n" for line in lines))
    resume(compose_config([f"resume={run_copy}", "training.max_updates=8"]))
    assert checksums(run_copy) == [("2", ""), ("4", ""), ("6", ""), ("8", "")]
    assert Run.open(run_copy).info.keys() >= set(new)


def test_resumed_run_has_the_batches_of_an_uninterrupted_one(run_copy: Path, trained: Callable[..., Path]) -> None:
    resume(compose_config([f"resume={run_copy}", "training.max_updates=10"]))
    assert checksums(run_copy) == checksums(trained("training.max_updates=10"))


RESET = """
import torch
from seq2seq.training.resources import peak_memory, reset_peak_memory
reset_peak_memory()
block = torch.ones(200 * 2**20 // 4)
high = peak_memory()["peak_memory"]
del block
reset_peak_memory()
print(high - peak_memory()["peak_memory"])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux can reset it")
def test_peak_memory_of_an_earlier_run_of_the_process_is_reset() -> None:
    """In a new process: after other tests the allocator may be set to keep freed memory."""
    done = subprocess.run([sys.executable, "-c", RESET], check=True, capture_output=True, text=True)
    assert float(done.stdout) > 150


def test_clock_stands_still_outside_training() -> None:
    clock = Clock()
    with clock.paused():
        assert not clock.running
    assert not clock.running
    clock.start()
    with clock.paused():
        before = clock.read()
        assert clock.read() == before
    assert clock.running
