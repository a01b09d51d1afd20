"""Attention as plain projections: any scorer that is an inner product becomes a scaled dot product."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from seq2seq.config.choices import CHOICES
from seq2seq.export.formats import LINEAR_SCORERS
from seq2seq.export.projections import Projection, cross_attention, position_table, self_attention
from seq2seq.nn.attention.multihead import merge, split
from seq2seq.nn.attention.scorers import Product
from seq2seq.nn.precision import PRECISIONS
from seq2seq.nn.transformer import TransformerDecoder
from tests.export.tiny import tiny_config, tiny_model


def apply(layer: Projection, x: torch.Tensor) -> torch.Tensor:
    return x @ torch.from_numpy(layer.weight).T + torch.from_numpy(layer.bias)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("scorer", LINEAR_SCORERS)
def test_projected_cross_attention_equals_the_scorer(scorer: str, packed: bool) -> None:
    """`packed` models are those of an open translator."""
    model = tiny_model(tiny_config(scorer=scorer), search=False)
    model = PRECISIONS["32"](model) if packed else model
    assert isinstance(model.decoder, TransformerDecoder)
    own = model.decoder.layers[1].cross
    query, states = torch.randn(2, 3, 32), torch.randn(2, 5, 32)
    with torch.no_grad():
        expected = own(query, own.remember(states)).context
    layers = cross_attention(own)
    q, k, v = (split(apply(layer, x), 4) for layer, x in zip(layers, (query, states, states), strict=False))
    found = apply(layers.out, merge(scaled_dot_product_attention(q, k, v)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_projected_self_attention_equals_ours() -> None:
    model = tiny_model(tiny_config(), search=False)
    own = model.decoder.layers[0].own  # type: ignore[union-attr, index]
    x = torch.randn(2, 3, 32)
    with torch.no_grad():
        expected = own.attend(*own.qkv(x, torch.arange(3)))
    layers = self_attention(own)
    q, k, v = (split(apply(layer, x), 4) for layer in layers[:3])
    torch.testing.assert_close(apply(layers.out, merge(scaled_dot_product_attention(q, k, v))), expected)


@pytest.mark.parametrize(("positions", "entries"), [("sinusoidal", 7), ("learned", 120)])
def test_position_table_is_what_is_added_to_embeddings(positions: str, entries: int) -> None:
    encoding = tiny_model(tiny_config(positions=positions), search=False).encoder.positions  # type: ignore[union-attr]
    table, x = torch.from_numpy(position_table(encoding, 7)), torch.randn(1, 7, 32)
    assert len(table) == entries
    with torch.no_grad():
        torch.testing.assert_close(encoding(x, torch.arange(7)), x * 32**0.5 + table[:7])


def test_linear_scorers_are_the_inner_products_of_linear_maps() -> None:
    from seq2seq.nn.attention.scorers import SCORERS

    nonlinear = {"cosine"}  # normalizes query and key
    products = {name for name in CHOICES["SCORERS"] if issubclass(SCORERS[name], Product)}
    assert set(LINEAR_SCORERS) == products - nonlinear | {"uniform"}
