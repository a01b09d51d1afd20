"""`seq2seq export`: writes a run as an artifact that translates without this package, proved to give its output."""

import argparse
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.errors import ConfigError, RunError, os_errors_named
from seq2seq.export.formats import FORMATS, LIBRARY_SETTINGS, check_format
from seq2seq.runtime.arguments import Parser, add_choice, add_number
from seq2seq.runtime.bounds import Bounds
from seq2seq.runtime.bundle import ENDING, PARITY, check_target

if TYPE_CHECKING:
    from seq2seq.export.artifacts import Exported
    from seq2seq.export.parity import Gate, GateSentence, Measured
    from seq2seq.runs.directory import Run

log = logging.getLogger("seq2seq")

SENTENCES = Bounds(10, 100_000, "of which five are hard ones")
LOSS = Bounds(0.0, 100.0)
MEGABYTE = 1e6


def main(argv: list[str]) -> None:
    """`seq2seq export RUN [RUN ...] [--format NAME] [--dtype NAME ...]`."""
    options = _parse(argv)

    from seq2seq.runs.directory import Run

    runs, form = [Run.open(path) for path in options.runs], FORMATS[options.format]
    dtypes = list(dict.fromkeys(options.dtype or form.dtypes[:1]))
    for run in runs:
        for dtype in dtypes:
            check_format(options.format, run.config, dtype)
    if len(runs) > 1 and not form.ensembles:
        raise ConfigError(f"--format={options.format} holds one model: an ensemble is exported with --format=onnx")
    if options.allow_loss is not None and dtypes == ["float32"] and form.bundle and not options.shrink:
        raise ConfigError(
            f"--allow-loss={options.allow_loss:g} would be ignored: in float32 a bundle has to give its run's output"
        )
    _check_packages(options.format)
    paths = _targets(options, runs, dtypes)
    _export(options, runs, paths)


def _export(options: argparse.Namespace, runs: "Sequence[Run]", paths: dict[str, Path]) -> None:
    """Export the runs to `paths`, precision -> path. Raises RunError, and writes none, if one fails the gate."""
    from seq2seq.export.artifacts import make_artifacts, through_gate, write_exported
    from seq2seq.export.parity import DEFAULT_LOSS, measure, open_gate
    from seq2seq.runtime.parity import SETTINGS
    from seq2seq.translator import Translator

    translator = Translator.open_runs(*(run.folder for run in runs), **SETTINGS)
    sentences = _sentences(options, runs[0], translator)
    log.info("translating %d sentences with the checkpoint", len(sentences))
    checkpoint = measure(translator, sentences)
    # the ids of a shrunk vocabulary are others
    expected = [one._replace(ids=None) for one in checkpoint.outputs] if options.shrink else checkpoint.outputs
    gate = open_gate(sentences, runs[0].config, expected)
    with tempfile.TemporaryDirectory(dir=next(iter(paths.values())).parent, prefix=".export-") as scratch:
        log.info("exporting to %s", FORMATS[options.format].title)
        with os_errors_named(scratch):
            artifacts = make_artifacts(runs, options.format, list(paths), Path(scratch), options.shrink)
        exported = {}
        for dtype, artifact in artifacts.items():
            exact = FORMATS[options.format].bundle and not options.shrink
            strict = dtype == "float32" and (exact or options.allow_loss is None)
            allowed = DEFAULT_LOSS if options.allow_loss is None else options.allow_loss
            exported[dtype] = through_gate(artifact, gate, options.format, dtype, None if strict else allowed)
        print(_table(runs, checkpoint, exported, gate))
        for dtype, one in exported.items():
            if one.failure:
                raise RunError(f"{dtype} does not translate as its checkpoint, and nothing was written: {one.failure}")
        for dtype, one in exported.items():
            write_exported(one, runs, paths[dtype], options.overwrite)
    for dtype, one in exported.items():
        print(_last_line(paths[dtype], one))


def _parse(argv: list[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(
        "export",
        "Export a run as an artifact that other programs translate with, and prove it: sentences of the development"
        " set, and hard ones, are translated with the checkpoint and with the artifact. In float32 the output has to be"
        " the same; smaller precisions may lose less than --allow-loss. What fails is not written. `seq2seq verify`"
        " repeats the comparison anywhere, but for pt2.",
        usage="seq2seq export [OPTIONS] RUN [RUN ...]",
        example="runs/toy-demo-s1-bc617b45 --dtype float32 int8",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run directory; several are exported as one ensemble"
    )
    add_choice(
        parser,
        "--format",
        list(FORMATS),
        default="onnx",
        help="onnx, a bundle that seq2seq.runtime opens without PyTorch; weights, one that this package opens; pt2, one"
        " for torch.export.load; or that of another library; `seq2seq check` says which a model can have (default:"
        " onnx)",
    )
    known = sorted({dtype for form in FORMATS.values() for dtype in form.dtypes})
    parser.add_argument(
        "--dtype",
        nargs="+",
        metavar="NAME",
        help=f"precisions, one artifact for each, of {', '.join(known)}; int8 is smaller and faster, and changes a few"
        " translations (default: float32, which gives the output of the checkpoint; argos: int8)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help=f"a bundle is one file if this ends in {ENDING}, else a folder (default: RUN/export{ENDING}, with format"
        " and precision in the name if they are others; pt2: the folder RUN/export-pt2)",
    )
    add_number(
        parser,
        "--allow-loss",
        LOSS,
        help="points of BLEU, or of ROUGE-L in summarization, that another precision than float32 has to lose less than"
        " (default: 0.3)",
    )
    add_number(
        parser, "--sentences", SENTENCES, default=200, help="sentences that are compared, at most (default: 200)"
    )
    parser.add_argument(
        "--shrink",
        action="store_true",
        help="without the entries of the vocabulary that the training text does not use: smaller, and other text may be"
        " split, and translated, differently; for --format=onnx",
    )
    parser.add_argument(
        "--source", type=Path, metavar="FILE", help="compare sentences of this file, not of the development set"
    )
    parser.add_argument("--reference", type=Path, metavar="FILE", help="their references")
    parser.add_argument("--overwrite", action="store_true", help="replace an artifact that is there")
    options = parser.parse_args(argv)
    if options.shrink and options.format != "onnx":
        parser.error(f"--shrink works with --format=onnx, not with --format={options.format}")
    if (options.source is None) != (options.reference is None):
        parser.error("--source and --reference must be given together")
    return options


def _sentences(options: argparse.Namespace, run: "Run", translator: object) -> "list[GateSentence]":
    """The sentences of the gate. ConfigError if the development set is missing."""
    from seq2seq.data.readers import read_parallel
    from seq2seq.export.parity import choose_sentences, dev_set

    if options.source:
        from seq2seq.data.readers import Pair

        pairs = [Pair(*pair) for pair in read_parallel(options.source, options.reference)]
    else:
        pairs = dev_set(run.config)
    return choose_sentences(pairs, options.sentences, translator)  # type: ignore[arg-type]


def _targets(options: argparse.Namespace, runs: "Sequence[Run]", dtypes: Sequence[str]) -> dict[str, Path]:
    """Where the artifact of each precision goes. ConfigError, before any work, for what cannot be written."""
    from seq2seq.runs.directory import path_inside
    from seq2seq.utils.files import why_no_folder

    if options.output and len(dtypes) > 1:
        raise ConfigError(f"--output={options.output} names one artifact, and --dtype several: {', '.join(dtypes)}")
    ending = ENDING if FORMATS[options.format].one_file else ""
    paths = {}
    for dtype in dtypes:
        parts = ["export", *([] if options.format == "onnx" else [options.format])]
        parts += ["ensemble"] * (len(runs) > 1) + ([] if dtype == "float32" else [dtype])
        path = options.output or path_inside(runs[0].folder, "-".join(parts) + ending)
        if not path.name:
            raise ConfigError(f"{path} cannot be written: it has to end in a name")
        if reason := why_no_folder(path.parent) or ("" if path.parent.is_dir() else "its folder does not exist"):
            raise ConfigError(f"{path} cannot be written: {reason}")
        if os.path.lexists(path):
            _check_replaced(path, options)
        paths[dtype] = path
    return paths


def _check_replaced(path: Path, options: argparse.Namespace) -> None:
    """ConfigError unless --overwrite is given and `path` is an artifact of the same kind."""
    if not options.overwrite:
        raise ConfigError(f"{path} exists: --overwrite replaces it, and --output names another place")
    if FORMATS[options.format].bundle:
        check_target(path, overwrite=True)
    elif path.is_symlink() or not all((path / name).is_file() for name in (PARITY, LIBRARY_SETTINGS)):
        raise ConfigError(f"{path} is not what --format={options.format} writes, and is not replaced")


def _check_packages(form: str) -> None:
    """ConfigError if a package is missing that writes the format, or that translates with it."""
    from importlib.util import find_spec

    if missing := [name for name in FORMATS[form].packages if not find_spec(name)]:
        how = "'seq2seq[export]'" if form == "onnx" else " ".join(missing)
        raise ConfigError(f"--format={form} needs the package {missing[0]}: pip install {how}")


def _table(runs: "Sequence[Run]", checkpoint: "Measured", exported: "dict[str, Exported]", gate: "Gate") -> str:
    """Size, speed on this machine and parity of the checkpoint and each artifact, and which is the fastest."""
    from seq2seq.export.artifacts import checkpoint_size
    from seq2seq.export.parity import compared

    metric = "BLEU" if gate.metric["name"] == "bleu" else gate.metric["name"]
    rows = [["", "size", "sentences/s", "one alone", "same", "score differs", metric]]
    scored = next((one.record.metric for one in exported.values() if one.record.metric), None)
    quality = f"{scored['checkpoint']:.2f}" if scored else "-"
    rows.append(["checkpoint", _megabytes(checkpoint_size(runs)), *_speed(checkpoint), "", "", quality])
    for dtype, one in exported.items():
        found = compared(one.record)
        distance = "-" if found.distance is None else f"{found.distance:.2g}"
        quality = f"{one.record.metric['artifact']:.2f}" if one.record.metric else "-"
        rows.append([dtype, _megabytes(one.size), *_speed(one.measured), found.same_share, distance, quality])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            value.ljust(width) if i == 0 else value.rjust(width)
            for i, (value, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(
        [
            *(line.rstrip() for line in lines),
            *_fastest({"checkpoint": checkpoint} | {k: v.measured for k, v in exported.items()}),
        ]
    )


def _speed(measured: "Measured") -> list[str]:
    """The cells of sentences a second, and of the time for one alone."""
    if measured.speed is None:
        return ["-", "-"]
    return [f"{measured.speed.batches:,.1f}", f"{measured.speed.alone:,.1f} ms"]


def _fastest(measured: "dict[str, Measured]") -> list[str]:
    """A line that names the fastest of several, on this machine."""
    speeds = {name: one.speed for name, one in measured.items() if one.speed}
    alone = min(speeds, key=lambda name: speeds[name].alone)
    batches = max(speeds, key=lambda name: speeds[name].batches)
    return [f"fastest on this machine: {batches} for batches, {alone} for one sentence alone"]


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.1f} MB"


def _last_line(path: Path, one: "Exported") -> str:
    from seq2seq.export.parity import compared

    found = compared(one.record)
    return f"exported: {path} ({_megabytes(one.size)}), {found.same_share} sentences the same"
