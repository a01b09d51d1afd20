"""`init_from`: the settings of model and tokenizer that a run takes from the run whose weights it starts from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seq2seq.config.io import flatten, flatten_values
from seq2seq.errors import ConfigError

GROUPS = {  # a group on the command line -> how the settings begin that its choice decides
    "model": "model.name",
    "model/attention": "model.attention.",
    "tokenizer": "tokenizer.kind",
}


def group_choices(overrides: Sequence[str]) -> list[str]:
    """Those of `overrides` that choose the task, the corpus or a group of GROUPS."""
    return [word for word in overrides if word.lstrip("+").partition("=")[0] in ("task", "data", *GROUPS)]


def take_over(
    values: Mapping[str, Any], defaults: Mapping[str, Any], overrides: Sequence[str], open_run: Any
) -> dict[str, Any]:
    """Nested settings `values` with model and tokenizer of the run `init_from`, apart from what the user has set.

    defaults: the settings by `group_choices(overrides)` alone; what differs from them was set, in an experiment for
    example. open_run: Run.open. Raises ConfigError for another family of models; RunError if it is not a run."""
    saved = flatten(open_run(values["init_from"]).config)
    given, usual = flatten_values(values), flatten_values(defaults)
    named = tuple(_named(overrides))
    own = {
        name: value
        for name, value in given.items()
        if name.startswith(("model.", "tokenizer.")) and (name.startswith(named) or value != usual.get(name))
    }
    family = saved["model.name"]
    if own.get("model.name", family) != family:
        raise ConfigError(
            f"model={own['model.name']} is given, but the weights of init_from={values['init_from']} are of "
            f"model={family}"
        )
    taken: dict[str, Any] = {**values, "model": {}, "tokenizer": {}}
    for name, value in {**saved, **own}.items():
        if name.startswith(("model.", "tokenizer.")):
            *groups, last = name.split(".")
            place = taken
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
    return taken


def _named(overrides: Sequence[str]) -> Iterator[str]:
    """How the settings of model and tokenizer begin that the command line names."""
    for word in overrides:
        name = word.lstrip("+").partition("=")[0]
        if name in GROUPS:
            yield GROUPS[name]
        elif name.startswith(("model.", "tokenizer.")):
            yield name
