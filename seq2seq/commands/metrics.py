"""`seq2seq metrics`: scores given text against references; no run is needed."""

import json
from pathlib import Path

from seq2seq.commands.options import add_metric_options, add_reference_option, chosen_metrics, tokenizer_options
from seq2seq.errors import DataError, counted
from seq2seq.runtime.arguments import Parser


def main(argv: list[str]) -> None:
    """`seq2seq metrics FILE --reference FILE ... [--metrics NAMES]`."""
    parser = Parser(
        "metrics",
        "Score given text against references. Each score is printed with a 95 % bootstrap confidence interval and its"
        " signature.",
        example="out.de --reference test.de --language de",
    )
    parser.add_argument(
        "hypotheses", type=Path, metavar="FILE", help="lines to score; files may be compressed with gzip, bzip2 or xz"
    )
    add_reference_option(parser, required=True)
    add_metric_options(parser, default="bleu,chrf,ter")
    options = parser.parse_args(argv)

    from seq2seq.data.files import read_lines
    from seq2seq.evaluation.metrics import TASKS, score

    metrics = chosen_metrics(options, TASKS["translation"])
    tokenizers = tokenizer_options(options, metrics)
    hypotheses = list(read_lines(options.hypotheses))
    references = [list(read_lines(path)) for path in options.reference]
    for path, lines in zip(options.reference, references, strict=True):
        if len(lines) != len(hypotheses):
            raise DataError(
                f"{options.hypotheses} has {counted(len(hypotheses), 'line')}, but {path} has {len(lines):,}"
            )
    scores = score(
        hypotheses,
        references,
        metrics,
        **tokenizers,
        lowercase=options.lowercase,
        stemming=options.stemming,
        bootstrap=options.bootstrap,
    )
    if options.json:
        report = {"sentences": len(hypotheses), "scores": [one.as_dict() for one in scores]}
        print(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        print("\n".join(map(str, scores)))
