"""Profile of torch operations in a training update, in translating a batch, or in translating single sentences.

python scripts/bench/parts.py train|decode|alone [A1 A2 A3 ...] [--precision 32 bf16] [--top N] [--threads N]
    [--set SETTING=VALUE ...]
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import clock
import decode
import limit
import torch
import work as workloads
from torch.profiler import ProfilerActivity, profile

from seq2seq.data.batching import TrainBatches
from seq2seq.data.prepare import prepare
from seq2seq.nn.build import build_model
from seq2seq.runtime.cpu import available_cores
from seq2seq.training.loss import LossOptions
from seq2seq.training.module import TrainingModule

TIMES = 3  # repetitions to warm up, to measure the time, and to profile
SENTENCES = 10  # translated one at a time


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table for each workload and precision."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("job", choices=["train", "decode", "alone"])
    parser.add_argument(
        "work", nargs="*", default=["A1", "A3"], metavar="WORK", help=f"of {', '.join(workloads.WORKLOADS)}"
    )
    parser.add_argument("--precision", nargs="+", default=["32"], choices=["32", "bf16", "int8"])
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="SETTING=VALUE", dest="settings")
    parser.add_argument(
        "--wait",
        type=float,
        default=30,
        help="wait at most so many seconds for other processes to leave the cores alone",
    )
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads or available_cores())
    print(limit.machine())
    for name in options.work:
        for precision in options.precision:
            print_profile(f"{options.job} {name} {precision}", make_job(name, precision, options), options)


def make_job(name: str, precision: str, options: argparse.Namespace) -> Callable[[], object]:
    """The function to profile."""
    if options.job == "train":
        return make_update(name, precision, options.settings)
    more = {"beam": 5, "batch": 64, "tokens": 16, "lines": 64, "shortlist": 0, "graphs": False}
    translator, lines = decode.untrained(name, precision, argparse.Namespace(**vars(options), **more))
    if options.job == "decode":
        return lambda: translator.translate(lines)
    return lambda: [translator.translate([line]) for line in lines[:SENTENCES]]


def make_update(name: str, precision: str, settings: Sequence[str]) -> Callable[[], None]:
    """A function that makes one training update, always from the same batch."""
    config = workloads.settings(name, settings)
    prepared = prepare(config.data, config.tokenizer)
    torch.manual_seed(1)
    model = build_model(config.model, prepared.vocabularies.source.size, prepared.vocabularies.target.size).to(
        limit.DEVICE
    )
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    module = TrainingModule(
        model, lambda m: optimizer, lambda update: 1.0, LossOptions(config.training.label_smoothing)
    )
    first: Any = next(iter(TrainBatches(prepared.train, config.training.batch_tokens, 1)))
    batch = type(first)(*(part.to(limit.DEVICE) if isinstance(part, torch.Tensor) else part for part in first))

    def update() -> None:
        with torch.autocast(limit.DEVICE, limit.DTYPES[precision], enabled=precision != "32"):
            loss = module.losses(batch).total
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return update


def print_profile(title: str, work: Callable[[], object], options: argparse.Namespace) -> None:
    """Print the operations by the time that they take, without that of operations called by them."""
    for _ in range(TIMES):
        work()
    clock.wait_for_quiet(options.wait)
    start = clock.now()
    for _ in range(TIMES):
        work()
    limit.synchronize()
    interval = clock.between(start, clock.now(), TIMES)
    activities = [ProfilerActivity.CPU]
    if limit.DEVICE == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        for _ in range(TIMES):
            work()
        limit.synchronize()
    events = profiler.key_averages()
    time = "self_device_time_total" if limit.DEVICE == "cuda" else "self_cpu_time_total"
    total = sum(getattr(event, time) for event in events)
    count = sum(event.count for event in events) // TIMES
    print(f"\n{title}: {1000 * interval.wall / TIMES:.0f} ms, {count:,} operations\n")
    print("| operation | share of the time | times |\n| --- | ---: | ---: |")
    for event in sorted(events, key=lambda event: -getattr(event, time))[: options.top]:
        print(f"| {event.key.removeprefix('aten::')} | {getattr(event, time) / total:.1%} | {event.count // TIMES:,} |")


if __name__ == "__main__":
    main()
