"""Word alignments from attention weights, gold alignments in their usual notations, and the alignment error rate.

T target and S source pieces, or words once pieces are merged. A link is (source word, target word), counted from 0.
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
    word_or_piece_indices,
    words_from_pieces,
)
from seq2seq.errors import DataError, counted
from seq2seq.evaluation.scores import Array, MetricOptions, Score, make_score

# From attention to links


def merge(weights: Any, source: Sequence[int], target: Sequence[int]) -> Array:
    """Attention between words (target words, source words) from attention between pieces (T, S).

    Weights are summed over the pieces of a source word and averaged over those of a target word.

    `source` and `target` hold the word of each piece, as by `word_indices`; further rows and columns, of EOS and
    padding, are dropped, so that a row sums to one minus the weight of EOS. `weights` is an array or a tensor on any
    device. Raises DataError if there are more pieces than weights.
    """
    array = to_numpy(weights)
    if array.ndim != 2 or len(target) > array.shape[0] or len(source) > array.shape[1]:
        raise DataError(
            f"weights of shape {array.shape} do not fit {len(target)} target and {len(source)} source pieces"
        )
    rows, columns = _membership(target), _membership(source)
    mean = rows / rows.sum(0, keepdims=True)
    return np.asarray(mean.T @ array[: len(target), : len(source)] @ columns, dtype=np.float64)


def word_weights(
    translation: Any, indices: Callable[[Sequence[str]], list[int]] = word_or_piece_indices
) -> tuple[list[str], list[str], Array]:
    """The source words, the target words and the attention between them (target words, source words) of a translation.

    `translation` is a translator.Translation with attention; `indices` gives the word of each of its subwords."""
    source = translation.source[:-1]  # without EOS
    target = translation.target[:-1] if translation.finished else translation.target
    of_source, of_target = indices(source), indices(target)
    return (
        words_from_pieces(source, of_source),
        words_from_pieces(target, of_target),
        merge(translation.attention, of_source, of_target),
    )


def word_links(
    translation: Any, kind: str = "argmax", indices: Callable[[Sequence[str]], list[int]] = word_or_piece_indices
) -> str:
    """The word alignment of a translation by its attention, as Pharaoh text `0-0 1-2`; `kind` is a key of LINKS.

    `indices` gives the word of each subword: in text without spaces each subword is a word, unless it is
    `word_indices`, which counts words between spaces as gold links do."""
    if not translation.source or not len(translation.target) or translation.attention is None:
        return ""
    source, target, weights = word_weights(translation, indices)
    links = LINKS[kind](weights) if weights.size else set()
    return format_links((s, t) for s, t in links if source[s] and target[t])  # pieces of spaces alone are no word


def _membership(word_of_piece: Sequence[int]) -> Array:
    """(pieces, words): 1 where the piece belongs to the word."""
    return np.asarray(np.eye(max(word_of_piece, default=-1) + 1)[np.asarray(word_of_piece, dtype=int)])


def to_numpy(weights: Any) -> Array:
    """A float64 array from an array, or from a tensor of any dtype on any device, without importing torch."""
    if hasattr(weights, "detach"):
        weights = weights.detach().double().cpu().numpy()
    return np.asarray(weights, dtype=np.float64)


def argmax_links(weights: Array) -> set[Link]:
    """Links each target word to the source word of its largest weight in (T, S).

    Of equal weights the first one counts; a target word without weight has no link."""
    return {(int(row.argmax()), t) for t, row in enumerate(weights) if row.any()}


def one_to_one_links(weights: Array) -> set[Link]:
    """Competitive linking of weights (T, S)  (Melamed 2000).

    The largest weight is a link, then the largest whose two words have no link yet, and so on; weights of 0 are no
    links. Of equal weights the first target word's, then the first source word's."""
    links: set[Link] = set()
    free_targets, free_sources = set(range(weights.shape[0])), set(range(weights.shape[1]))
    for index in np.argsort(-weights, axis=None, kind="stable"):
        t, s = (int(i) for i in np.unravel_index(index, weights.shape))
        if weights[t, s] > 0 and t in free_targets and s in free_sources:
            links.add((s, t))
            free_targets.remove(t)
            free_sources.remove(s)
    return links


LINKS: dict[str, Callable[[Array], set[Link]]] = {"argmax": argmax_links, "one-to-one": one_to_one_links}


# Scores of links


def alignment_scores(
    links: Sequence[AbstractSet[Link]],
    gold: Sequence[GoldAlignment],
    *,
    bootstrap: int = 1000,
    seed: int = 12345,
    method: str = "argmax|of:references",
) -> list[Score]:
    """Alignment error rate, precision and recall of a corpus, x 100  (Och & Ney 2003).

    With links A, sure links S and possible links P,

    AER = 1 - (|A and S| + |A and P|) / (|A| + |S|), precision = |A and P| / |A|, recall = |A and S| / |S|,

    each size summed over the sentences. 0 / 0 counts as no error: AER 0, precision and recall 100. `method`: how the
    links were found, for the signature. Raises DataError if the numbers of sentences differ or are zero.
    """
    if len(links) != len(gold) or not links:
        raise DataError(
            f"alignments of {counted(len(links), 'sentence')} cannot be compared with gold alignments of {len(gold):,}"
        )
    counts = [(len(a & g.sure), len(a & g.possible), len(a), len(g.sure)) for a, g in zip(links, gold, strict=True)]
    statistics = np.array(counts, dtype=np.float64)
    signature = (f"bs:{bootstrap}|seed:{seed}|" if bootstrap else "") + f"links:{method}|gold:sure+possible"
    options = MetricOptions(bootstrap=bootstrap, seed=seed)
    return [make_score(name, statistics, formula, signature, options) for name, formula in ALIGNMENT_METRICS.items()]


def recall_by_distance(
    links: Sequence[AbstractSet[Link]], gold: Sequence[AbstractSet[Link]], distances: Container[int]
) -> float:
    """Recall of a corpus' gold links (s, t) with |s - t| in `distances`, x 100; 100 where there are none.

    Recall of distant links separates models that read word order from those that only count. Raises ValueError if the
    numbers of sentences differ."""
    wanted = [{link for link in g if abs(link[0] - link[1]) in distances} for g in gold]
    return _percent(sum(len(a & g) for a, g in zip(links, wanted, strict=True)), sum(map(len, wanted)))


def _percent(part: float, whole: float) -> float:
    """100 part / whole, and 100 for 0 / 0."""
    return float(100 * part / whole) if whole else 100.0


ALIGNMENT_METRICS: dict[str, Callable[[Array], float]] = {  # of |A and S|, |A and P|, |A|, |S|
    "aer": lambda n: 100 - _percent(n[0] + n[1], n[2] + n[3]),
    "precision": lambda n: _percent(n[1], n[2]),
    "recall": lambda n: _percent(n[0], n[3]),
}


# Gold alignments

NAACL = re.compile(r"0*([1-9][0-9]*)\s+([0-9]+)\s+([0-9]+)(?:\s+([SP]))?(?:\s+[0-9.]+)?")

Sizes = Sequence[tuple[int, int]]  # source and target words of each pair


def read_gold(lines: Sequence[str], sizes: Sizes, name: str) -> list[GoldAlignment]:
    """The gold links of pairs of `sizes` words, from the lines of the file `name` in one of three notations.

    NAACL: a line per link, `pair source target S` or P, counted from 1; S may be left out, a confidence at the end is
    not read; recognized by the first line. Otherwise Pharaoh: a line per pair, `0-0 1p2`, with words counted from 1 if
    the name ends in .talp, else from 0.

    Raises DataError, naming the line, for what is no link or links a word beyond its sentence; and if the number of
    lines is not that of the pairs."""
    if any(NAACL.fullmatch(line.strip()) for line in lines[:1]):
        kind = "naacl"
    else:
        kind = "talp" if name.endswith(".talp") else "pharaoh"
    return GOLD_READERS[kind](lines, sizes, name)


def read_pharaoh(lines: Sequence[str], sizes: Sizes, name: str, first: int = 0) -> list[GoldAlignment]:
    """Gold links in Pharaoh's notation: a line per pair, words counted from `first`.

    Raises DataError as `read_gold`."""
    if len(lines) != len(sizes):
        raise DataError(f"{name} has {counted(len(lines), 'line')} for {counted(len(sizes), 'pair')}")
    found = []
    for number, (line, size) in enumerate(zip(lines, sizes, strict=True), 1):
        where = f"{name}, line {number}"
        links = parse_links(line, where)
        gold = GoldAlignment(_from_zero(links.sure, where, first), _from_zero(links.possible, where, first))
        check_links(sorted(gold.possible), size, where, first)
        found.append(gold)
    return found


def _from_zero(links: frozenset[Link], where: str, first: int) -> frozenset[Link]:
    """The links counted from 0 instead of `first`."""
    if first and any(0 in link for link in links):
        raise DataError(
            f"{where}: a link has word 0, and this notation counts from 1; "
            "end the file's name in .align if it counts from 0"
        )
    return frozenset((s - first, t - first) for s, t in links)


def read_naacl(lines: Sequence[str], sizes: Sizes, name: str) -> list[GoldAlignment]:
    """Gold links in the notation of the NAACL 2003 shared task: a line per link  (Mihalcea & Pedersen 2003).

    Raises DataError as `read_gold`."""
    pairs = len(sizes)
    sure: list[set[Link]] = [set() for _ in range(pairs)]
    possible: list[set[Link]] = [set() for _ in range(pairs)]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not (match := NAACL.fullmatch(line.strip())):
            raise DataError(
                f"{name}, line {number}: {line[:60]!r} is no link; "
                "one reads `pair source target S`, or P, counted from 1"
            )
        pair, source, target = (int(part) for part in match.groups()[:3])
        if pair > pairs:
            raise DataError(f"{name}, line {number}: pair {pair} of {pairs}")
        if source and target:  # 0 is the empty word
            check_links([(source - 1, target - 1)], sizes[pair - 1], f"{name}, line {number}", first=1)
            possible[pair - 1].add((source - 1, target - 1))
            if match[4] != "P":
                sure[pair - 1].add((source - 1, target - 1))
    return [GoldAlignment(frozenset(s), frozenset(p)) for s, p in zip(sure, possible, strict=True)]


GOLD_READERS: dict[str, Callable[[Sequence[str], Sizes, str], list[GoldAlignment]]] = {
    "pharaoh": read_pharaoh,
    "talp": partial(read_pharaoh, first=1),
    "naacl": read_naacl,
}
