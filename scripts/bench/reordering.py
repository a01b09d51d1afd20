"""Whose attention finds the words that moved? A Markdown table from the gold links of runs on the embedded corpus.

python scripts/bench/reordering.py TEST RUN [RUN ...]

A link (s, t) of source word s and target word t has moved by |s - t| words, a sentence by the largest of its links.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from seq2seq.compare.cells import Broken, make_cells, open_runs
from seq2seq.compare.grouping import group
from seq2seq.compare.testset import from_settings
from seq2seq.evaluation.alignment import Gold, Link, alignment_scores, recall_by_distance

SENTENCES = {"all": range(99), "to 2": range(3), "from 4": range(4, 99)}
LINKS = {"0": [0], "1": [1], "2": [2], "3": [3], "from 4": range(4, 99)}


def main(test: str, *folders: str) -> None:
    """A row a variant, means over its seeds: alignment error of sentences, recall of links, by how far they moved; in percent."""
    runs, _ = open_runs(map(Path, folders), Broken())
    known = from_settings(runs[0].config.data, test)
    variants, _ = group(make_cells(runs, known, Broken(), {}))
    gold = known.gold or []
    print("| variant | " + " | ".join([*(f"AER, moved {d}" for d in SENTENCES), *(f"found, moved {d}" for d in LINKS)]) + " |")
    print("| --- |" + " ---: |" * (len(SENTENCES) + len(LINKS)))
    for one in variants:
        rows = [figures(cell.links["argmax"], gold) for cell in one.cells]
        print(f"| {one.name} | " + " | ".join(f"{mean(column):.1f}" for column in zip(*rows, strict=True)) + " |")
    moved = [max(abs(s - t) for s, t in g.sure) for g in gold]
    sizes = (
        [sum(m in d for m in moved) for d in SENTENCES.values()],
        [sum(abs(s - t) in d for g in gold for s, t in g.sure) for d in LINKS.values()],
    )
    print("| *number* | " + " | ".join(f"{n:,}" for n in [*sizes[0], *sizes[1]]) + " |")


def figures(links: Sequence[set[Link]], gold: Sequence[Gold]) -> list[float]:
    """Of one run, in the order of SENTENCES and LINKS."""
    found = []
    for distances in SENTENCES.values():
        chosen = [i for i, g in enumerate(gold) if max(abs(s - t) for s, t in g.sure) in distances]
        found.append(alignment_scores([links[i] for i in chosen], [gold[i] for i in chosen], bootstrap=0)[0].value)
    return found + [recall_by_distance(links, [g.sure for g in gold], distances) for distances in LINKS.values()]


if __name__ == "__main__":
    main(*sys.argv[1:])
