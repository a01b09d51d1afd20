"""Vocabularies of other toolkits in our order: PAD, UNK, BOS and EOS first; and tables of weights by it."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.ids import EOS
from seq2seq.imports.pieces import NORMAL, SPECIAL_PIECES, UNUSED, UNUSED_SCORE, USER_DEFINED, Piece
from seq2seq.runtime.vocabulary import SPACE_MARK

MOST_ENTRIES = 1_000_000  # of a vocabulary
IMPOSSIBLE = -100.0  # bias of entries that are never generated; finite, since weights are
LANGUAGE = re.compile(">>.+<<")  # the token that names the target language, first in the source of OPUS-MT


class SpecialIds(NamedTuple):
    """Ids of special tokens in another toolkit's vocabulary."""

    pad: int
    unknown: int
    start: int  # that decoding starts with
    end: int


class Entries(NamedTuple):
    """A vocabulary in our order: its pieces after the special ones, and the id there of each of our ids."""

    pieces: list[Piece]
    rows: list[int | None]  # None: there is no such entry


def entries_of(pieces: Sequence[Piece], ids: Mapping[str, int], special_ids: SpecialIds, *, whole: bool) -> Entries:
    """The entries of one side in our order: those of its SentencePiece model, then names of languages, which come
    first in a source, and if `whole` all others that have an id, which take no part in segmentation."""
    pad, unknown, start, end = special_ids
    rows: list[int | None] = [None if pad == start else pad, unknown, start, end]
    special = {*rows, pad}
    chosen, used = [], {*SPECIAL_PIECES.values()}
    for piece in pieces:
        known = ids.get(piece.text)
        if piece.kind in (NORMAL, USER_DEFINED, UNUSED) and piece.text and piece.text not in used:
            if known in special:
                continue
            used.add(piece.text)
            chosen.append(piece)
            rows.append(unknown if known is None else known)
    present = {*rows, *special}
    names = {i: text for text, i in ids.items()}
    for i, text in sorted(names.items()):
        language = bool(LANGUAGE.fullmatch(text))
        if i in present or not (whole or language):
            continue
        mark = f"{SPACE_MARK}{text}" if language else text
        mark = f"<{i}>" if not mark or mark in used else mark
        used.add(mark)
        chosen.append(Piece(mark, *((0.0, USER_DEFINED) if language else (UNUSED_SCORE, UNUSED))))
        rows.append(i)
    return Entries(chosen, rows)


def gathered(table: Tensor, rows: Sequence[int | None]) -> Tensor:
    """The rows of a table (V, D) in our order; zeros for None."""
    found = table[torch.tensor([0 if row is None else row for row in rows])]
    return found * torch.tensor([[row is not None] for row in rows])


def output_bias(bias: Tensor, rows: Sequence[int | None]) -> Tensor:
    """The bias (V,) in our order; what is impossible there, or has no entry of its own, is so here."""
    taken: set[int] = set()
    values = []
    for i, row in enumerate(rows):
        own = row is not None and (i <= EOS or row not in taken)
        values.append(max(float(bias[row]), IMPOSSIBLE) if own else IMPOSSIBLE)  # type: ignore[index]
        taken |= {row} if row is not None else set()
    return torch.tensor(values)
