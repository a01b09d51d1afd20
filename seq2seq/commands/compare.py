"""What does `seq2seq compare` do? Evaluate runs that were not yet, and put their figures side by side with tests."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.commands import Parser
from seq2seq.commands.metrics import add_bootstrap, add_gold_option
from seq2seq.commands.options import add_machine_options, add_search_options, one_of, search_options
from seq2seq.config.choices import CHOICES
from seq2seq.errors import ConfigError, DataError, MissingError, choose
from seq2seq.utils.files import check_file, write_text

if TYPE_CHECKING:
    from seq2seq.compare.result import Comparison
    from seq2seq.evaluation.testset import TestSet
    from seq2seq.runs.directory import Run

SEED = 12345  # sacreBLEU's
SYMMETRIZATION = "grow-diag-final-and"


def main(argv: list[str]) -> None:
    """`seq2seq compare RUN ... [--test NAME]`, or with files."""
    options = parse(argv)
    for path in (options.output, options.report):
        if path:
            check_file(path)
    comparison = compared(options)
    for path, text in written(options, comparison):
        if path:
            write_text(path, text, follow=True)
        else:
            print(text, end="")
    if options.report:
        from seq2seq.compare.report import write_report
        from seq2seq.compare.result import with_sentences

        write_report(with_sentences(comparison, options.sentences), options.report)


def parse(argv: list[str]) -> argparse.Namespace:
    """The options; what excludes each other is said."""
    formats, heuristics = CHOICES["FORMATS"], CHOICES["SYMMETRIZATIONS"]
    parser = Parser(
        "compare",
        "One table of runs, grouped by variant over their seeds: quality with intervals and tests, attention, cost.",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run directories, or folders of them such as runs/"
    )
    parser.add_argument(
        "--test", metavar="NAME", help="a test set of the runs' data settings, or dev (default: the only one they have)"
    )
    parser.add_argument("--source", type=Path, metavar="FILE", help="source lines, .gz or not, in place of --test")
    parser.add_argument("--reference", type=Path, nargs="+", metavar="FILE", help="one or more sets of references")
    add_gold_option(parser)
    parser.add_argument(
        "--reverse",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="runs of the other direction, or folders of them: links are also symmetrised",
    )
    parser.add_argument(
        "--symmetrize", type=one_of("--symmetrize", heuristics), metavar="{" + ",".join(heuristics) + "}",
        help=f"how the links of both directions become one (default: {SYMMETRIZATION})",
    )  # fmt: skip
    known = ",".join(CHOICES["METRICS"])
    parser.add_argument(
        "--metrics", help=f"separated by commas, of {known}; rouge: all four (default: those of the runs' task)"
    )
    parser.add_argument(
        "--baseline",
        metavar="VARIANT",
        help="what the others are tested against (default: the variant without attention, else the first run's)",
    )
    parser.add_argument(
        "--format",
        default="terminal",
        type=one_of("--format", formats),
        metavar="{" + ",".join(formats) + "}",
        help="(default: terminal)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the table goes, in place of the terminal")
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write a report with curves and an attention explorer as well"
    )
    parser.add_argument(
        "--sentences",
        type=int,
        default=0,
        metavar="N",
        help="of the report's explorer, evenly over the test set; 0: all",
    )
    parser.add_argument(
        "--columns",
        metavar="KEYS",
        help="columns of the table, separated by commas (default: the main ones; JSON and CSV: all)",
    )
    add_bootstrap(parser, "intervals and tests")
    parser.add_argument(
        "--trials", type=int, default=10000, metavar="N", help="of approximate randomisation; 0: none (default: 10000)"
    )
    add_machine_options(parser)
    add_search_options(parser)
    options = parser.parse_args(argv)
    if (options.test and options.source) or bool(options.source) != bool(options.reference):
        parser.error("give either --test NAME, or --source FILE with --reference FILE ...")
    check(options)
    return options


def check(options: argparse.Namespace) -> None:
    """ConfigError for what cannot be, before anything is opened."""
    for name in (options.metrics or "rouge").split(","):
        choose(dict.fromkeys(["rouge", *CHOICES["METRICS"]]), name, "--metrics")
    for name in ("trials", "sentences"):
        if getattr(options, name) < 0:
            raise ConfigError(f"--{name}={getattr(options, name)} is too small: at least 0")
    if options.sentences and not options.report:
        raise ConfigError(f"--sentences={options.sentences} would be ignored: they are those of --report FILE.html")
    if options.symmetrize and not options.reverse:
        raise ConfigError(f"--symmetrize={options.symmetrize} would be ignored: it joins the links of --reverse RUN")
    options.symmetrize = options.symmetrize or SYMMETRIZATION
    if options.output and options.report and options.output.resolve() == options.report.resolve():
        raise ConfigError(f"--output and --report are both {options.output}: one would take the other's place")
    if options.n_best is not None:
        raise ConfigError(f"search.n_best={options.n_best} would be ignored: the best hypothesis is what is scored")


def compared(options: argparse.Namespace) -> "Comparison":
    """Open, evaluate, group, compare."""
    from seq2seq.compare.collect import SkippedRuns, evaluate_runs, open_runs
    from seq2seq.compare.columns import COLUMNS, unavailable_reason
    from seq2seq.compare.compare import compare
    from seq2seq.compare.paired_tests import TestOptions
    from seq2seq.compare.reverse import open_reverse, with_reverse
    from seq2seq.compare.variants import check_baseline, choose_baseline, group_runs
    from seq2seq.errors import RunError
    from seq2seq.evaluation.metrics import TASKS, expand_names
    from seq2seq.evaluation.scores import MetricOptions

    for key in columns(options):
        choose(COLUMNS, key, "--columns")
    skipped = SkippedRuns()
    runs, notes = open_runs(options.runs, skipped)
    if options.baseline:
        check_baseline(options.baseline, [run.config for run in runs])
    test = test_set(options, runs)
    metrics = expand_names(options.metrics.split(",") if options.metrics else TASKS[runs[0].config.task])
    for key in columns(options):
        refuse(
            key, unavailable_reason(key, metrics, test.gold is not None, options.symmetrize if options.reverse else "")
        )
    made = {"device": options.device, "precision": options.precision, "options": search_options(options)}
    if options.reverse and test.gold is None:
        raise ConfigError(
            "--reverse would be ignored: no gold links of this test set are known; --gold FILE names them"
        )
    reverse = open_reverse(options.reverse, runs[0], skipped) if options.reverse else None
    evaluated = evaluate_runs(runs, test, skipped, made)
    if not evaluated:
        raise RunError(f"no run is left to compare: {'; '.join(f'{run}: {why}' for run, why in skipped)}")
    if reverse:
        evaluated, partners = with_reverse(evaluated, reverse, test, options.symmetrize, made, skipped)
        notes += partners
    variants, doubles = group_runs(evaluated)
    baseline = choose_baseline(variants, options.baseline)
    how = MetricOptions(language=runs[0].config.data.target, bootstrap=0, seed=SEED)
    found = compare(variants, baseline, TestOptions(test, how, metrics, options.bootstrap, options.trials))
    for key in set(columns(options)) - {column.key for column in found.columns}:
        refuse(key, "there is no variant all of whose runs have it")
    return replace(found, header=[*found.header, *notes, *doubles], skipped=tuple(skipped))


def refuse(key: str, why: str) -> None:
    """ConfigError for a column that nobody has, if that is `why`."""
    if why:
        raise ConfigError(f"--columns={key} would be ignored: {why}")


def test_set(options: argparse.Namespace, runs: "Sequence[Run]") -> "TestSet":
    """What all runs are evaluated on. ConfigError for a name that one of them does not know, or for text that differs between them;
    DataError where nobody has it."""
    from seq2seq.evaluation.testset import choose_name, read_test_set

    named = "" if options.source else choose_name(runs[0].config.data, options.test)
    test = (
        common_set(runs, named, options.gold)
        if named
        else read_test_set(options.source, options.reference, options.gold)
    )
    if not test.sources:
        raise DataError(f"{options.source} has no lines: there is nothing to compare on")
    return test


def common_set(runs: "Sequence[Run]", name: str, gold: Path | None) -> "TestSet":
    """That of the first run whose text is on this machine; a run whose text is elsewhere learnt from the same, by its run.json.

    ConfigError for other text in another run, DataError where no run has it, or one has it damaged."""
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
                f"--test={name} is other text in {run.folder} than in {first.folder}: their figures cannot be compared"
            )
    return test


test_set.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it


def columns(options: argparse.Namespace) -> list[str]:
    """The keys of the columns that are asked for."""
    return options.columns.split(",") if options.columns else []


def written(options: argparse.Namespace, comparison: "Comparison") -> list[tuple[Path | None, str]]:
    """Where the table goes, None: the terminal, and its text."""
    from seq2seq.compare.formats import FORMATS, terminal

    write = FORMATS[options.format]
    if options.format == "terminal" and options.output is None and sys.stdout.isatty():
        write = partial(terminal, width=os.get_terminal_size().columns)
    return [(options.output, write(comparison, columns(options)))]
