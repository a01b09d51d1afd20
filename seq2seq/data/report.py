"""The report of `prepare`: dropped pairs, text that encoding does not preserve, test sources in the training text."""

from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any

from seq2seq.data.readers import Pair
from seq2seq.errors import shortened
from seq2seq.runtime.untrusted import FLAG, TEXT, WHOLE, fits

MAX_COMPARED = 1000  # lossy lines, of the first block, compared character by character; one takes about a millisecond
SHOWN_LABELS = 20  # the most frequent ones, with their numbers
MAX_CHARACTERS = 2000  # of such a line: the time grows with the square

BOTH = {"source": WHOLE, "target": WHOLE}
REPORT_SHAPE = {  # of a stored report, which may also have `links` and `labels`
    "read": WHOLE,
    "kept": WHOLE,
    "dropped": {...: WHOLE},
    "cut": BOTH,
    "tokens": {**BOTH, "unknown_source": WHOLE, "unknown_target": WHOLE},
    "lossy": {"lines": WHOLE, "of": WHOLE, "compared": WHOLE, "differences": [(TEXT, WHOLE)]},
    "vocabulary": {**BOTH, "joint": FLAG},
    "tokenizers": {"source": TEXT, "target": TEXT},
    "long_dev": WHOLE,
    "cut_dev": WHOLE,
    "truncation": (WHOLE, WHOLE),
}
LINKS_SHAPE = {"pairs": WHOLE, "tokens": WHOLE}


def is_report(value: Any) -> bool:
    """Whether a value of a JSON file is a report that `prepare` stored."""
    parts = {"links": LINKS_SHAPE, "labels": {"all": WHOLE, "frequent": {...: WHOLE}}}
    return fits(value, REPORT_SHAPE) and all(fits(value[name], parts[name]) for name in parts.keys() & value.keys())


class RoundTrip:
    """Counts the lines that change when they are encoded and decoded, and how they change."""

    def __init__(self, max_compared: int = MAX_COMPARED) -> None:
        """`max_compared`: lossy lines that are compared character by character, of at most MAX_CHARACTERS each."""
        self.max_compared, self.lines, self.lossy, self.compared = max_compared, 0, 0, 0
        self.differences: Counter[str] = Counter()

    def add(self, text: str, decoded: str) -> None:
        """Count a line; `decoded` is what the ids of `text` decode to."""
        self.lines += 1
        if decoded != text:
            self.lossy += 1
            if self.compared < self.max_compared and len(text) <= MAX_CHARACTERS:
                self.compared += 1
                self.differences.update(text_differences(text, decoded))


def text_differences(before: str, after: str) -> list[str]:
    """Every place where two texts differ, such as "U+00A0 -> ' '"."""
    changes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [f"{_quoted(before[a:b])} -> {_quoted(after[c:d])}" for change, a, b, c, d in changes if change != "equal"]


def _quoted(text: str) -> str:
    """In quotes if it is recognizable in print, else as code points."""
    plain = text.isprintable() and (text.isascii() or any(c.isalnum() for c in text) or text == "⁇")
    return repr(text[:30]) if plain else " ".join(f"U+{ord(c):04X}" for c in text[:8])


class Overlap:
    """Counts the sources of dev and test sets that also occur in the training text.

    Its memory grows with those sets only."""

    def __init__(self, sets: Mapping[str, Iterable[Pair]]) -> None:
        """`sets`: name -> pairs of each dev or test set."""
        self.sources = {name: [hash(pair.source) for pair in pairs] for name, pairs in sets.items()}
        self._wanted = {h for sources in self.sources.values() for h in sources}
        self._found: set[int] = set()

    def add(self, source: str) -> None:
        """Record a source of the training text; empty ones are ignored."""
        if source and (h := hash(source)) in self._wanted:
            self._found.add(h)

    def counts(self) -> dict[str, list[int]]:
        """name -> [sources that also occur in the training text, sources]."""
        return {name: [sum(h in self._found for h in sources), len(sources)] for name, sources in self.sources.items()}


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report of `prepare` as lines of text."""
    dropped = ", ".join(f"{count:,} with {reason}" for reason, count in report["dropped"].items()) or "none"
    lines = [
        *_truncation_lines(report),
        f"training pairs: {report['kept']:,} of {report['read']:,} kept; dropped: {dropped}",
        f"development pairs: {report['overlap']['dev'][1]:,}{_long_note(report['long_dev'])}",
        _vocabulary_line(report["vocabulary"]),
        _token_line(report["tokens"]),
        _lossy_line(report["lossy"]),
    ]
    if links := report.get("links"):
        lines.append(f"word links: {links['tokens']:,} between subwords, in {links['pairs']:,} of the pairs")
    if labels := report.get("labels"):
        lines.append(_label_line(labels))
    lines.append(_overlap_line(report["overlap"]))
    return lines + [f"test set {name} cannot be used: {why}" for name, why in report["missing"].items()]


def _truncation_lines(report: dict[str, Any]) -> list[str]:
    """One line for each side that is truncated."""
    (source, target), cut, read, dev = report["truncation"], report["cut"], report["read"], report["overlap"]["dev"][1]
    lines = []
    if source:
        training = f"{cut['source']:,} of {read:,} training sources"
        lines.append(
            f"truncated to {source:,} words: {training} and {report['cut_dev']:,} of {dev:,} development sources"
        )
    if target:
        lines.append(f"truncated to {target:,} words: {cut['target']:,} of {read:,} training targets")
    return lines


def _long_note(pairs: int) -> str:
    if not pairs:
        return ""
    return f"; {pairs:,} with a side beyond data.max_tokens, which are translated but not in the dev loss"


def _vocabulary_line(sizes: dict[str, Any]) -> str:
    if sizes["joint"]:
        return f"vocabulary: {sizes['source']:,} entries for both sides"
    return f"vocabularies: {sizes['source']:,} and {sizes['target']:,} entries"


def _label_line(labels: dict[str, Any]) -> str:
    shown = [f"{shortened(label, 40)} ({count:,})" for label, count in labels["frequent"].items()]
    left = labels["all"] - len(shown)
    return f"labels: {', '.join(shown)}" + (f", and {left:,} more" if left else "")


def _token_line(tokens: dict[str, int]) -> str:
    counts = f"{tokens['source']:,} source, {tokens['target']:,} target (with EOS)"
    return f"training tokens: {counts}; unknown: {tokens['unknown_source']:,} and {tokens['unknown_target']:,}"


def _lossy_line(lossy: dict[str, Any]) -> str:
    line = f"lines that change when encoded and decoded: {lossy['lines']:,} of {lossy['of']:,}"
    differences = ", ".join(f"{difference} {count:,} times" for difference, count in lossy["differences"])
    if not differences:
        return line
    where = f" (in the first {lossy['compared']:,} of them)" if lossy["lines"] > lossy["compared"] else ""
    return f"{line}; most common{where}: {differences}"


def _overlap_line(overlap: dict[str, list[int]]) -> str:
    found = [f"{name} {shared:,} of {count:,}" for name, (shared, count) in overlap.items() if shared]
    return f"sources that also occur in the training text: {', '.join(found) or 'none in ' + ', '.join(overlap)}"
