"""Which source word does each target word come from, by the attention, and how far is that from a human's answer?

T target and S source pieces, or words after merging. A link is (source word, target word), counted from 0.
"""

import re
from collections.abc import Callable, Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import numpy as np

from seq2seq.errors import DataError
from seq2seq.evaluation.score import Array, How, Score, figure

MARK = "\u2581"  # what SentencePiece writes for a space, so at the start of a word
Link = tuple[int, int]


class Gold(NamedTuple):
    """A human's alignment of a sentence: the sure links, and the possible ones, which include the sure."""

    sure: frozenset[Link]
    possible: frozenset[Link]


def words_of(pieces: Sequence[str]) -> list[int]:
    """The number of the word that each piece belongs to. A piece with the mark starts a word, unless all before it were marks."""
    numbers, word, empty = [], 0, True
    for piece in pieces:
        if piece.startswith(MARK) and not empty:
            word, empty = word + 1, True
        numbers.append(word)
        empty = empty and not piece.strip(MARK)
    return numbers


def words(pieces: Sequence[str]) -> list[str]:
    """The words that the pieces make up, numbered as by `words_of`."""
    made: dict[int, str] = {}
    for piece, word in zip(pieces, words_of(pieces), strict=True):
        made[word] = made.get(word, "") + piece.replace(MARK, "")
    return list(made.values())


def merge(weights: Any, source: Sequence[int], target: Sequence[int]) -> Array:
    """Weights (T, S) of pieces -> (target words, source words): the sum over a source word, the mean over a target word.

    `source` and `target` are the word of each piece, as by `words_of`. Rows and columns behind them, of EOS and padding,
    are dropped, so that a row sums to one less what EOS got. `weights` is an array or a tensor on any device.
    Raises DataError where there are more pieces than weights.
    """
    array = to_numpy(weights)
    if array.ndim != 2 or len(target) > array.shape[0] or len(source) > array.shape[1]:
        raise DataError(f"weights of shape {array.shape} do not fit {len(target)} target and {len(source)} source pieces")
    rows, columns = membership(target), membership(source)
    mean = rows / rows.sum(0, keepdims=True)
    return np.asarray(mean.T @ array[: len(target), : len(source)] @ columns, dtype=np.float64)


def word_weights(found: Any) -> tuple[list[str], list[str], Array]:
    """A translation's source words, target words, and the attention between them (target words, source words).

    `found` has the subwords `source` and `target`, the `attention` between them, and says whether it is `finished`, by EOS."""
    source, target = found.source[:-1], found.target[:-1] if found.finished else found.target  # without EOS
    return words(source), words(target), merge(found.attention, words_of(source), words_of(target))


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


def format_links(links: AbstractSet[Link]) -> str:
    """Links as Pharaoh text, by source word: "0-0 1-2"."""
    return " ".join(f"{s}-{t}" for s, t in sorted(links))


def parse_links(line: str, where: str = "alignment") -> Gold:
    """The links of a line of Pharaoh text: "0-1" is sure, "0p1" possible. Raises DataError, naming `where`."""
    kinds: dict[str, set[Link]] = {"-": set(), "p": set()}
    for link in line.split():
        if not (match := re.fullmatch(r"([0-9]+)([-p])([0-9]+)", link)):
            raise DataError(f"{where}: {link!r} is no link; a sure one reads 0-1, source word 0 to target word 1, a possible one 0p1")
        kinds[match[2]].add((int(match[1]), int(match[3])))
    return Gold(frozenset(kinds["-"]), frozenset(kinds["-"] | kinds["p"]))


def check_inside(links: Iterable[Link], sizes: Sequence[int], where: str, first: int = 0) -> None:
    """DataError, naming `where`, for a link of a word that is not there. `sizes`: source and target words; `first`: the first one's
    number in the file."""
    links = list(links)
    back = all(s < sizes[1] and t < sizes[0] for s, t in links)
    hint = "; the other way round they would all be there: a link names the source word first" if back else ""
    for link in links:
        for number, size, side in zip(link, sizes, ("source", "target"), strict=True):
            if number >= size:
                pair = "-".join(str(word + first) for word in link)
                raise DataError(f"{where}: link {pair} is beyond the {size} {side} words, which are counted from {first}{hint}")


def alignment_scores(
    links: Sequence[AbstractSet[Link]], gold: Sequence[Gold], bootstrap: int = 1000, seed: int = 12345, made: str = "argmax|of:references"
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


def recall_by_distance(links: Sequence[AbstractSet[Link]], gold: Sequence[AbstractSet[Link]], distances: Container[int]) -> float:
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
