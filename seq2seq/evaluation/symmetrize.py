"""How do the word alignments of both directions become one?

Links are (source word, target word) from 0, those of the other direction turned round already.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from itertools import product

from seq2seq.evaluation.alignment import Link

Links = AbstractSet[Link]
AROUND = [(i, j) for i, j in product((-1, 0, 1), repeat=2) if i or j]


def grow(links: Links, union: Links) -> set[Link]:
    """Neighbours in the union, diagonal ones too, of which a word is still without a link, until there are no more."""
    found = set(links)
    added = True
    while added:
        added = False
        for s, t in sorted(found):
            for i, j in AROUND:
                link = s + i, t + j
                if link in union and link not in found and (lonely(link[0], 0, found) or lonely(link[1], 1, found)):
                    found.add(link)
                    added = True
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
    """The intersection, grown inside the union  (Koehn et al. 2003, section 3.1; diagonal neighbours: Koehn et al. 2005)."""
    return grow(forward & backward, forward | backward)


def grow_diag_final(forward: Links, backward: Links) -> set[Link]:
    """grow-diag, then every link of either direction that gives a word its first."""
    return complete(complete(grow_diag(forward, backward), forward, both=False), backward, both=False)


def grow_diag_final_and(forward: Links, backward: Links) -> set[Link]:
    """grow-diag, then every link of either direction whose two words have none."""
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
