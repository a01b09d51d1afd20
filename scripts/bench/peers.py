"""Benchmark against other toolkits: the same workloads on the same text, measured alternately, and the ratios of speed.

python scripts/bench/peers.py train|decode|alone [--work A1 A3] [--peers onmt fairseq ...] [--rounds 5]
    [--precision 32 bf16] [--bundles float32 int8]

decode: batches of 64, every translation forced to 16 tokens, beam 5; alone: the same one sentence at a time.
Environments and text are kept in --home. A peer that cannot be installed, or does not run, is left out with a message.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import clock
import decode
import limit
import train
import work
from peer.install import PEERS, Peer, environment, write_text

from seq2seq.data.corpora import test_pairs
from seq2seq.data.prepare import prepare
from seq2seq.runtime.cpu import available_cores

HERE = Path(__file__).parent
TIMEOUT = 900  # seconds for one measurement of a peer


class Measurement(NamedTuple):
    """The result of one measurement."""

    rate: clock.Rate
    memory: float  # peak, MiB


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table for each workload: the rates of all toolkits, and ours divided by each, per round."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("job", choices=["train", "decode", "alone"])
    parser.add_argument("--work", nargs="+", default=["A1", "A2", "A3"], choices=["A1", "A2", "A3"])
    parser.add_argument(
        "--peers", nargs="+", default=[peer.script for peer in PEERS], choices=[peer.script for peer in PEERS]
    )
    parser.add_argument(
        "--precision", nargs="+", default=["32"], choices=["32", "bf16", "int8"], help="of ours; the others run in 32"
    )
    parser.add_argument(
        "--bundles", nargs="+", default=[], choices=["float32", "int8", "float16"], help="of ours, exported to these"
    )
    parser.add_argument(
        "--shortlist", type=int, default=0, help="of ours: translations considered for each source token; 0: all"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=20, help="measured per round of training")
    parser.add_argument("--lines", type=int, default=0, help="of the test set; 0: 1,000 in batches, 100 alone")
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[],
        help="a table for each; default: all cores, and alone 1 too",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=30,
        help="wait at most so many seconds for other processes to leave the cores alone",
    )
    parser.add_argument("--home", type=Path, default=Path.home() / ".cache" / "seq2seq" / "peers")
    options = parser.parse_args(argv)
    cores = available_cores()
    options.lines = options.lines or (100 if options.job == "alone" else 1000)
    options.home = options.home.expanduser().absolute()
    print(limit.machine())
    for threads in options.threads or sorted({1, cores} if options.job == "alone" else {cores}):
        for name in options.work:
            compare_workload(name, argparse.Namespace(**vars(options) | {"threads": threads}))


def compare_workload(name: str, options: argparse.Namespace) -> None:
    """Measure all toolkits in rounds, and print the table of one workload."""
    config = work.settings(name)
    data = write_text(options.home / f"text-{config.data.name}", config, work.test_set(config))
    known = [
        p for p in PEERS if p.script in options.peers and name in (p.train if options.job == "train" else p.decode)
    ]
    peers = [peer for peer in known if prepare_peer(peer, name, data, options)]
    results: dict[str, list[Measurement]] = {f"ours, {p}": [] for p in options.precision}
    results |= {f"ours, bundle {dtype}": [] for dtype in options.bundles}
    results |= {peer.name: [] for peer in peers}
    lines = make_bundles(name, options) if options.bundles else Path()
    for number in range(options.rounds):
        for precision in options.precision:
            results[f"ours, {precision}"].append(measure_ours(name, precision, options))
        for dtype in options.bundles:
            clock.wait_for_quiet(options.wait)
            results[f"ours, bundle {dtype}"].append(measure_bundle(lines.with_name(f"{dtype}.s2s"), lines, options))
        for peer in peers:
            clock.wait_for_quiet(options.wait)
            results[peer.name].append(measure_peer(peer, name, options.job, data, options))
        rates = ", ".join(f"{who} {measured[-1].rate.value:,.1f}" for who, measured in results.items())
        print(f"{name} round {number + 1}: {rates}", file=sys.stderr, flush=True)
    print_table(name, options, results)


def measure_ours(name: str, precision: str, options: argparse.Namespace) -> Measurement:
    """Measure this toolkit, in a process of its own as the peers."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        if options.job == "train":
            more = [f"trainer.precision={precision}", f"trainer.threads={options.threads}"]
            result = pool.submit(
                train.measure, name, more, argparse.Namespace(**vars(options), warm=train.WARM)
            ).result()
            return Measurement(result["rate"], result["memory"])
        settings = argparse.Namespace(
            **vars(options), beam=5, batch=1 if options.job == "alone" else 64, tokens=16, settings=[], graphs=False
        )
        return Measurement(*pool.submit(decode.passes, name, precision, settings).result())


def make_bundles(name: str, options: argparse.Namespace) -> Path:
    """Train a model of the workload for one update and export it; the file of the lines to translate, beside both."""
    folder = options.home / f"ours-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    settings = [*work.corpus(), *work.COMMON, *work.WORKLOADS[name]]
    ours("train", *settings, "training.max_updates=1", f"runs={folder}")
    run = next(folder.iterdir())
    if options.shortlist:
        ours("shortlist", str(run), f"--most={options.shortlist}")
    for dtype in options.bundles:
        target = f"--output={folder / dtype}.s2s"
        loss = [] if dtype == "float32" else ["--allow-loss=100"]
        ours("export", str(run), f"--dtype={dtype}", "--sentences=20", *loss, target)
    config = work.settings(name)
    found = [pair.source for pair in test_pairs(config.data, work.test_set(config))][: options.lines]
    tokenizer = prepare(config.data, config.tokenizer).vocabularies.source
    found.sort(key=lambda line: -len(tokenizer.encode(line)))
    (folder / "lines.txt").write_text("".join(f"{line}\n" for line in found), encoding="utf-8")
    return Path(folder / "lines.txt")


def ours(*words: str) -> None:
    """Run a command of ours in a process of its own."""
    subprocess.run([sys.executable, "-m", "seq2seq", *words], check=True, capture_output=True, cwd=HERE.parents[1])


def measure_bundle(bundle: Path, lines: Path, options: argparse.Namespace) -> Measurement:
    """Measure an exported model once, in a process without torch."""
    out = bundle.with_suffix(".json")
    job = {
        "bundle": str(bundle), "lines": str(lines), "out": str(out), "threads": options.threads, "tokens": 16,
        "beam": 5, "batch": 1 if options.job == "alone" else 64, "count": decode.PASSES, "shortlist": options.shortlist,
    }  # fmt: skip
    script = HERE / "peer" / "run_bundle.py"
    subprocess.run([sys.executable, script, json.dumps(job)], check=True, capture_output=True, timeout=TIMEOUT)
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return Measurement(clock.rate([clock.Interval(*interval) for interval in result["intervals"]]), result["memory"])


def prepare_peer(peer: Peer, name: str, data: Path, options: argparse.Namespace) -> bool:
    """Install a peer and make the model that it translates with. False, with a message on stderr, if that fails."""
    try:
        python = environment(options.home, peer)
        if options.job != "train":
            maker = next(p for p in PEERS if p.script == (peer.makes or peer.script))
            for who in [peer] if maker == peer else [maker, peer]:
                interpreter = python if who is peer else environment(options.home, maker)
                words = command(interpreter, who, name, "make", data, options)
                subprocess.run(words, check=True, capture_output=True, timeout=TIMEOUT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        lines = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        print(f"{peer.name} is left out: {lines[-1] if lines else error}", file=sys.stderr)
        return False
    return True


def measure_peer(peer: Peer, name: str, job: str, data: Path, options: argparse.Namespace) -> Measurement:
    """Measure a peer once; NaN, with a message on stderr, if it fails."""
    out = result_path(peer, name, options)
    out.unlink(missing_ok=True)
    words = command(environment(options.home, peer), peer, name, job, data, options)
    try:
        done = subprocess.run(words, capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        done = None
    if not out.exists():
        why = done.stderr.decode(errors="replace").strip().splitlines()[-1:] if done else [f"no result in {TIMEOUT} s"]
        print(f"{peer.name} does not run {name}: {' '.join(why)}", file=sys.stderr)
        return Measurement(clock.Rate(float("nan"), float("nan"), float("nan"), 0, 0), float("nan"))
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return Measurement(clock.rate([clock.Interval(*interval) for interval in result["intervals"]]), result["memory"])


def result_path(peer: Peer, name: str, options: argparse.Namespace) -> Path:
    """The file that a peer writes its result to; CTranslate2 reads its compute type from the last part of the name."""
    return options.home / f"{peer.script}-{name}-{peer.name.split()[-1]}.json"  # type: ignore[no-any-return]


def command(python: Path, peer: Peer, name: str, job: str, data: Path, options: argparse.Namespace) -> list[str]:
    """The command that runs a job of a peer in its environment."""
    folder = options.home / f"{peer.makes or peer.script}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    job_settings = {
        "job": "decode" if job == "alone" else job, "work": name, "data": str(data), "folder": str(folder),
        "out": str(result_path(peer, name, options)), "threads": options.threads, "lines": options.lines,
        "warm": train.WARM if job == "train" else 1, "count": options.updates if job == "train" else decode.PASSES,
        "batch": 1 if job == "alone" else 64, "tokens": 16, "beam": 5,
    }  # fmt: skip
    threads = [f"{variable}_NUM_THREADS={options.threads}" for variable in ("OMP", "MKL")]
    return ["env", *threads, str(python), str(HERE / "peer" / f"run_{peer.script}.py"), json.dumps(job_settings)]


def print_table(name: str, options: argparse.Namespace, results: dict[str, list[Measurement]]) -> None:
    """Print medians over the rounds, with minima and maxima in brackets; the fastest first, failed ones last."""
    unit = "target tokens/s" if options.job == "train" else "sentences/s"
    ours = [who for who in results if who.startswith("ours")]
    print(f"\n{options.job} {name}, {options.threads} threads, {options.rounds} rounds\n")
    print(f"| who | {unit} | " + "".join(f"{who} / this | " for who in ours) + "peak MiB | quiet |")
    print("| --- |" + " --- |" * (len(ours) + 3))
    for who, measured in sorted(results.items(), key=lambda row: slowness(row[1])):
        ratios = [[a.rate.value / b.rate.value for a, b in zip(results[one], measured, strict=True)] for one in ours]
        quiet = f"{sum(m.rate.quiet for m in measured)} of {sum(m.rate.all for m in measured)}"
        digits = 0 if options.job == "train" else 1
        cells = [
            spread([m.rate.value for m in measured], digits),
            *(spread(r, 2) for r in ratios),
            f"{max(m.memory for m in measured):,.0f}",
        ]
        print(f"| {who} | {' | '.join(cells)} | {quiet} |", flush=True)


def slowness(measured: list[Measurement]) -> float:
    """What rows of a table are sorted by: the negative median rate; infinity if one of the measurements failed."""
    rate = median(m.rate.value for m in measured)
    return math.inf if math.isnan(sum(m.rate.value for m in measured)) else -rate


def spread(values: list[float], digits: int) -> str:
    """median [minimum, maximum]."""
    return f"{median(values):,.{digits}f} [{min(values):,.{digits}f}, {max(values):,.{digits}f}]"


if __name__ == "__main__":
    main()
