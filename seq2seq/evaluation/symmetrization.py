"""Symmetrization: one word alignment from those of both translation directions, such as grow-diag-final-and.

A link is (source word, target word), counted from 0, for both directions alike. What grow-diag adds depends on the
order in which links are visited. It is that of the pseudo-code on the page "Align words" of Moses, after Koehn et al.
2005 ("Edinburgh System Description for the 2005 IWSLT Evaluation"), where e is the target.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from seq2seq.data.word_links import Link

Links = AbstractSet[Link]

# horizontal and vertical ones first
NEIGHBOURS = ((0, -1), (-1, 0), (0, 1), (1, 0), (-1, -1), (1, -1), (-1, 1), (1, 1))


def intersection(forward: Links, backward: Links) -> set[Link]:
    """The links of both directions  (Och & Ney 2003, section 3.4)."""
    return set(forward & backward)


def union(forward: Links, backward: Links) -> set[Link]:
    """The links of either direction."""
    return set(forward | backward)


def grow_diag(forward: Links, backward: Links) -> set[Link]:
    """The intersection, grown by neighbouring links of the union  (Koehn et al. 2003, section 3.1)."""
    return _grow(forward & backward, forward | backward)


def grow_diag_final(forward: Links, backward: Links) -> set[Link]:
    """grow-diag, then every link of `forward`, then of `backward`, one of whose words has no link yet."""
    return _complete(_complete(grow_diag(forward, backward), forward, both=False), backward, both=False)


def grow_diag_final_and(forward: Links, backward: Links) -> set[Link]:
    """grow-diag, then every link of `forward`, then of `backward`, both of whose words have no link yet."""
    return _complete(_complete(grow_diag(forward, backward), forward, both=True), backward, both=True)


def _grow(links: Links, union: Links) -> set[Link]:
    """Add neighbours in the union one of whose words has no link, diagonal ones too, until there are no more."""
    grown, size = set(links), -1
    while len(grown) > size:
        size = len(grown)
        for t, s in sorted((t, s) for s, t in union):
            if (s, t) not in grown:  # links that this pass has added count
                continue
            for i, j in NEIGHBOURS:
                link = s + i, t + j
                if link in union and (_unaligned(link[0], 0, grown) or _unaligned(link[1], 1, grown)):
                    grown.add(link)
    return grown


def _complete(links: set[Link], more: Links, both: bool) -> set[Link]:
    """Add to `links` those of `more` one of whose words, or both, have no link yet."""
    for link in sorted(more - links):
        free = _unaligned(link[0], 0, links), _unaligned(link[1], 1, links)
        if all(free) if both else any(free):
            links.add(link)
    return links


def _unaligned(word: int, side: int, links: Links) -> bool:
    """Whether no link has the word; side 0 is the source, 1 the target."""
    return all(link[side] != word for link in links)


SYMMETRIZATIONS: dict[str, Callable[[Links, Links], set[Link]]] = {
    "intersection": intersection,
    "union": union,
    "grow-diag": grow_diag,
    "grow-diag-final": grow_diag_final,
    "grow-diag-final-and": grow_diag_final_and,
}
