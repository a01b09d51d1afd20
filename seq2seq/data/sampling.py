"""How is a corpus cut into subwords anew in every epoch, and yet the same on every machine?"""

import zlib
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seq2seq.data.dataset import EncodedPair, PairArrays, Rows
from seq2seq.data.readers import AnyPair, Pair
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.data.vocabulary import Segment, Vocabularies
from seq2seq.errors import DataError


def encode_pair(pair: AnyPair, vocabularies: Vocabularies, segment: Segment = Tokenizer.segment) -> EncodedPair:
    """The ids of a pair, unknown target words that stand in the source as V + k; `segment` cuts text into pieces."""
    source = vocabularies.encode_source(pair.source, segment)
    return EncodedPair(source.ids, vocabularies.encode_target(pair.target, source.unknown, segment), source.copy)


def text_row(pair: AnyPair) -> EncodedPair:
    """A pair of texts as bytes, to lie in arrays like ids."""
    source = pair.source.encode()
    return EncodedPair(source, pair.target.encode(), source)


class SampledCorpus:
    """Encoded pairs whose segmentation is drawn anew in each epoch (Kudo 2018): a function of (seed, epoch, line).

    Lengths stay those of the likeliest segmentation, so that batches are cut without segmenting the corpus."""

    sampled = True

    def __init__(
        self,
        arrays: PairArrays,
        text: Path,
        vocabularies: Vocabularies,
        alpha: float,
        seed: int,
        limits: tuple[float, float],
    ) -> None:
        """`text` is a folder of `text_row`s, line for line those of `arrays`; DataError if it has none. A pair that is drawn
        longer than `limits`, most tokens of source and target, keeps its likeliest segmentation."""
        self.arrays, self.text, self.vocabularies, self.alpha, self.seed = (
            arrays,
            PairArrays(text),
            vocabularies,
            alpha,
            seed,
        )
        self.target_size, self.limits = arrays.target_size, limits
        if len(self.text) != len(arrays):
            raise DataError(f"{text} holds no text to sample from: the corpus was prepared with tokenizer.sampling=0")

    def __len__(self) -> int:
        return len(self.arrays)

    @property
    def source_lengths(self) -> NDArray[np.int32]:
        """Tokens of each source unsampled, EOS included."""
        return self.arrays.source_lengths

    @property
    def target_lengths(self) -> NDArray[np.int32]:
        """Tokens of each target unsampled, EOS included."""
        return self.arrays.target_lengths

    def at(self, epoch: int) -> Rows:
        """The segmentation of this epoch."""
        return _Epoch(self, epoch)


class _Epoch:
    """One epoch's segmentation."""

    def __init__(self, corpus: SampledCorpus, epoch: int) -> None:
        self.corpus, self.epoch = corpus, epoch
        self.row = lru_cache(maxsize=1 << 14)(
            self._row
        )  # an update's targets are counted first, its batches built after

    def __len__(self) -> int:
        return len(self.corpus)

    def _row(self, i: int) -> EncodedPair:
        texts = self.corpus.text.row(i)
        source, target = (np.asarray(side).tobytes().decode() for side in (texts.source, texts.target))
        row = encode_pair(Pair(source, target), self.corpus.vocabularies, partial(self._segment, i))
        fits = len(row.source) <= self.corpus.limits[0] and len(row.target) <= self.corpus.limits[1]
        return row if fits else self.corpus.arrays.row(i)

    def _segment(self, i: int, tokenizer: Tokenizer, text: str) -> list[str]:
        key = f"{self.corpus.seed} {self.epoch} {i}"
        return tokenizer.segment_sampled(text, self.corpus.alpha, zlib.crc32(key.encode()))
