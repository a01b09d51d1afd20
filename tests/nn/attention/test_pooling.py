"""Laws of all poolings: padding changes nothing, weights sum to one, texts do not depend on others; and formulas."""

import numpy as np
import pytest
import torch

from seq2seq.nn.attention.attention import Attention
from seq2seq.nn.attention.multihead import MultiHeadAttention
from seq2seq.nn.attention.normalizers import NORMALIZERS, softmax
from seq2seq.nn.attention.pooling import POOLINGS, AttentionPooling, PoolingConfig, StructuredPooling
from seq2seq.nn.attention.scorers import SCORERS, Additive, Sizes
from seq2seq.nn.attention.windows import Everywhere
from tests.each import each

B, S, M = 3, 6, 4
LENGTHS = (6, 1, 4)


def make(name, scorer="additive", normalizer="softmax", heads=1):
    """A pooling in float64 with random weights."""
    torch.manual_seed(3)
    normalize = NORMALIZERS[normalizer]

    def attention():
        sizes = Sizes(M // heads, M // heads, hidden=5, max_source=20)
        if heads == 1:
            return Attention(SCORERS[scorer](sizes), Everywhere(M), normalize)
        parts = SCORERS[scorer](sizes), Everywhere(M, heads=heads), normalize
        return MultiHeadAttention(*parts, query_size=M, memory_size=M, heads=heads)

    pooling = POOLINGS[name](PoolingConfig(M, attention, normalize, hidden=5, hops=3)).double()
    for weight in pooling.parameters():
        torch.nn.init.normal_(weight)
    return pooling


CASES = [(name, "additive", "softmax", 1) for name in POOLINGS]
CASES += [("structured", "additive", normalizer, 1) for normalizer in NORMALIZERS]
CASES += [
    ("attention", scorer, normalizer, heads) for scorer in SCORERS for normalizer in NORMALIZERS for heads in (1, 2)
]


def texts():
    """States (B, S, M), their mask and the final states (B, 1, M)."""
    generator = torch.Generator().manual_seed(4)
    states, ends = (torch.randn(B, n, M, dtype=torch.float64, generator=generator) for n in (S, 1))
    return states, torch.arange(S) < torch.tensor(LENGTHS)[:, None], ends


@torch.no_grad()
@each(("name", "scorer", "normalizer", "heads"), CASES)
def test_weights_sum_to_one_and_padding_has_none(name, scorer, normalizer, heads):
    pooling = make(name, scorer, normalizer, heads)
    states, mask, ends = texts()
    vector, maps = pooling(states, mask, ends)
    assert vector.shape == (B, pooling.size)
    torch.testing.assert_close(maps.sum(-1), torch.ones_like(maps[..., 0]))
    assert not maps.masked_select(~mask.unsqueeze(1)).any()
    assert (maps >= 0).all()


@torch.no_grad()
@each(("name", "scorer", "normalizer", "heads"), CASES)
def test_padding_other_texts_and_their_order_change_nothing(name, scorer, normalizer, heads):
    pooling = make(name, scorer, normalizer, heads)
    states, mask, ends = texts()
    vector, maps = pooling(states, mask, ends)
    other = states.masked_fill(~mask.unsqueeze(-1), 7.0)
    for order in ([2, 0, 1], [1], [0, 0]):
        found = pooling(other[order], mask[order], ends[order])
        torch.testing.assert_close(found.vector, vector[order])
        torch.testing.assert_close(found.maps, maps[order])
    for b, length in enumerate(LENGTHS):
        alone = pooling(states[b : b + 1, :length], mask[b : b + 1, :length], ends[b : b + 1])
        torch.testing.assert_close(alone.vector[0], vector[b])
        torch.testing.assert_close(alone.maps[0], maps[b, :, :length])


@each("name", POOLINGS)
def test_every_parameter_gets_a_gradient(name):
    pooling = make(name)
    states, mask, ends = texts()
    pooling(states.requires_grad_(), mask, ends[:, :0]).vector.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in pooling.parameters())


@torch.no_grad()
def test_additive_attention_is_that_of_yang():
    """u = tanh(W h + b), a = softmax(u . u_w), s = sum a h  (Yang et al. 2016, eq. 5-7)."""
    pooling = make("attention")
    assert isinstance(pooling, AttentionPooling)
    scorer, query = pooling.attention.scorer, pooling.query.numpy()
    assert isinstance(scorer, Additive)
    W, context = scorer.keys.weight.numpy(), scorer.energy.weight[0].numpy()
    b = scorer.query.weight.numpy() @ query + scorer.query.bias.numpy()
    states, mask, ends = texts()
    vector, maps = pooling(states, mask, ends)
    for i, length in enumerate(LENGTHS):
        h = states[i, :length].numpy()
        scores = np.exp(np.tanh(h @ W.T + b) @ context)
        np.testing.assert_allclose(maps[i, 0, :length], scores / scores.sum())
        np.testing.assert_allclose(vector[i], scores / scores.sum() @ h)


@torch.no_grad()
def test_structured_pooling_is_that_of_lin():
    """A = softmax(W2 tanh(W1 H^T)), M = A H  (Lin et al. 2017, eq. 6-7)."""
    pooling = make("structured")
    assert isinstance(pooling, StructuredPooling)
    states, mask, ends = texts()
    vector, _ = pooling(states, mask, ends)
    for i, length in enumerate(LENGTHS):
        H = states[i, :length]
        A = softmax(pooling.outer.weight @ torch.tanh(pooling.inner.weight @ H.T))
        torch.testing.assert_close(vector[i], (A @ H).flatten())


@torch.no_grad()
@pytest.mark.parametrize("recurrent", [False, True])
def test_plain_poolings_by_hand(recurrent):
    states, mask, ends = texts()
    ends = ends if recurrent else ends[:, :0]
    found = {name: make(name)(states, mask, ends) for name in ("mean", "max", "last")}
    for b, length in enumerate(LENGTHS):
        own = states[b, :length]
        torch.testing.assert_close(found["mean"].vector[b], own.mean(0))
        torch.testing.assert_close(found["max"].vector[b], own.amax(0))
        torch.testing.assert_close(found["last"].vector[b], ends[b, -1] if recurrent else own[-1])
        shares = torch.bincount(own.argmax(0), minlength=S) / M
        torch.testing.assert_close(found["max"].maps[b, 0], shares.double())
