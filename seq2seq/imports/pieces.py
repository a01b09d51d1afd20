"""SentencePiece model files with other entries: the same segmentation, ids in our order.

A file is a protobuf message, ModelProto of sentencepiece_model.proto: field 1 is an entry, field 2 the settings of its
training, among them special ids, and field 3 those of normalization. A field that comes twice is merged, later values
win.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from seq2seq.data.tokenizer import Tokenizer, train_tokenizer
from seq2seq.errors import RunError
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.runtime.vocabulary import SPACE_MARK

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # types of entries
PIECE, TRAINER, NORMALIZER, SELF_TEST = 1, 2, 3, 4  # fields of ModelProto
TEXT, SCORE, TYPE = 1, 2, 3  # fields of an entry
VOCABULARY_SIZE, UNK_ID, UNK_SURFACE, UNK_PIECE = 4, 40, 44, 45  # fields of TrainerSpec, bos, eos and pad after each
REMOVE_SPACES = 4  # field of NormalizerSpec
SPECIAL_PIECES = {PAD: "<pad>", UNK: "<unk>", BOS: "<s>", EOS: "</s>"}
UNKNOWN_SURFACE = "⁇"
UNUSED_SCORE = -100.0  # of UNUSED entries, whose score nothing but sampled segmentation reads


class Piece(NamedTuple):
    """An entry of a SentencePiece model."""

    text: str
    score: float = 0.0
    kind: int = NORMAL


def read_pieces(model: bytes, name: str) -> list[Piece]:
    """The entries of a model file. Raises RunError, which names the file, if it is damaged or none."""
    try:
        return [_piece(value) for field, value in _fields(model) if field == PIECE and isinstance(value, bytes)]
    except (ValueError, IndexError, struct.error) as error:
        raise RunError(f"{name}: not a complete SentencePiece model") from error


def tokenizer_of(model: bytes, pieces: Sequence[Piece], name: str, surface: str = UNKNOWN_SURFACE) -> Tokenizer:
    """A tokenizer that segments like `model`, whose entries after the special ones are `pieces`.

    Entries of type UNUSED have an id, and take no part in segmentation. surface: the text of unknown ones. Raises
    RunError for a damaged model."""
    special = [Piece(SPECIAL_PIECES[i], 0.0, UNKNOWN if i == UNK else CONTROL) for i in range(len(SPECIAL_PIECES))]
    entries = b"".join(_field(PIECE, _encoded(piece)) for piece in (*special, *pieces))
    rest = b"".join(_field(n, value) for n, value in _fields(model) if n not in (PIECE, SELF_TEST))
    ids = [(UNK_ID + n, i) for n, i in enumerate((UNK, BOS, EOS, PAD))]
    names = [(UNK_PIECE + n, SPECIAL_PIECES[i].encode()) for n, i in enumerate((UNK, BOS, EOS, PAD))]
    settings: list[tuple[int, int | bytes]] = [
        (VOCABULARY_SIZE, len(special) + len(pieces)),
        *ids,
        (UNK_SURFACE, surface.encode()),
        *names,
    ]
    trainer = b"".join(_field(number, value) for number, value in settings)
    return Tokenizer(entries + rest + _field(TRAINER, trainer), name)


def word_tokenizer(words: Iterable[str], name: str) -> Tokenizer:
    """A tokenizer that splits text at spaces, and has these words as entries."""
    pieces = [Piece(SPACE_MARK + word, -float(i)) for i, word in enumerate(words)]
    return tokenizer_of(
        _word_model() + _field(NORMALIZER, _field(REMOVE_SPACES, 1)), pieces, name, f" {UNKNOWN_SURFACE}"
    )


@cache
def _word_model() -> bytes:
    """A model of type word, as SentencePiece trains it."""
    return train_tokenizer(["a"], kind="word", size=5).serialized


def _piece(message: bytes) -> Piece:
    values = dict(_fields(message))
    text, kind, score = values.get(TEXT, b""), values.get(TYPE, NORMAL), values.get(SCORE, bytes(4))
    if not (isinstance(text, bytes) and isinstance(kind, int) and isinstance(score, bytes)):
        raise ValueError("a field is of another type")
    return Piece(text.decode(), struct.unpack("<f", score)[0], kind)


def _encoded(piece: Piece) -> bytes:
    score = _varint(SCORE << 3 | 5) + struct.pack("<f", piece.score)
    return _field(TEXT, piece.text.encode()) + score + _field(TYPE, piece.kind)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: an int, or bytes. Raises ValueError or IndexError for what is no message."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _read_varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("a field is of an unknown kind")
        if size > len(message) - at:
            raise ValueError("the message ends early")
        yield key >> 3, message[at : at + size]
        at += size


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number is too long")


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _field(number: int, value: int | bytes) -> bytes:
    """A field of type varint, or of bytes."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value
