"""Whether the runs can be compared fairly: sentences above the table on budget, data order, decoding and seeds.

Each is checked against what the runs recorded.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

from seq2seq.compare.budget import budget_notes, enumerated
from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.variants import Variant
from seq2seq.runtime.search_config import THROUGHPUT

TRAINER = ("accelerator", "devices", "threads", "graphs")  # settings of the trainer that change its speed
Checksums = dict[int, str]  # update -> checksum of all batches up to it


def comparability_notes(variants: Sequence[Variant]) -> list[str]:
    """The sentences of all CHECKS."""
    return [sentence for check in CHECKS for sentence in check(variants)]


def budget(variants: Sequence[Variant]) -> list[str]:
    """What training took; see budget_notes."""
    return budget_notes(all_runs(variants))


def batch_order(variants: Sequence[Variant]) -> list[str]:
    """Whether runs with the same seed were trained on the same batches in the same order, by the logged checksums."""
    by_seed = groupby(sorted(all_runs(variants), key=seed_of), key=seed_of)
    groups = [[(run.name, batch_checksums(run)) for run in group] for _, group in by_seed]
    groups = [group for group in groups if len(group) > 1]
    notes = [note for group in groups for note in different_batches([each for each in group if each[1]])]
    unknown = [name for group in groups for name, checksums in group if not checksums]
    if unknown:
        notes.append(f"Unknown whether the batches were the same: no checksums in {', '.join(unknown)}.")
    if notes or not groups:
        return notes
    lasts = [(max(common_updates(group)), max(max(checksums) for _, checksums in group)) for group in groups]
    up_to = (
        "" if all(common == end for common, end in lasts) else f" up to update {min(lasts)[0]:,}, as far as recorded"
    )
    return [f"Runs with the same seed were trained on the same batches in the same order{up_to}."]


def different_batches(runs: Sequence[tuple[str, Checksums]]) -> list[str]:
    """A sentence if runs of one seed, (name, checksums), had different batches, or if that cannot be told."""
    common = common_updates(runs)
    if not common:
        names = enumerated([name for name, _ in runs])
        return [f"Unknown whether the batches were the same: {names} logged no common update."] if len(runs) > 1 else []
    last = max(common)
    different = {checksums[last]: name for name, checksums in runs}  # one run per checksum
    if len(different) == 1:
        return []
    return [f"Different batches by update {last:,} in spite of the same seed: {enumerated(list(different.values()))}."]


def common_updates(runs: Sequence[tuple[str, Checksums]]) -> set[int]:
    """The updates that all runs, (name, checksums), have a checksum of."""
    return set.intersection(*(set(checksums) for _, checksums in runs)) if runs else set()


def batch_checksums(run: EvaluatedRun) -> Checksums:
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


def single_runs(variants: Sequence[Variant]) -> list[str]:
    """Variants with one run, whose differences may be those of the seed."""
    single = [variant.name for variant in variants if len(variant.runs) == 1]
    if not single or len(variants) < 2:
        return []
    if len(single) == len(variants):
        which = "One seed of each variant: the table speaks"
    else:
        which = (
            f"One seed of {enumerated(single)}: what the table says of {'it' if len(single) == 1 else 'them'} speaks"
        )
    return [f"{which} of these runs and not of the variants; another seed may say otherwise (seed=1,2,3 trains three)."]


def copied_runs(variants: Sequence[Variant]) -> list[str]:
    """Runs of a variant that wrote the same, and runs whose settings name another seed than they were trained with."""
    notes = []
    for variant in variants:
        by_text: dict[tuple[str, ...], list[str]] = {}
        for run in variant.runs:
            by_text.setdefault(tuple(run.evaluation.hypotheses), []).append(run.name)
        notes += [
            f"{enumerated(names)} wrote the same translations: they count as one seed in the tests."
            for names in by_text.values()
            if len(names) > 1
        ]
    return notes + [
        f"{run.name} has seed={run.config.seed} in its settings, but was trained with {run.info['seed']}."
        for run in all_runs(variants)
        if run.info.get("seed") not in (None, run.config.seed)
    ]


def different_origins(variants: Sequence[Variant]) -> list[str]:
    """Tokenizers, given word links and versions of the software that differ between the runs."""
    runs = all_runs(variants)
    notes = []
    for key, words in (("tokenizer", "Different tokenizers"), ("links", "Trained on different word links")):
        by_hash = {str(run.info[key]): run.name for run in runs if run.info.get(key)}  # one run per hash
        if len(by_hash) > 1:
            notes.append(f"{words}: {enumerated(list(by_hash.values()))}.")
    for package in ("seq2seq", "torch"):
        versions = [run.info.get("versions") for run in runs]
        found = sorted({str(each[package]) for each in versions if isinstance(each, dict) and package in each})
        if len(found) > 1:
            notes.append(f"Trained with different versions of {package}: {enumerated(found)}.")
    return notes


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
    """Conditions under which training or decoding speed was measured that differ between the runs."""
    runs = all_runs(variants)
    decoding = {name: [run.evaluation.decoding[name] for run in runs] for name in ("threads", "device", "batch")}
    training = {f"trainer.{name}": [getattr(run.config.trainer, name) for run in runs] for name in TRAINER}
    notes = []
    for work, conditions in (("Training", training), ("Decoding", decoding)):
        each = [
            f"{name} ({', '.join(dict.fromkeys(map(str, values)))})"
            for name, values in conditions.items()
            if len(set(values)) > 1
        ]
        notes += [f"{work} speed was measured with different {enumerated(each)}."] if each else []
    return notes


def seed_of(run: EvaluatedRun) -> int:
    """The seed of a run."""
    return run.config.seed


def all_runs(variants: Sequence[Variant]) -> list[EvaluatedRun]:
    """The runs of all variants."""
    return [run for variant in variants for run in variant.runs]


CHECKS: list[Callable[[Sequence[Variant]], list[str]]] = [  # the order of their sentences
    single_runs,
    copied_runs,
    budget,
    batch_order,
    search_settings,
    seed_sets,
    different_origins,
    unfinished_runs,
    runs_without_weights,
    runs_without_links,
    timing_conditions,
]
