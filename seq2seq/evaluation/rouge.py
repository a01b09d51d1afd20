"""What does ROUGE say, and which ROUGE is it? The only door to rouge_score, which is imported on use."""

import re
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from seq2seq.errors import DataError
from seq2seq.evaluation.score import Array, How, Score, figure
from seq2seq.ids import BREAK


def rouge(kind: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], how: How) -> Score:
    """Mean F1 of ROUGE-`kind`, one of 1, 2, L, Lsum (Lin 2004, eq. 2-4 for L), x 100.

    Each text counts with its best reference. Lsum takes a sentence per line of the text, where <n> ends a line as well, so text
    without either is one sentence. Tokens are runs of a-z and 0-9 after lower-casing, as in all published figures: an umlaut
    splits a word. Raises DataError where no reference has any such token.
    """
    from rouge_score.rouge_scorer import RougeScorer

    hypotheses, *references = ([line.replace(BREAK, "\n") for line in lines] for lines in (hypotheses, *references))
    if not any(re.search("[a-z0-9]", line.lower()) for lines in references for line in lines):
        raise DataError(f"rouge{kind} sees only the letters a-z and digits, and no reference has any; take chrf")
    name = f"rouge{kind}"
    scorer = RougeScorer([name], use_stemmer=how.stemming)
    sentences = zip(hypotheses, zip(*references, strict=True), strict=True)
    best = [scorer.score_multi(targets, line)[name].fmeasure for line, targets in sentences]
    statistics = np.stack([100 * np.array(best), np.ones(len(best))], axis=1)  # (n, 2)
    return figure(name, statistics, mean, _signature(kind, len(references), how), how)


def mean(sums: Array) -> float:
    """A mean from its two sums: of the values, and of ones."""
    return float(sums[0] / sums[1])


def _signature(kind: str, references: int, how: How) -> str:
    """All that changes the figure, in the manner of sacrebleu (Post 2018): key:value|..."""
    resampled = {"bs": how.bootstrap, "seed": how.seed} if how.bootstrap else {}
    parts = {
        "rouge": kind,
        "nrefs": references,
        **resampled,
        "case": "lc",
        "tok": "a-z0-9",
        "stem": "porter" if how.stemming else "no",
        "split": "newline" if kind == "Lsum" else "no",
        "stat": "f1",
        "pkg": "rouge-score",
        "version": version("rouge-score"),
    }
    return "|".join(f"{key}:{value}" for key, value in parts.items())
