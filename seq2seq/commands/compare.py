"""`seq2seq compare`: evaluates runs that are not evaluated yet, and puts them side by side, with significance tests."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.commands.devices import add_devices, start_on_devices
from seq2seq.commands.options import (
    COUNT,
    add_bootstrap_option,
    add_device_options,
    add_metrics_option,
    add_search_options,
    add_test_set_options,
    add_tokenizer_options,
    check_metric_options,
    check_test_set_options,
    search_options,
    tokenizer_options,
)
from seq2seq.config.choices import CHOICES
from seq2seq.errors import ConfigError, DataError, MissingError, RunError, choose
from seq2seq.runtime.arguments import Parser, add_choice, add_number
from seq2seq.utils.files import check_output, write_text

if TYPE_CHECKING:
    from seq2seq.compare.result import Comparison
    from seq2seq.evaluation.testset import TestSet
    from seq2seq.runs.directory import Run

SEED = 12345  # that of sacreBLEU
SYMMETRIZATION = "grow-diag-final-and"


def main(argv: list[str]) -> None:
    """`seq2seq compare RUN ... [--test NAME]`, or with --source and --reference."""
    options = _parse(argv)
    if start_on_devices("compare", argv, options):
        return
    for name in ("output", "report"):
        if path := getattr(options, name):
            check_output(f"--{name}", path)
    comparison = _compare_runs(options)
    table = _format_table(options, comparison)
    if options.output:
        write_text(options.output, table, follow=True)
    else:
        print(table, end="")
    if options.report:
        from seq2seq.compare.report import write_report
        from seq2seq.compare.result import with_sentences

        write_report(with_sentences(comparison, options.sentences), options.report)


def _parse(argv: list[str]) -> argparse.Namespace:
    """The options; `columns` as a list. ConfigError for impossible values, before any run is opened."""
    parser = Parser(
        "compare",
        "Compare runs in one table, grouped by variant over their seeds: quality with confidence intervals and paired"
        " tests, alignment error, size and speed. Runs that are not evaluated on the test set yet are evaluated first.",
        usage="seq2seq compare [OPTIONS] RUN [RUN ...]",
        example="runs --test test --report report.html",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run directories, or folders of them such as runs/"
    )
    add_test_set_options(parser)
    parser.add_argument(
        "--reverse",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="runs of the opposite direction, or folders of them: also symmetrize the alignments of both directions",
    )
    add_choice(
        parser,
        "--symmetrize",
        CHOICES["SYMMETRIZATIONS"],
        help=f"how the alignments of both directions are combined (default: {SYMMETRIZATION})",
    )
    add_metrics_option(parser, default="those of the runs' task")
    add_tokenizer_options(parser)
    parser.add_argument(
        "--baseline",
        metavar="VARIANT",
        help="variant that the others are tested against (default: that without attention, else that from which the "
        "others differ in the fewest settings; the header names it)",
    )
    add_choice(parser, "--format", CHOICES["FORMATS"], default="terminal", help="of the table (default: terminal)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table to a file instead of stdout")
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="also write a report with learning curves and attention maps"
    )
    add_number(
        parser,
        "--sentences",
        COUNT,
        default=0,
        help="sentences in the report's attention explorer, evenly spaced over the test set; 0: all (default: 0)",
    )
    parser.add_argument(
        "--columns",
        type=lambda keys: keys.split(",") if keys else [],
        default=[],
        metavar="KEYS",
        help="columns of the table, separated by commas (default: the main ones; JSON and CSV: all)",
    )
    add_bootstrap_option(parser, "confidence intervals and tests")
    add_number(
        parser,
        "--trials",
        COUNT,
        default=10000,
        help="trials of the approximate randomisation test; 0: no such test (default: 10000)",
    )
    add_device_options(parser)
    add_devices(parser)
    add_search_options(parser)
    options = parser.parse_args(argv)
    check_test_set_options(parser, options)
    _check_options(options)
    options.symmetrize = options.symmetrize or SYMMETRIZATION
    return options


def _check_options(options: argparse.Namespace) -> None:
    """ConfigError for values that cannot work, or would be ignored."""
    for name in (options.metrics or "rouge").split(","):
        choose(dict.fromkeys(["rouge", *CHOICES["METRICS"]]), name, "--metrics")
    if options.sentences and not options.report:
        raise ConfigError(f"--sentences={options.sentences} would be ignored: they are those of --report FILE.html")
    if options.symmetrize and not options.reverse:
        raise ConfigError(f"--symmetrize={options.symmetrize} would be ignored: it joins the links of --reverse RUN")
    if options.output and options.report and options.output.resolve() == options.report.resolve():
        raise ConfigError(f"--output and --report are both {options.output}: one would overwrite the other")
    if options.n_best is not None:
        raise ConfigError(f"search.n_best={options.n_best} would be ignored: only the best hypothesis is scored")


def _compare_runs(options: argparse.Namespace) -> "Comparison":
    """Open the runs, evaluate them, group them by variant, and compare the variants."""
    from seq2seq.compare.collect import SkippedRuns, evaluate_runs, open_runs
    from seq2seq.compare.columns import COLUMNS, unavailable_reason
    from seq2seq.compare.compare import compare
    from seq2seq.compare.paired_tests import TestOptions
    from seq2seq.compare.reverse import open_reverse, with_reverse
    from seq2seq.compare.variants import check_baseline, choose_baseline, group_runs
    from seq2seq.evaluation.metrics import default_metrics, expand_names
    from seq2seq.evaluation.scores import MetricOptions

    for key in options.columns:
        choose(COLUMNS, key, "--columns")
    skipped = SkippedRuns()
    runs, notes = open_runs(options.runs, skipped)
    if options.baseline:
        check_baseline(options.baseline, [run.config for run in runs])
    test = _choose_test_set(options, runs)
    usual = default_metrics(runs[0].config.task, runs[0].vocabularies.target)
    metrics = expand_names(options.metrics.split(",") if options.metrics else usual)
    check_metric_options(options, metrics)
    how = MetricOptions(**tokenizer_options(options, metrics, runs[0].config), bootstrap=0, seed=SEED)
    for key in options.columns:
        symmetrization = options.symmetrize if options.reverse else ""
        if reason := unavailable_reason(key, metrics, test.gold is not None, symmetrization):
            raise ConfigError(f"--columns={key} would be ignored: {reason}")
    decoding = {"device": options.device, "precision": options.precision, "options": search_options(options)}
    if options.reverse and test.gold is None:
        raise ConfigError(
            "--reverse would be ignored: no gold links of this test set are known; --gold FILE names them"
        )
    reverse = open_reverse(options.reverse, runs[0], skipped) if options.reverse else None
    evaluated = evaluate_runs(runs, test, skipped, decoding)
    if not evaluated:
        raise RunError(f"no run is left to compare: {'; '.join(f'{run}: {why}' for run, why in skipped)}")
    if reverse:
        evaluated, partners = with_reverse(evaluated, reverse, test, options.symmetrize, decoding, skipped)
        notes += partners
    variants, doubles = group_runs(evaluated)
    baseline, choice = choose_baseline(variants, options.baseline)
    found = compare(variants, baseline, TestOptions(test, how, metrics, options.bootstrap, options.trials))
    for key in set(options.columns) - {column.key for column in found.columns}:
        raise ConfigError(f"--columns={key} would be ignored: no variant has it in all of its runs")
    return replace(found, header=[*found.header, *filter(None, [choice]), *notes, *doubles], skipped=tuple(skipped))


def _choose_test_set(options: argparse.Namespace, runs: "Sequence[Run]") -> "TestSet":
    """The test set that all runs are evaluated on.

    Raises ConfigError if a run does not know its name, or has other text under that name; DataError if it is missing or
    empty."""
    from seq2seq.evaluation.testset import choose_name, read_test_set

    if options.source:
        targets = runs[0].config.data.targets
        test = read_test_set(options.source, options.reference, options.gold, targets=targets)
    else:
        test = _common_test_set(runs, choose_name(runs[0].config.data, options.test), options.gold)
    if not test.sources:
        raise DataError(f"{options.source or f'--test={test.name}'} has no lines: there is nothing to compare on")
    return test


def _common_test_set(runs: "Sequence[Run]", name: str, gold: Path | None) -> "TestSet":
    """The test set `name`, as the first run has it whose text is on this machine.

    A run whose text is elsewhere was trained on the same text, by the hash in its run.json. Raises ConfigError if it is
    other text in another run, DataError if no run has it, or one has it damaged."""
    from seq2seq.evaluation.testset import load_test_set

    found: list[tuple[Run, TestSet]] = []
    missing: list[Exception] = []
    for run in runs:
        if any(run.config.data == other.config.data for other, _ in found):
            continue
        try:
            found.append((run, load_test_set(run.config.data, name, gold)))
        except MissingError as error:
            missing.append(error)
    if not found:
        raise missing[0]
    first, test = found[0]
    for run, other in found:
        if other[1:3] != test[1:3]:
            raise ConfigError(
                f"--test={name} is another text in {run.folder} than in {first.folder}:"
                " their figures cannot be compared"
            )
    return test


def _format_table(options: argparse.Namespace, comparison: "Comparison") -> str:
    """The table in the chosen format, fitted to the width of the terminal if it is printed there."""
    from seq2seq.compare.formats import FORMATS, terminal

    write = FORMATS[options.format]
    if options.format == "terminal" and options.output is None and sys.stdout.isatty():
        write = partial(terminal, width=os.get_terminal_size().columns)
    return write(comparison, options.columns)
