"""What a run records of its resources: parameters, time, memory, tokens, and the checksum of its batches."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seq2seq.config import Config
from seq2seq.data.prepare import prepare
from seq2seq.runs.directory import Run
from seq2seq.runs.metrics import read_metrics
from seq2seq.runs.weights import load_model
from seq2seq.training.fit import make_batches
from seq2seq.training.resources import Clock
from seq2seq.training.resume import resume
from seq2seq.training.run import make_model
from tests.settings import to_resume

TRANSFORMER = ("model=transformer", "model.size=8", "model.heads=2", "model.feedforward=16", "model.encoder_layers=1")


def checksums(run: Path) -> list[tuple[str, str]]:
    return [(row["update"], row["batches"]) for row in read_metrics(run / "metrics.csv") if row["loss"]]


def test_batches_depend_on_the_seed_but_not_on_the_variant(
    tiny_run: Path, small_config: Callable[..., Config], tmp_path: Path
) -> None:
    def of(*settings: str) -> list[tuple[str, str]]:
        """What a training with these settings would have in metrics.csv."""
        config = small_config(tmp_path, *settings)
        prepared = prepare(config.data, config.tokenizer)
        batches = make_batches(config, prepared, make_model(config, prepared, None))
        found = [(str(update), batches.checksum) for update, _ in enumerate(batches, 1)]
        return found[1:6:2]

    found = checksums(tiny_run)
    assert [update for update, _ in found] == ["2", "4", "6"]
    assert len({checksum for _, checksum in found}) == 3
    assert of() == of(*TRANSFORMER) == found
    assert of("model/attention=local_p", "model.cell=gru", "model.dropout=0.5", "training.learning_rate=0.1") == found
    assert not set(of("seed=2")) & set(found)


def test_finished_run_records_its_resources(tiny_run: Path) -> None:
    info = Run.open(tiny_run).info
    assert info["parameters"] == sum(p.numel() for p in load_model(Run.open(tiny_run)).parameters())
    assert info["target_tokens"] == int(read_metrics(tiny_run / "metrics.csv")[-2]["target_tokens"])
    assert info["batches"] == checksums(tiny_run)[-1][1]
    assert 50 < info["peak_memory"] < 50_000
    assert ("peak_gpu_memory" in info) == torch.cuda.is_initialized()


def test_tokens_after_the_last_row_are_counted(tiny_run: Path, trained: Callable[..., Path]) -> None:
    often, seldom = Run.open(tiny_run), Run.open(trained("trainer.log_every=4"))
    assert often.info["target_tokens"] == seldom.info["target_tokens"]
    assert often.info["batches"] == seldom.info["batches"] == checksums(often.folder)[-1][1]


def test_run_of_a_version_without_these_figures_can_be_resumed(run_copy: Path) -> None:
    """As written by a version without checksums."""
    path, table = run_copy / "checkpoints" / "last.ckpt", run_copy / "metrics.csv"
    new = ("parameters", "target_tokens", "batches", "peak_memory", "sha256")
    state = torch.load(path, weights_only=True)
    del state["loops"]["fit_loop"]["state_dict"]["combined_loader"][0]["checksum"]
    torch.save(state, path)
    (run_copy / "run.json").write_text(
        json.dumps({name: value for name, value in Run.open(run_copy).info.items() if name not in new})
    )
    lines = [line.split(",") for line in table.read_text().splitlines()]
    place = lines[0].index("batches")
    table.write_text("".join(",".join([*line[:place], *line[place + 1 :]]) + "\n" for line in lines))
    resume(to_resume(run_copy, "training.max_updates=8"))
    assert checksums(run_copy) == [("2", ""), ("4", ""), ("6", ""), ("8", "")]
    assert Run.open(run_copy).info.keys() >= set(new)


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
