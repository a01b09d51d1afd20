"""Whether the runs can be compared fairly: sentences above the table on budget, data order, decoding and seeds."""

from collections.abc import Callable, Sequence
from itertools import groupby

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.columns import finite_float
from seq2seq.compare.variants import Variant
from seq2seq.config.search import THROUGHPUT

SIMILAR_SIZE = 1.02  # ratio up to which numbers of parameters count as equal, to each other or to model.parameters


def comparability_notes(variants: Sequence[Variant]) -> list[str]:
    """The sentences of all CHECKS."""
    return [sentence for check in CHECKS for sentence in check(variants)]


def budget(variants: Sequence[Variant]) -> list[str]:
    """Whether all runs had the same number of updates or time limit; the same number of parameters is no budget."""
    runs = all_runs(variants)
    if len(runs) < 2:
        return []
    size = shared_size(runs)
    updates = [int(run.info["updates"]) for run in runs if isinstance(run.info.get("updates"), int)]
    shared = shared_time_limit(runs)
    if len(set(updates)) == 1 and len(updates) == len(runs):
        shared = [f"number of updates ({updates[0]:,})", *shared]
    if shared:
        notes = [f"Equal budget: all runs had the same {enumerated([*shared, *size])}."]
    else:
        notes = [
            "No equal budget: the runs share neither a number of updates nor a time limit that all of them reached."
        ]
        notes += [f"All runs had the same {enumerated(size)}."] if size else []
    if len(set(updates)) > 1:
        notes.append(f"The runs had {min(updates):,} to {max(updates):,} updates.")
    unknown = [run.name for run in runs if not isinstance(run.info.get("updates"), int)]
    return notes + ([f"Unknown number of updates: {', '.join(unknown)}."] if unknown else [])


def shared_size(runs: Sequence[EvaluatedRun]) -> list[str]:
    """The number of parameters, if all runs are within SIMILAR_SIZE or were sized by the same `model.parameters`."""
    sizes = sorted({run.parameters for run in runs})
    targets = {run.config.model.parameters for run in runs}
    same_target = len(targets) == 1 and 0 not in targets
    if not same_target and sizes[-1] > SIMILAR_SIZE * max(sizes[0], 1):
        return []
    span = " to ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1])))
    return [f"number of parameters ({span})"]


def shared_time_limit(runs: Sequence[EvaluatedRun]) -> list[str]:
    """The time limit, if it is the same for all runs and all of them trained until it was over."""
    limits = {run.config.training.max_minutes for run in runs}
    limit = limits.pop()
    reached = all((finite_float(run.info.get("seconds")) or 0) >= 60 * limit for run in runs)
    return [f"time limit ({limit:g} minutes)"] if limit and not limits and reached else []


def batch_order(variants: Sequence[Variant]) -> list[str]:
    """Whether runs with the same seed were trained on the same batches in the same order, by the logged checksums."""
    by_seed = sorted(all_runs(variants), key=lambda run: run.config.seed)
    groups = [list(group) for _, group in groupby(by_seed, key=lambda run: run.config.seed)]
    groups = [group for group in groups if len(group) > 1]
    checksums = {id(run): batch_checksums(run) for run in by_seed}
    notes = []
    for group in groups:
        known = [run for run in group if checksums[id(run)]]
        common = set.intersection(*(set(checksums[id(run)]) for run in known)) if known else set()
        if common:
            last = max(common)
            different = {checksums[id(run)][last]: run.name for run in known}  # one run per checksum
            if len(different) > 1:
                names = enumerated(list(different.values()))
                notes.append(f"Different batches by update {last:,} in spite of the same seed: {names}.")
        elif len(known) > 1:
            names = enumerated([run.name for run in known])
            notes.append(f"Unknown whether the batches were the same: {names} logged no common update.")
    unknown = [run.name for group in groups for run in group if not checksums[id(run)]]
    if unknown:
        notes.append(f"Unknown whether the batches were the same: no checksums in {', '.join(unknown)}.")
    return notes or (["Runs with the same seed were trained on the same batches in the same order."] if groups else [])


def batch_checksums(run: EvaluatedRun) -> dict[int, str]:
    """Update -> checksum of all batches up to it, from metrics.csv; the last update's from run.json."""
    found = {int(row["update"]): row["batches"] for row in run.metrics if row.get("batches")}
    info = run.info
    if info.get("batches") and info.get("updates"):
        found[int(info["updates"])] = str(info["batches"])
    return found


def search_settings(variants: Sequence[Variant]) -> list[str]:
    """Search settings that differ between the runs."""
    settings = [run.evaluation.search for run in all_runs(variants)]
    names = [
        name
        for name in settings[0]
        if name not in THROUGHPUT and any(other[name] != settings[0][name] for other in settings)
    ]
    each = [f"search.{name} ({', '.join(dict.fromkeys(str(other[name]) for other in settings))})" for name in names]
    return [f"The runs were decoded with different settings: {enumerated(each)}."] if each else []


def seed_sets(variants: Sequence[Variant]) -> list[str]:
    """Variants that were trained with different seeds."""
    if len({variant.seeds for variant in variants}) == 1:
        return []
    each = "; ".join(f"{variant.name}: {', '.join(map(str, variant.seeds))}" for variant in variants)
    return [f"The variants have different seeds ({each})."]


def unfinished_runs(variants: Sequence[Variant]) -> list[str]:
    """Runs whose training still continues or was interrupted."""
    names = [run.name for run in all_runs(variants) if not run.info.get("finished")]
    return [f"Training is not finished: {', '.join(names)}."] if names else []


def runs_without_weights(variants: Sequence[Variant]) -> list[str]:
    """Runs without weights, whose stored evaluation cannot be verified."""
    names = [run.name for run in all_runs(variants) if run.run.weights_removed]
    return [f"Without weights, the stored evaluation is used unverified: {', '.join(names)}."] if names else []


def runs_without_links(variants: Sequence[Variant]) -> list[str]:
    """Runs that cannot be compared with the gold links, and why."""
    return [
        f"Without alignment error: {run.name}: {run.no_links_reason}."
        for run in all_runs(variants)
        if run.no_links_reason
    ]


def timing_conditions(variants: Sequence[Variant]) -> list[str]:
    """Conditions under which decoding speed was measured that differ between the runs."""
    timed = [run.evaluation.decoding for run in all_runs(variants)]
    names = [name for name in ("threads", "device", "batch") if any(other[name] != timed[0][name] for other in timed)]
    each = [f"{name} ({', '.join(dict.fromkeys(str(other[name]) for other in timed))})" for name in names]
    return [f"Decoding speed was measured with different {enumerated(each)}."] if each else []


def all_runs(variants: Sequence[Variant]) -> list[EvaluatedRun]:
    """The runs of all variants."""
    return [run for variant in variants for run in variant.runs]


def enumerated(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


CHECKS: list[Callable[[Sequence[Variant]], list[str]]] = [
    budget,
    batch_order,
    search_settings,
    seed_sets,
    unfinished_runs,
    runs_without_weights,
    runs_without_links,
    timing_conditions,
]
