"""Benchmark of translation: sentences per second in batches, latency of single sentences, share of the peak FLOP/s.

python scripts/bench/decode.py [A1 A3 ...] [--precision 32 bf16] [--shortlist N] [--beam N] [--batch N] [--tokens N]
    [--threads N]

Models are not trained: every translation is forced to the same number of tokens, so that weights do not matter.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import clock
import limit
import torch
import work

from seq2seq.data.corpora import test_pairs
from seq2seq.data.ibm1 import translation_table
from seq2seq.data.prepare import prepare
from seq2seq.nn.build import build_model
from seq2seq.nn.cuda_graphs import CUDAGraphRecorder, GraphedModel
from seq2seq.nn.precision import PRECISIONS
from seq2seq.runtime.cpu import available_cores
from seq2seq.search.shortlist import Shortlist
from seq2seq.translator import Translator

PASSES = 3  # times that all batches are translated
SINGLE = 200  # sentences that are translated one at a time
HEADER = (
    "| work | precision | batch | sentences/s | tokens/s | share of the limit | alone, ms: median, 95 % | peak MiB "
    "| quiet batches |"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Print a row for each workload and precision, each measured in a process of its own."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("work", nargs="*", default=["A1", "A3"], metavar="WORK", help=f"of {', '.join(work.WORKLOADS)}")
    parser.add_argument("--precision", nargs="+", default=["32"], choices=["32", "bf16", "int8"])
    parser.add_argument(
        "--shortlist",
        type=int,
        default=0,
        help="translations of each source token that are considered; 0: the whole vocabulary",
    )
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=16, help="length of every translation")
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--graphs", action="store_true", help="on a GPU: replay each shape of step as a CUDA graph")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="SETTING=VALUE", dest="settings")
    parser.add_argument(
        "--wait",
        type=float,
        default=30,
        help="wait at most so many seconds for other processes to leave the cores alone",
    )
    options = parser.parse_args(argv)
    print(limit.machine(), f"beam {options.beam}", f"{options.tokens} tokens a sentence", sep="; ")
    print(HEADER + "\n|" + " --- |" * HEADER.count(" |"))
    for name in options.work:
        for precision in options.precision:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                print(
                    row(name, precision, options, pool.submit(measure, name, precision, options).result()), flush=True
                )


def measure(name: str, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """Translate the test set in batches, then some of its lines one at a time."""
    torch.set_num_threads(options.threads or available_cores())
    translator, lines = untrained(name, precision, options)
    batches = [lines[at : at + options.batch] for at in range(0, len(lines), options.batch)]
    translator.translate(batches[0])
    clock.wait_for_quiet(options.wait)
    intervals = [timed(translator, batch) for _ in range(PASSES) for batch in batches]
    alone = [1000 * timed(translator, [line]).wall for line in lines[:SINGLE]]
    memory = clock.peak_memory()
    operations = limit.operations(lambda: translator.translate(batches[0])) / len(batches[0])
    return {
        "rate": clock.rate(intervals),
        "alone": alone,
        "memory": memory,
        "operations": operations,
        "limit": limit.matrix_rate(precision),
    }


def passes(name: str, precision: str, options: argparse.Namespace) -> tuple[clock.Rate, float]:
    """Sentences per second in batches sorted by length, and peak memory in MiB; peers are measured in the same way."""
    torch.set_num_threads(options.threads)
    translator, lines = untrained(name, precision, options)
    lines = sorted(lines, key=lambda line: -len(translator.encode_source(line).ids))
    batches = [lines[at : at + options.batch] for at in range(0, len(lines), options.batch)]
    translator.translate(batches[0])
    clock.wait_for_quiet(options.wait)
    intervals = [timed(translator, batch) for batch in batches for _ in range(PASSES)]
    return clock.rate(intervals[PASSES:]), clock.peak_memory()


def untrained(name: str, precision: str, options: argparse.Namespace) -> tuple[Translator, list[str]]:
    """A translator with an untrained model of the workload, and the source lines of its test set."""
    config = work.settings(name, options.settings)
    prepared = prepare(config.data, config.tokenizer)
    torch.manual_seed(1)
    model = build_model(config.model, prepared.vocabularies.source.size, prepared.vocabularies.target.size)
    length = {"min_length": options.tokens, "max_length": options.tokens, "max_ratio": float(options.tokens)}
    search = replace(config.search, beam=options.beam, batch=options.batch, **length)
    lines = [pair.source for pair in test_pairs(config.data, work.test_set(config))][: options.lines]
    converted: Any = PRECISIONS[precision](model.eval().to(limit.DEVICE))
    models = [GraphedModel(converted, CUDAGraphRecorder()) if options.graphs else converted]
    shortlist = None
    if options.shortlist:
        table = translation_table(prepared.train, prepared.vocabularies.source.size, options.shortlist)
        shortlist = Shortlist(torch.from_numpy(table).to(limit.DEVICE), prepared.vocabularies.target.size)
    return Translator(models, prepared.vocabularies, search, shortlist=shortlist), lines


def timed(translator: Translator, lines: list[str]) -> clock.Interval:
    """The interval that translating `lines` takes."""
    start = clock.now()
    translator.translate(lines)
    return clock.between(start, clock.now(), len(lines))


def row(name: str, precision: str, options: argparse.Namespace, result: dict[str, Any]) -> str:
    """A row of the table."""
    rate, speed = result["rate"], result["rate"].value * result["operations"]
    median, late = (clock.percentile(result["alone"], share) for share in (0.5, 0.95))
    sentences = f"{rate.value:.1f} [{rate.low:.1f}, {rate.high:.1f}] | {rate.value * options.tokens:,.0f}"
    share = f"{speed / result['limit']:.0%} of {result['limit'] / 1e9:.0f} GFLOP/s"
    return (
        f"| {name} | {precision} | {options.batch} | {sentences} | {share} | {median:.0f}, {late:.0f} "
        f"| {result['memory']:,.0f} | {rate.quiet} of {rate.all} |"
    )


if __name__ == "__main__":
    main()
