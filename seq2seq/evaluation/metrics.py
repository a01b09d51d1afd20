"""How good are these hypotheses? One call for every metric; each result says how it was made and how sure it is."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from seq2seq.errors import DataError, choose
from seq2seq.evaluation import bleu, rouge
from seq2seq.evaluation.score import How, Score

Measure = Callable[[Sequence[str], Sequence[Sequence[str]], How], Score]


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str],
    *,
    language: str = "",
    lowercase: bool = False,
    stemming: bool = False,
    bootstrap: int = 1000,
    seed: int = 12345,
) -> list[Score]:
    """Score plain, detokenised text: one Score per name in `metrics`, a key of METRICS each.

    `references` holds one list per set of references, each as long as `hypotheses`. The rest is explained in How.
    Raises ConfigError for an unknown metric; DataError for no text at all, or lists of different lengths.
    """
    measures = [choose(METRICS, name, "metrics") for name in metrics]
    _check(hypotheses, references)
    how = How(language, lowercase, stemming, bootstrap, seed)
    return [measure(hypotheses, references, how) for measure in measures]


def named(metrics: Iterable[str]) -> list[str]:
    """The keys of METRICS that names of a user stand for, each once: `rouge` is all four, and L never comes without Lsum, nor Lsum
    without L, since text of several lines has two quite different figures. ConfigError for a name that is none."""
    known = {name: (name,) for name in METRICS} | GROUPS
    return list(dict.fromkeys(each for name in metrics for each in choose(known, name, "--metrics")))


def _check(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuse what cannot be paired."""
    if not hypotheses:
        raise DataError("there is nothing to score: no hypotheses")
    if not references:
        raise DataError("there is nothing to compare with: no references")
    for number, lines in enumerate(references, start=1):
        if isinstance(lines, str):
            raise DataError(
                "references must be a list of reference sets, each with a line per hypothesis, not a list of lines"
            )
        if len(lines) != len(hypotheses):
            which = f" of set {number}" if len(references) > 1 else ""
            raise DataError(f"{len(hypotheses)} hypotheses cannot be paired with {len(lines)} references{which}")


METRICS: dict[str, Measure] = {
    "bleu": partial(bleu.score, "bleu"),
    "chrf": partial(bleu.score, "chrf"),
    "chrf++": partial(bleu.score, "chrf++"),
    "ter": partial(bleu.score, "ter"),
    "rouge1": partial(rouge.rouge, "1"),
    "rouge2": partial(rouge.rouge, "2"),
    "rougeL": partial(rouge.rouge, "L"),
    "rougeLsum": partial(rouge.rouge, "Lsum"),
}

GROUPS = {  # a name that stands for several
    "rouge": ("rouge1", "rouge2", "rougeL", "rougeLsum"),
    "rougeL": ("rougeL", "rougeLsum"),
    "rougeLsum": ("rougeLsum", "rougeL"),
}

TASKS: dict[str, tuple[str, ...]] = {  # task -> what it is measured by unless told otherwise
    "translation": ("bleu", "chrf", "ter"),
    "summarization": GROUPS["rouge"],
}
