"""How do the word alignments of both directions become one?

Links are (source word, target word) from 0, those of the other direction turned round already. What grows depends on the order in
which links are looked at, and that is the published one: the pseudo-code of Koehn et al. 2005 ("Edinburgh System Description for the
2005 IWSLT Evaluation") on Moses' page "Align words", where e is the target.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from seq2seq.evaluation.alignment import Link

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
