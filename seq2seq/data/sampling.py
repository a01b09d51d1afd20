"""Subword regularization: a corpus whose segmentation is sampled anew in each epoch, reproducibly on every machine."""

import zlib
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seq2seq.data.dataset import EncodedPair, PairArrays, Rows
from seq2seq.data.readers import AnyPair, Pair
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import DataError
from seq2seq.runtime.vocabulary import Segment


def encode_pair(pair: AnyPair, vocabularies: Vocabularies, segment: Segment = Tokenizer.segment) -> EncodedPair:
    """The ids of a pair; the k-th unknown word of the source has target id V + k. `segment` cuts text into pieces."""
    source = vocabularies.encode_source(pair.source, segment)
    return EncodedPair(source.ids, vocabularies.encode_target(pair.target, source.unknown, segment), source.copy)


def text_row(pair: AnyPair) -> EncodedPair:
    """A pair of texts as UTF-8 bytes, to be stored by `write_arrays` like ids."""
    source = pair.source.encode()
    return EncodedPair(source, pair.target.encode(), source)


def text_pair(arrays: PairArrays, i: int) -> Pair:
    """Pair i of texts stored by `text_row`. Raises DataError if it is not UTF-8."""
    try:
        return Pair(*(np.asarray(side(i)).tobytes().decode() for side in (arrays.source, arrays.target)))
    except UnicodeDecodeError as error:
        raise DataError(f"{arrays.folder} is damaged: the text of pair {i + 1} is not UTF-8") from error


class SampledCorpus:
    """A `Corpus` whose segmentation is sampled in each epoch (Kudo 2018), as a function of (seed, epoch, line).

    Its lengths are those of the likeliest segmentation, so that batches are planned without segmenting the corpus."""

    sampled = True

    def __init__(
        self,
        arrays: PairArrays,
        text: Path,
        vocabularies: Vocabularies,
        *,
        alpha: float,
        seed: int,
        limits: tuple[float, float],
    ) -> None:
        """arrays: the likeliest segmentation; text: a folder with the `text_row` of each pair.

        A pair that is sampled longer than `limits`, tokens of source and target, keeps its likeliest segmentation.
        Raises DataError if there is no text."""
        self.arrays, self.text, self.vocabularies = arrays, PairArrays(text), vocabularies
        self.alpha, self.seed, self.limits = alpha, seed, limits
        self.target_size = arrays.target_size
        if len(self.text) != len(arrays):
            raise DataError(f"{text} holds no text to sample from: the corpus was prepared with tokenizer.sampling=0")

    def __len__(self) -> int:
        return len(self.arrays)

    @property
    def source_lengths(self) -> NDArray[np.int32]:
        """Tokens of each source in the likeliest segmentation, EOS included."""
        return self.arrays.source_lengths

    @property
    def target_lengths(self) -> NDArray[np.int32]:
        """Tokens of each target in the likeliest segmentation, EOS included."""
        return self.arrays.target_lengths

    def epoch_rows(self, epoch: int) -> Rows:
        """The pairs as segmented in this epoch."""
        return _Epoch(self, epoch)


class _Epoch:
    """The pairs as segmented in one epoch."""

    def __init__(self, corpus: SampledCorpus, epoch: int) -> None:
        self.corpus, self.epoch = corpus, epoch
        # Cached because each row of an update is read twice: to count its target tokens, then to collate it.
        self.row = lru_cache(maxsize=1 << 14)(self._row)

    def __len__(self) -> int:
        return len(self.corpus)

    def _row(self, i: int) -> EncodedPair:
        row = encode_pair(text_pair(self.corpus.text, i), self.corpus.vocabularies, partial(self._segment, i))
        fits = len(row.source) <= self.corpus.limits[0] and len(row.target) <= self.corpus.limits[1]
        return row if fits else self.corpus.arrays.row(i)

    def _segment(self, i: int, tokenizer: Tokenizer, text: str) -> list[str]:
        key = f"{self.corpus.seed} {self.epoch} {i}"
        return tokenizer.segment_sampled(text, self.corpus.alpha, zlib.crc32(key.encode()))
