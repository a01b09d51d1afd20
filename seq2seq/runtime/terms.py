"""Terms that a hypothesis has to hold, as ids: what counts as one, in Python for one hypothesis.

Both searches follow the same rules step by step with arrays.
"""

from collections.abc import Collection, Sequence
from itertools import chain

from .errors import ConfigError, counted
from .ids import BOS, EOS, PAD

TermIds = Sequence[Sequence[int]]  # the terms of one sentence


def check_terms(terms: Sequence[TermIds], room: Sequence[int]) -> None:
    """Raise ConfigError unless each sentence has terms, if none then an empty sequence, that fit into `room` tokens.

    No term is empty, or holds PAD, BOS or EOS."""
    if len(terms) != len(room):
        raise ConfigError(f"{counted(len(room), 'sentence')} with the terms of {len(terms)}: each needs its own")
    for b, (each, most) in enumerate(zip(terms, room, strict=True)):
        shown = [[*ids] for ids in each]
        if not all(shown) or {PAD, BOS, EOS} & {*chain(*shown)}:
            raise ConfigError(
                f"terms={shown} of sentence {b} hold an empty one, or PAD, BOS or EOS ({PAD}, {BOS}, {EOS})"
            )
        if (tokens := sum(map(len, shown))) > most:
            raise ConfigError(
                f"terms={shown} of sentence {b} have {tokens} tokens, and max_length leaves {most} for them"
            )


def place_terms(tokens: Sequence[int], terms: TermIds, continuing: Collection[int] = ()) -> list[int | None]:
    """Where each term begins in the tokens of a hypothesis, None if it is missing.

    Tokens are read from left to right. No two terms share a token: of those that begin at the same place the longest
    is taken, one that begins inside another only if that other one turns out not to be there. A term ends where its
    word ends: it is not there if one of the ids `continuing`, which continue the word before them, follows, unless that
    begins another term. Equal terms are taken in their order, so that one that is given twice has to be there twice."""
    places: list[int | None] = [None] * len(terms)
    begin = 0  # of the longest last tokens that are the beginning of a missing term
    pending: int | None = None  # the term that is complete and begins there, unless the next token denies it
    read = [*tokens, EOS]
    for end, token in enumerate(read, 1):
        missing = [c for c, place in enumerate(places) if place is None]
        if token in continuing and all(terms[c][0] != token for c in missing):
            pending = None
        if pending is not None and not _begins(read[begin:end], terms, missing):
            places[pending] = begin
            begin += len(terms[pending])
            missing.remove(pending)
            pending = None
        while begin < end and not _begins(read[begin:end], terms, missing):
            begin += 1
        found = [c for c in missing if [*terms[c]] == read[begin:end]]
        pending = found[0] if found else pending
    return places


def _begins(tokens: Sequence[int], terms: TermIds, missing: Sequence[int]) -> bool:
    """Whether one of the terms `missing` begins with the tokens."""
    return any([*terms[c][: len(tokens)]] == [*tokens] for c in missing)
