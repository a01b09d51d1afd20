"""`seq2seq evaluate`: translates a test set, scores it, and stores the evaluation in the run directory."""

import argparse
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.commands.devices import add_devices, start_on_devices
from seq2seq.commands.options import (
    add_device_options,
    add_metric_options,
    add_search_options,
    add_test_set_options,
    check_test_set_options,
    chosen_metrics,
    open_translator,
    search_options,
    tokenizer_options,
)
from seq2seq.config import TARGETS_OF
from seq2seq.errors import ConfigError, DataError, counted
from seq2seq.runtime.arguments import Parser

if TYPE_CHECKING:
    from seq2seq.evaluation.classes import LabelProbabilities
    from seq2seq.evaluation.evaluate import EvaluationSpec
    from seq2seq.evaluation.scores import Score
    from seq2seq.evaluation.testset import TestSet

log = logging.getLogger("seq2seq")


def main(argv: list[str]) -> None:
    """`seq2seq evaluate RUN [--test NAME]`, or with --source and --reference; of bundles only so."""
    options = _parse(argv)
    if start_on_devices("evaluate", argv, options):
        return

    from seq2seq.runs.directory import is_artifact

    if any(map(is_artifact, options.runs)):
        _evaluate_bundles(options)
        return

    from seq2seq.evaluation.evaluate import EvaluationSpec, translate_test_set
    from seq2seq.evaluation.metrics import default_metrics, score
    from seq2seq.evaluation.store import check_place, load_or_find_probabilities, make_report, write_evaluation
    from seq2seq.evaluation.testset import choose_name, load_test_set, read_test_set
    from seq2seq.runs.directory import Run
    from seq2seq.utils.progress import ProgressCounter

    runs = tuple(Run.open(path) for path in options.runs)
    data, usual = runs[0].config.data, default_metrics(runs[0].config.task, runs[0].vocabularies.target)
    metrics = chosen_metrics(options, usual)
    tokenizers = tokenizer_options(options, metrics, runs[0].config)
    if options.source:
        test = read_test_set(options.source, options.reference, options.gold, targets=data.targets)
    else:
        test = load_test_set(data, choose_name(data, options.test), options.gold)
    spec = EvaluationSpec(runs, options.device, options.precision, search_options(options))
    check_place(spec, test)
    with ProgressCounter("translated", len(test.sources)) as count:
        translated = translate_test_set(spec, test, progress=count.add)
    try:
        scores = score(
            translated.hypotheses,
            test.references,
            metrics,
            **tokenizers,
            lowercase=options.lowercase,
            stemming=options.stemming,
            bootstrap=options.bootstrap,
        )
    except DataError:
        write_evaluation(spec, test, translated, [])  # the translations are good, and another metric may work
        raise
    scores += _alignment_scores(spec, test, options.bootstrap) if test.gold else []
    plain = [one.as_dict() for one in scores]
    lines = [str(one) for one in scores]
    if found := load_or_find_probabilities(spec, test):
        more, shown = _class_scores(found, test, translated.hypotheses, options.bootstrap)
        plain, lines = plain + more, lines + shown
    report = make_report(spec, test, translated, plain)
    print(json.dumps(report, ensure_ascii=False, indent=1) if options.json else "\n".join(lines))
    write_evaluation(spec, test, translated, plain)
    if not options.json:
        print(f"saved in {spec.folder(test.name)}")


def _class_scores(
    found: "LabelProbabilities", test: "TestSet", hypotheses: list[str], bootstrap: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """AUC, and of one label a text calibration error and confusion matrix, with the first references.

    As plain values, and as lines of text."""
    from seq2seq.evaluation.classes import areas_under_curve, calibration_error, confusion_lines, confusion_matrix
    from seq2seq.evaluation.scores import MetricOptions

    references, plain, lines = test.references[0], [], []
    known = {*found.labels}
    if unknown := [reference for reference in references if not known.issuperset(reference.split())]:
        count = counted(len(unknown), "text")
        log.warning("labels of %s of %s are not in the training text, such as %s", count, test.name, unknown[0])
    if found.one_each:
        calibration = calibration_error(found, references, MetricOptions(bootstrap=bootstrap))
        plain, lines = [calibration.as_dict()], [str(calibration)]
    if areas := areas_under_curve(found, references):
        mean = sum(areas.values()) / len(areas)
        signature = f"one-vs-rest|mean of labels:{len(areas)}"
        plain.append({"name": "auc", "value": mean, "signature": signature, "interval": None, "labels": areas})
        lines.append(f"auc = {mean:.2f} {signature}")
    if found.one_each:
        names, counts = confusion_matrix(hypotheses, references)
        wrong = len(references) - sum(counts[i][i] for i in range(len(names)))
        confusion = {"classes": names, "counts": counts}
        plain.append({"name": "wrong", "value": wrong, "signature": "texts", "interval": None, "confusion": confusion})
        lines += confusion_lines(names, counts)
    return plain, lines


def _evaluate_bundles(options: argparse.Namespace) -> None:
    """Score the translations of bundles, which name no test sets, and in which nothing is stored."""
    from seq2seq.runs.directory import is_artifact

    first = next(filter(is_artifact, options.runs))
    if not options.source:
        raise ConfigError(f"{first} is a bundle, which names no test sets: give --source FILE and --reference FILE")
    if options.gold:
        raise ConfigError("--gold would be ignored: the attention of a bundle is not aligned")

    from seq2seq.evaluation.classes import OF_TEXTS, label_probabilities
    from seq2seq.evaluation.metrics import default_metrics, score
    from seq2seq.evaluation.testset import read_test_set
    from seq2seq.runtime.bundle import Bundle
    from seq2seq.runtime.translation import warn_truncated
    from seq2seq.utils.progress import ProgressCounter

    search = search_options(options)
    translator = open_translator(*options.runs, device=options.device, precision=options.precision, **search)
    bundle = Bundle.open(first).config
    targets = TARGETS_OF.get(bundle.task, "text")
    metrics = chosen_metrics(options, default_metrics(bundle.task, translator.vocabularies.target))
    tokenizers = tokenizer_options(options, metrics)
    if options.language is None:
        tokenizers["language"] = bundle.languages[1]
    test = read_test_set(options.source, options.reference, targets=targets)
    with ProgressCounter("translated", len(test.sources)) as count:
        found = [one[0] for one in translator.hypotheses(test.sources, progress=count.add)]
    warn_truncated(sum(one.truncated for one in found), len(found), translator.truncate)
    scores = score(
        [one.text for one in found],
        test.references,
        metrics,
        **tokenizers,
        lowercase=options.lowercase,
        stemming=options.stemming,
        bootstrap=options.bootstrap,
    )
    plain, lines = [one.as_dict() for one in scores], [str(one) for one in scores]
    if targets in OF_TEXTS:
        of_labels = label_probabilities(translator, test.sources, targets)
        more, shown = _class_scores(of_labels, test, [one.text for one in found], options.bootstrap)
        plain, lines = plain + more, lines + shown
    report = {"test": test.name, "sentences": len(found), "scores": plain}
    print(json.dumps(report, ensure_ascii=False, indent=1) if options.json else "\n".join(lines))


def _alignment_scores(spec: "EvaluationSpec", test: "TestSet", bootstrap: int) -> "list[Score]":
    """Alignment error rate, precision and recall of the attention; [] and a warning if the run cannot be aligned."""
    from seq2seq.evaluation.alignment import alignment_scores
    from seq2seq.evaluation.store import load_or_align

    try:
        return alignment_scores(load_or_align(spec, test)["argmax"], test.gold or [], bootstrap=bootstrap)
    except DataError as error:
        log.warning("no alignment error: %s", error)
        return []


def _parse(argv: list[str]) -> argparse.Namespace:
    """The options. ConfigError for those that would be ignored."""
    parser = Parser(
        "evaluate",
        "Translate a test set and score it. Each score is printed with a 95 % bootstrap confidence interval and its"
        " signature; translations, attention and scores are saved in the run directory. With a gold word alignment, the"
        " alignment error rate of the attention is measured as well.",
        usage="seq2seq evaluate [OPTIONS] RUN [RUN ...]",
        example="runs/toy-demo-s1-bc617b45 --test test",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="run directory; several are an ensemble, evaluated in the first; or bundles, with --source, of which"
        " nothing is saved",
    )
    add_test_set_options(parser)
    add_metric_options(parser, default="those of the run's task, bleu,chrf,ter or rouge")
    add_device_options(parser)
    add_devices(parser)
    add_search_options(parser)
    options = parser.parse_args(argv)
    check_test_set_options(parser, options)
    if options.n_best not in (None, 1):
        raise ConfigError(f"search.n_best={options.n_best} would be ignored: only the best hypothesis is scored")
    return options
