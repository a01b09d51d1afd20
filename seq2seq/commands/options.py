"""The options that several commands share."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.commands.devices import started
from seq2seq.config import TARGETS_OF, Config
from seq2seq.config.choices import CHOICES
from seq2seq.config.languages import check_language
from seq2seq.errors import ConfigError, Seq2SeqError, quoted
from seq2seq.runtime.arguments import Parser, add_choice, add_number, add_search_settings, search_settings
from seq2seq.runtime.bounds import SHORTLIST, Bounds

if TYPE_CHECKING:
    from seq2seq.runtime.translation import LineTranslator

METRIC_OPTIONS = {  # option -> how the names of the metrics begin that read it
    "stemming": ("rouge",),
    "rouge_tokenizer": ("rouge",),
    "lowercase": ("bleu", "chrf"),
}
COUNT = Bounds(0, 10_000_000)
MIN_RESAMPLES = 40  # one resample, 2.5 % of them, then lies beyond each end of a 95 % interval


def text_argument(value: str) -> str:
    """The type of an option that is text: bytes that the terminal's locale could not decode are read as UTF-8.

    ConfigError if they are in another encoding."""
    try:
        return os.fsencode(value).decode() if any("\udc80" <= c <= "\udcff" for c in value) else value
    except UnicodeError as error:
        raise ConfigError(f"{quoted(value)} is not UTF-8") from error


def open_translator(*paths: Path, **options: Any) -> "LineTranslator":
    """The translator of runs or bundles, as `seq2seq.translator.Translator.open`; bundles of graphs need no torch."""
    from seq2seq.runs.bundles import open_graphs

    if (found := open_graphs(paths, **options)) is not None:
        if started():
            raise ConfigError(f"--devices would be ignored: {paths[0]} holds graphs, which this process alone runs")
        return found

    from seq2seq.translator import Translator

    return Translator.open_runs(*paths, **options)


def check_gives_labels(paths: Sequence[Path], wanted: bool) -> None:
    """Raise ConfigError, with the right command, unless the first run or bundle gives labels, or text, as wanted."""
    targets = targets_of(paths[0])
    if targets and (targets != "text") != wanted:
        what, command = ("gives text, not labels", "translate") if wanted else ("gives labels", "predict")
        raise ConfigError(f"{paths[0]} {what}: seq2seq {command} {paths[0]}")


def targets_of(path: Path) -> str:
    """What a run or bundle gives, as data.targets; "" for what cannot be opened, whose errors others raise."""
    from seq2seq.runs.directory import Run, is_artifact
    from seq2seq.runtime.bundle import Bundle

    try:
        if is_artifact(path):
            return TARGETS_OF.get(Bundle.open(path).config.task, "text")
        return Run.open(path).config.data.targets
    except Seq2SeqError:
        return ""


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """--device and --precision."""
    parser.add_argument("--device", default="cpu", help="torch device, such as cuda (default: cpu)")
    add_choice(
        parser,
        "--precision",
        CHOICES["PRECISIONS"],
        default="32",
        help="of weights and activations: bf16 and int8 are faster and change a few translations (default: 32)",
    )


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """An option for each search setting, --length-penalty for length_penalty, and --shortlist and --graphs."""
    group = add_search_settings(parser)
    add_number(
        group,
        "--shortlist",
        SHORTLIST,
        help="only the N likeliest translations of each source subword, as learned by `seq2seq shortlist`: faster, and"
        " changes a few translations (default: 0, the whole vocabulary)",
    )
    group.add_argument(
        "--graphs", action="store_true", help="on a GPU: record each shape of step as a CUDA graph, and replay it"
    )


def search_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_search_options` that were given, by name."""
    given = search_settings(options)
    return given | {name: value for name in ("shortlist", "graphs") if (value := getattr(options, name))}


def add_test_set_options(parser: argparse.ArgumentParser) -> None:
    """--test, or --source and --reference; and --gold."""
    parser.add_argument(
        "--test",
        metavar="NAME",
        help="name of a test set in the run's data settings, or dev (default: the only test set)",
    )
    parser.add_argument(
        "--source",
        type=Path,
        metavar="FILE",
        help="source lines, instead of --test; files may be compressed with gzip, bzip2 or xz",
    )
    add_reference_option(parser)
    parser.add_argument(
        "--gold",
        type=Path,
        metavar="FILE",
        help="gold word alignment of the test set, instead of its own: Pharaoh text (from 0), .talp (from 1) or NAACL",
    )


def add_reference_option(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """--reference."""
    parser.add_argument(
        "--reference", type=Path, nargs="+", required=required, metavar="FILE", help="one or more sets of references"
    )


def check_test_set_options(parser: Parser, options: argparse.Namespace) -> None:
    """A usage error for --test together with --source, or one of --source and --reference alone."""
    if bool(options.source) != bool(options.reference):
        parser.error("--source FILE and --reference FILE ... must be given together")
    if options.test and options.source:
        parser.error("give either --test NAME, or --source FILE with --reference FILE ...")


def add_metric_options(parser: argparse.ArgumentParser, default: str) -> None:
    """--metrics, whose default is described by `default`, options of metrics, --bootstrap and --json."""
    add_metrics_option(parser, default)
    add_tokenizer_options(parser)
    parser.add_argument("--lowercase", action="store_true", help="BLEU and chrF ignore case")
    parser.add_argument("--stemming", action="store_true", help="ROUGE compares Porter stems (English)")
    add_bootstrap_option(parser, "confidence intervals")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def add_metrics_option(parser: argparse.ArgumentParser, default: str) -> None:
    """--metrics, whose default is described by `default`."""
    known = ",".join(CHOICES["METRICS"])
    parser.add_argument(
        "--metrics",
        metavar="NAMES",
        help=f"of {known}, separated by commas; rouge: all four of ROUGE (default: {default})",
    )


def add_tokenizer_options(parser: argparse.ArgumentParser) -> None:
    """--language and --rouge-tokenizer."""
    parser.add_argument(
        "--language",
        metavar="CODE",
        help="of the text: a code or a name, such as de, zho or Japanese; BLEU and TER split words accordingly"
        " (default: that of the run, if there is one)",
    )
    parser.add_argument(
        "--rouge-tokenizer",
        metavar="{default,unicode,chars,FILE}",
        help="tokens of ROUGE: default, of a-z and 0-9; unicode, words of any script; chars, characters; or the pieces"
        " of a SentencePiece model (default: that of the run, or default)",
    )


def tokenizer_options(
    options: argparse.Namespace, metrics: Sequence[str], config: Config | None = None
) -> dict[str, Any]:
    """The options of `add_tokenizer_options`, by the names in MetricOptions; those not given are the run's.

    Raises ConfigError for what is no language, and, if `metrics` have ROUGE, for what is no tokenizer of it."""
    from seq2seq.evaluation.rouge import open_tokenizer

    language, tokenizer = options.language, options.rouge_tokenizer
    check_language(language or "", "--language")
    if language is None:
        language = config.data.languages()[1] if config else ""
    if tokenizer is None:
        tokenizer = config.training.rouge_tokenizer if config else "default"
    if any(name.startswith("rouge") for name in metrics):
        open_tokenizer(tokenizer, getattr(options, "stemming", False))
    return {"language": language, "rouge_tokenizer": tokenizer}


def add_bootstrap_option(parser: argparse.ArgumentParser, purpose: str) -> None:
    """--bootstrap."""
    add_number(
        parser,
        "--bootstrap",
        Bounds(MIN_RESAMPLES, 1_000_000, why_least="or 0 for no intervals"),
        allowed=0,
        default=1000,
        help=f"number of resamples for {purpose}, at least {MIN_RESAMPLES}; 0: none (default: 1000)",
    )


def chosen_metrics(options: argparse.Namespace, default: Sequence[str]) -> list[str]:
    """The metrics of --metrics, or `default`.

    Raises ConfigError for an unknown one, and for an option that no metric reads."""
    from seq2seq.evaluation.metrics import expand_names

    names = expand_names(options.metrics.split(",") if options.metrics is not None else default)
    check_metric_options(options, names)
    return names


def check_metric_options(options: argparse.Namespace, metrics: Sequence[str]) -> None:
    """Raises ConfigError for an option that none of `metrics` reads."""
    for option, readers in METRIC_OPTIONS.items():
        if getattr(options, option, None) and not any(name.startswith(readers) for name in metrics):
            name = option.replace("_", "-")
            raise ConfigError(f"--{name} would be ignored: none of --metrics {','.join(metrics)} reads it")
