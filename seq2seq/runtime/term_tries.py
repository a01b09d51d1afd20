"""The terms of sentences as tries with failure links (Aho & Corasick 1975), which both searches walk with arrays.

A node is the beginning of at least one term of its sentence. The nodes of all sentences are numbered together, those of
a sentence in preorder, so that what goes on from node n are the nodes n to end[n] - 1, and an array over the terms of a
sentence has an entry for each node of the largest trie, not for each term times the longest.

Shapes: B sentences, G nodes of all of them, E edges.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .ids import PAD
from .terms import TermIds

Numbers = NDArray[np.int64]


class TermTries:
    """The tries of B sentences; one without terms has a root only."""

    def __init__(self, terms: Sequence[TermIds]) -> None:
        edges: dict[tuple[int, int], int] = {}
        roots, parents, depths, tokens, counts = [], list[int](), list[int](), list[int](), list[int]()

        def add(parent: int, depth: int, token: int) -> int:
            for column, value in zip((parents, depths, tokens, counts), (parent, depth, token, 0), strict=True):
                column.append(value)
            return len(parents) - 1

        for each in terms:
            roots.append(add(len(parents), 0, PAD))
            for ids in sorted([*ids] for ids in each):
                node = roots[-1]
                for token in ids:
                    if (node, token) not in edges:
                        edges[node, token] = add(node, depths[node] + 1, token)
                    node = edges[node, token]
                counts[node] += 1
        self.root = np.array(roots, np.int64)  # (B,)
        self.token = np.array(tokens, np.int64)  # (G,) the last token of each node; PAD of a root
        self.depth = np.array(depths, np.int64)  # (G,) its number of tokens
        self.count = np.array(counts, np.int64)  # (G,) how many terms it is
        self.end = _ends(parents)
        self.fail = _failures(parents, depths, tokens, edges)
        self.base = max(tokens, default=0) + 2  # an id that is no token of a term is base - 1
        keys = np.array([node * self.base + token for node, token in edges], np.int64)
        order = np.argsort(keys)
        self.keys = keys[order]  # (E,) node * base + token of each edge, ascending
        self.child = np.array([*edges.values()], np.int64)[order]  # (E,) where it leads
        self.first = np.searchsorted(self.keys, np.arange(len(parents) + 1) * self.base)  # (G + 1,) edges of each node
        owner = np.searchsorted(self.root, np.arange(len(parents)), side="right") - 1
        self.known = np.unique(self.root[owner] * self.base + self.token)  # root * base + token of any of its edges
        sizes = np.diff(np.append(self.root, len(parents)))
        self.size = int(sizes.max(initial=1))  # nodes of the largest trie
        degree = np.diff(self.first)
        self.begins = int(degree[self.root].max(initial=0))  # the most tokens that begin a term of a sentence
        self.continues = int(degree[self.depth > 0].max(initial=0))  # and that continue any beginning of one
        self.total = np.array([sum(map(len, each)) for each in terms], np.int64)  # (B,) tokens of terms

    def left(self) -> Numbers:
        """(B, size) how many terms each node is, of which none is met."""
        found = np.zeros((len(self.root), self.size), np.int64)
        for row, start, stop in zip(found, self.root, np.append(self.root[1:], len(self.count)), strict=True):
            row[: stop - start] = self.count[start:stop]
        return found


def _ends(parents: Sequence[int]) -> Numbers:
    """(G,) the number after the last node that goes on from each."""
    found = [*range(1, len(parents) + 1)]
    for node in reversed(range(len(parents))):
        found[parents[node]] = max(found[parents[node]], found[node])
    return np.array(found, np.int64)


def _failures(
    parents: Sequence[int], depths: Sequence[int], tokens: Sequence[int], edges: dict[tuple[int, int], int]
) -> Numbers:
    """(G,) the node of the most of its last tokens that are a node, but not all of them; a root is its own."""
    found = [*parents]
    for node in sorted(range(len(parents)), key=depths.__getitem__):
        if depths[node] > 1:
            place = found[parents[node]]
            while depths[place] and (place, tokens[node]) not in edges:
                place = found[place]
            found[node] = edges.get((place, tokens[node]), place)
    return np.array(found, np.int64)
