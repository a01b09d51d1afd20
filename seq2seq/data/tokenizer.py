"""Tokenizers: SentencePiece models (Kudo & Richardson 2018), their training, and sampled segmentation.

Without normalization, text without unknown characters is preserved by encoding and decoding, except that "▁" (U+2581),
which SentencePiece writes for a space, becomes a space.
"""

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from random import Random

import sentencepiece

from seq2seq.data.segmentation import Segmenter, bpe_dropout_segmenter, merge_unknown, unigram_segmenter
from seq2seq.errors import ConfigError, DataError, RunError, escaped, quoted
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.utils.files import atomic_write
from seq2seq.utils.untrusted import MIB, read_bytes

SPACE_MARK = "▁"  # U+2581, which SentencePiece writes for a space, hence at the start of a word
WORD_PATTERN = re.compile(f"^[^{SPACE_MARK}]+|{SPACE_MARK}[^{SPACE_MARK}]*")
LONGEST_PIECE = 16  # characters of a subword, SentencePiece's default limit; whole words and unknown ones may have more
MAX_MODEL_BYTES = 64 * MIB  # a model of 32,000 entries has less than one
OPEN_ENDED = ("word", "char")  # kinds whose size is a maximum
SPECIAL_IDS = {"pad_id": PAD, "unk_id": UNK, "bos_id": BOS, "eos_id": EOS}


class VocabularySizeError(ConfigError):
    """A tokenizer.size that is more than the text supports."""

    def __init__(self, size: int, most: int) -> None:
        super().__init__(f"tokenizer.size={size} is more than the training text supports: at most {most}")
        self.most = most


class Tokenizer:
    """A SentencePiece model whose special ids are those of `seq2seq.ids`."""

    def __init__(self, serialized: bytes, name: str = "tokenizer") -> None:
        """serialized: the content of a model file; name: of the file, for messages.

        Raises RunError if it is no model or has other special ids."""
        self.serialized = serialized
        self._model = sentencepiece.SentencePieceProcessor()
        self._pieces = _load(self._model, serialized, name)
        for special, wanted in SPECIAL_IDS.items():
            if (found := getattr(self._model, special)()) != wanted:
                raise RunError(f"{name}: {special}={found}, but this package needs {wanted}")
        self.size = len(self._pieces)
        for i in (PAD, BOS, EOS):
            self._pieces[i] = ""
        self._pieces[UNK] = self._model.decode([UNK]).replace(" ", SPACE_MARK)
        self._segmenters: dict[float, Segmenter] = {}  # alpha -> segmenter

    def save(self, path: Path) -> None:
        """Write the model file atomically."""
        with atomic_write(path) as temporary:
            temporary.write_bytes(self.serialized)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the model file."""
        return hashlib.sha256(self.serialized).hexdigest()

    def segment(self, text: str) -> list[str]:
        """The pieces of `text`, unknown ones as they are written in it; each unknown word is a piece of its own.

        Raises DataError for lone surrogates, which are no characters."""
        try:
            return self._split_unknown(self._model.encode(text, out_type=str))
        except (RuntimeError, UnicodeEncodeError) as error:
            if surrogate := re.search("[\ud800-\udfff]", text):
                raise DataError(f"{quoted(text)} holds {escaped(surrogate[0])}, half a character") from error
            raise

    def segment_sampled(self, text: str, alpha: float, seed: int) -> list[str]:
        """A random segmentation, as a function of (text, alpha, seed) alone.

        For a unigram model it is sampled from all segmentations with smoothing alpha (Kudo 2018, section 3.2), for BPE
        by dropping merges with probability alpha (Provilkov et al. 2020)."""
        if alpha not in self._segmenters:
            is_bpe = [*self._scores.values()] == [-float(i) for i in range(len(self._scores))]
            make = bpe_dropout_segmenter if is_bpe else unigram_segmenter
            self._segmenters[alpha] = make(self._scores, alpha)
        segmenter, rng = self._segmenters[alpha], Random(seed)
        words = WORD_PATTERN.findall("".join(self.segment(text)))  # of the normalized text
        return [piece for word in words for piece in merge_unknown(segmenter(word, rng), self._scores)]

    @cached_property
    def _scores(self) -> dict[str, float]:
        """Scores of all but the special pieces.

        They are log-probabilities (unigram), or 0, -1, -2, ... in the order of merges (BPE)."""
        return {piece: self._model.get_score(i) for i, piece in enumerate(self._pieces) if i > EOS}

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

        PAD, BOS and EOS are empty, UNK is "⁇"."""
        extra = dict(enumerate(unknown, start=self.size))
        return [self._pieces[i] if i < self.size else extra.get(i, self._pieces[UNK]) for i in ids]

    def decode(self, ids: Iterable[int], unknown: Sequence[str] = ()) -> str:
        """The text of ids; the inverse of `encode` if nothing is unknown or normalized."""
        return join_pieces(self.pieces(ids, unknown))


def open_pieces(path: Path) -> tuple[Callable[[str], list[str]], str]:
    """The segmentation of text by any SentencePiece model, whatever its special ids, and the SHA-256 of its file.

    Raises RunError if it cannot be read, or is no model."""
    content, model = read_bytes(Path(path).resolve(), MAX_MODEL_BYTES), sentencepiece.SentencePieceProcessor()
    _load(model, content, str(path))
    return partial(model.encode, out_type=str), hashlib.sha256(content).hexdigest()


def _load(model: "sentencepiece.SentencePieceProcessor", content: bytes, name: str) -> list[str]:
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


def train_tokenizer(
    texts: Iterable[str], *, kind: str, size: int, normalizer: str = "identity", character_coverage: float = 1.0
) -> Tokenizer:
    """Train a tokenizer; the same text gives the same bytes.

    `kind` is unigram (Kudo 2018), bpe (Sennrich et al. 2016), word or char. `size` counts all entries, the special
    ones included; for OPEN_ENDED it is a maximum. Raises VocabularySizeError if the text supports fewer entries,
    ConfigError if it needs more, or cannot be learned from."""
    model = io.BytesIO()
    failures: list[BaseException] = []
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_kept_failure(texts, failures),
            model_writer=model,
            model_type=kind,
            vocab_size=size,
            hard_vocab_limit=kind not in OPEN_ENDED,
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
        if failures:
            raise failures[0] from None
        raise _training_error(str(error), kind, size) from error
    return Tokenizer(model.getvalue())


def _kept_failure(texts: Iterable[str], failures: list[BaseException]) -> Iterator[str]:
    """The same texts. Their exception is kept in `failures`, since SentencePiece raises a RuntimeError in its place."""
    try:
        yield from texts
    except (Exception, KeyboardInterrupt) as error:
        failures.append(error)
        raise


def _training_error(message: str, kind: str, size: int) -> ConfigError:
    """The error of ours for a message of SentencePiece."""
    if found := re.search(r"value <= (\d+)", message):
        return VocabularySizeError(size, int(found[1]))
    if found := re.search(r"\d+ vs (\d+)", message):
        least = f"at least {found[1]}, or a lower tokenizer.character_coverage"
        return ConfigError(f"tokenizer.size={size} is less than the characters of the training text need: {least}")
    if "sentences_.empty()" in message:
        return ConfigError("no tokenizer can be trained: there is no training text")
    if "piece is too long" in message:
        return ConfigError(
            f"tokenizer={kind} cannot be trained: a word of the training text is too long for an entry; "
            "tokenizer=unigram, bpe and char split it"
        )
    return ConfigError(f"SentencePiece cannot train tokenizer={kind} with tokenizer.size={size} on this text")
