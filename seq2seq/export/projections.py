"""The weights of a Transformer as the plain projections of queries, keys and values that other tools expect.

They compute softmax(q . k / sqrt(d)) with q = Wq x + bq and k = Wk h + bk in every attention. Shapes: D model size, d =
D / heads.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seq2seq.config import Config, TransformerConfig
from seq2seq.nn.attention.multihead import MultiHeadAttention
from seq2seq.nn.attention.scorers import Product
from seq2seq.nn.layers import PositionalEncoding
from seq2seq.nn.transformer import DecoderLayer, EncoderLayer, SelfAttention, TransformerDecoder, TransformerEncoder

POSITIONS = (
    1024  # entries of tables of sinusoids, which have no end here; longer sources are cut by CTranslate2 as well
)

Array = NDArray[np.float32]


class Projection(NamedTuple):
    """A linear layer."""

    weight: Array  # (outputs, inputs)
    bias: Array  # (outputs,)


class Projections(NamedTuple):
    """The linear layers of an attention."""

    query: Projection
    key: Projection
    value: Projection
    out: Projection


def array(tensor: Tensor) -> Array:
    """A float32 copy: the quantization of CTranslate2 overwrites what it is given."""
    return np.array(tensor.detach().cpu().float().numpy(), dtype=np.float32, order="C")


def projection(layer: nn.Linear) -> Projection:
    """The weights of a linear layer."""
    return Projection(array(layer.weight), array(layer.bias))


def layers_of(stack: TransformerEncoder | TransformerDecoder) -> list[EncoderLayer | DecoderLayer]:
    """The layers of an encoder or decoder."""
    return [layer for layer in stack.layers if isinstance(layer, EncoderLayer | DecoderLayer)]


def self_attention(attention: SelfAttention) -> Projections:
    """The projections of self-attention, which are kept as one matrix here."""
    weights, biases = (np.split(part, 3) for part in projection(attention.project))
    query, key, value = (Projection(*both) for both in zip(weights, biases, strict=True))
    return Projections(query, key, value, projection(attention.out))


def cross_attention(attention: MultiHeadAttention) -> Projections:
    """The projections of attention to the source by one of LINEAR_SCORERS, which is multiplied into them."""
    value, out = projection(attention.value), projection(attention.out)
    if not attention.scorer.reads:  # equal scores
        query, key = (Projection(np.zeros_like(value.weight), np.zeros_like(value.bias)) for _ in range(2))
        return Projections(query, key, value, out)
    query_map, key_map = scorer_maps(attention)
    assert isinstance(attention.query, nn.Linear)
    assert isinstance(attention.key, nn.Linear)
    return Projections(after(attention.query, query_map), after(attention.key, key_map), value, out)


@torch.no_grad()
def scorer_maps(attention: MultiHeadAttention) -> tuple[Tensor, Tensor]:
    """(d, K) float64 maps A and B of a head's query and key, with (q A) . (k B) / sqrt(d) = the score of q and k."""
    scorer, size, weight = attention.scorer, attention.memory_size // attention.heads, attention.value.weight
    assert isinstance(scorer, Product)
    identity = torch.eye(size, dtype=weight.dtype, device=weight.device)  # a linear map of its rows is its matrix
    query, key = scorer.queries(identity), scorer.cache(identity)["keys"]
    return query.cpu().double() * size**0.5, key.cpu().double()


def after(layer: nn.Linear, head_map: Tensor) -> Projection:
    """The layer followed by a map (d, K) of each head's outputs, computed in float64."""
    size = len(head_map)
    weight, bias = (part.detach().cpu().double() for part in (layer.weight, layer.bias))
    mapped = torch.einsum("hdi,dk->hki", weight.unflatten(0, (-1, size)), head_map).flatten(0, 1)
    return Projection(array(mapped), array((bias.view(-1, size) @ head_map).flatten()))


def position_entries(config: Config) -> int | None:
    """Entries of the tables of positions in an exported model; None: it has none, and so no longest sequence."""
    assert isinstance(config.model, TransformerConfig)
    entries = {"learned": config.model.max_length, "sinusoidal": max(POSITIONS, config.search.max_length + 1)}
    return entries.get(config.model.positions)


def longest_target(config: Config) -> int:
    """The most target tokens, without EOS, that a search may give: search.max_length, or what positions allow."""
    entries = position_entries(config)
    return min(config.search.max_length, entries - 1) if entries else config.search.max_length


def position_table(positions: PositionalEncoding, entries: int) -> Array:
    """What is added to embeddings: (entries, D), or all that a learned table has."""
    if positions.table is not None:
        return array(positions.table.weight)
    zero = torch.zeros(1, entries, positions.size)
    return array(positions(zero, torch.arange(entries))[0])
