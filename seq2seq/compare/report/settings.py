"""What tells the variants apart: a few words for each row of the results, and all settings in which they differ."""

from collections import Counter
from collections.abc import Iterator, Sequence

from seq2seq.compare.report.markup import disclosure, escaped, plural, wide_table
from seq2seq.compare.result import Comparison, VariantRow
from seq2seq.compare.variants import short_name
from seq2seq.evaluation.heatmap import shorten_middle

MOST_SETTINGS = 3  # in a row of the results
MOST_VALUE = 20  # characters of a value there


def distinction(row: VariantRow, rows: Sequence[VariantRow]) -> str:
    """A few words: the family if it is not that of most variants or all there is, and settings with an unusual value.

    The rarest come first. A variant of usual values has all settings in which its family differs."""
    family = [other for other in rows if other.family == row.family]
    counts = {name: Counter(other.settings.get(name) for other in family) for name in row.settings}
    # The value of `variant` is the name of the row.
    names = [name for name, count in counts.items() if len(count) > 1 and name != "variant"]
    unusual = [name for name in names if row.settings[name] != usual_value(counts[name])] or names
    unusual.sort(key=lambda name: counts[name][row.settings[name]])
    words = [row.family] if 2 * len(family) <= len(rows) or not unusual else []
    for name in unusual[:MOST_SETTINGS]:
        words.append(f"{short_name(name, names)}={shorten_middle(row.settings[name], MOST_VALUE)}")
    if len(unusual) > MOST_SETTINGS:
        words.append(f"and {len(unusual) - MOST_SETTINGS} more")
    return " · ".join(words)


def usual_value(counts: Counter[str | None]) -> str | None:
    """The value that half of the variants or more have, and no other as many; None without one."""
    (value, most), *others = counts.most_common(2)
    return value if 2 * most >= counts.total() and not (others and others[0][1] == most) else None


def settings_table(comparison: Comparison) -> Iterator[str]:
    """A row per setting in which the variants differ, a column per variant; values unlike the baseline's are marked."""
    rows = comparison.rows
    names = list(dict.fromkeys(name for row in rows for name in row.settings))
    if not names:
        return
    baseline = next((row for row in rows if row.variant == comparison.baseline), rows[0])
    lines = (
        f'<th scope="row">{escaped(name)}</th>' + "".join(setting_cell(row, baseline, name) for row in rows)
        for name in names
    )
    title = f"Settings of the variants: {plural(len(names), 'difference')}"
    yield from disclosure(title, wide_table(["Setting", *(row.variant for row in rows)], lines))


def setting_cell(row: VariantRow, baseline: VariantRow, name: str) -> str:
    """A value, or a dash where the variant has no such setting."""
    value = row.settings.get(name)
    css_class = "same" if value == baseline.settings.get(name) and row is not baseline else "own"
    return f'<td class="{css_class}" dir="auto">{"–" if value is None else escaped(value)}</td>'


def runs_table(comparison: Comparison) -> Iterator[str]:
    """The run directory of each variant and seed."""
    lines = [
        f'<th scope="row" dir="auto">{escaped(row.variant)}</th><td class="number">{seed}</td>'
        f"<td><code>{escaped(run)}</code></td>"
        for row in comparison.rows
        for seed, run in zip(row.seeds, row.runs, strict=False)
    ]
    if lines:
        yield from disclosure(plural(len(lines), "run"), wide_table(["Variant", "Seed", "Run directory"], lines))


def seed_ranges(seeds: Sequence[int]) -> str:
    """ "1–3, 7" for the seeds 1, 2, 3 and 7."""
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if ranges and seed == ranges[-1][-1] + 1:
            ranges[-1].append(seed)
        else:
            ranges.append([seed])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in ranges)
