"""Transformer layers equal those of torch; positional encodings, activations and norms equal their formulas."""

import math

import pytest
import torch
from torch import nn

from seq2seq.nn.attention.multihead import MultiHeadAttention
from seq2seq.nn.attention.normalizers import NORMALIZERS
from seq2seq.nn.attention.scorers import SCORERS, Sizes
from seq2seq.nn.attention.windows import WINDOWS, WindowConfig
from seq2seq.nn.layers import ACTIVATIONS, NORMS, FeedForward, PositionalEncoding, Rotary, swiglu
from seq2seq.nn.transformer import DecoderLayer, EncoderLayer, LayerConfig, SelfAttention

D, HEADS, INNER, B, S, T = 8, 2, 10, 2, 5, 4
MASK = torch.arange(S) < torch.tensor([5, 3])[:, None]
POSITIONS = torch.arange(T)


def copy_weights(ours, theirs):
    """`theirs`, a layer of torch, with the weights of `ours`."""
    attention = [(theirs.self_attn, ours.own.project, ours.own.out)]
    norms = [(theirs.norm1, ours.around_own)]
    if isinstance(ours, DecoderLayer):
        norms.append((theirs.norm2, ours.around_cross))
        cross, parts = ours.cross, (ours.cross.query, ours.cross.key, ours.cross.value)
        theirs.multihead_attn.in_proj_weight.data = torch.cat([part.weight for part in parts])
        theirs.multihead_attn.in_proj_bias.data = torch.cat([part.bias for part in parts])
        theirs.multihead_attn.out_proj.load_state_dict(cross.out.state_dict())
    norms.append((theirs.norm3 if isinstance(ours, DecoderLayer) else theirs.norm2, ours.around_feed))
    for module, project, out in attention:
        module.in_proj_weight.data, module.in_proj_bias.data = project.weight.data, project.bias.data
        module.out_proj.load_state_dict(out.state_dict())
    for norm, around in norms:
        norm.load_state_dict(around.norm.state_dict())
    theirs.linear1.load_state_dict(ours.feed.inner.state_dict())
    theirs.linear2.load_state_dict(ours.feed.outer.state_dict())
    return theirs


def randomized(module):
    """The module in float64, with noise added to every weight."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in module.double().parameters():
            weight.add_(torch.randn_like(weight), alpha=0.3)
    return module


def cross_attention(config, scorer="scaled_dot", window="everywhere", normalizer="softmax"):
    part = config.size // config.heads
    parts = (
        SCORERS[scorer](Sizes(part, part, 5, S)),
        WINDOWS[window](config.size, WindowConfig(1), config.heads),
        NORMALIZERS[normalizer],
    )
    return MultiHeadAttention(*parts, query_size=config.size, memory_size=config.size, heads=config.heads)


@torch.no_grad()
@pytest.mark.parametrize("pre", [True, False], ids=["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_layers_equal_torchs(activation, pre):
    config = LayerConfig(D, HEADS, INNER, pre_norm=pre, activation=ACTIVATIONS[activation])
    options = {"dropout": 0.0, "activation": activation, "batch_first": True, "norm_first": pre, "dtype": torch.float64}
    encoder, decoder = (
        randomized(EncoderLayer(config, None)),
        randomized(DecoderLayer(config, None, cross_attention(config))),
    )
    x, y = torch.randn(B, S, D).double(), torch.randn(B, T, D).double()
    twin = copy_weights(encoder, nn.TransformerEncoderLayer(D, HEADS, INNER, **options))
    ours = encoder(x, MASK[:, None, None].expand(-1, 1, S, -1), torch.arange(S))
    torch.testing.assert_close(ours[MASK], twin(x, src_key_padding_mask=~MASK)[MASK])

    twin = copy_weights(decoder, nn.TransformerDecoderLayer(D, HEADS, INNER, **options))
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    q, k, v = decoder.own.qkv(decoder.around_own.prepare(y), POSITIONS)
    own = decoder.around_own.combine(y, decoder.own.attend(q, k, v, causal=True))
    ours = decoder.after_self_attention(own, decoder.cross.cache(x), MASK, POSITIONS.expand(B, T), attention=False)[0]
    torch.testing.assert_close(ours, twin(y, x, tgt_mask=later, memory_key_padding_mask=~MASK))


@torch.no_grad()
@pytest.mark.pairs(scorer=SCORERS, window=WINDOWS, normalizer=NORMALIZERS)
def test_requesting_weights_does_not_change_the_output(scorer, window, normalizer):
    """Fused and composed attention agree, and each head attends with its part of the features."""
    layer = randomized(cross_attention(LayerConfig(D, HEADS, INNER), scorer, window, normalizer))
    x, states = torch.randn(B, T, D).double(), torch.randn(B, S, D).double()
    cached, step = layer.cache(states), POSITIONS.expand(B, T)
    fast, none = layer.attend(x, cached, MASK, step, attention=False)
    slow, weights = layer.attend(x, cached, MASK, step, attention=True)
    torch.testing.assert_close(fast, slow)
    assert none is None
    assert weights.shape == (B, HEADS, T, S)
    assert not weights.masked_select(~MASK[:, None, None]).any()
    values = torch.cat([weights[:, h] @ layer.value(states).chunk(HEADS, -1)[h] for h in range(HEADS)], -1)
    torch.testing.assert_close(slow, layer.out(values))


@torch.no_grad()
def test_only_inputs_of_the_score_are_projected():
    for scorer, score in SCORERS.items():
        layer = cross_attention(LayerConfig(D, HEADS, INNER), scorer)
        assert {name for name in ("query", "key") if isinstance(getattr(layer, name), nn.Linear)} == {
            {"query": "query", "keys": "key"}[part] for part in score.reads
        }


@torch.no_grad()
@pytest.mark.parametrize("number", [0, 7, 400])
def test_rotary_inner_products_depend_on_the_distance_only(number):
    rotary, (q, k) = Rotary(6), torch.randn(2, 1, 1, 1, 6).double().unbind(0)
    near = rotary(q, torch.tensor([5])) @ rotary(k, torch.tensor([2])).mT
    far = rotary(q, torch.tensor([5 + number])) @ rotary(k, torch.tensor([2 + number])).mT
    torch.testing.assert_close(near, far, rtol=1e-4, atol=1e-4)
    other = rotary(q, torch.tensor([6])) @ rotary(k, torch.tensor([2])).mT
    assert not torch.allclose(near, other, atol=1e-3)


@torch.no_grad()
def test_rotary_self_attention_scores_depend_on_distances_only():
    """Shifting all positions changes no score, spreading them does: queries and keys are rotated, values are not."""
    own, x = randomized(SelfAttention(LayerConfig(D, HEADS, INNER), Rotary(D // HEADS))), torch.randn(B, T, D).double()
    (q, k, v), (far_q, far_k, far_v), (wide_q, wide_k, _) = (
        own.qkv(x, number) for number in (POSITIONS, POSITIONS + 9, POSITIONS * 3)
    )
    torch.testing.assert_close(q @ k.mT, far_q @ far_k.mT, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(q @ k.mT, wide_q @ wide_k.mT, atol=1e-3)
    torch.testing.assert_close(v, far_v)


@torch.no_grad()
def test_rotary_equals_complex_multiplication():
    """Su et al. 2021, eq. 34, pair by pair as complex numbers: (a + bi) e^(i m theta)."""
    x, at = torch.randn(2, 3, 6).double(), 3
    rotated = Rotary(6)(x[:, None], torch.full((3,), at)).squeeze(1)
    for pair in range(3):
        a, b = x[..., 2 * pair], x[..., 2 * pair + 1]
        theta = at * 10000 ** (-2 * pair / 6)
        torch.testing.assert_close(
            rotated[..., 2 * pair], a * math.cos(theta) - b * math.sin(theta), atol=1e-6, rtol=1e-6
        )
        torch.testing.assert_close(
            rotated[..., 2 * pair + 1], a * math.sin(theta) + b * math.cos(theta), atol=1e-6, rtol=1e-6
        )


@torch.no_grad()
@pytest.mark.parametrize("number", [3, 300, 1001])
def test_rotary_angles_are_exact_in_half_precision(number):
    """The error is that of rounding x and the result, at any position."""
    x = torch.randn(1, 1, 1, 6)
    half = Rotary(6)(x.to(torch.bfloat16), torch.tensor([number]))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), Rotary(6)(x, torch.tensor([number])), atol=0.03, rtol=0)


@torch.no_grad()
def test_positional_encodings_equal_their_formulas():
    x, number = torch.randn(1, T, D), torch.tensor([0, 1, 2, 30])
    sinusoidal, learned, rotary = (
        PositionalEncoding(kind, size=D, heads=HEADS, max_length=31) for kind in ("sinusoidal", "learned", "rotary")
    )
    expected = torch.zeros(T, D)
    for t, at in enumerate(number.tolist()):
        for i in range(D // 2):
            angle = at / 10000 ** (2 * i / D)
            expected[t, i], expected[t, D // 2 + i] = math.sin(angle), math.cos(angle)
    torch.testing.assert_close(sinusoidal(x, number), x * D**0.5 + expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(learned(x, number), x * D**0.5 + learned.table.weight[number])
    torch.testing.assert_close(rotary(x, number), x * D**0.5)


@torch.no_grad()
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_feed_forward_equals_its_formula(name):
    feed, x = FeedForward(D, INNER, 0.0, ACTIVATIONS[name]).double(), torch.randn(3, D).double()
    inner = x @ feed.inner.weight.T + feed.inner.bias
    a, b = inner[..., :INNER], inner[..., INNER:]
    formula = {  # Vaswani et al. 2017, eq. 2; Hendrycks & Gimpel 2016; Shazeer 2020, eq. 6
        "relu": lambda: a.clamp_min(0),
        "gelu": lambda: a * (1 + torch.erf(a / math.sqrt(2))) / 2,
        "swish": lambda: a / (1 + torch.exp(-a)),
        "swiglu": lambda: a / (1 + torch.exp(-a)) * b,
    }
    assert set(formula) == set(ACTIVATIONS)
    torch.testing.assert_close(feed(x), formula[name]() @ feed.outer.weight.T + feed.outer.bias)
    assert swiglu(torch.zeros(4)).shape == (2,)


@torch.no_grad()
@pytest.mark.parametrize("name", NORMS)
def test_norm_equals_its_formula(name):
    norm, x = randomized(NORMS[name](D)), torch.randn(3, D).double()
    center = x - x.mean(-1, keepdim=True)
    formula = {  # Ba et al. 2016; Zhang & Sennrich 2019, eq. 4
        "layer": lambda: center / (center.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight + norm.bias,
        "rms": lambda: x / x.square().mean(-1, keepdim=True).sqrt() * norm.weight,
    }
    assert set(formula) == set(NORMS)
    torch.testing.assert_close(norm(x), formula[name]())


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("capacity", [None, 6])
def test_steps_work_in_half_precision(capacity, dtype, model_cases):
    """As in validation during training in half precision, with growing and with preallocated caches."""
    case = model_cases.build(model_cases.config("transformer", {"positions": "rotary"}), torch.float32)
    with torch.autocast("cpu", dtype):
        memory = case.model.encode(case.source)
        whole, state = case.model.decode(case.target_in, memory), case.model.start(memory, capacity)
        for t, token in enumerate(case.target_in.unbind(1)):
            output, state = case.model.step(token, state, memory)
            torch.testing.assert_close(output.features.float(), whole.features[:, t].float(), atol=0.05, rtol=0.05)
