"""The score of a corpus as a formula over sums of sentence statistics, so that every score can be resampled.

n sentences, k statistics per sentence.
"""

from typing import Any, NamedTuple

from seq2seq.evaluation.significance import Array, Formula, bootstrap_interval

LOWER_IS_BETTER = frozenset(
    {"ter", "aer", "calibration_error", "sufficiency"}
)  # names of scores; of all others higher is better


class MetricOptions(NamedTuple):
    """Options of a metric; those that change a score are part of its signature."""

    language: str = ""  # code or name of the target language, such as de or zh_CN; BLEU and TER split words by it
    lowercase: bool = False  # BLEU and chrF ignore case; TER and ROUGE always do
    stemming: bool = False  # ROUGE compares Porter stems: English only
    rouge_tokenizer: str = "default"  # a key of rouge.TOKENIZERS, or the file of a SentencePiece model
    bootstrap: int = 1000  # resamples for the confidence interval; 0: no interval
    seed: int = 12345  # of the resamples


class Score(NamedTuple):
    """The score of a corpus, with the sentence statistics that a significance test needs.

    `value == formula(statistics.sum(0))`."""

    name: str
    value: float  # 0 to 100; TER may exceed it
    signature: str  # how it was measured, key:value|..., as sacreBLEU's
    interval: tuple[float, float] | None  # 95 %, by bootstrap over sentences
    statistics: Array  # (n, k), in the order of the sentences
    formula: Formula  # sums (k,) -> value

    def __str__(self) -> str:
        between = f" [{self.interval[0]:.2f}, {self.interval[1]:.2f}]" if self.interval else ""
        return f"{self.name} = {self.value:.2f}{between} {self.signature}"

    def as_dict(self) -> dict[str, Any]:
        """Name, value, signature and interval as plain values, ready for JSON."""
        interval = list(self.interval) if self.interval else None
        return {"name": self.name, "value": self.value, "signature": self.signature, "interval": interval}


def make_score(name: str, statistics: Array, formula: Formula, signature: str, options: MetricOptions) -> Score:
    """The Score of `statistics` (n, k) under `formula`, with a bootstrap interval if `options.bootstrap` is not 0."""
    interval = None
    if options.bootstrap:
        interval = bootstrap_interval(statistics, formula, samples=options.bootstrap, seed=options.seed)
    return Score(name, formula(statistics.sum(0)), signature, interval, statistics, formula)
