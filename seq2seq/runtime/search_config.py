"""Search settings: beam search or sampling, limits of the output, batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .bounds import SEARCH_BOUNDS
from .errors import ConfigError, choose, quoted
from .fields import Group, Ignored, refuse_given, setting
from .penalties import COVERAGE_PENALTIES, LENGTH_PENALTIES

BEAM_ONLY = ("beam", "length_penalty", "alpha", "coverage_penalty", "coverage_penalty_kind")  # ignored when sampling
SAMPLING_ONLY = ("seed", "temperature", "top_k", "top_p")  # ignored by beam search
THROUGHPUT = ("batch", "window")  # settings that change no translation

IGNORED_SEARCH = (
    Ignored(
        "search.coverage_penalty_kind",
        lambda search: not search.coverage_penalty,
        "search.coverage_penalty=0 charges nothing",
    ),
    Ignored(
        "search.no_repeat",
        lambda search: search.no_repeat > search.max_length,
        "no output is longer than search.max_length",
    ),
)

OF_TEXT = ("no_repeat", "min_length", "min_ratio", "replace_unknown")  # search settings without a use for labels
IGNORED_WITH_MODEL = (
    Ignored(
        "search.replace_unknown",
        lambda config: config.model.attention.window == "last",
        "model.attention.window=last always attends to the end of the source",
        whole=True,
    ),
    Ignored(
        "search.replace_unknown",
        lambda config: config.model.attention.scorer == "uniform",
        "model.attention.scorer=uniform attends to all words alike",
        whole=True,
    ),
    *(
        Ignored(
            f"search.{name}",
            lambda config: config.model.output != "text",
            "a model of labels gives the likeliest ones",
            whole=True,
        )
        for name in OF_TEXT
    ),
)


@dataclass(kw_only=True)
class SearchConfig(Group):
    """How translations are found, in validation and in use.

    Raises ConfigError for settings that cannot work together."""

    path = "search"
    beam: int = setting(5, "live hypotheses of the beam; 1 is greedy search", bounds=SEARCH_BOUNDS["beam"])
    n_best: int = setting(1, "hypotheses returned for each line", bounds=SEARCH_BOUNDS["samples"])
    length_penalty: str = setting(
        "average",
        "divides the log-probability: none, average (by length^alpha) or gnmt (Wu et al. 2016, eq. 14)",
        tuple(LENGTH_PENALTIES),
    )
    alpha: float = setting(1.0, "exponent of the length penalty", bounds=SEARCH_BOUNDS["alpha"])
    coverage_penalty: float = setting(
        0.0, "weight of the coverage penalty (beta of Wu et al. 2016)", bounds=SEARCH_BOUNDS["coverage_penalty"]
    )
    coverage_penalty_kind: str = setting(
        "gnmt",
        "what it charges for: source positions that were not attended to (gnmt: Wu et al. 2016, eq. 14) "
        "or attended to repeatedly (summary: Gehrmann et al. 2018)",
        tuple(COVERAGE_PENALTIES),
    )
    min_length: int = setting(0, "minimum number of target tokens", bounds=SEARCH_BOUNDS["min_length"])
    max_length: int = setting(200, "maximum number of target tokens", bounds=SEARCH_BOUNDS["max_length"])
    min_ratio: float = setting(
        0.0, "minimum number of target tokens per source token", bounds=SEARCH_BOUNDS["min_ratio"]
    )
    max_ratio: float = setting(
        3.0, "maximum number of target tokens per source token; 10 more are allowed", bounds=SEARCH_BOUNDS["max_ratio"]
    )
    no_repeat: int = setting(
        0,
        "no n-gram of this size occurs twice in a hypothesis; 0: no such constraint",
        bounds=SEARCH_BOUNDS["no_repeat"],
    )
    sampling: bool = setting(False, "sample tokens at random instead of beam search")
    seed: int = setting(1, "sampling: random seed", bounds=SEARCH_BOUNDS["seed"])
    temperature: float = setting(1.0, "sampling: divides the log-probabilities", bounds=SEARCH_BOUNDS["temperature"])
    top_k: int = setting(0, "sampling: only from the k likeliest tokens; 0: from all", bounds=SEARCH_BOUNDS["top_k"])
    top_p: float = setting(
        1.0,
        "sampling: only from the likeliest tokens that together have this probability (Holtzman et al. 2020)",
        bounds=SEARCH_BOUNDS["top_p"],
    )
    replace_unknown: bool = setting(False, "replace an unknown target word by the source word with the most attention")
    max_source: int = setting(
        5000,
        "tokens of a source line that are read, of a model with fewer positions so many; it bounds the memory and the "
        "time of one line, and that of given targets, of which a longer one is refused",
        bounds=SEARCH_BOUNDS["max_source"],
    )
    long_source: str = setting("cut", "a longer source is cut with a warning, or refused", ("cut", "refuse"))
    batch: int = setting(64, "sentences decoded together, fewer of more than 128 tokens", bounds=SEARCH_BOUNDS["batch"])
    window: int = setting(
        2048,
        "lines that are read and sorted by length together, fewer where a pipe pauses; it bounds the memory",
        bounds=SEARCH_BOUNDS["window"],
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length_penalty == "none":
            self.refuse_ignored(("alpha",), "search.length_penalty=none has no exponent")
        if self.sampling:
            self.refuse_ignored(BEAM_ONLY, "search.sampling=true draws search.n_best samples and ranks nothing")
        else:
            self.refuse_ignored(SAMPLING_ONLY, "it belongs to search.sampling=true")
            if self.n_best > self.beam:
                raise ConfigError(f"search.n_best={self.n_best} is more than search.beam={self.beam} can find")
        if self.min_ratio > self.max_ratio:
            raise ConfigError(f"search.min_ratio={self.min_ratio} is above search.max_ratio={self.max_ratio}")
        if self.min_length > self.max_length:
            raise ConfigError(f"search.min_length={self.min_length} is above search.max_length={self.max_length}")

    @property
    def width(self) -> int:
        """The hypotheses of a sentence that are extended together."""
        return self.n_best if self.sampling else self.beam

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "SearchConfig":
        """The settings in `values`, of any source; the others have their defaults.

        Raises ConfigError for an unknown name, a value of the wrong type, and settings that cannot work together."""
        _check_types(values)
        return cls(**values)

    def changed(self, **given: Any) -> "SearchConfig":
        """A copy with the settings in `given`; other settings that these leave without effect return to their defaults.

        Raises ConfigError for an unknown name, a value of the wrong type, and settings that cannot work together."""
        _check_types(given)
        idle = set(BEAM_ONLY if given.get("sampling", self.sampling) else SAMPLING_ONLY)
        if given.get("length_penalty", self.length_penalty) == "none":
            idle.add("alpha")
        found = SearchConfig(**{name: value for name, value in vars(self).items() if name not in idle} | given)
        refuse_given(IGNORED_SEARCH, found, {f"search.{name}" for name in given}, "search")
        return found


def _check_types(values: Mapping[str, Any]) -> None:
    """Raise ConfigError for the first of the `values` that is no search setting, or of another type than it."""
    defaults = vars(SearchConfig())
    for name, value in values.items():
        default = choose(defaults, name, "search setting")
        wanted = (float, int) if isinstance(default, float) else type(default)
        if not isinstance(value, wanted) or isinstance(value, bool) != isinstance(default, bool):
            raise ConfigError(f"search.{name}={quoted(value)} must be of type {type(default).__name__}")
