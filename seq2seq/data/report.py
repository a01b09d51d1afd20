"""What happened to the text on its way to ids: what was dropped, what cannot come back, what is tested and trained on alike?"""

from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any

from seq2seq.data.readers import Pair

MAX_COMPARED = 1000  # lossy lines, of the first block, looked at character by character; one takes about a millisecond


class RoundTrip:
    """Counts the lines that do not come back from their ids as they were, and by what they differ."""

    def __init__(self, most: int = MAX_COMPARED) -> None:
        """most: lossy lines that are looked at."""
        self.most, self.lines, self.lossy = most, 0, 0
        self.differences: Counter[str] = Counter()

    def add(self, text: str, back: str) -> None:
        """`back` is what the ids of `text` decode to."""
        self.lines += 1
        if back != text:
            self.lossy += 1
            if self.lossy <= self.most:
                self.differences.update(text_differences(text, back))


def text_differences(before: str, after: str) -> list[str]:
    """Every place where two texts differ, such as "U+00A0 -> ' '"."""
    changes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [
        f"{_describe(before[a:b])} -> {_describe(after[c:d])}" for change, a, b, c, d in changes if change != "equal"
    ]


def _describe(text: str) -> str:
    """In quotes if it can be told from its looks, else as code points."""
    plain = text.isprintable() and (text.isascii() or any(c.isalnum() for c in text) or text == "⁇")
    return repr(text[:30]) if plain else " ".join(f"U+{ord(c):04X}" for c in text[:8])


class Overlap:
    """Counts the sources of dev and test sets that are in the training text too. Memory grows with those sets, not with the text."""

    def __init__(self, sets: Mapping[str, Iterable[Pair]]) -> None:
        self.sources = {name: [hash(pair.source) for pair in pairs] for name, pairs in sets.items()}
        self._asked = {h for sources in self.sources.values() for h in sources}
        self._met: set[int] = set()

    def add(self, source: str) -> None:
        """`source` is in the training text; an empty one means nothing."""
        if source and (h := hash(source)) in self._asked:
            self._met.add(h)

    def counts(self) -> dict[str, list[int]]:
        """name -> [sources that the training text has too, sources]."""
        return {name: [sum(h in self._met for h in sources), len(sources)] for name, sources in self.sources.items()}


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report of `prepare` for the eye."""
    dropped = ", ".join(f"{count:,} with {reason}" for reason, count in report["dropped"].items()) or "none"
    sizes, tokens, lossy = report["vocabulary"], report["tokens"], report["lossy"]
    each = f"{sizes['source']:,} and {sizes['target']:,} entries"
    lines = [
        *_truncation_lines(report),
        f"training pairs: {report['kept']:,} of {report['read']:,} kept; dropped: {dropped}",
        f"development pairs: {report['overlap']['dev'][1]:,}{_long_note(report['long_dev'])}",
        f"vocabulary: {sizes['source']:,} entries for both sides" if sizes["joint"] else f"vocabularies: {each}",
        f"training tokens: {tokens['source']:,} source, {tokens['target']:,} target, ends of sentences included; "
        f"unknown: {tokens['unknown_source']:,} and {tokens['unknown_target']:,}",
        f"lines that do not come back from their ids as they were: {lossy['lines']:,} of {lossy['of']:,}{_lossy_note(lossy)}",
    ]
    if links := report.get("links"):
        lines.append(f"word links: {links['tokens']:,} between subwords, in {links['pairs']:,} of the pairs")
    found = [f"{name} {met:,} of {count:,}" for name, (met, count) in report["overlap"].items() if met]
    lines.append(
        f"sources that are in the training text too: {', '.join(found) or 'none in ' + ', '.join(report['overlap'])}"
    )
    return lines + [f"test set {name} cannot be used: {why}" for name, why in report["missing"].items()]


def _truncation_lines(report: dict[str, Any]) -> list[str]:
    """What was cut before all else, for each side that may be."""
    (source, target), cut, read, dev = report["truncation"], report["cut"], report["read"], report["overlap"]["dev"][1]
    sources = f"{cut['source']:,} of {read:,} training sources and {report['cut_dev']:,} of {dev:,} development sources"
    said = [f"cut to {source:,} words: {sources}"] * (source > 0)
    return said + [f"cut to {target:,} words: {cut['target']:,} of {read:,} training targets"] * (target > 0)


def _long_note(pairs: int) -> str:
    return (
        f"; {pairs:,} with a side beyond data.max_tokens, which are translated but not in the dev loss" if pairs else ""
    )


def _lossy_note(lossy: dict[str, Any]) -> str:
    shown = ", ".join(f"{what} {count:,} times" for what, count in lossy["differences"])
    where = f" (in the first {lossy['compared']:,} of them)" if lossy["lines"] > lossy["compared"] else ""
    return f"; commonest{where}: {shown}" if shown else ""
