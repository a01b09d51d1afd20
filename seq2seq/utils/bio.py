"""BIO tags: B-X begins an entity of type X, I-X continues it, O is outside of all (Ramshaw & Marcus 1995)."""

from collections.abc import Sequence
from typing import NamedTuple


class Entity(NamedTuple):
    """The words of an entity, first to last, counted from 0."""

    kind: str
    first: int
    last: int


def is_bio(tag: str) -> bool:
    """Whether a tag is one of BIO; B and I without a type are."""
    return tag in ("O", "B", "I") or tag.startswith(("B-", "I-"))


def may_follow(tag: str, before: str) -> bool:
    """Whether a tag may stand after another one, or after "", the beginning: I-X continues B-X or I-X."""
    return not tag.startswith("I-") or before in (f"B-{tag[2:]}", tag)


def entities(tags: Sequence[str]) -> set[Entity]:
    """The entities of tags. An I- tag that continues nothing of its type begins an entity, as in conlleval."""
    found, start, kind = set(), 0, ""
    for number, tag in enumerate([*tags, "O"]):
        prefix, own = ("O", "") if tag == "O" else (tag[0], tag[2:] or "_")
        if kind and (prefix != "I" or own != kind):
            found.add(Entity(kind, start, number - 1))
        if prefix != "O" and (prefix == "B" or own != kind):
            start = number
        kind = own if prefix != "O" else ""
    return found
