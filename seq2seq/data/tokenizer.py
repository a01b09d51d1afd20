"""Tokenizers: training of SentencePiece models (Kudo & Richardson 2018), and sampled segmentation."""

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from random import Random
from typing import Any

import sentencepiece

from seq2seq.data.segmentation import Segmenter, bpe_dropout_segmenter, merge_unknown, unigram_segmenter
from seq2seq.errors import ConfigError
from seq2seq.ids import EOS
from seq2seq.runtime.untrusted import read_bytes
from seq2seq.runtime.vocabulary import MAX_MODEL_BYTES, SPACE_MARK, SPECIAL_IDS, WORD_PATTERN, SubwordModel, load_pieces
from seq2seq.utils.files import atomic_write

OPEN_ENDED = ("word", "char")  # kinds whose size is a maximum


class VocabularySizeError(ConfigError):
    """A tokenizer.size that is more than the text supports."""

    def __init__(self, size: int, most: int) -> None:
        super().__init__(f"tokenizer.size={size} is more than the training text supports: at most {most}")
        self.most = most


class Tokenizer(SubwordModel):
    """A SentencePiece model, which can be saved, and sample segmentations."""

    def __init__(self, serialized: bytes, name: str = "tokenizer") -> None:
        """As `SubwordModel`."""
        super().__init__(serialized, name)
        self._segmenters: dict[float, Segmenter] = {}  # alpha -> segmenter

    def save(self, path: Path) -> None:
        """Write the model file atomically."""
        with atomic_write(path) as temporary:
            temporary.write_bytes(self.serialized)

    def symbols(self) -> list[str]:
        """All entries as the model file names them, the special ones included: <pad>, <unk>, <s>, </s>, ..."""
        return [self._model.id_to_piece(i) for i in range(self.size)]

    def keep(self, ids: Sequence[int]) -> "Tokenizer":
        """A tokenizer with the entries `ids` alone, the special ones among them, renumbered in their order."""
        from sentencepiece import sentencepiece_model_pb2  # needs protobuf, which the extra `export` brings

        model: Any = sentencepiece_model_pb2.ModelProto.FromString(self.serialized)  # type: ignore[attr-defined]
        pieces = [model.pieces[i] for i in ids]
        del model.pieces[:]
        model.pieces.extend(pieces)
        model.trainer_spec.vocab_size = len(pieces)
        return Tokenizer(model.SerializeToString())

    def segment_sampled(self, text: str, alpha: float, seed: int) -> list[str]:
        """A random segmentation, as a function of (text, alpha, seed) alone.

        For a unigram model it is sampled from all segmentations with smoothing alpha (Kudo 2018, section 3.2), for BPE
        by dropping merges with probability alpha (Provilkov et al. 2020). In a vocabulary of whole words, such as that
        of labels, there is one."""
        if self._whole_words:
            return self.segment(text)
        if alpha not in self._segmenters:
            is_bpe = [*self._scores.values()] == [-float(i) for i in range(len(self._scores))]
            make = bpe_dropout_segmenter if is_bpe else unigram_segmenter
            self._segmenters[alpha] = make(self._scores, alpha)
        segmenter, rng = self._segmenters[alpha], Random(seed)
        words = WORD_PATTERN.findall("".join(self.segment(text)))  # of the normalized text
        return [piece for word in words for piece in merge_unknown(segmenter(word, rng), self._scores)]

    @cached_property
    def _whole_words(self) -> bool:
        """Whether every piece begins a word."""
        return all(piece.startswith(SPACE_MARK) for piece in self._scores)

    @cached_property
    def _scores(self) -> dict[str, float]:
        """Scores of all but the special pieces.

        They are log-probabilities (unigram), or 0, -1, -2, ... in the order of merges (BPE)."""
        return {piece: self._model.get_score(i) for i, piece in enumerate(self._pieces) if i > EOS and piece}


def open_pieces(path: Path) -> tuple[Callable[[str], list[str]], str]:
    """The segmentation of text by any SentencePiece model, whatever its special ids, and the SHA-256 of its file.

    Raises RunError if it cannot be read, or is no model."""
    content, model = read_bytes(Path(path).resolve(), MAX_MODEL_BYTES), sentencepiece.SentencePieceProcessor()
    load_pieces(model, content, str(path))
    return partial(model.encode, out_type=str), hashlib.sha256(content).hexdigest()


def train_tokenizer(
    texts: Iterable[str],
    *,
    kind: str,
    size: int,
    normalizer: str = "identity",
    character_coverage: float = 1.0,
    controls: Sequence[str] = (),
) -> Tokenizer:
    """Train a tokenizer; the same text gives the same bytes.

    `kind` is unigram (Kudo 2018), bpe (Sennrich et al. 2016), word or char. `size` counts all entries, the special
    ones included; for OPEN_ENDED it is a maximum. `controls`: more special entries, which no text has. Raises
    VocabularySizeError if the text supports fewer entries, ConfigError if it needs more, or cannot be learned from."""
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
            control_symbols=list(controls),
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
