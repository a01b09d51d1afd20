"""Where does the time go? The operations that take most of an update, of translating a batch, or of translating a sentence alone.

python scripts/bench/parts.py train|decode|alone [A1 A2 A3 ...] [--precision 32 bf16] [--top N] [--threads N] [--set SETTING=VALUE ...]
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import clock
import decode
import limit
import torch
import work
from torch.profiler import ProfilerActivity, profile

from seq2seq.data.batching import TrainBatches
from seq2seq.data.prepare import prepare
from seq2seq.nn.build import build_model
from seq2seq.training.loss import LossOptions
from seq2seq.training.module import TrainingModule
from seq2seq.utils.process import available_cores

TIMES = 3  # that it is done before it is looked at, and again while it is
SENTENCES = 10  # translated alone


def main(argv: Sequence[str] | None = None) -> None:
    """A table for each work and precision."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("job", choices=["train", "decode", "alone"])
    parser.add_argument("work", nargs="*", default=["A1", "A3"], metavar="WORK", help=f"of {', '.join(work.WORK)}")
    parser.add_argument("--precision", nargs="+", default=["32"], choices=["32", "bf16", "int8"])
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="SETTING=VALUE", dest="settings")
    parser.add_argument(
        "--wait", type=float, default=30, help="seconds to wait, at most, until others leave the cores alone"
    )
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads or available_cores())
    print(limit.machine())
    for name in options.work:
        for precision in options.precision:
            table(f"{options.job} {name} {precision}", job(name, precision, options), options)


def job(name: str, precision: str, options: argparse.Namespace) -> Callable[[], object]:
    """What is looked into."""
    if options.job == "train":
        return update(name, precision, options.settings)
    more = {"beam": 5, "batch": 64, "tokens": 16, "lines": 64, "shortlist": 0, "graphs": False}
    translator, lines = decode.untrained(name, precision, argparse.Namespace(**vars(options), **more))
    if options.job == "decode":
        return lambda: translator.translate(lines)
    return lambda: [translator.translate([line]) for line in lines[:SENTENCES]]


def update(name: str, precision: str, settings: Sequence[str]) -> Callable[[], None]:
    """One update, always from the same batch."""
    config = work.settings(name, settings)
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
    batch = type(first)(*(None if part is None else part.to(limit.DEVICE) for part in first))

    def learn() -> None:
        with torch.autocast(limit.DEVICE, limit.DTYPE[precision], enabled=precision != "32"):
            loss = module.losses(batch).total
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return learn


def table(title: str, done: Callable[[], object], options: argparse.Namespace) -> None:
    """The operations by the time that they take themselves."""
    for _ in range(TIMES):
        done()
    clock.wait_for_quiet(options.wait)
    start = clock.mark()
    for _ in range(TIMES):
        done()
    limit.wait()
    plain = clock.between(start, clock.mark(), TIMES)
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (limit.DEVICE == "cuda")) as seen:
        for _ in range(TIMES):
            done()
        limit.wait()
    events = seen.key_averages()
    took = "self_device_time_total" if limit.DEVICE == "cuda" else "self_cpu_time_total"
    total = sum(getattr(event, took) for event in events)
    print(
        f"\n{title}: {1000 * plain.wall / TIMES:.0f} ms, {sum(event.count for event in events) // TIMES:,} operations\n"
    )
    print("| operation | share of the time | times |\n| --- | ---: | ---: |")
    for event in sorted(events, key=lambda event: -getattr(event, took))[: options.top]:
        print(f"| {event.key.removeprefix('aten::')} | {getattr(event, took) / total:.1%} | {event.count // TIMES:,} |")


if __name__ == "__main__":
    main()
