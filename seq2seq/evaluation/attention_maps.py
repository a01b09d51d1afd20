"""Attention maps of finished translations, by running the decoder over each hypothesis once more, all steps together.

T steps of a hypothesis, its EOS included if it has one; S source positions, EOS included.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.config import ModelConfig, TransformerConfig
from seq2seq.distributed import ranks
from seq2seq.evaluation.health import Health
from seq2seq.ids import BOS
from seq2seq.nn.attention.windows import Window
from seq2seq.search.ensemble import mean_attention
from seq2seq.translator import Opened, Translation, Translator, called, padded

MAX_WEIGHTS = 2**18  # T times S, summed over a batch: with 48 heads these are 48 MiB


class AttentionMap(NamedTuple):
    """The attention of one hypothesis."""

    weights: NDArray[np.float32]  # (T, S) the last layer's, mean over its heads; mean over an ensemble
    maps: NDArray[np.float32] | None  # (layers, heads, T, S); None for a single head, and for an ensemble
    centers: NDArray[np.float32] | None  # (T,) that the last layer's window predicts, in positions from 0


def compute_attention_maps(
    translator: Translator, translations: Sequence[Translation]
) -> Iterator[tuple[int, AttentionMap]]:
    """Index and attention map of each translation of a line that is not empty, in no particular order.

    Only one batch of maps for each process is in memory at a time."""
    translator.call("maps", translations)
    order = sorted(
        (i for i, translation in enumerate(translations) if translation.encoded),
        key=lambda i: -len(translations[i].source) - len(translations[i].target),
    )
    found = batches(order, translations, translator.search.batch)
    compute = partial(batch_maps, translator, translations)
    return ranks.in_turns(found, compute) if translator.shared else chain.from_iterable(map(compute, found))


def maps_share(opened: Opened, translations: Sequence[Translation]) -> None:
    """The share of a process that rank 0 calls while it computes attention maps."""
    for _ in compute_attention_maps(called(opened), translations):
        pass


@torch.inference_mode()
def batch_maps(
    translator: Translator, translations: Sequence[Translation], rows: Sequence[int]
) -> list[tuple[int, AttentionMap]]:
    """Index and attention map of the translations `rows`, as one batch."""
    ids, copy = (
        padded([getattr(translations[i].encoded, name) for i in rows], translator.device) for name in ("ids", "copy")
    )
    target_in = padded([[BOS, *translations[i].ids] for i in rows], translator.device)
    with record_centers(translator.models[0]) as recorded:
        outputs = [model.decode(target_in, model.encode(ids, copy), attention=True) for model in translator.models]
    ensemble = len(outputs) > 1
    weights = mean_attention([output.weights for output in outputs])
    maps = None if ensemble else outputs[0].maps
    if maps is not None and maps.size(1) * maps.size(2) == 1:  # the single head's map is `weights`
        maps = None
    centers = None if ensemble or not recorded else torch.cat(recorded, -1)
    found = []
    for row, i in enumerate(rows):
        T, S = len(translations[i].target), len(translations[i].source)
        attention = AttentionMap(
            weights=_copy_to_numpy(weights[row, :T, :S]),
            maps=None if maps is None else _copy_to_numpy(maps[row, ..., :T, :S]),
            centers=None if centers is None else _copy_to_numpy(centers[row, :T]),
        )
        found.append((i, attention))
    return found


def batches(order: Sequence[int], translations: Sequence[Translation], limit: int) -> Iterator[list[int]]:
    """The indices `order`, longest translations first, in batches of up to `limit` that keep to MAX_WEIGHTS."""
    start = 0
    while start < len(order):
        longest = translations[order[start]]
        size = min(limit, max(1, MAX_WEIGHTS // (len(longest.source) * len(longest.target))))
        yield list(order[start : start + size])
        start += size


@contextmanager
def record_centers(model: Any) -> Iterator[list[Tensor]]:
    """Collect the centres that the last layer's window predicts inside the `with` block, (B, T') per call.

    The list stays empty for a window without predicted centres, and for several heads with a centre each."""
    windows = [module for module in model.modules() if isinstance(module, Window)]
    recorded: list[Tensor] = []

    def record(window: Any, inputs: Any, view: Any) -> None:
        center = getattr(view, "center", None)
        if center is not None and (center.dim() == 2 or center.size(1) == 1):
            recorded.append(center.flatten(1))

    hook = windows[-1].register_forward_hook(record) if windows else None
    try:
        yield recorded
    finally:
        if hook:
            hook.remove()


def attention_health(model: ModelConfig) -> Health:
    """An empty Health for attention with these settings.

    It warns of nothing where weights are not learned, nor where several heads each predict a centre: the mean of their
    weights is the attention of none. Nor of labels: they share one pooling, or have their word."""
    attention = model.attention
    heads = model.heads if isinstance(model, TransformerConfig) else attention.heads
    learned = heads == 1 if attention.window == "local_p" else attention.scorer != "uniform"
    width = attention.width if attention.window.startswith("local") else None
    return Health(width, learned and model.output == "text")


def _copy_to_numpy(values: Tensor) -> NDArray[np.float32]:
    """A float32 array with memory of its own, so that the batch can be freed."""
    return np.array(values.float().cpu().numpy())
