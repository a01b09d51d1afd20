"""The attention of one layer and head in place of the mean that a search gives, by decoding hypotheses once more."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seq2seq.runtime.translation import Translation
from seq2seq.serve.refusals import RefusedError


class HeadChoice(NamedTuple):
    """Whose attention a request wants, counted from 1."""

    layer: int = 0  # 0: the last one
    head: int = 0  # 0: the mean of the layer's heads


def check_choice(choice: HeadChoice, model: str, layers: int, heads: int) -> None:
    """Raise RefusedError unless the model has this layer and head; 0 layers: it gives only the mean of its last one."""
    for name, number, most in (("layer", choice.layer, layers), ("head", choice.head, heads)):
        if number > most:
            if not most:
                raise RefusedError(f"{name}={number}: {model} gives no layers and heads: leave out layer and head")
            raise RefusedError(f"{name}={number} is more than {model} has: at most {most}")


def with_attention(
    translator: Any, found: Sequence[Sequence[Translation]], choice: HeadChoice
) -> list[list[Translation]]:
    """The hypotheses of each line with the attention that was chosen. translator: a seq2seq.translator.Translator"""
    from seq2seq.evaluation.attention_maps import compute_attention_maps

    flat = [one for ranked in found for one in ranked]
    for i, (weights, maps, _) in compute_attention_maps(translator, flat):
        if maps is not None:  # else there is a single head, whose attention this is
            layer = maps[choice.layer - 1]
            weights = layer[choice.head - 1] if choice.head else layer.mean(0)
        flat[i] = flat[i]._replace(attention=weights)
    rest = iter(flat)
    return [[next(rest) for _ in ranked] for ranked in found]
