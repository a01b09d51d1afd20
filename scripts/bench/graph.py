"""Profile of a step of an exported graph: its operators by the time that they take, and the weights that it reads.

python scripts/bench/graph.py BUNDLE [BUNDLE ...] [--sentences 1] [--source 15] [--threads 1] [--top 10]

The step is the tenth of a search with five hypotheses; its time is the shortest of many. Times of operators include
about a microsecond each for measuring them; that of the step is measured without.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import limit
import numpy as np
import onnx
import onnxruntime
import torch

from seq2seq.ids import EOS, PAD
from seq2seq.runtime.bundle import Bundle
from seq2seq.runtime.graphs import Graph, GraphModel

WIDTH, STEPS, RUNS = 5, 10, 200


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table for each bundle."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("bundle", nargs="+", type=Path)
    parser.add_argument("--sentences", type=int, default=1)
    parser.add_argument("--source", type=int, default=15, help="tokens of each source")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--top", type=int, default=10, help="operators to print")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    print(limit.machine())
    for path in options.bundle:
        print_profile(path, options)


def print_profile(path: Path, options: argparse.Namespace) -> None:
    """Print what a step takes, and its operators, those that take most first."""
    bundle = Bundle.open(path)
    encoder, step = map(bundle.read_graph, bundle.config.graphs[0])
    fed = inputs(bundle, encoder, step, options)
    seconds = min(times(session(step, options.threads), fed))
    with tempfile.TemporaryDirectory() as folder:
        profiled = session(step, options.threads, f"{folder}/profile")
        times(profiled, fed)
        events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    durations = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            durations[event["args"]["op_name"]].append(event["dur"])
    typical = {name: median(of_one) * len(of_one) / RUNS for name, of_one in durations.items()}
    count = sum(map(len, durations.values())) // RUNS
    read = weights(onnx.load_from_string(step))
    print(
        f"\n{path.name}, {options.sentences} x {WIDTH} hypotheses, {options.threads} threads: {1e3 * seconds:.2f} ms, "
        f"{count} operators; {read / 1e6:.1f} MB of weights, {read / seconds / 1e9:.0f} GB/s, "
        f"{read / seconds / limit.read_rate(read):.0%} of what only reading them reaches\n"
    )
    print("| operator | times | share of the time |\n| --- | ---: | ---: |")
    for name in sorted(typical, key=lambda name: -typical[name])[: options.top]:
        print(f"| {name} | {len(durations[name]) // RUNS} | {typical[name] / sum(typical.values()):.1%} |")


def inputs(bundle: Bundle, encoder: bytes, step: bytes, options: argparse.Namespace) -> dict[str, Any]:
    """The inputs of a step within a search."""
    vocabulary = bundle.config.vocabulary.target
    model = GraphModel(Graph(encoder), Graph(step), vocabulary, copies=bundle.config.copies)
    kept: dict[str, Any] = {}
    run = model.stepper.run
    model.stepper.run = lambda fed, outputs: kept.update(fed) or run(fed, outputs)  # type: ignore[method-assign]
    random, B = np.random.default_rng(1), options.sentences
    source = random.integers(EOS + 1, bundle.config.vocabulary.source, (B, options.source))
    source[:, -1] = EOS
    decoding = model.encode(source)
    for number in range(STEPS):
        width = WIDTH if number else 1
        tokens = random.integers(EOS + 1, vocabulary, (B, width))
        parents = random.integers(width if number > 1 else 1, size=(B, width))
        decoding.step(tokens, parents, np.full((B, width, 1), PAD), 2 * WIDTH)
    return {name: np.copy(kept[name]) for name in model.stepper.inputs}


def session(graph: bytes, threads: int, profile: str = "") -> onnxruntime.InferenceSession:
    """As runtime.graphs.Graph opens it; profile: start of the name of the file to write one to."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_profiling, options.profile_file_prefix = bool(profile), profile or "unused"
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def times(step: onnxruntime.InferenceSession, fed: dict[str, Any]) -> list[float]:
    """Seconds of each of RUNS runs."""
    outputs = ["scores", "ids", *(one.name for one in step.get_outputs() if one.name.startswith("next_"))]
    found = []
    for _ in range(RUNS):
        start = time.perf_counter()
        step.run(outputs, fed)
        found.append(time.perf_counter() - start)
    return found


def weights(graph: onnx.ModelProto) -> int:
    """Bytes of all constants but tables, of which few rows are read."""
    read = {name for node in graph.graph.node for name in node.input[node.op_type == "Gather" :]}
    return sum(one.ByteSize() for one in graph.graph.initializer if one.name in read)


if __name__ == "__main__":
    main()
