"""Benchmark of several processes: what a group costs, what two of them exchange, and an estimate for many GPUs.

    python scripts/bench/ranks.py group [A3 ...]       an update in a group of one process, and without a group
    python scripts/bench/ranks.py train [toy A1 A3]    an update by two processes on the CPU, and by one
    python scripts/bench/ranks.py evaluate             `seq2seq evaluate --devices 1` and 2, on the embedded corpus
    python scripts/bench/ranks.py estimate             the efficiency of 8 and 64 GPUs, computed, not measured

Figures are medians over the rounds with the least and the most; ratios are taken within a round.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import clock
import generated
import limit
import torch
import torch.distributed as dist
import updates
import work

from seq2seq.config import Config
from seq2seq.data.batching import Batch
from seq2seq.data.toy.translation import generate_translations
from seq2seq.distributed import ranks
from seq2seq.distributed.launch import start_processes
from seq2seq.distributed.process import together
from seq2seq.launch.compose import compose_config
from seq2seq.nn.build import build_meta_model
from seq2seq.training.loss import LossOptions
from seq2seq.training.module import TrainingModule
from seq2seq.training.resources import count_parameters
from seq2seq.training.run import create_directory, plan_training, train_here
from seq2seq.utils.console import silence_lightning

SEED, TIMEOUT = 1, 60.0
TEXT = generated.Text(20_000, 8_000, 14, lines=100)
BATCH_TOKENS, ACCUMULATE = 2048, 2  # an update is two batches, whatever the number of processes
COLLECTIVES = ("sum_gradients", "greatest", "gathered")
STARTING = "starting two processes that exchange a number"
BLOCK = 3  # updates with a group, and as many without, in turns
SMALL = ["model=rnn", "model.embedding=64", "model.hidden=128"]
MIB = 2**20


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables of a job."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("job", choices=["group", "train", "evaluate", "estimate"])
    parser.add_argument("work", nargs="*", default=["toy", "A1", "A3"], metavar="WORK")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=10, help="measured in a round; group: blocks of them")
    parser.add_argument("--warm", type=int, default=3, help="updates before them")
    parser.add_argument("--lines", type=int, default=5000, help="evaluate: sentences")
    parser.add_argument("--trained", type=int, default=300, help="evaluate: updates before that")
    parser.add_argument("--set", nargs="+", default=[], metavar="SETTING=VALUE", dest="settings")
    parser.add_argument("--wait", type=float, default=30, help="wait at most so many seconds for quiet cores")
    options = parser.parse_args(argv)
    here = Path(__file__).resolve().parent
    os.environ["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
    if options.job != "estimate":
        print(f"{limit.device_name()}, {os.cpu_count()} cores, torch {torch.__version__}, {time.strftime('%-d %B %Y')}")
    with tempfile.TemporaryDirectory() as folder:
        {"group": group, "train": compare, "evaluate": evaluate, "estimate": estimate}[options.job](
            options, Path(folder)
        )


# training


def settings(name: str, folder: Path, more: Sequence[str] = ()) -> Config:
    """The settings of a workload on generated text; `toy`: a small model on the embedded corpus."""
    corpus, model = ["data=toy", f"data.cache={folder / 'cache'}"], SMALL
    if name != "toy":
        text = folder / "text"
        if not text.exists():
            text.mkdir()
            generated.write(text, TEXT, SEED)
        corpus, model = generated.settings(text, TEXT), work.WORKLOADS[name]
    sizes = [f"training.batch_tokens={BATCH_TOKENS}", f"training.accumulate={ACCUMULATE}", f"seed={SEED}"]
    return compose_config([*corpus, *work.COMMON, *model, *sizes, "training.max_updates=1000000", *more])


def measured(name: str, how: str, processes: int, threads: int, folder: Path, options: argparse.Namespace) -> Any:
    """What `worker` has found, by rank, with the cores that others used meanwhile, on average."""
    with tempfile.TemporaryDirectory(dir=folder) as runs:
        devices = [f"trainer.devices={processes}", f"trainer.threads={threads}", f"runs={runs}"]
        plan = plan_training(settings(name, folder, [*devices, *options.settings]))
        create_directory(plan)
        clock.wait_for_quiet(options.wait)
        start = clock.now()
        words = ["worker", how, str(plan.folder), str(options.warm), str(options.updates)]
        if how == "alone":
            subprocess.run([sys.executable, "-m", "ranks", *words], check=True, stdout=sys.stderr)
        else:
            start_processes("ranks", words, processes)
        foreign = clock.between(start, clock.now(), 0).foreign
        found = [json.loads((plan.folder / f"{rank}.json").read_text()) for rank in range(processes)]
        return found, foreign


def worker(how: str, run: str, warm: str, measured: str) -> int | None:
    """One process: train, and write what was measured to the run directory."""
    silence_lightning()
    sys.stdout = sys.stderr
    updated: Any = Toggled if how == "group" else Timed
    watch = updated(int(warm), int(measured))

    def train() -> None:
        with updates.after_each(watch.after_update), watch:
            train_here(Path(run))
        Path(run, f"{ranks.rank()}.json").write_text(json.dumps(watch.found()))

    if how == "together":
        return together(train)
    train()
    return 0


class Timed(ExitStack):
    """The seconds of each update, and of the collectives in it: waiting for the others, then exchanging."""

    def __init__(self, warm: int, measured: int) -> None:
        super().__init__()
        self.warm, self.measured = warm, measured
        self.seconds: list[float] = []
        self.parts: list[dict[str, float]] = []
        self.now: dict[str, float] = defaultdict(float)  # of the current update
        self.last, self.last_cpu = 0.0, 0.0
        for name in COLLECTIVES:
            function = getattr(ranks, name)
            setattr(ranks, name, partial(self.timed, name, function))
            self.callback(setattr, ranks, name, function)

    def timed(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a collective; the others are waited for by a barrier."""
        if ranks.world_size() == 1:
            return function(*arguments)
        start = time.perf_counter()
        dist.barrier()
        met, cpu = time.perf_counter(), time.process_time()
        result = function(*arguments)
        self.now["waiting"] += met - start
        self.now[name] += time.perf_counter() - met
        self.now[f"{name} cpu"] += time.process_time() - cpu
        self.now["calls"] += 1
        self.now[f"{name} calls"] += 1
        return result

    def after_update(self, module: TrainingModule) -> None:
        """Called after each update. Raises MeasuredError after the last."""
        now, cpu = time.perf_counter(), time.process_time()
        if self.last:
            self.seconds.append(now - self.last)
            self.parts.append({**self.now, "cpu": cpu - self.last_cpu})
        self.now, self.last, self.last_cpu = defaultdict(float), now, cpu
        if len(self.seconds) == self.warm + self.measured:
            raise updates.MeasuredError

    def found(self) -> dict[str, Any]:
        """What is written for the process that started this one."""
        parts = self.parts[self.warm :]
        names = sorted({name for part in parts for name in part})
        return {
            "seconds": median(self.seconds[self.warm :]),
            "cpu": median(part["cpu"] for part in parts),
            "total": sum(self.seconds[self.warm :]),
            "parts": {name: sum(part.get(name, 0.0) for part in parts) for name in names},
            "updates": len(parts),
        }


class Toggled(ExitStack):
    """The CPU seconds of each update, some in a group of this process alone, and as many without one, in turns."""

    def __init__(self, warm: int, measured: int) -> None:
        super().__init__()
        self.left, self.measured = warm, measured  # left: updates of the current block
        self.blocks: list[list[float]] = []  # the warm-up, without, with, without, with, ...
        self.block: list[float] = []
        self.last = 0.0

    def after_update(self, module: TrainingModule) -> None:
        """Called after each update. Raises MeasuredError after the last block."""
        self.block.append(time.process_time() - self.last)
        self.left -= 1
        if not self.left:
            self.blocks.append(self.block)
            self.block, self.left = [], BLOCK
            if len(self.blocks) == 1 + 2 * self.measured:
                raise updates.MeasuredError
            if len(self.blocks) > 1:
                self.close() if len(self.blocks) % 2 else self.enter_context(ranks.joined(TIMEOUT))
        self.last = time.process_time()

    def found(self) -> dict[str, Any]:
        """What is written for the process that started this one: median CPU seconds of each block."""
        return {"blocks": [median(block) for block in self.blocks[1:]]}


def group(options: argparse.Namespace, folder: Path) -> None:
    """Print the CPU time of an update without a group of processes, and in a group of one, in one run, in turns."""
    print("\n| model | CPU ms an update, no group | in a group of one | ratio | pairs | other load, cores |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in options.work:
        (found,), foreign = measured(name, "group", 1, 1, folder, options)
        without, within = found["blocks"][::2], found["blocks"][1::2]
        ratios = [b / a for a, b in zip(without, within, strict=True)]
        times = f"{spread([1000 * x for x in without], ',.0f')} | {spread([1000 * x for x in within], ',.0f')}"
        print(f"| {name} | {times} | {spread(ratios)} | {len(ratios)} | {foreign:.1f} |", flush=True)


class Way(NamedTuple):
    """A way to train."""

    how: str
    processes: int
    threads: int


WAYS = {
    "1 process, 1 thread": Way("alone", 1, 1),
    "1 process, 2 threads": Way("alone", 1, 2),
    "2 processes, 1 thread each": Way("together", 2, 1),
}


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Print the time of an update by one process and by two, and where that of two goes."""
    times, exchanged = [], []
    for name in options.work:
        found: dict[str, list[Any]] = {way: [] for way in WAYS}
        loads = []
        for _ in range(options.rounds):
            for way, (how, processes, threads) in WAYS.items():
                by_rank, foreign = measured(name, how, processes, threads, folder, options)
                found[way].append(by_rank)
                loads.append(foreign)
                print(name, way, by_rank, f"{foreign:.1f}", file=sys.stderr, flush=True)
        one = [1000 * by_rank[0]["seconds"] for by_rank in found["1 process, 1 thread"]]
        for way, rounds in found.items():
            wall = [1000 * by_rank[0]["seconds"] for by_rank in rounds]
            cpu = [1000 * sum(rank["cpu"] for rank in by_rank) for by_rank in rounds]
            ratios = spread([a / b for a, b in zip(one, wall, strict=True)])
            times.append([name, way, spread(wall, ",.0f"), ratios, spread(cpu, ",.0f"), spread(loads, ".1f")])
        exchanged.append([name, *exchanges(found["2 processes, 1 thread each"], parameters_of(settings(name, folder)))])
    head = ["model", "", "ms an update", "one process with one thread / this", "CPU ms, all processes"]
    print_table([*head, "other load, cores"], times, words=2)
    parts = ["waiting for the other", *COLLECTIVES, "the three, of the CPU time"]
    counts = ["collectives an update", "µs a call of greatest"]
    print_table(["model", "parameters", "MiB of gradients", *parts, *counts], exchanged)


def exchanges(rounds: list[Any], parameters: int) -> list[str]:
    """The cells of a table about what two processes exchange: bytes, shares of the time of an update, and calls."""
    shares = [spread([share(by_rank, part) for by_rank in rounds], ".1%") for part in ("waiting", *COLLECTIVES)]
    every = [rank for by_rank in rounds for rank in by_rank]
    cpu = [
        sum(rank["parts"].get(f"{part} cpu", 0.0) for rank in by_rank for part in COLLECTIVES)
        / sum(rank["parts"]["cpu"] for rank in by_rank)
        for by_rank in rounds
    ]
    calls = mean(rank["parts"]["calls"] / rank["updates"] for rank in every)
    microseconds = [1e6 * rank["parts"]["greatest"] / rank["parts"]["greatest calls"] for rank in every]
    size = [f"{parameters:,}", f"{4 * parameters / MIB:,.1f}"]
    return [*size, *shares, spread(cpu, ".1%"), f"{calls:.1f}", spread(microseconds, ",.0f")]


def share(by_rank: list[Any], part: str) -> float:
    """The share of the time that a part takes, the mean over the ranks."""
    return mean(rank["parts"].get(part, 0.0) / rank["total"] for rank in by_rank)


def parameters_of(config: Config) -> int:
    """The number of parameters, for the vocabulary of the text."""
    plan = plan_training(config)
    vocabularies = plan.prepared.vocabularies
    return count_parameters(build_meta_model(plan.config.model, vocabularies.source.size, vocabularies.target.size))


# evaluation


def evaluate(options: argparse.Namespace, folder: Path) -> None:
    """Print the wall time of evaluating a small model on sentences of the embedded corpus."""
    write_toy(folder, options.lines)
    files = ["data.train=[train]", "data.dev=[dev]", "+data.test.test=[test]", "tokenizer.size=1000"]
    train = ["data=mine", f"data.root={folder}", f"data.cache={folder / 'cache'}", f"runs={folder / 'runs'}", *files]
    end = [f"training.max_updates={options.trained}", "training.validate_every=0", "training.monitor=loss"]
    command("train", *train, *SMALL, *end, "trainer.progress=none", threads=1)
    run = next((folder / "runs").glob("[!.]*"))
    found: dict[str, list[clock.Interval]] = {way: [] for way in [*WAYS, STARTING]}
    for _ in range(options.rounds):
        for way, (_, devices, threads) in WAYS.items():
            words = ["--test", "test", "--metrics", "bleu", "--bootstrap", "0", "--devices", str(devices)]
            evaluating = partial(command, "evaluate", str(run), *words, *options.settings, threads=threads)
            found[way].append(timed(evaluating, options))
        exchange = [sys.executable, "-m", "seq2seq.distributed.exchange"]
        found[STARTING].append(timed(partial(subprocess.run, exchange, check=True, capture_output=True), options))
    loads = [interval.foreign for intervals in found.values() for interval in intervals]
    print(f"\n{options.lines:,} sentences, beam 5; other load: {spread(loads, '.1f')} cores\n")
    one, rows = [interval.wall for interval in found["1 process, 1 thread"]], []
    for way, intervals in found.items():
        wall, cpu = ([getattr(interval, which) for interval in intervals] for which in ("wall", "own"))
        ratios = spread([a / b for a, b in zip(one, wall, strict=True)]) if way in WAYS else ""
        rows.append([way, spread(wall, ".1f"), ratios, spread(cpu, ".1f")])
    print_table(["", "seconds", "one process with one thread / this", "CPU seconds, all processes"], rows)


def timed(work: Callable[[], object], options: argparse.Namespace) -> clock.Interval:
    """The interval that `work` takes, in other processes."""
    clock.wait_for_quiet(options.wait)
    start = clock.now()
    work()
    return clock.between(start, clock.now(), 1)


def write_toy(folder: Path, lines: int) -> None:
    """Write pairs of the embedded corpus to train, dev and test files, as many to the last as `lines`."""
    toy = generate_translations(pairs=10_000, dev=100, test=lines)
    for name, examples in (("train", toy.train), ("dev", toy.dev), ("test", toy.test)):
        for side, texts in (("en", [e.source for e in examples]), ("de", [e.target for e in examples])):
            folder.joinpath(f"{name}.{side}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def command(*words: str, threads: int) -> None:
    """Run a command of ours with so many threads in each process."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, "-m", "seq2seq", *words], check=True, capture_output=True, env=environment)


# estimate


class Network(NamedTuple):
    """What connects GPUs."""

    gpus: int
    name: str
    bandwidth: float  # bytes per second that a ring of all GPUs carries in one direction
    hop: float  # seconds from one GPU to the next


PEAK, REACHED = (
    989e12,
    0.4,
)  # dense bf16 products of an H100 or H200; the share of it that an update is assumed to reach
LINE_SHARE = 0.8  # of the bandwidth, that collectives are assumed to reach
MEMORY = 3.35e12  # bytes per second of an H100's memory, in which gradients are copied to a bucket and back
HOST_HOP = 30e-6  # seconds from one process to the next over TCP
HOST_CALLS = 2  # collectives of an update between the hosts: `greatest`
NETWORKS = [
    Network(8, "8, NVLink", 450e9, 3e-6),
    Network(64, "64, an adapter of 400 Gb/s for each GPU", 8 * 50e9, 5e-6),
    Network(64, "64, one adapter for each 8", 50e9, 5e-6),
]
ESTIMATED = {
    "A1": (8_000, 16),
    "A3": (8_000, 16),
    "B-big": (32_000, 32),
}  # entries of the vocabulary, tokens a sentence
DEVICE_TOKENS = 32_768  # of the batch of one GPU


class Exchange(NamedTuple):
    """The seconds of what an update exchanges."""

    ring: float  # gradients
    copies: float  # to buckets and back
    host: float  # numbers between the hosts


def exchange(parameters: int, network: Network) -> Exchange:
    """An all-reduce of the gradients in float32 by rings, bucket after bucket, after the backward pass."""
    n, size = network.gpus, 4 * parameters
    buckets = -(-parameters // ranks.BUCKET)
    volume = 2 * (n - 1) / n * size
    ring = volume / (LINE_SHARE * network.bandwidth) + buckets * 2 * (n - 1) * network.hop
    return Exchange(ring, 4 * size / MEMORY, HOST_CALLS * 2 * (n - 1) * HOST_HOP)


def estimate(options: argparse.Namespace, folder: Path) -> None:
    """Print the efficiency of many GPUs: the time of an update on one, divided by that of one among many."""
    head = "| model | parameters | MB of gradients | TFLOP a batch | ms a batch | GPUs | ms: ring, copies, hosts "
    print(head + "| efficiency | 4 batches an update | overlapped | overlapped, nothing between hosts |")
    print("| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, (vocabulary, length) in ESTIMATED.items():
        config = compose_config([*work.COMMON, *work.WORKLOADS[name]])
        model = build_meta_model(config.model, vocabulary, vocabulary)
        parameters, operations = count_parameters(model), operations_of(model, config, length)
        compute = operations / (REACHED * PEAK)
        for network in NETWORKS:
            parts = exchange(parameters, network)
            rest = parts.copies + parts.host
            backward = 2 / 3 * compute  # during which rings may run
            overlapped = compute - backward + max(backward, parts.ring)
            columns = [
                compute / (compute + parts.ring + rest),
                4 * compute / (4 * compute + parts.ring + rest),
                compute / (overlapped + rest),
                compute / (overlapped + parts.copies),
            ]
            model_columns = f"{name} | {parameters:,} | {4 * parameters / 1e6:,.0f} | {operations / 1e12:.1f}"
            milliseconds = ", ".join(f"{1000 * part:.2f}" for part in parts)
            efficiency = " | ".join(f"{column:.0%}" for column in columns)
            print(f"| {model_columns} | {1000 * compute:.1f} | {network.name} | {milliseconds} | {efficiency} |")


def operations_of(model: torch.nn.Module, config: Config, length: int) -> int:
    """FLOPs of the forward and backward pass of a batch without padding, counted on torch's meta device."""
    losses = LossOptions(config.training.label_smoothing)
    module = TrainingModule(model, torch.optim.Adam, lambda update: 1.0, losses)
    rows = DEVICE_TOKENS // length
    ids = torch.empty(rows, length, dtype=torch.long, device="meta")
    batch = Batch(ids, ids, ids, torch.empty(rows, dtype=torch.long, device="meta"), torch.empty((), device="meta"))
    return limit.operations(lambda: module.losses(batch).total.backward())


# tables


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """The median of values with the least and the most."""
    return f"{median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


def print_table(head: list[str], rows: list[list[str]], words: int = 1) -> None:
    """A table whose first columns, so many, are words."""
    print(f"\n| {' | '.join(head)} |\n|{' --- |' * words}{' ---: |' * (len(head) - words)}")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        sys.exit(worker(*sys.argv[2:]))
    main()
