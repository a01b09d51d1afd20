"""What does `seq2seq metrics` do? Score given text against references; no run is needed."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from seq2seq.commands import Parser
from seq2seq.errors import ConfigError, DataError

FEWEST = 40  # resamples: 2.5 % of them, one, lie beyond each end of an interval
ALL = "bleu,chrf,chrf++,ter,rouge1,rouge2,rougeL,rougeLsum"  # and rouge: all four


def main(argv: list[str]) -> None:
    """`seq2seq metrics FILE --reference FILE ... --metrics NAME,NAME`."""
    parser = Parser(
        "metrics", "Score given text against references; every figure with its signature and a 95 % bootstrap interval."
    )
    parser.add_argument("hypotheses", type=Path, metavar="FILE", help="lines to score, .gz or not")
    parser.add_argument(
        "--reference", type=Path, nargs="+", required=True, metavar="FILE", help="one or more sets of references"
    )
    parser.add_argument(
        "--language", default="", metavar="CODE", help="of the text, such as de or zh: it chooses the tokenizer of BLEU"
    )
    add_metric_options(parser, "bleu,chrf,ter")
    options = parser.parse_args(argv)

    from seq2seq.data.readers import read_lines
    from seq2seq.evaluation.metrics import TASKS, score

    metrics = wanted_metrics(options, TASKS["translation"])
    hypotheses = list(read_lines(options.hypotheses))
    references = [list(read_lines(path)) for path in options.reference]
    for path, lines in zip(options.reference, references, strict=True):
        if len(lines) != len(hypotheses):
            raise DataError(f"{options.hypotheses} has {len(hypotheses)} lines, but {path} has {len(lines)}")
    scores = score(
        hypotheses, references, metrics, language=options.language,
        lowercase=options.lowercase, stemming=options.stemming, bootstrap=options.bootstrap,
    )  # fmt: skip
    plain = {"sentences": len(hypotheses), "scores": [s.as_dict() for s in scores]}
    print(json.dumps(plain, ensure_ascii=False, indent=1) if options.json else "\n".join(map(str, scores)))


def add_gold_option(parser: argparse.ArgumentParser) -> None:
    """Links of a test set, for its alignment error."""
    about = "word links of the test set, in place of its own: Pharaoh from 0, .talp from 1, or NAACL's columns"
    parser.add_argument("--gold", type=Path, metavar="FILE", help=about)


def add_metric_options(parser: argparse.ArgumentParser, usual: str) -> None:
    """What is measured, and how; `usual` describes what is measured unless told otherwise."""
    parser.add_argument("--metrics", help=f"separated by commas, of {ALL}; rouge: all four (default: {usual})")
    parser.add_argument("--lowercase", action="store_true", help="BLEU and chrF ignore case")
    parser.add_argument("--stemming", action="store_true", help="ROUGE compares Porter stems (English)")
    add_bootstrap(parser, "intervals")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def add_bootstrap(parser: argparse.ArgumentParser, purpose: str) -> None:
    """How often sentences are drawn anew."""
    parser.add_argument(
        "--bootstrap", type=resamples, default=1000, metavar="N",
        help=f"resamples for {purpose}, at least {FEWEST}; 0: none (default: 1000)",
    )  # fmt: skip


def resamples(text: str) -> int:
    """ConfigError for so few that their ends are no bounds of an interval."""
    if (number := int(text)) != 0 and number < FEWEST:
        raise ConfigError(f"--bootstrap={number} is too small: at least {FEWEST}, or 0 for no intervals")
    return number


def wanted_metrics(options: argparse.Namespace, usual: Sequence[str]) -> list[str]:
    """The names of the metrics that were asked for, or `usual`. ConfigError for an unknown one, and for options that none reads."""
    from seq2seq.evaluation.metrics import expand_names

    names = expand_names(options.metrics.split(",") if options.metrics is not None else usual)
    for option, readers in (("stemming", "rouge"), ("lowercase", ("bleu", "chrf"))):
        if getattr(options, option) and not any(name.startswith(readers) for name in names):
            raise ConfigError(f"--{option} would be ignored: none of --metrics {','.join(names)} reads it")
    return names
