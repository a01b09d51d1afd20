"""Benchmark of one GPU in at most ten minutes: training and translating, with and without CUDA graphs, as tables.

python scripts/bench/gpu.py [A1 A3 B-base ...] [--minutes 10] [--json FILE] [--dry-run]

Each workload has an equal share of the time, each of its rows a share of that; a row that no time is left for says so.
The text is generated. --dry-run does the same on small models for a few updates, on a machine without a GPU too, where
rows with CUDA graphs are left out: its figures say nothing about speed.
"""

import argparse
import gc
import itertools
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import clock
import generated
import limit
import torch
import updates
import work

import seq2seq
from seq2seq.config import Config
from seq2seq.data.batching import BatchOptions, TrainBatches
from seq2seq.data.corpora import test_pairs
from seq2seq.data.prepare import Prepared, prepare
from seq2seq.ids import PAD
from seq2seq.launch.compose import compose_config
from seq2seq.nn.build import build_meta_model, build_model
from seq2seq.nn.cuda_graphs import CUDAGraphRecorder, GraphedModel
from seq2seq.nn.precision import PRECISIONS
from seq2seq.training.loss import LossOptions
from seq2seq.training.module import TrainingModule
from seq2seq.training.run import train
from seq2seq.translator import Translator
from seq2seq.utils.console import silence_lightning
from seq2seq.utils.files import write_json

SEED = 1  # of text, models and training
GRACE = 20.0  # seconds before the end in which nothing is begun, and after which a process is ended
LEAST = 2.0  # seconds without which a row is not begun
WARM_SHARE = 0.4  # of the seconds of a row
WEIGHTS = {"train": 4, "decode": 1}  # of the time of a row
COUNTED = 3  # batches whose FLOPs are counted
MOST_PASSES = 20  # that a translation is repeated
OUT_OF_TIME = "out of time"
RECORDS = limit.DEVICE == "cuda"  # CUDA graphs
TEXTS = {"A": generated.Text(100_000, 8_000, 14), "B": generated.Text(60_000, 32_000, 26)}
SMALL_TEXT = generated.Text(200, 60, 4, lines=8)
SMALL = {
    "rnn": ["model.embedding=8", "model.hidden=8", "model.encoder_layers=1", "model.decoder_layers=1"],
    "transformer": [
        "model.size=8", "model.heads=2", "model.feedforward=16", "model.encoder_layers=1", "model.decoder_layers=1",
    ],
}  # fmt: skip


class Plan(NamedTuple):
    """How much is done."""

    texts: dict[str, generated.Text]  # first letter of a workload -> its text
    folder: Path  # of these texts
    batch_tokens: int  # of a training batch
    batch: int  # sentences of a batch that is translated
    beams: tuple[int, ...]
    warm: int  # updates, at least, before the measurement
    repeats: int  # intervals of a training, and passes of a translation at least
    small: bool = False  # for --dry-run: small models, whose intervals are single updates


class Cell(NamedTuple):
    """A row of a table."""

    job: str  # train or decode
    work: str
    precision: str
    beam: int  # 0 in training
    graphs: bool


Result = dict[str, Any]  # "note", and the figures unless it says why there are none
Send = Callable[[Cell, Result], None]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, and write the JSON after each row."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    names = [name for name in work.WORKLOADS if name != "A1-"]
    parser.add_argument("work", nargs="*", default=names, choices=[*names, []], metavar="WORK")
    parser.add_argument("--minutes", type=float, default=10.0, help="for everything")
    parser.add_argument("--batch-tokens", type=int, default=32768, help="of a training batch")
    parser.add_argument("--batch", type=int, default=256, help="sentences of a batch that is translated")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results to this file")
    parser.add_argument("--dry-run", action="store_true", help="the same with small models and few updates")
    options = parser.parse_args(argv)
    if limit.DEVICE != "cuda" and not options.dry_run:
        parser.error("there is no GPU: --dry-run tries the script without one")
    end = time.time() + 60 * options.minutes - GRACE
    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(Path(folder), options)
        report: dict[str, Any] = {"machine": machine(), "plan": describe(plan, options.minutes), "rows": []}
        for number, name in enumerate(options.work):
            deadline = time.time() + (end - time.time()) / (len(options.work) - number)
            for cell, result in measured_apart(name, plan, deadline):
                report["rows"].append({**cell._asdict(), **result})
                print(f"{' '.join(map(str, cell))}: {summary(result)}", file=sys.stderr, flush=True)
                if options.json:
                    write_json(options.json, report)
    print(tables(report))


def make_plan(folder: Path, options: argparse.Namespace) -> Plan:
    """What the options ask for; the texts are written, and prepared for all processes."""
    beams = (1, options.beam)
    if options.dry_run:
        plan = Plan({"A": SMALL_TEXT, "B": SMALL_TEXT}, folder, 256, 4, beams, warm=2, repeats=2, small=True)
    else:
        plan = Plan(TEXTS, folder, options.batch_tokens, options.batch, beams, warm=5, repeats=5)
    for letter in sorted({name[0] for name in options.work}):
        folder.joinpath(letter).mkdir()
        generated.write(folder / letter, plan.texts[letter], SEED)
        config = settings(next(name for name in options.work if name.startswith(letter)), plan)
        prepare(config.data, config.tokenizer)
    return plan


def settings(name: str, plan: Plan, more: Sequence[str] = ()) -> Config:
    """The settings of a workload on its generated text."""
    letter, words = name[0], work.WORKLOADS[name]
    if plan.small:
        words = [*words, *SMALL["rnn" if "model=rnn" in words else "transformer"]]
    batches = [f"training.batch_tokens={plan.batch_tokens}", "training.pad_to_multiple_of=8", f"seed={SEED}"]
    text = generated.settings(plan.folder / letter, plan.texts[letter])
    return compose_config([*text, *work.COMMON, *words, *batches, *more])


def cells(name: str, plan: Plan) -> list[Cell]:
    """The rows of a workload."""
    lowest = "16" if limit.DEVICE == "cuda" else "int8"  # each is for one of them only
    training = [Cell("train", name, *row) for row in itertools.product(["bf16", "32"], [0], [False, True])]
    decoding = itertools.product(["32", "bf16", lowest], plan.beams, [False, True])
    return training + [Cell("decode", name, *row) for row in decoding]


def measured_apart(name: str, plan: Plan, deadline: float) -> Iterator[tuple[Cell, Result]]:
    """The rows of a workload, measured in a process of their own, which is ended if it is late."""
    receiver, sender = get_context("spawn").Pipe(duplex=False)
    process = get_context("spawn").Process(target=measure_and_send, args=(name, plan, deadline, sender))
    process.start()
    sender.close()
    missing, why = cells(name, plan), "its process ended, see above"
    while missing:
        if not receiver.poll(max(0.0, deadline + GRACE / 2 - time.time())):
            why = OUT_OF_TIME
            process.terminate()
            break
        try:
            cell, result = receiver.recv()
        except EOFError:
            break
        missing.remove(cell)
        yield cell, result
    process.join(GRACE / 4)
    if process.is_alive():
        process.kill()
    yield from ((cell, {"note": why}) for cell in missing)


def measure_and_send(name: str, plan: Plan, deadline: float, sender: Connection) -> None:
    """`measure`, in a process of its own."""
    sys.stdout = sys.stderr  # what libraries print is no part of the tables
    silence_lightning()
    measure(name, plan, deadline, lambda cell, result: sender.send((cell, result)))


def measure(name: str, plan: Plan, deadline: float, send: Send) -> None:
    """Measure each row of a workload, as long as there is time; errors become notes."""
    config = settings(name, plan)
    prepared = prepare(config.data, config.tokenizer)
    operations = training_operations(config, prepared)
    translating = Translating(config, prepared, plan, plan.texts[name[0]])
    rates: dict[str, float] = {}
    left = cells(name, plan)
    while left:
        cell = left.pop(0)
        weight = WEIGHTS[cell.job]
        seconds = (deadline - time.time()) * weight / (weight + sum(WEIGHTS[other.job] for other in left))
        if cell.graphs and not RECORDS:
            send(cell, {"note": "needs a GPU"})
            continue
        if seconds < LEAST:
            send(cell, {"note": OUT_OF_TIME})
            continue
        end = time.time() + seconds
        free_memory()
        try:
            if cell.precision not in rates:
                rates[cell.precision] = matrix_rate(cell.precision, plan)
            if cell.job == "train":
                result = measure_training(cell, plan, end) | {"operations_per_token": operations}
            else:
                result = translating.measure(cell, end)
        except Exception as error:
            send(cell, {"note": f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"})
            continue
        if "tokens" in result:
            result |= {"matrix_rate": rates[cell.precision], "share": shares(result, rates[cell.precision])}
        send(cell, result)


def shares(result: Result, rate: float) -> list[float]:
    """The share of the rate of matrix products in each repetition."""
    return [speed * result["operations_per_token"] / rate for speed in result["tokens"]]


def matrix_rate(precision: str, plan: Plan) -> float:
    """FLOPs of a large matrix product per second."""
    return limit.matrix_rate(precision, size=64, seconds=0.01) if plan.small else limit.matrix_rate(precision)


def free_memory() -> None:
    """Let go of what the row before has left, and count peak memory from now on."""
    gc.collect()
    if limit.DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def training_operations(config: Config, prepared: Prepared) -> float:
    """FLOPs of a training update per target token, counted on torch's meta device, which computes nothing.

    Those of padding count as well."""
    sizes = prepared.vocabularies.source.size, prepared.vocabularies.target.size
    losses = LossOptions(config.training.label_smoothing)
    module = TrainingModule(build_meta_model(config.model, *sizes), torch.optim.Adam, lambda update: 1.0, losses)
    multiple = BatchOptions(multiple=config.training.pad_to_multiple_of)
    batches = TrainBatches(prepared.train, config.training.batch_tokens, SEED, multiple)
    some = list(itertools.islice(batches, COUNTED))
    tokens = sum(int((batch.target_out != PAD).sum()) for batch in some)
    return sum(count_update(module, batch.map(lambda x: x.to("meta"))) for batch in some) / tokens


def count_update(module: TrainingModule, batch: Any) -> int:
    """FLOPs of the forward and backward pass of a batch."""
    return limit.operations(lambda: module.losses(batch).total.backward())


@dataclass
class Watch:
    """Times a training: some updates and a share of the time are the warm-up, intervals of equal length follow."""

    end: float  # when they should be over
    plan: Plan
    updates: int = 0
    first: float = 0.0  # when the first update was over
    interval: float = 0.0  # seconds
    sums: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)  # tokens of updates since the last mark
    marks: list[dict[str, float]] = field(default_factory=list)  # the end of the warm-up, and of each interval

    def after_update(self, module: TrainingModule) -> None:
        """Called after each update. Raises updates.MeasuredError after the last interval."""
        self.updates += 1
        sources = torch.stack([(batch.source != PAD).sum() for batch in module.update.batches]).sum()
        self.sums.append((module.update.tokens, sources))
        now = time.time()
        if self.updates == 1:
            limit.synchronize()
            self.first = time.time()
        elif not self.marks:
            warm = self.first + WARM_SHARE * (self.end - self.first)
            if self.updates >= self.plan.warm and (self.plan.small or now >= warm):
                self.mark(module)
                self.interval = 0.0 if self.plan.small else max(0.0, self.end - time.time()) / self.plan.repeats
        elif now >= self.marks[-1]["time"] + self.interval:
            self.mark(module)
            if len(self.marks) > self.plan.repeats or time.time() >= self.end:
                raise updates.MeasuredError

    def mark(self, module: TrainingModule) -> None:
        """Note the time, and what was done since the mark before it."""
        limit.synchronize()
        graphs = getattr(module.training_losses, "graphs", {})
        targets, sources = (int(torch.stack(column).sum()) for column in zip(*self.sums, strict=True))
        self.marks.append(
            {
                "time": time.time(),
                "updates": self.updates,
                "targets": targets,
                "sources": sources,
                "graphs": len(graphs),
                "waited": module.trainer.datamodule.batches.wait_seconds,  # type: ignore[attr-defined]
            }
        )
        self.sums.clear()


def measure_training(cell: Cell, plan: Plan, end: float) -> Result:
    """Train as the command does, until `end`."""
    watch = Watch(end, plan)
    with tempfile.TemporaryDirectory() as runs, updates.after_each(watch.after_update):
        graphs = ["trainer.graphs=true"] if cell.graphs else []
        endless = f"training.max_updates={10**6}"
        train(settings(cell.work, plan, [f"trainer.precision={cell.precision}", *graphs, endless, f"runs={runs}"]))
    pairs = list(itertools.pairwise(watch.marks))
    if not pairs:
        return {"note": OUT_OF_TIME}
    seconds = [after["time"] - before["time"] for before, after in pairs]

    def per_second(name: str) -> list[float]:
        return [after[name] / wall for (_, after), wall in zip(pairs, seconds, strict=True)]

    counts = [after["updates"] - before["updates"] for before, after in pairs]
    recorded = int(watch.marks[-1]["graphs"] - watch.marks[0]["graphs"])
    return {
        "note": f"{recorded} graphs recorded meanwhile" if recorded else "",
        "tokens": per_second("targets"),
        "source_tokens": per_second("sources"),
        "milliseconds": [1000 * wall / count for wall, count in zip(seconds, counts, strict=True)],
        "waiting": (watch.marks[-1]["waited"] - watch.marks[0]["waited"]) / sum(seconds),
        "memory": clock.peak_memory(),
        "graphs_kept": int(watch.marks[-1]["graphs"]),
        "updates": sum(counts),
    }


class Translating:
    """An untrained model that translates; every translation is forced to one length, so that weights do not matter."""

    def __init__(self, config: Config, prepared: Prepared, plan: Plan, text: generated.Text) -> None:
        self.plan, self.vocabularies = plan, prepared.vocabularies
        self.repeats = plan.repeats if plan.small else MOST_PASSES
        self.tokens = text.mean
        torch.manual_seed(SEED)
        sizes = prepared.vocabularies.source.size, prepared.vocabularies.target.size
        self.model = build_model(config.model, *sizes).eval()
        length = {"min_length": self.tokens, "max_length": self.tokens, "max_ratio": float(self.tokens)}
        self.search = replace(config.search, batch=plan.batch, **length)
        lines = [pair.source for pair in test_pairs(config.data, "test")][: 4 * plan.batch]
        lines.sort(key=lambda line: -len(line.split()))
        self.batches = [lines[at : at + plan.batch] for at in range(0, len(lines), plan.batch)]
        self.converted: dict[str, Any] = {}  # the model in the precision that was last asked for
        self.operations: dict[int, float] = {}  # beam -> FLOPs per token

    def translator(self, beam: int, model: Any) -> Translator:
        """A translator with this model."""
        return Translator([model], self.vocabularies, replace(self.search, beam=beam))

    def measure(self, cell: Cell, end: float) -> Result:
        """Translate all batches again and again until `end`."""
        if cell.precision not in self.converted:
            self.converted.clear()
            on_device = deepcopy(self.model).to(limit.DEVICE)
            if not self.operations:
                self.operations = {beam: self.count(beam, on_device) for beam in self.plan.beams}
            self.converted[cell.precision] = PRECISIONS[cell.precision](on_device)
            free_memory()
        model = self.converted[cell.precision]
        translator = self.translator(cell.beam, GraphedModel(model, CUDAGraphRecorder()) if cell.graphs else model)
        first = self.seconds(translator)  # compiles, and records graphs
        if first > LEAST and time.time() + first > end + GRACE / 4:
            return {"note": OUT_OF_TIME}
        seconds = [self.seconds(translator)]
        while len(seconds) < self.repeats and time.time() + seconds[-1] < end:
            seconds.append(self.seconds(translator))
        lines = sum(map(len, self.batches))
        return {
            "note": "" if len(seconds) >= self.plan.repeats else f"{len(seconds)} passes only",
            "tokens": [lines * self.tokens / wall for wall in seconds],
            "sentences": [lines / wall for wall in seconds],
            "memory": clock.peak_memory(),
            "operations_per_token": self.operations[cell.beam],
        }

    def seconds(self, translator: Translator) -> float:
        """The time that all batches take."""
        limit.synchronize()
        start = time.perf_counter()
        for batch in self.batches:
            translator.translate(batch)
        limit.synchronize()
        return time.perf_counter() - start

    def count(self, beam: int, model: Any) -> float:
        """FLOPs of a translation per token of the result, with the longest batch."""
        work = partial(self.translator(beam, model).translate, self.batches[0])
        return limit.operations(work) / (len(self.batches[0]) * self.tokens)


def machine() -> dict[str, Any]:
    """What the figures depend on, beside the plan."""
    found: dict[str, Any] = {
        "device": limit.device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "seq2seq": seq2seq.__version__,
        "float32_products": torch.get_float32_matmul_precision(),
        "cores": os.cpu_count(),
        "date": f"{datetime.now(UTC):%-d %B %Y}",
        "seed": SEED,
    }
    if limit.DEVICE == "cuda":
        found["memory_gib"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30)
        found["capability"] = ".".join(map(str, torch.cuda.get_device_capability()))
    return found


def describe(plan: Plan, minutes: float) -> dict[str, Any]:
    """The plan for the JSON."""
    texts = {letter: text._asdict() for letter, text in plan.texts.items()}
    return {**plan._asdict(), "texts": texts, "folder": "", "minutes": minutes}


def summary(result: Result) -> str:
    """A line of progress about a row."""
    return f"{spread(result['tokens'])} tokens/s {result['note']}" if "tokens" in result else str(result["note"])


def tables(report: dict[str, Any]) -> str:
    """The report in Markdown: what was measured where, then a table for each job."""
    m, plan = report["machine"], report["plan"]
    gpu = f", {m['memory_gib']} GiB, CUDA {m['cuda']}" if "memory_gib" in m else ""
    rates = {row["precision"]: row["matrix_rate"] for row in report["rows"] if "matrix_rate" in row}
    products = ", ".join(f"{name} {rate / 1e12:,.3g}" for name, rate in sorted(rates.items()))
    texts = "; ".join(
        f"{letter}: {text['words']:,} words, {text['mean']} a sentence" for letter, text in plan["texts"].items()
    )
    head = [
        *(
            ["**A dry run**: small models, few updates; its figures say nothing about speed.", ""]
            if plan["small"]
            else []
        ),
        f"{m['device']}{gpu}, {m['cores']} cores; torch {m['torch']}, Python {m['python']}, seq2seq {m['seq2seq']}; "
        f"{m['date']}; seed {m['seed']}. Square matrix products in TFLOP/s: {products}; float32 with precision "
        f"*{m['float32_products']}*. Text, generated: {texts}. Training batches of {plan['batch_tokens']:,} tokens, "
        f"padded to multiples of 8; translation in batches of {plan['batch']}. Medians [least, most] of "
        f"{plan['repeats']} intervals of a training, or passes over the text.",
        "",
        "| training | precision | graphs | target tokens/s | source tokens/s | ms an update | share of the matrix rate "
        "| waiting for batches | peak MiB | note |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        *(training_row(row) for row in report["rows"] if row["job"] == "train"),
        "",
        "| translation | precision | search | graphs | sentences/s | target tokens/s | share of the matrix rate "
        "| peak MiB | note |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
        *(decoding_row(row) for row in report["rows"] if row["job"] == "decode"),
    ]
    return "\n".join(head)


def training_row(row: dict[str, Any]) -> str:
    """A row of the first table."""
    figures = [
        spread(row.get("tokens")),
        spread(row.get("source_tokens")),
        spread(row.get("milliseconds"), ",.1f"),
        spread(row.get("share"), ".1%"),
        f"{row['waiting']:.0%}" if "waiting" in row else "–",
        f"{row['memory']:,.0f}" if "memory" in row else "–",
    ]
    return "| " + " | ".join([row["work"], row["precision"], yes(row["graphs"]), *figures, row["note"]]) + " |"


def decoding_row(row: dict[str, Any]) -> str:
    """A row of the second table."""
    search = "greedy" if row["beam"] == 1 else f"beam {row['beam']}"
    figures = [
        spread(row.get("sentences"), ",.1f"),
        spread(row.get("tokens")),
        spread(row.get("share"), ".1%"),
        f"{row['memory']:,.0f}" if "memory" in row else "–",
    ]
    return "| " + " | ".join([row["work"], row["precision"], search, yes(row["graphs"]), *figures, row["note"]]) + " |"


def yes(flag: bool) -> str:
    """A flag in a table."""
    return "yes" if flag else "no"


def spread(values: list[float] | None, form: str = ",.0f") -> str:
    """The median of values with the least and the most; a dash for none."""
    if not values or any(map(math.isnan, values)):
        return "–"
    return f"{median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


if __name__ == "__main__":
    main()
