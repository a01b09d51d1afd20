"""Trains each named attention variant of both families for a few updates, exports it, and prints how outputs compare.

python scripts/export_table.py [--updates 300] [--sentences 200] [--runs runs/export] [--variants rnn-dot ...]

A run or an export that is there already is taken as it is, so that an interrupted table resumes.
"""

import argparse
import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from seq2seq import cli
from seq2seq.config import MODELS
from seq2seq.errors import ConfigError
from seq2seq.launch.compose import compose_config, conf_dir
from seq2seq.runtime.bundle import PARITY, Bundle

SMALL = {
    "rnn": ["model.embedding=64", "model.hidden=128"],
    "transformer": ["model.size=64", "model.heads=4", "model.feedforward=256"],
}
DTYPES = ("float32", "int8")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table in Markdown, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--runs", type=Path, default=Path("runs/export"))
    parser.add_argument("--variants", nargs="+", default=[], metavar="FAMILY-NAME", help="default: all")
    parser.add_argument("--set", nargs="+", default=[], metavar="SETTING=VALUE", dest="settings")
    options = parser.parse_args(argv)
    print("| model | float32: same | scores differ by | int8: same | BLEU before | after | MB float32 | int8 |")
    print("| --- |" + " ---: |" * 7)
    names = [path.stem for path in sorted((conf_dir() / "model/attention").glob("*.yaml"))]
    for family in MODELS:
        for name in names:
            if not options.variants or f"{family}-{name}" in options.variants:
                print_row(family, name, options)


def print_row(family: str, name: str, options: argparse.Namespace) -> None:
    """Print the row of a variant; nothing if the family cannot have it."""
    folder = options.runs / f"{family}-{name}"
    settings = [
        "data=toy", f"model={family}", f"model/attention={name}", f"runs={folder}", *SMALL[family],
        f"training.max_updates={options.updates}", "training.validate_every=0", "training.monitor=loss",
        "trainer.progress=none", "search.max_length=60", "search.max_source=100", *options.settings,
    ]  # fmt: skip
    try:
        compose_config(settings)
    except ConfigError:  # coverage needs a recurrent decoder
        return
    if not list(folder.glob("*/run.json")):
        call("train", *settings)
    (run,) = folder.iterdir()
    bundles = [run / "export.s2s", run / "export-int8.s2s"]
    if not all(bundle.exists() for bundle in bundles):
        limits = ["--sentences", str(options.sentences), "--allow-loss", "100", "--overwrite"]
        call("export", str(run), "--dtype", *DTYPES, *limits)
    records = [json.loads(Bundle.open(bundle).read(PARITY)) for bundle in bundles]
    sizes = [f"{bundle.stat().st_size / 1e6:.1f}" for bundle in bundles]
    exact, small = records
    cells = [same(exact), f"{exact['largest_difference']:.1e}", same(small), *scores(small), *sizes]
    print(f"| {family}-{name} | {' | '.join(cells)} |", flush=True)


def call(*words: str) -> None:
    """Run a command of ours, without its output."""
    with redirect_stdout(StringIO()):
        code = cli.main(words)
    if code:
        raise SystemExit(code)


def same(record: dict[str, Any]) -> str:
    """How many outputs were the same."""
    return f"{record['same']} of {record['of']}"


def scores(record: dict[str, Any]) -> list[str]:
    """BLEU of the checkpoint and of the artifact."""
    return [f"{record['metric'][who]:.1f}" for who in ("checkpoint", "artifact")]


if __name__ == "__main__":
    main()
