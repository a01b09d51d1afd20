"""ROUGE by Google's rouge-score package. Only this module imports rouge_score, on first use."""

import re
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from seq2seq.errors import DataError
from seq2seq.evaluation.scores import Array, MetricOptions, Score, make_score
from seq2seq.ids import BREAK


def rouge(kind: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], options: MetricOptions) -> Score:
    """Mean F1 of ROUGE-`kind`, one of 1, 2, L, Lsum (Lin 2004, eq. 2-4 for L), x 100.

    Each hypothesis is scored against its best reference. Lsum takes each line of a text as a sentence, where <n> ends a
    line too; text with neither is one sentence. Tokens are runs of a-z and 0-9 after lower-casing, as in all published
    figures: an umlaut splits a word. Raises DataError if no reference has any such token.
    """
    from rouge_score.rouge_scorer import RougeScorer

    hypotheses, *references = ([line.replace(BREAK, "\n") for line in lines] for lines in (hypotheses, *references))
    if not any(re.search("[a-z0-9]", line.lower()) for lines in references for line in lines):
        raise DataError(f"rouge{kind} sees only the letters a-z and digits, and no reference has any; take chrf")
    name = f"rouge{kind}"
    scorer = RougeScorer([name], use_stemmer=options.stemming)
    sentences = zip(hypotheses, zip(*references, strict=True), strict=True)
    best = [scorer.score_multi(targets, line)[name].fmeasure for line, targets in sentences]
    statistics = np.stack([100 * np.array(best), np.ones(len(best))], axis=1)  # (n, 2)
    return make_score(name, statistics, mean_of_sums, _signature(kind, len(references), options), options)


def mean_of_sums(sums: Array) -> float:
    """The mean of values, from their sum and their number (2,)."""
    return float(sums[0] / sums[1])


def _signature(kind: str, references: int, options: MetricOptions) -> str:
    """All that changes the score, in sacreBLEU's notation (Post 2018): key:value|..."""
    bootstrap = {"bs": options.bootstrap, "seed": options.seed} if options.bootstrap else {}
    parts = {
        "rouge": kind,
        "nrefs": references,
        **bootstrap,
        "case": "lc",
        "tok": "a-z0-9",
        "stem": "porter" if options.stemming else "no",
        "split": "newline" if kind == "Lsum" else "no",
        "stat": "f1",
        "pkg": "rouge-score",
        "version": version("rouge-score"),
    }
    return "|".join(f"{key}:{value}" for key, value in parts.items())
