"""How does text become ids, and ids text? The only door to SentencePiece (Kudo & Richardson 2018).

Text without unknown characters comes back as it went in, but for "▁" (U+2581), which stands for a space inside.
"""

import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from random import Random

import sentencepiece

from seq2seq.data.segmentation import Segmenter, bpe_dropout_segmenter, merge_unknown, unigram_segmenter
from seq2seq.errors import ConfigError, RunError
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.utils.files import atomic_write

SPACE_MARK = "▁"
WORD_PATTERN = re.compile(f"^[^{SPACE_MARK}]+|{SPACE_MARK}[^{SPACE_MARK}]*")
SPECIAL_IDS = {"pad_id": PAD, "unk_id": UNK, "bos_id": BOS, "eos_id": EOS}


class Tokenizer:
    """A SentencePiece model whose special ids are those of `seq2seq.ids`."""

    def __init__(self, serialized: bytes, name: str = "tokenizer") -> None:
        """`serialized` is the content of a model file, `name` stands in messages. RunError if it is none, or of other ids."""
        self.serialized = serialized
        self._model = sentencepiece.SentencePieceProcessor()
        try:
            loaded = bool(serialized) and self._model.LoadFromSerializedProto(serialized)
        except RuntimeError:
            loaded = False
        if not loaded:
            raise RunError(f"{name}: not a whole SentencePiece model")
        for special, wanted in SPECIAL_IDS.items():
            if (found := getattr(self._model, special)()) != wanted:
                raise RunError(f"{name}: {special}={found}, but this package needs {wanted}")
        self.size: int = self._model.vocab_size()
        self._pieces: list[str] = [self._model.id_to_piece(i) for i in range(self.size)]
        for i in (PAD, BOS, EOS):
            self._pieces[i] = ""
        self._cuts: dict[float, Segmenter] = {}
        self._pieces[UNK] = self._model.decode([UNK]).replace(" ", SPACE_MARK)

    @classmethod
    def open(cls, path: Path) -> "Tokenizer":
        """The tokenizer in the file `path`. RunError if it is missing or no such model."""
        try:
            return cls(Path(path).read_bytes(), str(path))
        except OSError as error:
            raise RunError(f"{path}: no tokenizer can be read there ({error.strerror})") from error

    def save(self, path: Path) -> None:
        """Write the model file, whole or not at all."""
        with atomic_write(path) as temporary:
            temporary.write_bytes(self.serialized)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of the model file."""
        return hashlib.sha256(self.serialized).hexdigest()

    def segment(self, text: str) -> list[str]:
        """The pieces of `text` as they stand in it, unknown ones too; each unknown word is a piece of its own."""
        return self._words_apart(self._model.encode(text, out_type=str))

    def segment_sampled(self, text: str, alpha: float, seed: int) -> list[str]:
        """A random segmentation: unigram (Kudo 2018, section 3.2, over all of them) or BPE-dropout of rate alpha (Provilkov
        et al. 2020). A function of (text, alpha, seed) alone."""
        if alpha not in self._cuts:
            merges = [*self._scores.values()] == [-float(i) for i in range(len(self._scores))]
            self._cuts[alpha] = (bpe_dropout_segmenter if merges else unigram_segmenter)(self._scores, alpha)
        cut, chance = self._cuts[alpha], Random(seed)
        words = WORD_PATTERN.findall("".join(self.segment(text)))  # as SentencePiece normalises it
        return [piece for word in words for piece in merge_unknown(cut(word, chance), self._scores)]

    @cached_property
    def _scores(self) -> dict[str, float]:
        """Of all pieces but the special ones: logarithms of probabilities (unigram), or 0, -1, -2, ... in the order of merges (BPE)."""
        return {piece: self._model.get_score(i) for i, piece in enumerate(self._pieces) if i > EOS}

    def _words_apart(self, pieces: list[str]) -> list[str]:
        """SentencePiece returns unknown words that follow each other as one piece: they would count, and be copied, as one."""
        if not any(SPACE_MARK in piece[1:] for piece in pieces):
            return pieces
        words = (
            WORD_PATTERN.findall(piece) if i == UNK else [piece]
            for piece, i in zip(pieces, self.ids_of(pieces), strict=True)
        )
        return [word for piece in words for word in piece]

    def ids_of(self, pieces: Sequence[str]) -> list[int]:
        """The ids of pieces of text: never those of control symbols, whatever the text spells."""
        return [i if i > EOS else UNK for i in self._model.piece_to_id(list(pieces))]

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, without BOS and EOS."""
        return self.ids_of(self.segment(text))

    def pieces(self, ids: Iterable[int], unknown: Sequence[str] = ()) -> list[str]:
        """The piece of each id; id `size` + k is unknown[k]; PAD, BOS and EOS are empty, UNK is "⁇"."""
        known = len(self._pieces)
        more = [*unknown]
        return [
            self._pieces[i] if i < known else more[i - known] if i - known < len(more) else self._pieces[UNK]
            for i in ids
        ]

    def decode(self, ids: Iterable[int], unknown: Sequence[str] = ()) -> str:
        """Text of ids; the inverse of `encode` where nothing is unknown."""
        return join_pieces(self.pieces(ids, unknown))


def join_pieces(pieces: Iterable[str]) -> str:
    """Text of pieces: the mark of a word's beginning becomes a space, the one before the first word goes."""
    return "".join(pieces).replace(SPACE_MARK, " ").removeprefix(" ")


def train_tokenizer(
    texts: Iterable[str], *, kind: str, size: int, normalizer: str = "identity", character_coverage: float = 1.0
) -> Tokenizer:
    """Learn a tokenizer; the same text gives the same bytes.

    `kind` is unigram (Kudo 2018), bpe (Sennrich et al. 2016), word or char. `size` counts all entries, the special ones too;
    for word and char it is the most there may be. ConfigError if the text cannot give so many entries, or needs more."""
    model, open_ended = io.BytesIO(), kind in ("word", "char")
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type=kind,
            vocab_size=size,
            hard_vocab_limit=not open_ended,
            normalization_rule_name=normalizer,
            remove_extra_whitespaces=normalizer != "identity",
            character_coverage=character_coverage,
            unk_surface=" ⁇" if kind == "word" else "⁇",
            max_sentence_length=1_000_000,
            num_threads=1,
            minloglevel=2,
            **SPECIAL_IDS,  # type: ignore[arg-type]
        )
    except RuntimeError as error:
        raise ConfigError(_training_error(str(error), size)) from error
    return Tokenizer(model.getvalue())


def _training_error(message: str, size: int) -> str:
    if found := re.search(r"value <= (\d+)", message):
        return f"tokenizer.size={size} is more than the training text supports: at most {found[1]}"
    if found := re.search(r"\d+ vs (\d+)", message):
        least = f"at least {found[1]}, or a lower tokenizer.character_coverage"
        return f"tokenizer.size={size} is less than the characters of the training text need: {least}"
    if "sentences_.empty()" in message:
        return "no tokenizer can be trained: there is no training text"
    return f"no tokenizer can be trained with tokenizer.size={size}: {message}"
