"""What training took, by what the runs recorded: whether all had an equal budget, and what differs between them.

A setting is a limit and not a budget: of two runs with the same `training.max_minutes`, one may have had half of the
CPU, and so half of the updates.
"""

from collections.abc import Callable, Mapping, Sequence

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.columns import finite_float

TOLERANCE = 1.03  # ratio of the largest to the smallest amount up to which amounts count as equal

AMOUNTS: dict[str, Callable[[EvaluatedRun], float | None]] = {  # what is spent -> how much of it a run recorded
    "updates": lambda run: finite_float(run.info.get("updates")),
    "target tokens": lambda run: finite_float(run.info.get("target_tokens")),
    "CPU seconds": lambda run: finite_float(run.info.get("processor_seconds")),
    "parameters": lambda run: float(run.parameters),
}
Amounts = Mapping[str, float]  # run -> amount; without the runs that did not record it


def budget_notes(runs: Sequence[EvaluatedRun]) -> list[str]:
    """Whether the runs had an equal budget, then each amount that differs between them or is unknown."""
    if len(runs) < 2:
        return []
    amounts = {name: recorded(read, runs) for name, read in AMOUNTS.items()}
    differing = [name for name, found in amounts.items() if differs(found)]
    equal = [name for name, found in amounts.items() if name not in differing and len(found) == len(runs)]
    same = [f"{name} ({span(amounts[name])})" for name in equal]
    limit = shared_time_limit(runs) if "CPU seconds" not in differing else 0
    if limit:
        same.append(f"time ({limit:g} min)")
    exact = all(len(set(amounts[name].values())) == 1 for name in equal)
    same_amounts = (
        f"all runs had the same {enumerated(same)}{'' if exact else f', within {TOLERANCE - 1:.0%}'}." if same else ""
    )
    if ("updates" in equal and "target tokens" not in differing) or "CPU seconds" in equal or limit:
        notes = [f"Equal budget: {same_amounts}"]
    else:
        notes = ["No equal budget: a difference between variants may be one of cost."]
        notes += [f"A{same_amounts[1:]}"] if same else []
    notes += [difference(name, amounts[name]) for name in differing]
    return notes + unrecorded(amounts, runs)


def recorded(read: Callable[[EvaluatedRun], float | None], runs: Sequence[EvaluatedRun]) -> dict[str, float]:
    """Run -> amount, of the runs that recorded it."""
    found = {run.name: read(run) for run in runs}
    return {name: amount for name, amount in found.items() if amount is not None}


def differs(amounts: Amounts) -> bool:
    """Whether the largest of the recorded amounts is beyond TOLERANCE of the smallest."""
    return bool(amounts) and max(amounts.values()) > TOLERANCE * min(amounts.values())


def shared_time_limit(runs: Sequence[EvaluatedRun]) -> float:
    """The time limit in minutes, if it is the same for all runs and all recorded that they trained until it was over.

    Else 0."""
    limits = {run.config.training.max_minutes for run in runs}
    limit = limits.pop()
    reached = all((finite_float(run.info.get("seconds")) or 0) >= 60 * limit for run in runs)
    return limit if not limits and reached else 0


def span(amounts: Amounts) -> str:
    """ "600", or "600 to 610"."""
    ends = min(amounts.values()), max(amounts.values())
    return " to ".join(dict.fromkeys(f"{end:,.0f}" for end in ends))


def difference(name: str, amounts: Amounts) -> str:
    """By how much an amount differs, and between which runs."""
    (least, low), (most, high) = (pick(amounts.items(), key=lambda item: item[1]) for pick in (min, max))
    share = f" by {100 * (high / low - 1):,.0f}%" if low else ""
    return f"{name[0].upper()}{name[1:]} differ{share}: from {low:,.0f} ({least}) to {high:,.0f} ({most})."


def unrecorded(amounts: Mapping[str, Amounts], runs: Sequence[EvaluatedRun]) -> list[str]:
    """The runs that did not record an amount that others did, or their updates."""
    notes = []
    for name, found in amounts.items():
        missing = [run.name for run in runs if run.name not in found]
        if missing and (found or name == "updates"):
            notes.append(f"Unknown {name}: {', '.join(missing)}.")
    return notes


def enumerated(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
