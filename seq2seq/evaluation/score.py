"""What is a figure made of? Sums over sentences and a function of those sums, so that any figure can be resampled.

n sentences, k statistics of each.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from numpy import float64
from numpy.typing import NDArray

from seq2seq.evaluation.significance import bootstrap_interval

Array = NDArray[float64]
ERRORS = frozenset({"ter", "aer"})  # the figures that are better when lower


class How(NamedTuple):
    """How a figure is measured; its signature says so again."""

    language: str = ""  # code of the target language, such as de or zh_CN; it chooses the tokenizer of BLEU
    lowercase: bool = False  # BLEU and chrF ignore case; TER and ROUGE always do
    stemming: bool = False  # ROUGE compares Porter stems: English only
    bootstrap: int = 1000  # resamples behind the interval; 0: no interval
    seed: int = 12345  # of the resamples


class Score(NamedTuple):
    """A figure of a corpus, with all that a test of significance needs. `value == corpus(statistics.sum(0))`."""

    name: str
    value: float  # 0 to 100; TER may exceed it
    signature: str  # how it was measured, key:value|...
    interval: tuple[float, float] | None  # 95 %, by bootstrap over sentences
    statistics: Array  # (n, k), in the order of the sentences
    corpus: Callable[[Array], float]  # sums (k,) -> value

    def __str__(self) -> str:
        between = f" [{self.interval[0]:.2f}, {self.interval[1]:.2f}]" if self.interval else ""
        return f"{self.name} = {self.value:.2f}{between} {self.signature}"

    def as_dict(self) -> dict[str, Any]:
        """What a report keeps: plain values, ready for JSON."""
        interval = list(self.interval) if self.interval else None
        return {"name": self.name, "value": self.value, "signature": self.signature, "interval": interval}


def figure(name: str, statistics: Array, corpus: Callable[[Array], float], signature: str, how: How) -> Score:
    """The Score of `statistics` (n, k) under `corpus`, its interval included where `how` asks for one."""
    interval = bootstrap_interval(statistics, corpus, how.bootstrap, how.seed) if how.bootstrap else None
    return Score(name, corpus(statistics.sum(0)), signature, interval, statistics, corpus)
