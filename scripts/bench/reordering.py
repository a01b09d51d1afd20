"""A Markdown table of alignment error by reordering distance, for runs with gold word links on the embedded corpus.

python scripts/bench/reordering.py TEST RUN [RUN ...]

The distance of a link (s, t) of source word s and target word t is |s - t|; that of a sentence, the largest of its
links.
The first rows are bounds and not models: they are derived from all gold links, or only from those of short distance.
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
from seq2seq.runs.directory import Run, variant_name

FARTHEST = 10_000
SENTENCES = {"all": range(FARTHEST), "to 2": range(3), "from 4": range(4, FARTHEST)}
LINKS = {"0": [0], "1": [1], "2": [2], "3": [3], "from 4": range(4, FARTHEST)}
BOUNDS = {"a right link for each target word": FARTHEST, "the same to 2 words away, else s = t": 2, "s = t": 0}


def main(test: str, *folders: str) -> None:
    """Print a row per run: alignment error of sentences and recall of links by their distance, in percent."""
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
    """The variant with its seed, and with D if its window has one."""
    attention = run.config.model.attention
    width = f" D={attention.width}" if attention.window.startswith("local") else ""
    return f"{variant_name(run.config)}{width}, seed {run.config.seed}"


def row(name: str, cells: Sequence[str]) -> str:
    """A line of the table."""
    return f"| {name} | {' | '.join(cells)} |"


def distance(gold: GoldAlignment) -> int:
    """The largest distance of a sentence's links."""
    return max(abs(s - t) for s, t in gold.sure)


def sizes(gold: Sequence[GoldAlignment]) -> list[int]:
    """The number of sentences or links of each column."""
    links = [abs(s - t) for g in gold for s, t in g.sure]
    sentences = [sum(distance(g) in distances for g in gold) for distances in SENTENCES.values()]
    return sentences + [sum(link in distances for link in links) for distances in LINKS.values()]


def figures(links: Sequence[set[Link]], gold: Sequence[GoldAlignment]) -> list[float]:
    """Alignment error for SENTENCES, then recall for LINKS, in percent."""
    values = []
    for distances in SENTENCES.values():
        chosen = [i for i, g in enumerate(gold) if distance(g) in distances]
        values.append(alignment_scores([links[i] for i in chosen], [gold[i] for i in chosen], bootstrap=0)[0].value)
    return values + [recall_by_distance(links, [g.sure for g in gold], distances) for distances in LINKS.values()]


def bound(gold: GoldAlignment, length: int, reach: int) -> set[Link]:
    """One link per target word: the nearest of its gold links within `reach`, else s = t (at most `length` - 1)."""
    links = set()
    for t in range(max(t for _, t in gold.sure) + 1):
        near = [s for s, other in gold.sure if other == t and abs(s - t) <= reach]
        links.add((min(near, key=lambda s: (abs(s - t), s), default=min(t, length - 1)), t))
    return links


if __name__ == "__main__":
    main(*sys.argv[1:])
