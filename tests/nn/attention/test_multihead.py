"""Is each of several heads the papers' attention of its part of query, keys and values? A twin in NumPy, from their formulas."""

import itertools

import numpy as np
import pytest
import torch

from seq2seq.nn.attention.normalizers import NORMALIZERS
from seq2seq.nn.attention.scorers import SCORERS
from seq2seq.nn.attention.windows import WINDOWS

HEADS, WIDTH = 2, 1
COMBINED = [  # those that can be: where there is one position, or all are alike, nothing else has an effect
    (scorer, window, normalizer)
    for scorer, window, normalizer in itertools.product(SCORERS, WINDOWS, NORMALIZERS)
    if (SCORERS[scorer].reads or normalizer == "softmax") and not (SCORERS[scorer].reads and WINDOWS[window].single)
]


def linear(m, name, x):
    """x W^T + b, or x where there is no such layer."""
    return x @ m[f"{name}.weight"].T + m.get(f"{name}.bias", 0) if f"{name}.weight" in m else x


class Twin:
    """Several heads for one sentence: head i is the attention of Q W_i, K W_i and V W_i (Vaswani et al. 2017, section 3.2.2), with the
    score, window and normaliser of the papers that first had them; windows read the whole query."""

    def __init__(self, papers, parts, layer):
        scorer, window, normalizer = parts
        self.score, self.view, self.normalize = papers.scores[scorer], papers.views[window], papers.weights[normalizer]
        self.m, self.scorer, self.window = (papers.of(module) for module in (layer, layer.scorer, layer.window))

    def heads(self, name, x):
        return np.split(linear(self.m, name, x), HEADS, -1)

    def weigh(self, queries, states):
        """Queries (T, Q) of the steps from 0, states (S, M) -> weights (heads, T, S)."""
        parts, (T, S) = (
            zip(self.heads("query", queries), self.heads("key", states), strict=True),
            (len(queries), len(states)),
        )
        gains = np.array(
            [[self.view(self.window, q, t, S, WIDTH, head) for t, q in enumerate(queries)] for head in range(HEADS)]
        )
        scores = np.array(
            [[[self.score(self.scorer, q[t], k[s], s) for s in range(S)] for t in range(T)] for q, k in parts]
        )
        return self.normalize(np.where(gains > 0, scores, -np.inf)) * gains

    def mix(self, weights, states):
        """-> (T, M): what the heads read side by side, projected."""
        return linear(
            self.m,
            "out",
            np.concatenate([w @ v for w, v in zip(weights, self.heads("value", states), strict=True)], -1),
        )

    def __call__(self, queries, memory):
        """Queries (B, T, Q) -> weights (B, heads, T, S), zero on padding, and what is read (B, T, M)."""
        maps, read = np.zeros((len(queries), HEADS, queries.size(1), memory.mask.size(1))), []
        for row, (query, states, mask) in enumerate(
            zip(queries.numpy(), memory.states.numpy(), memory.mask.numpy(), strict=True)
        ):
            maps[row][..., mask] = weights = self.weigh(query, states[mask])
            read.append(self.mix(weights, states[mask]))
        return torch.from_numpy(maps), torch.from_numpy(np.stack(read))


def settled(design, family, parts, **more):
    row = dict(zip(("scorer", "window", "normalizer"), parts, strict=True)) | more
    return design.problem(design.settings(family, row), torch.float64)


@torch.no_grad()
@pytest.mark.parametrize("parts", COMBINED, ids="-".join)
def test_the_heads_of_a_transformer_are_the_papers(parts, design, papers, close):
    """In the upper layer, from what comes to its attention to what leaves the layer; whether or not somebody asks for weights."""
    case = settled(design, "transformer", parts)
    layer, memory = case.model.decoder.layers[1], case.model.encode(case.source)
    x, cached = torch.randn(*case.target_in.shape, 8, dtype=torch.float64), case.model.decoder.cached(memory, 1)
    expected, read = Twin(papers, parts, layer.cross)(layer.around_cross.norm(x), memory)
    for asked in (True, False):
        y, maps = layer.after_self_attention(
            x, cached, memory.mask, torch.arange(x.size(1)).expand(x.size(0), -1), asked
        )
        close(y, x + read + layer.feed(layer.around_feed.norm(x + read)))
        if asked:
            close(maps, expected)


@torch.no_grad()
@pytest.mark.parametrize("parts", COMBINED, ids="-".join)
def test_the_heads_of_a_recurrent_decoder_are_the_papers(parts, design, papers, close):
    """Step by step: the query is the state after the step, and the features are Luong et al. 2015, eq. 5."""
    case = settled(design, "rnn", parts, attention_heads=HEADS, layers=(1, 1))
    decoder, memory = case.model.decoder, case.model.encode(case.source)
    state, outputs, queries = case.model.start(memory), [], []
    for token in case.target_in.unbind(1):
        output, state = case.model.step(token, state, memory, attention=True)
        outputs.append(output)
        queries.append(state["hidden0"])
    features, weights, maps = (
        torch.stack([getattr(output, name) for output in outputs], -2) for name in ("features", "weights", "maps")
    )
    expected, read = Twin(papers, parts, decoder.attention)(torch.stack(queries, 1), memory)
    close(maps[:, 0], expected)
    close(weights, expected.mean(1))
    close(features, torch.tanh(torch.cat((read, torch.stack(queries, 1)), -1) @ decoder.combine.weight.T))
