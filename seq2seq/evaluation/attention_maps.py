"""What did a model look at while it wrote what it found? Its decoder runs once more over the hypotheses, all steps at once.

T steps of a hypothesis, its EOS included if it has one; S source positions, EOS included.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.config import ModelConfig, TransformerConfig
from seq2seq.evaluation.health import Health
from seq2seq.ids import BOS
from seq2seq.nn.attention.windows import Window
from seq2seq.search.ensemble import mean_attention
from seq2seq.translator import Translation, Translator, padded

PLACES = 2**18  # of the maps of a batch, T times S: with 48 heads 48 MiB


class AttentionMap(NamedTuple):
    """Attention of one hypothesis."""

    weights: NDArray[np.float32]  # (T, S) the mean over an ensemble
    maps: NDArray[np.float32] | None  # (layers, heads, T, S) where there is more than one, and one model
    centers: (
        NDArray[np.float32] | None
    )  # (T,) that a window predicts, in positions from 0: the last layer's, where it has one head


@torch.inference_mode()
def look(translator: Translator, found: Sequence[Translation]) -> Iterator[tuple[int, AttentionMap]]:
    """For each of `found` that is not empty, its number and what was attended to, in no order; a batch at a time is in memory."""
    order = sorted(
        (i for i, f in enumerate(found) if f.read), key=lambda i: -len(found[i].source) - len(found[i].target)
    )
    for rows in batches(order, found, translator.search.batch):
        ids, copy = (
            padded([getattr(found[i].read, name) for i in rows], translator.device) for name in ("ids", "copy")
        )
        given = padded([[BOS, *found[i].ids] for i in rows], translator.device)
        with centers_of(translator.models[0]) as seen:
            outputs = [model.decode(given, model.encode(ids, copy), attention=True) for model in translator.models]
        weights, maps = mean_attention([output.weights for output in outputs]), outputs[0].maps
        alone = len(outputs) == 1
        several = alone and maps is not None and maps.size(1) * maps.size(2) > 1
        centers = torch.cat(seen, -1) if alone and seen else None
        for row, i in enumerate(rows):
            T, S = len(found[i].target), len(found[i].source)
            own = numbers(maps[row, ..., :T, :S]) if several and maps is not None else None
            yield (
                i,
                AttentionMap(
                    numbers(weights[row, :T, :S]), own, None if centers is None else numbers(centers[row, :T])
                ),
            )


def batches(order: Sequence[int], found: Sequence[Translation], most: int) -> Iterator[list[int]]:
    """Lines `order`, the longest first, in batches of `most` at most whose maps are not too large together."""
    at = 0
    while at < len(order):
        longest = found[order[at]]
        size = min(most, max(1, PLACES // (len(longest.source) * len(longest.target))))
        yield list(order[at : at + size])
        at += size


@contextmanager
def centers_of(model: Any) -> Iterator[list[Tensor]]:
    """The centres that the last layer's window predicts inside: (B, T') each, one after the other in time. None of several heads,
    each of which looks elsewhere."""
    windows = [module for module in model.modules() if isinstance(module, Window)]
    seen: list[Tensor] = []

    def keep(window: Any, given: Any, view: Any) -> None:
        center = getattr(view, "center", None)
        if center is not None and (center.dim() == 2 or center.size(1) == 1):
            seen.append(center.flatten(1))

    hook = windows[-1].register_forward_hook(keep) if windows else None
    try:
        yield seen
    finally:
        if hook:
            hook.remove()


def health_of(model: ModelConfig) -> Health:
    """What is to be made of the attention with these settings; nothing of one that learns nothing, nor of heads that each have a
    centre of their own: their mean is nobody's."""
    attention = model.attention
    heads = model.heads if isinstance(model, TransformerConfig) else attention.heads
    local, predicted = attention.window.startswith("local"), attention.window == "local_p"
    return Health(attention.width if local else None, learnt=heads == 1 if predicted else attention.scorer != "uniform")


def numbers(values: Tensor) -> NDArray[np.float32]:
    """As an array of its own, so that the batch can go."""
    return np.array(values.float().cpu().numpy())
