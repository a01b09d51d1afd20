"""The sentences of a report: what was compared, what is to be known about it, attention warnings, signatures."""

from collections.abc import Iterator, Sequence

from seq2seq.compare.report.markup import disclosure, escaped, html_list, paragraphs, plural
from seq2seq.compare.result import Comparison

MOST_NOTES = 4  # above the results; further ones are in a disclosure
NOTE_LENGTH = 160  # characters of a note there; the whole of a longer one is in a disclosure


def summary(comparison: Comparison) -> Iterator[str]:
    """Number of variants, seeds and sentences; the header; the runs that were left out."""
    counts = sorted({len(row.seeds) for row in comparison.rows}) or [0]
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    size = f"{plural(len(comparison.rows), 'variant')}, {plural(seeds, 'seed')} each"
    yield from paragraphs([f"{size}, on {comparison.sentences:,} sentences of {comparison.test}."], "lead")
    yield from header_notes(comparison.header)
    yield from skipped_runs(comparison.skipped)


def header_notes(sentences: Sequence[str]) -> Iterator[str]:
    """The first MOST_NOTES sentences, and a disclosure of the others."""
    for sentence in sentences[:MOST_NOTES]:
        yield from note(sentence)
    if rest := sentences[MOST_NOTES:]:
        yield from disclosure(f"{plural(len(rest), 'more note')}", paragraphs(rest))


def note(sentence: str) -> Iterator[str]:
    """A paragraph; the beginning of a long sentence, such as one that names all runs, discloses the whole."""
    yield from (
        paragraphs([sentence])
        if len(sentence) <= NOTE_LENGTH
        else disclosure(beginning(sentence), paragraphs([sentence]))
    )


def beginning(sentence: str) -> str:
    """The sentence up to its first colon, else to the last word before NOTE_LENGTH."""
    start, colon, _ = sentence[:NOTE_LENGTH].partition(": ")
    return f"{start if colon else start.rpartition(' ')[0] or start} …"


def findings(sentences: Sequence[str]) -> Iterator[str]:
    """The differences that the seeds do not bear out."""
    if sentences:
        count = plural(len(sentences), "finding")
        yield from disclosure(f"{count} about differences that the seeds do not bear out", paragraphs(sentences))


def skipped_runs(skipped: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The runs that were left out, with the reasons."""
    if skipped:
        runs = html_list(f"<code>{escaped(run)}</code>: {escaped(reason)}" for run, reason in skipped)
        yield '<div class="skipped">\n'
        yield from disclosure(f"{plural(len(skipped), 'run')} left out", runs)
        yield "</div>\n"


def notes(comparison: Comparison) -> Iterator[str]:
    """Footnotes and the signatures of the measures."""
    signatures = [
        f"{escaped(column.title)}: <code>{escaped(column.signature)}</code>"
        for column in comparison.columns
        if column.signature
    ]
    if signatures or comparison.footnotes:
        yield from html_list([*map(escaped, comparison.footnotes), *signatures])


def health(comparison: Comparison) -> Iterator[str]:
    """The warnings of each variant."""
    if not comparison.health:
        places = "the outputs and the attention" if comparison.attention else "the outputs"
        unchecked = "" if comparison.attention else " No attention was stored, so none was checked."
        yield from paragraphs([f"No problems were found in {places} of these variants.{unchecked}"])
        return
    yield '<dl class="health">\n'
    for row in comparison.rows:
        if sentences := [warning.sentence for warning in comparison.health if warning.variant == row.variant]:
            yield f'<dt dir="auto">{escaped(row.variant)}</dt>'
            yield "".join(f"<dd>{escaped(sentence)}</dd>" for sentence in sentences) + "\n"
    yield "</dl>\n"


def versions(comparison: Comparison) -> Iterator[str]:
    """The versions of the software."""
    if comparison.versions:
        named = ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
        yield from paragraphs([f"Made with {named}."])
