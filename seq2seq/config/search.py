"""Which settings say how a translation is found?"""

from dataclasses import dataclass
from typing import Any

from seq2seq.config.fields import Group, setting
from seq2seq.errors import ConfigError, choose

RANKING = (
    "beam",
    "length_penalty",
    "alpha",
    "coverage_penalty",
    "coverage_penalty_kind",
)  # what search.sampling=true does not read
DRAWING = ("seed", "temperature", "top_k", "top_p")  # what it alone reads
THROUGHPUT = ("batch", "window")  # what changes no translation


@dataclass(kw_only=True)
class SearchConfig(Group):
    """How a translation is found; dev and test use the same."""

    path = "search"
    beam: int = setting(5, "hypotheses kept; 1 is greedy")
    n_best: int = setting(1, "hypotheses returned")
    length_penalty: str = setting(
        "average",
        "how a score is made fair to length: none, average (divide by length) or gnmt (Wu et al. 2016, eq. 14)",
        ("none", "average", "gnmt"),
    )
    alpha: float = setting(1.0, "power of the length penalty")
    coverage_penalty: float = setting(0.0, "beta of the coverage penalty")
    coverage_penalty_kind: str = setting(
        "gnmt",
        "what it charges: source that was not attended to (gnmt: Wu et al. 2016, eq. 14) or more than once (summary: Gehrmann et al. 2018)",
        ("gnmt", "summary"),
    )
    min_length: int = setting(0, "fewest target tokens")
    max_length: int = setting(200, "most target tokens")
    min_ratio: float = setting(0.0, "fewest target tokens per source token")
    max_ratio: float = setting(3.0, "most target tokens per source token, + 10")
    no_repeat: int = setting(0, "n-grams of this size never come twice; 0: they may")
    sampling: bool = setting(False, "draw tokens at random in place of the beam")
    seed: int = setting(1, "sampling: another seed draws other samples")
    temperature: float = setting(1.0, "sampling: divides the log-probabilities")
    top_k: int = setting(0, "sampling: only the k likeliest tokens; 0: all")
    top_p: float = setting(
        1.0, "sampling: only the likeliest tokens that together have this probability (Holtzman et al. 2020)"
    )
    replace_unknown: bool = setting(
        False, "an unknown target word is replaced by the source word that got most attention"
    )
    long_source: str = setting(
        "cut", "a source longer than the model's limit is cut with a warning, or refused", ("cut", "refuse")
    )
    batch: int = setting(64, "sentences decoded together")
    window: int = setting(2048, "lines that are sorted by length together; memory is bounded by it")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "beam", "n_best", "max_length", "batch", "window")
        self.check_at_least(
            0, "alpha", "coverage_penalty", "min_length", "min_ratio", "max_ratio", "temperature", "no_repeat", "top_k"
        )
        if self.length_penalty == "none":
            self.refuse_ignored(("alpha",), "search.length_penalty=none has no power")
        if self.sampling:
            self.refuse_ignored(
                RANKING, "search.sampling=true draws search.n_best samples, it keeps no beam and ranks nothing"
            )
            if self.temperature <= 0:
                raise ConfigError(f"search.temperature={self.temperature} must be above 0")
            if not 0 < self.top_p <= 1:
                raise ConfigError(f"search.top_p={self.top_p} must be above 0 and at most 1")
        else:
            self.refuse_ignored(DRAWING, "it belongs to search.sampling=true")
            if self.n_best > self.beam:
                raise ConfigError(f"search.n_best={self.n_best} is more than search.beam={self.beam} can find")
        if self.min_ratio > self.max_ratio:
            raise ConfigError(f"search.min_ratio={self.min_ratio} is above search.max_ratio={self.max_ratio}")
        if self.min_length > self.max_length:
            raise ConfigError(f"search.min_length={self.min_length} is above search.max_length={self.max_length}")

    def check_limit(self, limit: int | None) -> None:
        """ConfigError for a setting that a model whose longest source is `limit` would ignore."""
        if limit is None:
            self.refuse_ignored(("long_source",), "the model takes a source of any length")

    def changed(self, **given: Any) -> "SearchConfig":
        """The same with the settings in `given`; of the rest, what these leave without effect goes back to its default.

        ConfigError for a name that is not a setting, a value of another type, and what cannot work together."""
        for name, value in given.items():
            default = choose(vars(self), name, "search setting")
            if not isinstance(value, (float, int) if isinstance(default, float) else type(default)):
                raise ConfigError(f"search.{name}={value!r} is no {type(default).__name__}")
        idle = {*(RANKING if given.get("sampling", self.sampling) else DRAWING)}
        if given.get("length_penalty", self.length_penalty) == "none":
            idle.add("alpha")
        return SearchConfig(**{name: value for name, value in vars(self).items() if name not in idle} | given)
