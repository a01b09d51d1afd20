"""Benchmark of training: tokens per second, peak memory, and shares of the peak FLOP/s and bandwidth of the machine.

python scripts/bench/train.py [A1 A2 A3 ...] [--updates N] [--precision 32 bf16] [--threads N] [--set SETTING=VALUE ...]
On a GPU: --warm 1000 --set training.batch_tokens=32768 training.pad_to_multiple_of=8 trainer.graphs=true
"""

import argparse
import itertools
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from typing import Any, NamedTuple

import clock
import limit
import torch
import work
from torch.optim.optimizer import register_optimizer_step_post_hook

from seq2seq.ids import PAD
from seq2seq.training.module import TrainingModule
from seq2seq.training.run import train

WARM = 5  # updates before the measurement
EVERY = 1 if limit.DEVICE == "cpu" else 10  # updates per interval; synchronizing a GPU after each would slow it down
HEADER = (
    "| work | precision | target tokens/s | source tokens/s | ms an update | peak MiB | GFLOP/s | share of the limit "
    "| GB/s of operands | share of the limit | quiet intervals |"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Print a row for each workload and precision, each measured in a process of its own."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("work", nargs="*", default=["A1", "A2", "A3"], choices=[*work.WORKLOADS, []], metavar="WORK")
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--warm", type=int, default=WARM, help="updates before the measurement")
    parser.add_argument("--precision", nargs="+", default=["32"], choices=list(limit.DTYPES))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="SETTING=VALUE", dest="settings")
    parser.add_argument(
        "--wait",
        type=float,
        default=30,
        help="wait at most so many seconds for other processes to leave the cores alone",
    )
    options = parser.parse_args(argv)
    print(limit.machine(), *options.settings, sep="; ")
    print(HEADER + "\n|" + " --- |" * HEADER.count(" |"))
    for name in options.work:
        for precision in options.precision:
            more = [*options.settings, f"trainer.precision={precision}", f"trainer.threads={options.threads}"]
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                print(row(name, precision, pool.submit(measure, name, more, options).result()), flush=True)


def measure(name: str, more: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Train as the command does, and measure the updates after the warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        config = work.settings(
            name, [*more, f"training.max_updates={options.warm + options.updates}", f"runs={folder}"]
        )
        probe = Probe()
        clock.wait_for_quiet(options.wait)
        train(config)
    memory = clock.peak_memory()  # before counting operations, which takes more memory
    targets, sources = (
        [int((getattr(batch, side) != PAD).sum()) for batch in probe.batches] for side in ("target_out", "source")
    )
    pairs = [(start, end) for start, end in itertools.pairwise(probe.marks) if start.updates >= options.warm]
    intervals = [clock.between(start.time, end.time, sum(targets[start.batches : end.batches])) for start, end in pairs]
    probe.module.to(probe.batches[-1].source.device)  # Lightning moves it to the CPU at the end

    def forward_and_backward() -> None:
        probe.module.zero_grad()
        dtype = limit.DTYPES[config.trainer.precision]
        with torch.autocast(probe.batches[-1].source.device.type, dtype, enabled=dtype != torch.float32):
            loss = probe.module.losses(probe.batches[-1]).total
        loss.backward()

    return {
        "rate": clock.rate(intervals),
        "source": sum(sources) / sum(targets),
        "seconds": median(
            interval.wall / (end.updates - start.updates)
            for interval, (start, end) in zip(intervals, pairs, strict=True)
        ),
        "memory": memory,
        "operations": limit.operations(forward_and_backward) / targets[-1],
        "limit": limit.matrix_rate(config.trainer.precision),
        "traffic": limit.traffic(forward_and_backward) / targets[-1],
        "bandwidth": limit.bandwidth(),
    }


class Progress(NamedTuple):
    """How far training is at a moment."""

    updates: int
    batches: int
    time: clock.Timestamp


class Probe:
    """Records training in this process from now on: progress after each EVERY updates, the module, all batches."""

    def __init__(self) -> None:
        self.marks: list[Progress] = []
        self.updates = 0
        self.batches: list[Any] = []
        self.module: Any = None
        register_optimizer_step_post_hook(lambda *rest: self.after_update())
        step = TrainingModule.training_step

        def recorded_step(module: TrainingModule, batch: Any, number: int) -> torch.Tensor:
            self.module = module
            self.batches.append(batch)
            return step(module, batch, number)

        TrainingModule.training_step = recorded_step  # type: ignore[method-assign]

    def after_update(self) -> None:
        """Called after each update."""
        self.updates += 1
        if self.updates % EVERY == 0:
            limit.synchronize()
            self.marks.append(Progress(self.updates, len(self.batches), clock.now()))


def row(name: str, precision: str, result: dict[str, Any]) -> str:
    """A row of the table."""
    rate = result["rate"]
    speed, moved = (rate.value * result[key] for key in ("operations", "traffic"))
    tokens = f"{rate.value:,.0f} [{rate.low:,.0f}, {rate.high:,.0f}] | {rate.value * result['source']:,.0f}"
    return (
        f"| {name} | {precision} | {tokens} | {1000 * result['seconds']:.0f} | {result['memory']:,.0f} "
        f"| {speed / 1e9:.0f} | {speed / result['limit']:.0%} of {result['limit'] / 1e9:.0f} "
        f"| {moved / 1e9:.0f} | {moved / result['bandwidth']:.0%} of {result['bandwidth'] / 1e9:.0f} "
        f"| {rate.quiet} of {rate.all} |"
    )


if __name__ == "__main__":
    main()
