"""Smaller vocabularies: the entries that the training text uses, and single characters, so that any text can be read.

Text of other entries is split differently than before, so that its translation may change.
"""

from collections.abc import Sequence

import torch
from torch import nn

from seq2seq.data.corpora import train_pairs
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import ConfigError
from seq2seq.ids import EOS, PAD
from seq2seq.nn.build import EncoderDecoder, shallow_copy
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import SHORTLIST
from seq2seq.runtime.vocabulary import SPACE_MARK


def shrink_models(run: Run, models: Sequence[EncoderDecoder]) -> tuple[list[EncoderDecoder], Vocabularies]:
    """Models with the vocabularies of a run, and these, without the entries that its training text does not use.

    Raises RunError for an imported run, whose text is not known; ConfigError for tokenizer=bpe, whose entries are made
    from others, and for a run with a shortlist; DataError if the text is missing."""
    run.need_text("--shrink keeps the entries that it uses")
    if run.config.tokenizer.kind == "bpe":
        raise ConfigError("tokenizer.kind=bpe cannot be shrunk: unused entries are steps on the way to used ones")
    if (run.folder / SHORTLIST).exists():
        raise ConfigError(f"{run.folder} cannot be shrunk: {SHORTLIST} is for its whole vocabularies")
    both = run.vocabularies
    used_source, used_target = set(range(EOS + 1)), set(range(EOS + 1))
    for pair in train_pairs(run.config.data):
        used_source.update(both.source.encode(pair.source))
        used_target.update(both.target.encode(pair.target))
    if both.joint:
        source = target = kept_entries(both.source, used_source | used_target)
        joint = both.source.keep(source)
        vocabularies = Vocabularies(joint, joint)
    else:
        source, target = kept_entries(both.source, used_source), kept_entries(both.target, used_target)
        vocabularies = Vocabularies(both.source.keep(source), both.target.keep(target))
    return [smaller_model(model, source, target) for model in models], vocabularies


def kept_entries(tokenizer: Tokenizer, used: set[int]) -> list[int]:
    """The used ids of a vocabulary, and those of single characters, in ascending order."""
    characters = (i for i, piece in enumerate(tokenizer.symbols()) if len(piece.removeprefix(SPACE_MARK)) <= 1)
    return sorted(used.union(characters))


def smaller_model(model: EncoderDecoder, source: list[int], target: list[int]) -> EncoderDecoder:
    """A model for the ids `source` and `target` of its vocabularies, renumbered in their order."""
    smaller = model.restrict_vocabulary(torch.tensor(target))
    smaller.encoder = shallow_copy(model.encoder)
    weight = model.encoder.embedding.weight.detach()[torch.tensor(source)]
    smaller.encoder.embedding = nn.Embedding.from_pretrained(weight, padding_idx=PAD)
    return smaller
