"""Which source word does each target word come from, by the attention, and how far is that from a human's answer?

T target and S source pieces, or words after merging. A link is (source word, target word), counted from 0.
"""

import re
from collections.abc import Callable, Container, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

import numpy as np

from seq2seq.data.word_links import (
    GoldAlignment,
    Link,
    check_links,
    format_links,
    parse_links,
    word_indices,
    words_from_pieces,
)
from seq2seq.errors import DataError
from seq2seq.evaluation.score import Array, How, Score, figure


def merge(weights: Any, source: Sequence[int], target: Sequence[int]) -> Array:
    """Weights (T, S) of pieces -> (target words, source words): the sum over a source word, the mean over a target word.

    `source` and `target` are the word of each piece, as by `word_indices`. Rows and columns behind them, of EOS and padding,
    are dropped, so that a row sums to one less what EOS got. `weights` is an array or a tensor on any device.
    Raises DataError where there are more pieces than weights.
    """
    array = to_numpy(weights)
    if array.ndim != 2 or len(target) > array.shape[0] or len(source) > array.shape[1]:
        raise DataError(
            f"weights of shape {array.shape} do not fit {len(target)} target and {len(source)} source pieces"
        )
    rows, columns = membership(target), membership(source)
    mean = rows / rows.sum(0, keepdims=True)
    return np.asarray(mean.T @ array[: len(target), : len(source)] @ columns, dtype=np.float64)


def word_weights(found: Any) -> tuple[list[str], list[str], Array]:
    """A translation's source words, target words, and the attention between them (target words, source words).

    `found` has the subwords `source` and `target`, the `attention` between them, and says whether it is `finished`, by EOS."""
    source, target = found.source[:-1], found.target[:-1] if found.finished else found.target  # without EOS
    return (
        words_from_pieces(source),
        words_from_pieces(target),
        merge(found.attention, word_indices(source), word_indices(target)),
    )


def word_links(found: Any, kind: str = "argmax") -> str:
    """The word alignment that the attention of a translation amounts to, by a row of LINKS: `0-0 1-2`, source-target."""
    if not found.source or not len(found.target) or found.attention is None:
        return ""
    weights = word_weights(found)[2]
    return format_links(LINKS[kind](weights)) if weights.size else ""


def membership(numbers: Sequence[int]) -> Array:
    """(pieces, words): one where the piece belongs to the word."""
    return np.asarray(np.eye(max(numbers, default=-1) + 1)[np.asarray(numbers, dtype=int)])


def to_numpy(weights: Any) -> Array:
    """An array of float64 from an array, or from a tensor of any type on any device, without importing torch."""
    if hasattr(weights, "detach"):
        weights = weights.detach().double().cpu().numpy()
    return np.asarray(weights, dtype=np.float64)


def argmax_links(weights: Array) -> set[Link]:
    """Each target word with the source word of its largest weight, the first of equals; none where all are 0. weights (T, S)."""
    return {(int(row.argmax()), t) for t, row in enumerate(weights) if row.any()}


def one_to_one_links(weights: Array) -> set[Link]:
    """The largest weight is a link, then the largest whose two words have none, and so on: competitive linking  (Melamed 2000).

    Of equal weights the first target word's, then the first source word's; weights of 0 are no links. weights (T, S)."""
    found: set[Link] = set()
    free = [set(range(size)) for size in weights.shape]
    for place in np.argsort(-weights, axis=None, kind="stable"):
        t, s = (int(i) for i in np.unravel_index(place, weights.shape))
        if weights[t, s] > 0 and t in free[0] and s in free[1]:
            found.add((s, t))
            free[0].remove(t)
            free[1].remove(s)
    return found


def alignment_scores(
    links: Sequence[AbstractSet[Link]],
    gold: Sequence[GoldAlignment],
    bootstrap: int = 1000,
    seed: int = 12345,
    made: str = "argmax|of:references",
) -> list[Score]:
    """AER, precision and recall of a corpus, x 100 (Och & Ney 2003): with links A, sure S, possible P,

    AER = 1 - (|A and S| + |A and P|) / (|A| + |S|), precision = |A and P| / |A|, recall = |A and S| / |S|, every size
    summed over the sentences. Where nothing is claimed (0 / 0) nothing is wrong: precision and recall are 100, AER 0.
    `made`: how the links were, for the signature. Raises DataError if the numbers of sentences differ or are zero.
    """
    if len(links) != len(gold) or not links:
        raise DataError(f"alignments of {len(links)} sentences cannot be compared with gold alignments of {len(gold)}")
    counts = [(len(a & g.sure), len(a & g.possible), len(a), len(g.sure)) for a, g in zip(links, gold, strict=True)]
    statistics = np.array(counts, dtype=np.float64)
    signature = (f"bs:{bootstrap}|seed:{seed}|" if bootstrap else "") + f"links:{made}|gold:sure+possible"
    how = How(bootstrap=bootstrap, seed=seed)
    return [figure(name, statistics, corpus, signature, how) for name, corpus in ALIGNMENT.items()]


def recall_by_distance(
    links: Sequence[AbstractSet[Link]], gold: Sequence[AbstractSet[Link]], distances: Container[int]
) -> float:
    """The share of a corpus' gold links (s, t) that are found, x 100, of those whose |s - t| is in `distances`; 100 where there are none.

    Links that moved far tell models that read word order from those that only count. ValueError if the numbers of sentences differ."""
    moved = [{link for link in g if abs(link[0] - link[1]) in distances} for g in gold]
    return share(sum(len(a & g) for a, g in zip(links, moved, strict=True)), sum(map(len, moved)))


def share(of: float, whole: float) -> float:
    """100 of / whole, and 100 of nothing."""
    return float(100 * of / whole) if whole else 100.0


ALIGNMENT: dict[str, Callable[[Array], float]] = {
    "aer": lambda n: 100 - share(n[0] + n[1], n[2] + n[3]),
    "precision": lambda n: share(n[1], n[2]),
    "recall": lambda n: share(n[0], n[3]),
}

LINKS: dict[str, Callable[[Array], set[Link]]] = {"argmax": argmax_links, "one-to-one": one_to_one_links}


NAACL = re.compile(r"0*([1-9][0-9]*)\s+([0-9]+)\s+([0-9]+)(?:\s+([SP]))?(?:\s+[0-9.]+)?")

Sizes = Sequence[tuple[int, int]]  # source and target words of each pair


def read_gold(lines: Sequence[str], sizes: Sizes, name: str) -> list[GoldAlignment]:
    """The links of pairs of `sizes` words. `name` is the file's: one that ends in .talp counts words from 1, and one whose lines
    are of four columns is NAACL's. DataError names the line that is none, or that links a word which is not there, or says how
    many pairs there are."""
    kind = (
        "naacl"
        if any(NAACL.fullmatch(line.strip()) for line in lines[:1])
        else "talp"
        if name.endswith(".talp")
        else "pharaoh"
    )
    return READERS[kind](lines, sizes, name)


def pharaoh(lines: Sequence[str], sizes: Sizes, name: str, first: int = 0) -> list[GoldAlignment]:
    """A line a pair, words counted from `first`."""
    if len(lines) != len(sizes):
        raise DataError(f"{name} has {len(lines)} lines for {len(sizes)} pairs")
    found = []
    for number, (line, size) in enumerate(zip(lines, sizes, strict=True), 1):
        where = f"{name}, line {number}"
        gold = GoldAlignment(*(frozenset(lowered(links, where, first)) for links in parse_links(line, where)))
        check_links(sorted(gold.possible), size, where, first)
        found.append(gold)
    return found


def lowered(links: frozenset[Link], where: str, first: int) -> set[Link]:
    """Counted from 0."""
    if first and any(0 in link for link in links):
        raise DataError(
            f"{where}: a link has word 0, and this notation counts from 1; end the file's name in .align if it counts from 0"
        )
    return {(s - first, t - first) for s, t in links}


def naacl(lines: Sequence[str], sizes: Sizes, name: str) -> list[GoldAlignment]:
    """A line a link."""
    pairs = len(sizes)
    sure: list[set[Link]] = [set() for _ in range(pairs)]
    possible: list[set[Link]] = [set() for _ in range(pairs)]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not (match := NAACL.fullmatch(line.strip())):
            raise DataError(
                f"{name}, line {number}: {line[:60]!r} is no link; one reads `pair source target S`, or P, counted from 1"
            )
        pair, source, target = (int(part) for part in match.groups()[:3])
        if pair > pairs:
            raise DataError(f"{name}, line {number}: pair {pair} of {pairs}")
        if source and target:
            check_links([(source - 1, target - 1)], sizes[pair - 1], f"{name}, line {number}", first=1)
            possible[pair - 1].add((source - 1, target - 1))
            if match[4] != "P":
                sure[pair - 1].add((source - 1, target - 1))
    return [GoldAlignment(frozenset(s), frozenset(p)) for s, p in zip(sure, possible, strict=True)]


READERS: dict[str, Callable[[Sequence[str], Sizes, str], list[GoldAlignment]]] = {
    "pharaoh": pharaoh,
    "talp": partial(pharaoh, first=1),
    "naacl": naacl,
}


Links = AbstractSet[Link]

NEIGHBOURS = ((0, -1), (-1, 0), (0, 1), (1, 0), (-1, -1), (1, -1), (-1, 1), (1, 1))  # straight ones first


def grow(links: Links, union: Links) -> set[Link]:
    """Neighbours in the union, diagonal ones too, of which a word is still without a link, until there are no more."""
    found, before = set(links), -1
    while len(found) > before:
        before = len(found)
        for t, s in sorted((t, s) for s, t in union):
            if (s, t) not in found:  # what has just been added counts
                continue
            for i, j in NEIGHBOURS:
                link = s + i, t + j
                if link in union and (lonely(link[0], 0, found) or lonely(link[1], 1, found)):
                    found.add(link)
    return found


def complete(found: set[Link], more: Links, both: bool) -> set[Link]:
    """Add those of `more` of which both words, or one of them, are still without a link."""
    for link in sorted(more - found):
        alone = lonely(link[0], 0, found), lonely(link[1], 1, found)
        if all(alone) if both else any(alone):
            found.add(link)
    return found


def lonely(word: int, side: int, links: Links) -> bool:
    """Whether the word has no link."""
    return all(link[side] != word for link in links)


def grow_diag(forward: Links, backward: Links) -> set[Link]:
    """The intersection, grown inside the union  (Koehn et al. 2003, section 3.1)."""
    return grow(forward & backward, forward | backward)


def grow_diag_final(forward: Links, backward: Links) -> set[Link]:
    """grow-diag, then every link, those of `forward` first, that gives a word its first."""
    return complete(complete(grow_diag(forward, backward), forward, both=False), backward, both=False)


def grow_diag_final_and(forward: Links, backward: Links) -> set[Link]:
    """grow-diag, then every link, those of `forward` first, whose two words have none."""
    return complete(complete(grow_diag(forward, backward), forward, both=True), backward, both=True)


def intersection(forward: Links, backward: Links) -> set[Link]:
    """What both say  (Och & Ney 2003, section 3.4)."""
    return set(forward & backward)


def union(forward: Links, backward: Links) -> set[Link]:
    """What either says."""
    return set(forward | backward)


SYMMETRIZATIONS: dict[str, Callable[[Links, Links], set[Link]]] = {
    "intersection": intersection,
    "union": union,
    "grow-diag": grow_diag,
    "grow-diag-final": grow_diag_final,
    "grow-diag-final-and": grow_diag_final_and,
}
