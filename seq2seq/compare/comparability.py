"""What should a reader know before the figures? What the runs had in common, and what they should have had."""

from collections.abc import Callable, Sequence
from itertools import groupby

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.columns import number
from seq2seq.compare.variants import Variant
from seq2seq.config.search import THROUGHPUT

NEAR = 1.02  # ratio up to which numbers of parameters count as equal, to each other or to model.parameters


def sentences(variants: Sequence[Variant]) -> list[str]:
    """What every check has to say."""
    return [sentence for check in CHECKS for sentence in check(variants)]


def every(variants: Sequence[Variant]) -> list[EvaluatedRun]:
    """All cells."""
    return [cell for variant in variants for cell in variant.cells]


def unfinished(variants: Sequence[Variant]) -> list[str]:
    """Runs whose training goes on, or was cut off."""
    names = [cell.name for cell in every(variants) if not cell.run.info.get("finished")]
    return [f"Training is not finished: {', '.join(names)}."] if names else []


def gone(variants: Sequence[Variant]) -> list[str]:
    """Runs without weights, whose translations nobody can make again."""
    names = [cell.name for cell in every(variants) if cell.run.gone]
    return [f"Without weights, taken at the word of what was kept: {', '.join(names)}."] if names else []


def unlinked(variants: Sequence[Variant]) -> list[str]:
    """Runs that cannot be compared with gold links, and why."""
    return [f"Without alignment error: {cell.name}: {cell.unlinked}." for cell in every(variants) if cell.unlinked]


def seeds(variants: Sequence[Variant]) -> list[str]:
    """Whether every variant has the same seeds."""
    if len({variant.seeds for variant in variants}) == 1:
        return []
    each = "; ".join(f"{variant.name}: {', '.join(map(str, variant.seeds))}" for variant in variants)
    return [f"The variants do not have the same seeds ({each})."]


def budget(variants: Sequence[Variant]) -> list[str]:
    """Whether they cost the same, in updates or in time; as many parameters alone are no budget."""
    cells = every(variants)
    if len(cells) < 2:
        return []
    sizes = sorted({cell.parameters for cell in cells})
    span = " to ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1])))
    asked = {cell.run.config.model.parameters for cell in cells}
    equal = sizes[-1] <= NEAR * max(sizes[0], 1) or (
        len(asked) == 1 and 0 not in asked
    )  # each within NEAR of what was asked for
    near = [f"parameters ({span})"] if equal else []
    updates = [int(cell.run.info["updates"]) for cell in cells if isinstance(cell.run.info.get("updates"), int)]
    each = [f"updates ({updates[0]:,})"] if len(set(updates)) == 1 and len(updates) == len(cells) else []
    if same := [*each, *time_limit(cells)]:
        found = [f"Equal budget: all runs had the same {listed([*same, *near])}."]
    else:
        found = ["No equal budget: the runs had neither the same updates nor a time limit that all of them reached."]
        found += [f"All runs had the same {listed(near)}."] if near else []
    found += [f"The runs had {min(updates):,} to {max(updates):,} updates."] if len(set(updates)) > 1 else []
    silent = [cell.name for cell in cells if not isinstance(cell.run.info.get("updates"), int)]
    return found + ([f"Not known how many updates these runs had: {', '.join(silent)}."] if silent else [])


def time_limit(cells: Sequence[EvaluatedRun]) -> list[str]:
    """That of all runs, if they have the same and trained until it was over."""
    minutes = {cell.run.config.training.max_minutes for cell in cells}
    limit = minutes.pop()
    reached = all((number(cell.run.info.get("seconds")) or 0) >= 60 * limit for cell in cells)
    return [f"time limit ({limit:g} minutes)"] if limit and not minutes and reached else []


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def batches(variants: Sequence[Variant]) -> list[str]:
    """Whether the runs of each seed learnt from the same batches in the same order, by their checksums."""
    by_seed = sorted(every(variants), key=lambda cell: cell.run.config.seed)
    groups = [list(some) for _, some in groupby(by_seed, key=lambda cell: cell.run.config.seed)]
    groups = [some for some in groups if len(some) > 1]
    logged = {id(cell): checksums(cell) for cell in by_seed}
    unknown = [cell.name for some in groups for cell in some if not logged[id(cell)]]
    found = []
    for some in groups:
        told = [cell for cell in some if logged[id(cell)]]
        common = set.intersection(*(set(logged[id(cell)]) for cell in told)) if told else set()
        last = max(common, default=0)
        kinds = {logged[id(cell)][last]: cell.name for cell in told} if common else {}
        if len(kinds) > 1:
            found.append(
                f"Not the same batches by update {last:,}: {listed(list(kinds.values()))}, though their seed is the same."
            )
        if len(told) > 1 and not common:
            found.append(
                f"Not known whether the batches were the same: {listed([c.name for c in told])} log no update in common."
            )
    if unknown:
        found.append(f"Not known whether the batches were the same, since these runs do not say: {', '.join(unknown)}.")
    return found or (["Runs of one seed learnt from the same batches in the same order."] if groups else [])


def checksums(cell: EvaluatedRun) -> dict[int, str]:
    """Update -> of all batches up to it: the rows of metrics.csv, and the end of a run that is shorter than any row."""
    found = {int(row["update"]): row["batches"] for row in cell.metrics if row.get("batches")}
    info = cell.run.info
    return found | ({int(info["updates"]): str(info["batches"])} if info.get("batches") and info.get("updates") else {})


def search(variants: Sequence[Variant]) -> list[str]:
    """Whether the translations were found in the same way."""
    settings = [cell.evaluated.search for cell in every(variants)]
    names = [
        name
        for name in settings[0]
        if name not in THROUGHPUT and any(some[name] != settings[0][name] for some in settings)
    ]
    each = [f"search.{name} ({', '.join(dict.fromkeys(str(some[name]) for some in settings))})" for name in names]
    return [f"The runs do not search alike: {listed(each)}."] if each else []


def speed(variants: Sequence[Variant]) -> list[str]:
    """Whether decoding was timed under the same conditions."""
    timed = [cell.evaluated.decoding for cell in every(variants)]
    names = [name for name in ("threads", "device", "batch") if any(some[name] != timed[0][name] for some in timed)]
    each = [f"{name} ({', '.join(dict.fromkeys(str(some[name]) for some in timed))})" for name in names]
    return [f"Decoding was timed with different {listed(each)}."] if each else []


CHECKS: list[Callable[[Sequence[Variant]], list[str]]] = [
    budget,
    batches,
    search,
    seeds,
    unfinished,
    gone,
    unlinked,
    speed,
]
