"""Whose attention finds the words that moved? A Markdown table from the gold links of runs on the embedded corpus.

python scripts/bench/reordering.py TEST RUN [RUN ...]

A link (s, t) of source word s and target word t has moved by |s - t| words, a sentence by the farthest of its links. The first rows
are of no model: they link by the gold links themselves, and say how right a map can be that knows them all, or only the near ones.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from seq2seq.compare.collect import SkippedRuns, open_runs
from seq2seq.data.word_links import GoldAlignment, Link
from seq2seq.evaluation.alignment import alignment_scores, recall_by_distance
from seq2seq.evaluation.evaluate import EvaluationSpec
from seq2seq.evaluation.store import load_or_align
from seq2seq.evaluation.testset import load_test_set
from seq2seq.runs.directory import Run, variant

ANY = 10_000
SENTENCES = {"all": range(ANY), "to 2": range(3), "from 4": range(4, ANY)}
LINKS = {"0": [0], "1": [1], "2": [2], "3": [3], "from 4": range(4, ANY)}
BOUNDS = {"a right link for each target word": ANY, "the same to 2 words away, else s = t": 2, "s = t": 0}


def main(test: str, *folders: str) -> None:
    """A row a run: alignment error of sentences, recall of links, by how far they moved; in percent."""
    runs, _ = open_runs(map(Path, folders), SkippedRuns())
    known = load_test_set(runs[0].config.data, test)
    gold, lengths = known.gold or [], [len(source.split()) for source in known.sources]
    print(row("variant", [*(f"AER, moved {d}" for d in SENTENCES), *(f"found, moved {d}" for d in LINKS)]))
    print(row("---", ["---:"] * (len(SENTENCES) + len(LINKS))))
    print(row("*number*", [f"*{n:,}*" for n in sizes(gold)]))
    for name, reach in BOUNDS.items():
        links = [bound(g, length, reach) for g, length in zip(gold, lengths, strict=True)]
        print(row(f"*{name}*", [f"{value:.1f}" for value in figures(links, gold)]))
    for run in runs:
        print(
            row(
                label(run),
                [f"{value:.1f}" for value in figures(load_or_align(EvaluationSpec((run,)), known)["argmax"], gold)],
            )
        )


def label(run: Run) -> str:
    """The variant with its seed, and with D where it has a window."""
    attention = run.config.model.attention
    width = f" D={attention.width}" if attention.window.startswith("local") else ""
    return f"{variant(run.config)}{width}, seed {run.config.seed}"


def row(name: str, cells: Sequence[str]) -> str:
    """A line of the table."""
    return f"| {name} | {' | '.join(cells)} |"


def moved(gold: GoldAlignment) -> int:
    """By how many words a sentence has."""
    return max(abs(s - t) for s, t in gold.sure)


def sizes(gold: Sequence[GoldAlignment]) -> list[int]:
    """Sentences and links in each column."""
    links = [abs(s - t) for g in gold for s, t in g.sure]
    return [sum(moved(g) in d for g in gold) for d in SENTENCES.values()] + [
        sum(m in d for m in links) for d in LINKS.values()
    ]


def figures(links: Sequence[set[Link]], gold: Sequence[GoldAlignment]) -> list[float]:
    """In the order of SENTENCES and LINKS."""
    found = []
    for distances in SENTENCES.values():
        chosen = [i for i, g in enumerate(gold) if moved(g) in distances]
        found.append(alignment_scores([links[i] for i in chosen], [gold[i] for i in chosen], bootstrap=0)[0].value)
    return found + [recall_by_distance(links, [g.sure for g in gold], distances) for distances in LINKS.values()]


def bound(gold: GoldAlignment, length: int, reach: int) -> set[Link]:
    """One link a target word: of its gold links the nearest, where it moved by `reach` at most, else s = t, or the last of `length`."""
    links = set()
    for t in range(max(t for _, t in gold.sure) + 1):
        near = [s for s, other in gold.sure if other == t and abs(s - t) <= reach]
        links.add((min(near, key=lambda s: (abs(s - t), s), default=min(t, length - 1)), t))
    return links


if __name__ == "__main__":
    main(*sys.argv[1:])
