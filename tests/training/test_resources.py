"""Does a run say which batches it has seen, and what it took?"""

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
from seq2seq.training.resume import resume

TRANSFORMER = ("model=transformer", "model.size=8", "model.heads=2", "model.feedforward=16", "model.encoder_layers=1")


def checksums(run: Path) -> list[tuple[str, str]]:
    return [(row["update"], row["batches"]) for row in read_metrics(run / "metrics.csv") if row["loss"]]


def test_variants_see_the_same_batches_and_seeds_do_not(tiny_run: Path, trained: Callable[..., Path]) -> None:
    found = checksums(tiny_run)
    assert [update for update, _ in found] == ["2", "4", "6"]
    assert len({checksum for _, checksum in found}) == 3
    for settings in (
        TRANSFORMER,
        ("model/attention=local_p", "model.cell=gru", "model.dropout=0.5", "training.learning_rate=0.1"),
    ):
        assert checksums(trained(*settings)) == found
    assert not set(checksums(trained("seed=2"))) & set(found)


def test_a_finished_run_says_what_it_took(tiny_run: Path) -> None:
    info = Run.open(tiny_run).info
    assert info["parameters"] == sum(p.numel() for p in Run.open(tiny_run).model().parameters())
    assert info["target_tokens"] == int(read_metrics(tiny_run / "metrics.csv")[-2]["target_tokens"])
    assert info["batches"] == checksums(tiny_run)[-1][1]
    assert 50 < info["peak_memory"] < 50_000
    assert ("peak_gpu_memory" in info) == torch.cuda.is_initialized()


def test_tokens_after_the_last_row_count(trained: Callable[..., Path]) -> None:
    often, seldom = (Run.open(trained("training.max_updates=5", f"trainer.log_every={every}")) for every in (1, 3))
    assert often.info["target_tokens"] == seldom.info["target_tokens"]
    assert often.info["batches"] == seldom.info["batches"] == checksums(often.folder)[-1][1]


def test_an_old_run_without_them_goes_on(run_copy: Path) -> None:
    """As written by a version that knew nothing of checksums."""
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


def test_a_resumed_run_has_seen_what_an_uninterrupted_one_has(run_copy: Path, trained: Callable[..., Path]) -> None:
    resume(compose_config([f"resume={run_copy}", "training.max_updates=10"]))
    assert checksums(run_copy) == checksums(trained("training.max_updates=10"))


FORGETTING = """
import torch
from seq2seq.training.resources import forget_peaks, peaks
forget_peaks()
block = torch.ones(200 * 2**20 // 4)
high = peaks()["peak_memory"]
del block
forget_peaks()
print(high - peaks()["peak_memory"])
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets")
def test_memory_of_another_run_of_the_process_is_forgotten() -> None:
    """In a process of its own: where others have run, the allocator may have been told to keep what is freed."""
    done = subprocess.run([sys.executable, "-c", FORGETTING], check=True, capture_output=True, text=True)
    assert float(done.stdout) > 150
