"""Text to ids and back: a SentencePiece model of each side, and the target ids that copying source tokens yields.

Without normalization, text without unknown characters is preserved by encoding and decoding, except that "▁" (U+2581),
which SentencePiece writes for a space, becomes a space. V is the size of the target vocabulary; id V + k stands for the
k-th distinct piece of a source that the target vocabulary lacks.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import sentencepiece

from .errors import DataError, RunError, escaped, quoted
from .ids import BOS, EOS, PAD, UNK
from .untrusted import MIB
from .words import UNSPACED

SPACE_MARK = "▁"  # U+2581, which SentencePiece writes for a space, hence at the start of a word
WORD_PATTERN = re.compile(f"^[^{SPACE_MARK}]+|{SPACE_MARK}[^{SPACE_MARK}]*")
LONGEST_PIECE = 16  # characters of a subword, SentencePiece's default limit; whole words and unknown ones may have more
MAX_MODEL_BYTES = 64 * MIB  # a model of 32,000 entries has less than one
SPECIAL_IDS = {"pad_id": PAD, "unk_id": UNK, "bos_id": BOS, "eos_id": EOS}
ABSENT = "<absent>"  # a control symbol of vocabularies whose targets have a place for each label: that it is not there

Segment = Callable[[Any, str], list[str]]  # a tokenizer, text -> pieces


class SubwordModel:
    """A SentencePiece model whose special ids are those of `ids`: text to pieces to ids, and back."""

    def __init__(self, serialized: bytes, name: str = "tokenizer") -> None:
        """serialized: the content of a model file; name: of the file, for messages.

        Raises RunError if it is no model or has other special ids."""
        self.serialized = serialized
        self._model = sentencepiece.SentencePieceProcessor()
        self._pieces = load_pieces(self._model, serialized, name)
        for special, wanted in SPECIAL_IDS.items():
            if (found := getattr(self._model, special)()) != wanted:
                raise RunError(f"{name}: {special}={found}, but this package needs {wanted}")
        self.size = len(self._pieces)
        found = (i for i, piece in enumerate(self._pieces) if piece == ABSENT and self._model.is_control(i))
        self.absent = next(found, -1)  # the id of ABSENT, -1 without it
        for i in (PAD, BOS, EOS, *([self.absent] if self.absent > 0 else [])):
            self._pieces[i] = ""
        self._pieces[UNK] = self._model.decode([UNK]).replace(" ", SPACE_MARK)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the model file."""
        return hashlib.sha256(self.serialized).hexdigest()

    @cached_property
    def labels(self) -> list[int]:
        """The ids of all entries but the special ones, in the order of their pieces."""
        return sorted((i for i in range(EOS + 1, self.size) if i != self.absent), key=self._pieces.__getitem__)

    @cached_property
    def label_names(self) -> list[str]:
        """The texts of `labels`."""
        return [self.decode([i]) for i in self.labels]

    def places(self, ids: Iterable[int]) -> list[int]:
        """For each of `labels` its id if it is among `ids`, else `absent`; UNK at the end if that is."""
        given = {*ids}
        return [i if i in given else self.absent for i in self.labels] + [UNK] * (UNK in given)

    @cached_property
    def continuing(self) -> frozenset[int]:
        """The ids of pieces that continue the word before them: they begin with a letter, a digit or a mark of a script
        that has spaces between words."""
        return frozenset(i for i, piece in enumerate(self._pieces) if i > EOS and _continues_word(piece))

    def segment(self, text: str) -> list[str]:
        """The pieces of `text`, unknown ones as they are written in it; each unknown word is a piece of its own.

        Raises DataError for lone surrogates, which are no characters."""
        try:
            return self._split_unknown(self._model.encode(text, out_type=str))
        except (RuntimeError, UnicodeEncodeError) as error:
            if surrogate := re.search("[\ud800-\udfff]", text):
                raise DataError(f"{quoted(text)} holds {escaped(surrogate[0])}, half a character") from error
            raise

    def _split_unknown(self, pieces: list[str]) -> list[str]:
        """Split unknown pieces into words.

        SentencePiece joins adjacent unknown words, which would be counted and copied as one."""
        if not any(SPACE_MARK in piece[1:] for piece in pieces):
            return pieces
        words: list[str] = []
        for piece, i in zip(pieces, self.ids_of(pieces), strict=True):
            words += WORD_PATTERN.findall(piece) if i == UNK else [piece]
        return words

    def ids_of(self, pieces: Sequence[str]) -> list[int]:
        """The ids of pieces of text; text such as "<s>" never becomes a control symbol."""
        return [i if i > EOS else UNK for i in self._model.piece_to_id(list(pieces))]

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, without BOS and EOS."""
        return self.ids_of(self.segment(text))

    def pieces(self, ids: Iterable[int], unknown: Sequence[str] = ()) -> list[str]:
        """The piece of each id; id `size` + k is unknown[k], or UNK if there is none.

        PAD, BOS, EOS and the id of ABSENT are empty, UNK is "⁇"."""
        extra = dict(enumerate(unknown, start=self.size))
        return [self._pieces[i] if i < self.size else extra.get(i, self._pieces[UNK]) for i in ids]

    def decode(self, ids: Iterable[int], unknown: Sequence[str] = ()) -> str:
        """The text of ids; the inverse of `encode` if nothing is unknown or normalized."""
        return join_pieces(self.pieces(ids, unknown))


def _continues_word(piece: str) -> bool:
    """Whether the word before a piece does not end there."""
    first = piece[:1]
    return (first.isalnum() or unicodedata.category(first or " ").startswith("M")) and not UNSPACED.match(first)


def load_pieces(model: "sentencepiece.SentencePieceProcessor", content: bytes, name: str) -> list[str]:
    """Load a model; return its pieces. Raises RunError, naming the file, if its content is no model."""
    try:
        if content and model.LoadFromSerializedProto(content):
            model.decode([model.unk_id()])  # its text is no piece
            return [model.id_to_piece(i) for i in range(model.vocab_size())]
    except (RuntimeError, UnicodeDecodeError) as error:  # UnicodeDecodeError: a damaged piece
        raise RunError(f"{name}: not a complete SentencePiece model") from error
    raise RunError(f"{name}: not a complete SentencePiece model")


def join_pieces(pieces: Iterable[str]) -> str:
    """The text of pieces: marks become spaces, and the one before the first word is removed."""
    return "".join(pieces).replace(SPACE_MARK, " ").removeprefix(" ")


class EncodedSource(NamedTuple):
    """A source sentence as ids, EOS at the end."""

    ids: list[int]
    copy: list[int]  # the target id that copying each token yields, V + k for unknown[k]
    unknown: list[str]  # the pieces that the target vocabulary lacks, each once


class VocabularyPair:
    """The tokenizers of the two sides; one object for both if they are joint."""

    def __init__(self, source: SubwordModel, target: SubwordModel) -> None:
        self.source, self.target = source, target

    @property
    def joint(self) -> bool:
        """Whether one vocabulary serves both sides."""
        return self.source is self.target

    @property
    def larger(self) -> int:
        """Entries of the larger vocabulary."""
        return max(self.source.size, self.target.size)

    @property
    def sha256(self) -> str:
        """SHA-256 of both models: ids mean the same in all runs in which it is equal."""
        return hash_of_both(self.source.sha256, self.target.sha256)

    def encode_source(self, text: str, segment: Segment = SubwordModel.segment) -> EncodedSource:
        """Ids of a source sentence, and the target ids that copying them yields. `segment` cuts text into pieces."""
        pieces = segment(self.source, text)
        ids = self.source.ids_of(pieces)
        copy, unknown = number_unknown(ids if self.joint else self.target.ids_of(pieces), pieces, self.target.size)
        return EncodedSource([*ids, EOS], [*copy, EOS], unknown)

    def encode_target(
        self, text: str, unknown: Sequence[str] = (), segment: Segment = SubwordModel.segment
    ) -> list[int]:
        """Ids of a target sentence, EOS at the end.

        A piece that the vocabulary lacks is V + k if it is unknown[k], else UNK. `segment` cuts text into pieces."""
        pieces = segment(self.target, text)
        ids = self.target.ids_of(pieces)
        if unknown and UNK in ids:
            extended = {piece: self.target.size + k for k, piece in enumerate(unknown)}
            ids = [extended.get(piece, UNK) if i == UNK else i for i, piece in zip(ids, pieces, strict=True)]
        if self.target.absent > 0:
            ids = self.target.places(ids)
        return [*ids, EOS]

    def encode_term(self, text: str, unknown: Sequence[str] = ()) -> list[int]:
        """Ids of text that may stand anywhere in a target sentence; as `encode_target`, without EOS.

        In a script without spaces between words no space comes before it."""
        ids = self.encode_target(text, unknown)[:-1]
        if not ids or not UNSPACED.match(text):
            return ids
        inside = self.target.pieces(ids[:1])[0].removeprefix(SPACE_MARK)
        for pieces in ([inside] if inside else [], [*inside]):  # as one piece if there is one, else in characters
            if UNK not in (found := self.target.ids_of(pieces)) and (found or ids[1:]):
                return [*found, *ids[1:]]
        return ids

    def decode_target(self, ids: Iterable[int], unknown: Sequence[str] = ()) -> str:
        """Text of target ids; V + k is unknown[k]."""
        return self.target.decode(ids, unknown)


def hash_of_both(source: str, target: str) -> str:
    """SHA-256 of a pair of vocabularies, from the hashes of their models."""
    return hashlib.sha256(f"{source} {target}".encode()).hexdigest()


def number_unknown(ids: list[int], pieces: Sequence[str], size: int) -> tuple[list[int], list[str]]:
    """Replace each UNK by `size` + k, where k is the index of its piece among the distinct unknown pieces.

    Returns the ids and those pieces."""
    if UNK not in ids:
        return ids, []
    numbers: dict[str, int] = {}
    numbered = [
        size + numbers.setdefault(piece, len(numbers)) if i == UNK else i for i, piece in zip(ids, pieces, strict=True)
    ]
    return numbered, list(numbers)
