"""Each head is the papers' attention of its part of query, keys and values: an implementation in NumPy, from their
formulas."""

import itertools

import numpy as np
import pytest
import torch

from seq2seq.nn.attention import multihead as multihead_module
from seq2seq.nn.attention.multihead import MultiHeadAttention
from seq2seq.nn.attention.normalizers import NORMALIZERS
from seq2seq.nn.attention.scorers import SCORERS, Sizes
from seq2seq.nn.attention.windows import WINDOWS, WindowConfig

HEADS, WIDTH = 2, 1
PRODUCTS = {"dot", "scaled_dot", "general", "scaled_general", "cosine"}  # scores that are an inner product
PARTS = {"scorer": SCORERS, "window": WINDOWS, "normalizer": NORMALIZERS}


def has_effect(row):
    """Whether every part has an effect: the normalizer has none on equal scores, nor the score with one position."""
    scorer = SCORERS[row.get("scorer", "uniform" if row.get("window") == "last" else "general")]
    single = WINDOWS[row.get("window", "everywhere")].single
    return not single if scorer.reads else row.get("normalizer", "softmax") == "softmax"


def linear(m, name, x):
    """x W^T + b, or x where there is no such layer."""
    return x @ m[f"{name}.weight"].T + m.get(f"{name}.bias", 0) if f"{name}.weight" in m else x


class NumpyMultiHead:
    """Head i is the attention of Q W_i, K W_i and V W_i  (Vaswani et al. 2017, section 3.2.2), with the papers'
    formulas of score, window and normalizer; windows read the whole query."""

    def __init__(self, formulas, parts, layer):
        scorer, window, normalizer = parts
        self.score, self.view, self.normalize = (
            formulas.scores[scorer],
            formulas.views[window],
            formulas.normalizers[normalizer],
        )
        self.m, self.scorer, self.window = (
            formulas.weights_of(module) for module in (layer, layer.scorer, layer.window)
        )

    def heads(self, name, x):
        """x (N, M), projected by the layer `name`, for each head: (N, M / heads)."""
        return np.split(linear(self.m, name, x), HEADS, -1)

    def weigh(self, queries, states):
        """Queries (T, Q) of the steps from 0, states (S, M) -> weights (heads, T, S)."""
        T, S = len(queries), len(states)
        parts = zip(self.heads("query", queries), self.heads("key", states), strict=True)
        scores = np.array(
            [[[self.score(self.scorer, q[t], k[s], s) for s in range(S)] for t in range(T)] for q, k in parts]
        )
        gains = np.array(
            [[self.view(self.window, q, t, S, WIDTH, head) for t, q in enumerate(queries)] for head in range(HEADS)]
        )
        return self.normalize(np.where(gains > 0, scores, -np.inf)) * gains

    def mix(self, weights, states):
        """Weights (heads, T, S), states (S, M) -> the concatenated contexts of the heads, projected: (T, M)."""
        contexts = [w @ v for w, v in zip(weights, self.heads("value", states), strict=True)]
        return linear(self.m, "out", np.concatenate(contexts, -1))

    def __call__(self, queries, memory):
        """Queries (B, T, Q) -> weights (B, heads, T, S), zero on padding, and context (B, T, M)."""
        maps, contexts = np.zeros((len(queries), HEADS, queries.size(1), memory.mask.size(1))), []
        for row, (query, states, mask) in enumerate(
            zip(queries.numpy(), memory.states.numpy(), memory.mask.numpy(), strict=True)
        ):
            maps[row][..., mask] = weights = self.weigh(query, states[mask])
            contexts.append(self.mix(weights, states[mask]))
        return torch.from_numpy(maps), torch.from_numpy(np.stack(contexts))


def build_case(model_cases, family, parts, **choices):
    row = dict(zip(("scorer", "window", "normalizer"), parts, strict=True)) | choices
    return model_cases.build(model_cases.config(family, row), torch.float64)


@torch.no_grad()
@pytest.mark.pairs(has_effect, **PARTS)
def test_transformer_heads_equal_the_formulas(
    scorer, window, normalizer, model_cases, formulas, assert_close, monkeypatch
):
    """In the upper layer, from the input of its cross-attention to its output; with weights, and by a fused kernel."""
    parts = (scorer, window, normalizer)
    case = build_case(model_cases, "transformer", parts)
    layer, memory = case.model.decoder.layers[1], case.model.encode(case.source)
    x, cached = torch.randn(*case.target_in.shape, 8, dtype=torch.float64), case.model.decoder.layer_cache(memory, 1)
    step = torch.arange(x.size(1)).expand(x.size(0), -1)
    expected, context = NumpyMultiHead(formulas, parts, layer.cross)(layer.around_cross.norm(x), memory)
    for attention, pays in ((True, True), (False, True), (False, False)):
        monkeypatch.setattr(multihead_module, "fused_attention_pays", lambda keys, pays=pays: pays)
        y, maps = layer.after_self_attention(x, cached, memory.mask, step, attention)
        assert_close(y, x + context + layer.feed(layer.around_feed.norm(x + context)))
        if attention:
            assert_close(maps, expected)
        else:
            assert maps is None


@torch.no_grad()
@pytest.mark.parametrize("scorer", SCORERS)
def test_fused_kernel_runs_where_it_can_and_pays(scorer, monkeypatch):
    """For inner products in a window without gain, under the softmax, unless weights are asked for."""
    calls = []

    def kernel(query, *args, **kwargs):
        calls.append(query.shape)
        return torch.zeros_like(query)

    monkeypatch.setattr(multihead_module, "scaled_dot_product_attention", kernel)
    states, mask = torch.randn(3, 5, 8), torch.ones(3, 5, dtype=torch.bool)
    query, step = torch.randn(3, 2, 8), torch.arange(2).expand(3, 2)
    for window, normalizer in itertools.product(WINDOWS, NORMALIZERS):
        parts = SCORERS[scorer](Sizes(4, 4)), WINDOWS[window](8, WindowConfig(WIDTH), HEADS), NORMALIZERS[normalizer]
        layer = MultiHeadAttention(*parts, query_size=8, memory_size=8, heads=HEADS)
        possible = scorer in PRODUCTS and window != "local_p" and normalizer == "softmax"
        for pays, attention in itertools.product((False, True), repeat=2):
            monkeypatch.setattr(multihead_module, "fused_attention_pays", lambda keys, pays=pays: pays)
            calls.clear()
            layer.attend(query, layer.cache(states), mask, step, attention)
            assert bool(calls) == (possible and pays and not attention), (window, normalizer, pays, attention)


@torch.no_grad()
@pytest.mark.pairs(has_effect, **PARTS)
def test_recurrent_decoder_heads_equal_the_formulas(scorer, window, normalizer, model_cases, formulas, assert_close):
    """Step by step: the query is the new state, and the features are those of Luong et al. 2015, eq. 5."""
    parts = (scorer, window, normalizer)
    case = build_case(model_cases, "rnn", parts, attention_heads=HEADS, layers=(1, 1))
    decoder, memory = case.model.decoder, case.model.encode(case.source)
    state, outputs, queries = case.model.start(memory), [], []
    for token in case.target_in.unbind(1):
        output, state = case.model.step(token, state, memory, attention=True)
        outputs.append(output)
        queries.append(state["hidden0"])
    features, weights, maps = (
        torch.stack([getattr(output, name) for output in outputs], -2) for name in ("features", "weights", "maps")
    )
    expected, context = NumpyMultiHead(formulas, parts, decoder.attention)(torch.stack(queries, 1), memory)
    assert_close(maps[:, 0], expected)
    assert_close(weights, expected.mean(1))
    assert_close(features, torch.tanh(torch.cat((context, torch.stack(queries, 1)), -1) @ decoder.combine.weight.T))
