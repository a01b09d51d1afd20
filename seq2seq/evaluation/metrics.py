"""Scores of hypotheses against references: the table METRICS, and one function for any selection of them."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from seq2seq.config.languages import check_language
from seq2seq.errors import ConfigError, DataError, choose
from seq2seq.evaluation.bleu import sacrebleu_score
from seq2seq.evaluation.labels import LABEL_METRICS
from seq2seq.evaluation.rouge import rouge
from seq2seq.evaluation.scores import MetricOptions, Score
from seq2seq.runtime.vocabulary import SubwordModel
from seq2seq.utils.bio import is_bio

Metric = Callable[[Sequence[str], Sequence[Sequence[str]], MetricOptions], Score]  # hypotheses, references, options


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str],
    *,
    language: str = "",
    lowercase: bool = False,
    stemming: bool = False,
    rouge_tokenizer: str = "default",
    bootstrap: int = 1000,
    seed: int = 12345,
) -> list[Score]:
    """Score n lines of plain, detokenized text: one Score per name in `metrics`, each a key of METRICS.

    `references` holds one or more sets of references, each a list of n lines. The keyword arguments are the fields of
    MetricOptions. Raises ConfigError for an unknown metric, for a string in place of the list, and for what is no
    language or no tokenizer; DataError if there are no hypotheses or no references, or their numbers differ.
    """
    if isinstance(metrics, str):
        raise ConfigError(f"metrics={metrics!r} must be a list of names, such as [{metrics!r}]")
    entries = [choose(METRICS, name, "metrics") for name in metrics]
    _check(hypotheses, references)
    check_language(language, "language")
    options = MetricOptions(
        language=language,
        lowercase=lowercase,
        stemming=stemming,
        rouge_tokenizer=rouge_tokenizer,
        bootstrap=bootstrap,
        seed=seed,
    )
    return [metric(hypotheses, references, options) for metric in entries]


def expand_names(metrics: Iterable[str]) -> list[str]:
    """The keys of METRICS that names given by a user stand for, each once: groups are replaced by their members.

    `rouge` is all four. rougeL and rougeLsum always come together: they differ on text of several lines, and some
    papers report Lsum as ROUGE-L. Raises ConfigError for an unknown name."""
    known = {name: (name,) for name in METRICS} | GROUPS
    return list(dict.fromkeys(each for name in metrics for each in choose(known, name, "--metrics")))


def default_metrics(task: str, target: SubwordModel) -> tuple[str, ...]:
    """The metrics of a task; that of entities only if all labels in the target vocabulary are BIO tags."""
    names = TASKS.get(task, TASKS["translation"])
    if "entity_f1" in names and not all(map(is_bio, target.label_names)):
        return tuple(name for name in names if name != "entity_f1")
    return names


def sentence_metric(metrics: Sequence[str]) -> str:
    """The one of METRICS that says how good a single hypothesis is: the first of labels among `metrics`, else chrF2."""
    return next((name for name in metrics if name in LABEL_METRICS), "chrf")


def _check(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Raises DataError unless every set of references has a line for each hypothesis."""
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


METRICS: dict[str, Metric] = {
    "bleu": partial(sacrebleu_score, "bleu"),
    "chrf": partial(sacrebleu_score, "chrf"),
    "chrf++": partial(sacrebleu_score, "chrf++"),
    "ter": partial(sacrebleu_score, "ter"),
    "rouge1": partial(rouge, "1"),
    "rouge2": partial(rouge, "2"),
    "rougeL": partial(rouge, "L"),
    "rougeLsum": partial(rouge, "Lsum"),
    **LABEL_METRICS,
}

GROUPS = {  # names that stand for several metrics
    "rouge": ("rouge1", "rouge2", "rougeL", "rougeLsum"),
    "rougeL": ("rougeL", "rougeLsum"),
    "rougeLsum": ("rougeLsum", "rougeL"),
}

TASKS: dict[str, tuple[str, ...]] = {  # task -> its default metrics
    "translation": ("bleu", "chrf", "ter"),
    "summarization": GROUPS["rouge"],
    "classification": ("accuracy", "macro_f1"),
    "multilabel": ("micro_f1", "macro_f1", "exact_match"),
    "labeling": ("accuracy", "entity_f1"),
}
