"""Tiny Transformers with random weights, and tokenizers, for tests of exports."""

import itertools
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from seq2seq.config import AttentionConfig, Config, SearchConfig, TransformerConfig
from seq2seq.config.data import TokenizerConfig
from seq2seq.data.tokenizer import train_tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.export.formats import LINEAR_SCORERS
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.nn.build import EncoderDecoder, build_model
from seq2seq.translator import Translation, Translator

WORDS = ("the a one", "big small old", "cat dog fox hen", "sees likes hears", "tree house moon")
LINES = [" ".join(words) for words in itertools.product(*(group.split() for group in WORDS))]
SOURCES = LINES[::40]
CHOICES: dict[str, Sequence[Any]] = {  # all that CTranslate2 can represent
    "norm_order": ("pre", "post"),
    "norm": ("layer", "rms"),
    "activation": ("relu", "gelu", "swish", "swiglu"),
    "positions": ("sinusoidal", "learned", "rotary"),
    "scorer": LINEAR_SCORERS,
    "tie": ("none", "target", "all"),
    "joint": (True, False),
}


def choices_fit(row: dict[str, Any]) -> bool:
    """One embedding for both sides needs one vocabulary."""
    return not (row.get("tie") == "all" and row.get("joint") is False)


@cache
def tiny_vocabularies(joint: bool) -> Vocabularies:
    """Tokenizers of some lines; without `joint` the source has more entries than the target."""
    target = train_tokenizer(LINES, kind="unigram", size=34)
    source = target if joint else train_tokenizer([*LINES, "xyz jvw q"], kind="bpe", size=50)
    return Vocabularies(source, target)


def tiny_config(*, joint: bool = True, scorer: str = "scaled_dot", beam: int = 4, **model: Any) -> Config:
    """Settings of a Transformer with other choices in `model`."""
    if model.get("positions") == "learned":
        model["max_length"] = 120
    attention = AttentionConfig(scorer=scorer)
    sizes = {"size": 32, "heads": 4, "feedforward": 48, "encoder_layers": 2, "decoder_layers": 3}
    return Config(
        tokenizer=TokenizerConfig(joint=joint),
        model=TransformerConfig(**sizes, attention=attention, **model),  # type: ignore[arg-type]
        search=SearchConfig(beam=beam, n_best=beam, max_length=40, max_ratio=50.0),
    )


@torch.no_grad()
def tiny_model(config: Config, search: bool = True) -> EncoderDecoder:
    """A model of these settings with random weights everywhere, and such that PAD and BOS are as unlikely as after
    training.

    With `search`, EOS is as likely as it must be for most of SOURCES to have finished translations, and not only empty
    ones."""
    vocabularies = tiny_vocabularies(config.tokenizer.joint)
    for seed in range(9):
        torch.manual_seed(seed)
        model = build_model(config.model, vocabularies.source.size, vocabularies.target.size).eval()
        for weight in model.parameters():
            weight += 0.1 * torch.randn_like(weight)
        bias = model.head.output.bias
        bias[[PAD, BOS]] = -30.0
        if not search:
            return model
        for _ in range(6):
            found = list(translator_of(model, config).hypotheses(SOURCES))
            finished = [each for each in found if all_finished(each)]
            if len(finished) >= len(SOURCES) / 2 and len({each[0].text for each in finished}) > 1:
                return model
            bias[EOS] += 0.75
    raise AssertionError("no random model ends most of its translations")


def translator_of(model: EncoderDecoder, config: Config) -> Translator:
    """Our own translator with this model."""
    return Translator([model], tiny_vocabularies(config.tokenizer.joint), config.search)


def all_finished(found: Sequence[Translation]) -> bool:
    """Whether every hypothesis ended by EOS: others rank last here, and by their score in other libraries."""
    return all(translation.finished for translation in found)
