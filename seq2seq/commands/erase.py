"""`seq2seq erase`: whether the attention of a classifier explains its labels, by erasing words."""

import argparse
import json
from pathlib import Path

from seq2seq.commands.options import (
    add_bootstrap_option,
    add_device_options,
    add_test_set_options,
    check_gives_labels,
    check_test_set_options,
)
from seq2seq.errors import ConfigError
from seq2seq.runtime.arguments import Parser, add_number
from seq2seq.runtime.bounds import Bounds


def main(argv: list[str]) -> None:
    """`seq2seq erase RUN [--test NAME]`, or with --source and --reference."""
    options = _parse(argv)
    check_gives_labels([options.run], True)

    from seq2seq.evaluation.erasure import erase_words, erasure_scores
    from seq2seq.evaluation.scores import MetricOptions
    from seq2seq.evaluation.testset import choose_name, load_test_set, read_test_set
    from seq2seq.runs.directory import Run
    from seq2seq.training.checks import learns_attention
    from seq2seq.translator import Translator

    run = Run.open(options.run)
    data = run.config.data
    if data.targets == "tags":
        raise ConfigError(f"{options.run} labels words, not texts: there is no word whose erasure leaves the labels")
    if options.source:
        test = read_test_set(options.source, options.reference, options.gold, targets=data.targets)
    else:
        test = load_test_set(data, choose_name(data, options.test), options.gold)
    deciding = None if test.gold is None else [frozenset(s for s, _ in gold.possible) for gold in test.gold]
    translator = Translator.open_runs(options.run, device=options.device, precision=options.precision)
    learned = learns_attention(run.config.model)
    erased = erase_words(translator, test.sources, deciding, learned=learned, words=options.words, seed=options.seed)
    scores = erasure_scores(erased, MetricOptions(bootstrap=options.bootstrap))
    if options.json:
        plain = {"test": test.name, "sentences": len(test.sources), "scores": [one.as_dict() for one in scores]}
        print(json.dumps(plain, ensure_ascii=False, indent=1))
    else:
        print(*scores, sep="\n")


def _parse(argv: list[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(
        "erase",
        "Erase words of the texts of a test set, and measure how far the probability of the label that each text got"
        " falls: without the words with the most attention, and with these alone (comprehensiveness and sufficiency;"
        " DeYoung et al. 2020), beside random words and, where they are known, the words that decide.",
        usage="seq2seq erase [OPTIONS] RUN",
        example="RUN --test test --words 2",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory of a classifier")
    add_number(
        parser, "--words", Bounds(1, 1000), default=1, help="how many words of each text are erased (default: 1)"
    )
    add_number(parser, "--seed", Bounds(0, 2**32 - 1), default=1, help="of the random words (default: 1)")
    add_test_set_options(parser)
    add_bootstrap_option(parser, "confidence intervals")
    add_device_options(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    options = parser.parse_args(argv)
    check_test_set_options(parser, options)
    return options
