"""What does `seq2seq evaluate` do? Translate a test set once, score it, keep what was found in the run."""

import argparse
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.commands import Parser
from seq2seq.commands.metrics import add_gold_option, add_metric_options, wanted_metrics
from seq2seq.commands.options import add_machine_options, add_search_options, search_options
from seq2seq.errors import ConfigError, DataError

if TYPE_CHECKING:
    from seq2seq.evaluation.evaluate import EvaluationSpec
    from seq2seq.evaluation.scores import Score
    from seq2seq.evaluation.testset import TestSet

log = logging.getLogger("seq2seq")


def main(argv: list[str]) -> None:
    """`seq2seq evaluate RUN --test NAME`, or with files."""
    options = parse(argv)

    from seq2seq.evaluation.evaluate import EvaluationSpec, translate_test_set
    from seq2seq.evaluation.metrics import TASKS, score
    from seq2seq.evaluation.store import make_report, write_evaluation
    from seq2seq.evaluation.testset import choose_name, load_test_set, read_test_set
    from seq2seq.runs.directory import Run
    from seq2seq.utils.progress import ProgressCounter

    runs = tuple(Run.open(path) for path in options.runs)
    data, metrics = runs[0].config.data, wanted_metrics(options, TASKS[runs[0].config.task])
    name = "" if options.source else choose_name(data, options.test)
    test = (
        load_test_set(data, name, options.gold)
        if name
        else read_test_set(options.source, options.reference, options.gold)
    )
    made = EvaluationSpec(runs, options.device, options.precision, search_options(options))
    with ProgressCounter("translated", len(test.sources)) as count:
        translated = translate_test_set(made, test, progress=count.add)
    try:
        scores = score(
            translated.hypotheses, test.references, metrics, language=data.target,
            lowercase=options.lowercase, stemming=options.stemming, bootstrap=options.bootstrap,
        )  # fmt: skip
    except DataError:
        write_evaluation(made, test, translated, [])  # for the figures that can be
        raise
    scores += alignment_error(made, test, options.bootstrap) if test.gold else []
    plain = [s.as_dict() for s in scores]
    report = make_report(made, test, translated, plain)
    print(json.dumps(report, ensure_ascii=False, indent=1) if options.json else "\n".join(map(str, scores)))
    write_evaluation(made, test, translated, plain)
    if not options.json:
        print(f"kept in {made.folder(test.name)}")


def alignment_error(made: "EvaluationSpec", test: "TestSet", bootstrap: int) -> "list[Score]":
    """Alignment error rate, precision and recall of the attention against a human's, or the grammar's, links; none, and why, where
    the run cannot be asked."""
    from seq2seq.evaluation.alignment import alignment_scores
    from seq2seq.evaluation.store import load_or_align

    try:
        return alignment_scores(load_or_align(made, test)["argmax"], test.gold or [], bootstrap=bootstrap)
    except DataError as error:
        log.warning("no alignment error: %s", error)
        return []


def parse(argv: list[str]) -> argparse.Namespace:
    """The options; what excludes each other is said."""
    parser = Parser(
        "evaluate", "Translate a test set and score it; every figure with its signature and a 95 % bootstrap interval."
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="run directory; several speak as an ensemble, kept in the first",
    )
    parser.add_argument(
        "--test", metavar="NAME", help="a test set of the run's data settings, or dev; needless where there is one"
    )
    parser.add_argument("--source", type=Path, metavar="FILE", help="source lines, .gz or not, in place of --test")
    parser.add_argument("--reference", type=Path, nargs="+", metavar="FILE", help="one or more sets of references")
    add_gold_option(parser)
    add_metric_options(parser, "those of the run's task: bleu,chrf,ter or rouge")
    add_machine_options(parser)
    add_search_options(parser)
    options = parser.parse_args(argv)
    if (options.test and options.source) or bool(options.source) != bool(options.reference):
        parser.error("give either --test NAME, or --source FILE with --reference FILE ...")
    if options.n_best not in (None, 1):
        raise ConfigError(f"search.n_best={options.n_best} would be ignored: the best hypothesis is what is scored")
    return options
