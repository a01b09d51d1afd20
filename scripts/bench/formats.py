"""Exports runs to every format and precision that they have, translates a test set with what was written, each by its
own runtime, and prints quality, speed and size in a Markdown table.

python scripts/bench/formats.py TEST RUN [RUN ...] [--threads 1] [--lines N] [--formats onnx ctranslate2 ...]

Speed is that of the whole test set in batches as they come, with the search settings of the run, opening included.
A format whose package is missing has a row that says so. Artifacts that are there already are used.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from itertools import islice
from pathlib import Path

from seq2seq import Translator, cli
from seq2seq.data.corpora import test_pairs
from seq2seq.evaluation.metrics import score
from seq2seq.export.artifacts import checkpoint_size, library_settings, run_library
from seq2seq.export.formats import FORMATS, reasons
from seq2seq.export.pt2 import open_written
from seq2seq.runs.directory import Run, variant_name
from seq2seq.runtime.bundle import ENDING
from seq2seq.runtime.translator import Translator as GraphTranslator

Translate = Callable[[Sequence[str]], list[str]]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("test")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lines", type=int, help="of the test set; default: all")
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    options = parser.parse_args(argv)
    if os.environ.get("OMP_NUM_THREADS") != str(options.threads):
        parser.error(f"set OMP_NUM_THREADS={options.threads}, which torch and CTranslate2 read when they start")
    print("| model | format | dtype | MB | sentences/s | BLEU | same as the checkpoint |")
    print("| --- | --- | --- |" + " ---: |" * 4, flush=True)
    signatures = {signature for run in options.runs for signature in print_rows(Run.open(run), options)}
    print("\n" + "\n".join(f"`{signature}`" for signature in sorted(signatures)))


def print_rows(run: Run, options: argparse.Namespace) -> Iterator[str]:
    """Print the rows of a run. Yields the signatures of their scores."""
    pairs = list(islice(test_pairs(run.config.data, options.test), options.lines))
    sources, references = [pair.source for pair in pairs], [[pair.target for pair in pairs]]
    language = run.config.data.languages()[1] or ""
    name = variant_name(run.config)
    expected: list[str] = []
    for form, dtype, path in [("checkpoint", "float32", run.folder), *artifacts(run, options.formats)]:
        if path is None:
            print(f"| {name} | {form} | {dtype} | - | its package is missing | - | - |")
            continue
        start = time.perf_counter()
        found = opened(form, path, options.threads)(sources)
        speed = len(sources) / (time.perf_counter() - start)
        expected = expected or found
        same = sum(one == other for one, other in zip(found, expected, strict=True))
        bleu = score(found, references, ["bleu"], bootstrap=0, language=language)[0]
        size = checkpoint_size([run]) if form == "checkpoint" else size_of(path)
        cells = [f"{size / 1e6:.1f}", f"{speed:.1f}", f"{bleu.value:.1f}", f"{same:,} of {len(sources):,}"]
        print(f"| {name} | {form} | {dtype} | {' | '.join(cells)} |", flush=True)
        yield bleu.signature


def artifacts(run: Run, formats: Sequence[str]) -> Iterator[tuple[str, str, Path | None]]:
    """Format, precision and path of each artifact that the run can have; None for one whose package is missing."""
    for name in formats:
        form = FORMATS[name]
        for dtype in [] if reasons(name, run.config) else form.dtypes:
            if not all(map(find_spec, form.packages)):
                yield name, dtype, None
                continue
            path = run.folder / f"bench-{name}-{dtype}{ENDING if form.one_file else ''}"
            if not path.exists():
                limit = [] if form.bundle and dtype == "float32" else ["--allow-loss", "100"]
                words = ["export", str(run.folder), "--format", name, "--dtype", dtype, "--output", str(path), *limit]
                with redirect_stdout(StringIO()):
                    if code := cli.main(words):
                        raise SystemExit(code)
            yield name, dtype, path


def opened(form: str, path: Path, threads: int) -> Translate:
    """What translates lines with an artifact."""
    if form in ("checkpoint", "weights"):
        return Translator.open(path).translate
    if form == "onnx":
        return GraphTranslator.open(path, threads=threads).translate
    if form == "pt2":
        return open_written(path).translate
    return lambda lines: [one.text for one in run_library(form, path, lines, library_settings(path))]


def size_of(path: Path) -> int:
    """Bytes of a file, or of those in a folder."""
    return sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())


if __name__ == "__main__":
    main()
