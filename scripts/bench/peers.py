"""How fast are others? The same work on the same text, ours and theirs in turns, and the ratios.

python scripts/bench/peers.py train|decode|alone [--work A1 A3] [--peers onmt fairseq ...] [--rounds 5] [--precision 32 bf16]

decode: batches of 64, each sentence made to give 16 tokens, beam 5; alone: the same one by one. Environments and text are
kept in --home. A peer that cannot be installed, or does not run, is left out by name.
"""

import argparse
import json
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
from peer.install import PEERS, Peer, environment, text

from seq2seq.utils.process import available_cores

HERE = Path(__file__).parent
SECONDS = 900  # that a peer may take for one measurement


class Found(NamedTuple):
    """What one measurement showed."""

    rate: clock.Rate
    memory: float  # MiB


def main(argv: Sequence[str] | None = None) -> None:
    """A table for each work: everyone's rate, and ours divided by it, in each round."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("job", choices=["train", "decode", "alone"])
    parser.add_argument("--work", nargs="+", default=["A1", "A2", "A3"], choices=["A1", "A2", "A3"])
    parser.add_argument(
        "--peers", nargs="+", default=[peer.script for peer in PEERS], choices=[peer.script for peer in PEERS]
    )
    parser.add_argument(
        "--precision", nargs="+", default=["32"], choices=["32", "bf16", "int8"], help="ours; the others have 32"
    )
    parser.add_argument(
        "--shortlist", type=int, default=0, help="in our decoding: only so many translations of each token"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=20, help="that count, in one round of training")
    parser.add_argument("--lines", type=int, default=0, help="of the test set; 0: 1,000 in batches, 100 alone")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument(
        "--wait", type=float, default=30, help="seconds to wait, at most, until others leave the cores alone"
    )
    parser.add_argument("--home", type=Path, default=Path.home() / ".cache" / "seq2seq" / "peers")
    options = parser.parse_args(argv)
    options.threads = options.threads or available_cores()
    options.lines = options.lines or (100 if options.job == "alone" else 1000)
    options.home = options.home.expanduser().absolute()
    print(limit.machine(), f"{options.threads} threads", sep="; ")
    for name in options.work:
        compare(name, options)


def compare(name: str, options: argparse.Namespace) -> None:
    """One work: rounds of everyone in turn."""
    config = work.settings(name)
    data = text(options.home / f"text-{config.data.name}", config, work.test_set(config))
    able = [p for p in PEERS if p.script in options.peers and name in (p.train if options.job == "train" else p.decode)]
    peers = [peer for peer in able if ready(peer, name, data, options)]
    everyone: dict[str, list[Found]] = {f"ours, {p}": [] for p in options.precision} | {peer.name: [] for peer in peers}
    for number in range(options.rounds):
        for precision in options.precision:
            everyone[f"ours, {precision}"].append(ours(name, precision, options))
        for peer in peers:
            clock.wait_for_quiet(options.wait)
            everyone[peer.name].append(theirs(peer, name, options.job, data, options))
        rates = ", ".join(f"{who} {found[-1].rate.value:,.1f}" for who, found in everyone.items())
        print(f"{name} round {number + 1}: {rates}", file=sys.stderr, flush=True)
    table(name, options, everyone)


def ours(name: str, precision: str, options: argparse.Namespace) -> Found:
    """In a process of its own, as the others."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        if options.job == "train":
            more = [f"trainer.precision={precision}", f"trainer.threads={options.threads}"]
            found = pool.submit(
                train.measure, name, more, argparse.Namespace(**vars(options), warm=train.WARM)
            ).result()
            return Found(found["rate"], found["memory"])
        settings = argparse.Namespace(
            **vars(options), beam=5, batch=1 if options.job == "alone" else 64, tokens=16, settings=[], graphs=False
        )
        return Found(*pool.submit(decode.passes, name, precision, settings).result())


def ready(peer: Peer, name: str, data: Path, options: argparse.Namespace) -> bool:
    """Whether it is installed, and has a model to translate with."""
    try:
        python = environment(options.home, peer)
        if options.job != "train":
            maker = next(p for p in PEERS if p.script == (peer.makes or peer.script))
            for who in [peer] if maker == peer else [maker, peer]:
                subprocess.run(command(python if who is peer else environment(options.home, maker), who, name, "make", data, options),
                               check=True, capture_output=True, timeout=SECONDS)  # fmt: skip
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        print(f"{peer.name} is left out: {said[-1] if said else error}", file=sys.stderr)
        return False
    return True


def theirs(peer: Peer, name: str, job: str, data: Path, options: argparse.Namespace) -> Found:
    """One measurement; a rate of nothing if it fails."""
    out = result(peer, name, options)
    out.unlink(missing_ok=True)
    words = command(environment(options.home, peer), peer, name, job, data, options)
    try:
        done = subprocess.run(words, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        done = None
    if not out.exists():
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] if done else [f"no result in {SECONDS} s"]
        print(f"{peer.name} does not run {name}: {' '.join(said)}", file=sys.stderr)
        return Found(clock.Rate(float("nan"), float("nan"), float("nan"), 0, 0), float("nan"))
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return Found(clock.rate([clock.Interval(*interval) for interval in found["intervals"]]), found["memory"])


def result(peer: Peer, name: str, options: argparse.Namespace) -> Path:
    """Where it writes what it saw; the last word tells CTranslate2 which numbers to take."""
    return options.home / f"{peer.script}-{name}-{peer.name.split()[-1]}.json"  # type: ignore[no-any-return]


def command(python: Path, peer: Peer, name: str, job: str, data: Path, options: argparse.Namespace) -> list[str]:
    """What is run in its environment."""
    folder = options.home / f"{peer.makes or peer.script}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "job": "decode" if job == "alone" else job, "work": name, "data": str(data), "folder": str(folder),
        "out": str(result(peer, name, options)), "threads": options.threads, "warm": train.WARM if job == "train" else 1,
        "count": options.updates if job == "train" else decode.PASSES, "batch": 1 if job == "alone" else 64, "tokens": 16, "beam": 5,
        "lines": options.lines,
    }  # fmt: skip
    threads = [f"{variable}_NUM_THREADS={options.threads}" for variable in ("OMP", "MKL")]
    return ["env", *threads, str(python), str(HERE / "peer" / f"run_{peer.script}.py"), json.dumps(told)]


def table(name: str, options: argparse.Namespace, everyone: dict[str, list[Found]]) -> None:
    """Medians over the rounds, least and most in brackets."""
    unit = "target tokens/s" if options.job == "train" else "sentences/s"
    ours = [who for who in everyone if who.startswith("ours")]
    print(f"\n{options.job} {name}, {options.rounds} rounds\n")
    print(f"| who | {unit} | " + "".join(f"{who} / this | " for who in ours) + "peak MiB | quiet |")
    print("| --- |" + " --- |" * (len(ours) + 3))
    for who, found in everyone.items():
        ratios = [[a.rate.value / b.rate.value for a, b in zip(everyone[one], found, strict=True)] for one in ours]
        quiet = f"{sum(f.rate.quiet for f in found)} of {sum(f.rate.all for f in found)}"
        digits = 0 if options.job == "train" else 1
        cells = [
            spread([f.rate.value for f in found], digits),
            *(spread(r, 2) for r in ratios),
            f"{max(f.memory for f in found):,.0f}",
        ]
        print(f"| {who} | {' | '.join(cells)} | {quiet} |", flush=True)


def spread(values: list[float], digits: int) -> str:
    """median [least, most]."""
    return f"{median(values):,.{digits}f} [{min(values):,.{digits}f}, {max(values):,.{digits}f}]"


if __name__ == "__main__":
    main()
