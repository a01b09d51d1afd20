"""How fast is training? Tokens a second, memory, and the share of what the machine could do.

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

WARM = 5
EVERY = (
    1 if limit.DEVICE == "cpu" else 10
)  # updates that are timed as one: waiting for a GPU after each would slow it down
HEADER = (
    "| work | precision | target tokens/s | source tokens/s | ms an update | peak MiB | GFLOP/s | share of the limit "
    "| GB/s of operands | share of the limit | quiet intervals |"
)


def main(argv: Sequence[str] | None = None) -> None:
    """One row for each work and precision, each in a process of its own."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("work", nargs="*", default=["A1", "A2", "A3"], choices=[*work.WORK, []], metavar="WORK")
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--warm", type=int, default=WARM, help="updates before any counts")
    parser.add_argument("--precision", nargs="+", default=["32"], choices=list(limit.DTYPE))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="SETTING=VALUE", dest="settings")
    parser.add_argument(
        "--wait", type=float, default=30, help="seconds to wait, at most, until others leave the cores alone"
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
    """Train for so many updates as the command does, and watch."""
    with tempfile.TemporaryDirectory() as folder:
        config = work.settings(
            name, [*more, f"training.max_updates={options.warm + options.updates}", f"runs={folder}"]
        )
        seen = Seen()
        clock.wait_for_quiet(options.wait)
        train(config)
    memory = clock.peak_memory()  # before the operations are counted, which takes more
    targets, sources = (
        [int((getattr(batch, side) != PAD).sum()) for batch in seen.batches] for side in ("target_out", "source")
    )
    pairs = [(start, end) for start, end in itertools.pairwise(seen.marks) if start.updates >= options.warm]
    intervals = [clock.between(start.at, end.at, sum(targets[start.batches : end.batches])) for start, end in pairs]
    seen.module.to(seen.batches[-1].source.device)  # from where Lightning has taken it

    def learn() -> None:
        seen.module.zero_grad()
        kind = limit.DTYPE[config.trainer.precision]
        with torch.autocast(seen.batches[-1].source.device.type, kind, enabled=kind != torch.float32):
            loss = seen.module.losses(seen.batches[-1]).total
        loss.backward()

    return {
        "rate": clock.rate(intervals),
        "source": sum(sources) / sum(targets),
        "seconds": median(
            interval.wall / (end.updates - start.updates)
            for interval, (start, end) in zip(intervals, pairs, strict=True)
        ),
        "memory": memory,
        "operations": limit.operations(learn) / targets[-1],
        "limit": limit.matrix_rate(config.trainer.precision),
        "traffic": limit.traffic(learn) / targets[-1],
        "bandwidth": limit.bandwidth(),
    }


class Mark(NamedTuple):
    """How far it was, and when."""

    updates: int
    batches: int
    at: clock.Mark


class Seen:
    """The moments after each EVERY updates to come in this process, and all batches."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []
        self.updates = 0
        self.batches: list[Any] = []
        self.module: Any = None
        register_optimizer_step_post_hook(lambda *rest: self.mark())
        step = TrainingModule.training_step

        def watched(module: TrainingModule, batch: Any, number: int) -> torch.Tensor:
            self.module = module
            self.batches.append(batch)
            return step(module, batch, number)

        TrainingModule.training_step = watched  # type: ignore[method-assign]

    def mark(self) -> None:
        """An update is over."""
        self.updates += 1
        if self.updates % EVERY == 0:
            limit.wait()
            self.marks.append(Mark(self.updates, len(self.batches), clock.mark()))


def row(name: str, precision: str, found: dict[str, Any]) -> str:
    """A row of the table."""
    rate = found["rate"]
    speed, moved = (rate.value * found[each] for each in ("operations", "traffic"))
    tokens = f"{rate.value:,.0f} [{rate.low:,.0f}, {rate.high:,.0f}] | {rate.value * found['source']:,.0f}"
    return (
        f"| {name} | {precision} | {tokens} | {1000 * found['seconds']:.0f} | {found['memory']:,.0f} | {speed / 1e9:.0f} "
        f"| {speed / found['limit']:.0%} of {found['limit'] / 1e9:.0f} "
        f"| {moved / 1e9:.0f} | {moved / found['bandwidth']:.0%} of {found['bandwidth'] / 1e9:.0f} | {rate.quiet} of {rate.all} |"
    )


if __name__ == "__main__":
    main()
