"""Do the recurrent decoders equal the papers' equations?"""

import numpy as np
import pytest
import torch

from seq2seq.errors import ConfigError
from seq2seq.nn.rnn.cells import CELLS
from seq2seq.nn.rnn.decoder import READOUTS


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Twin:
    """A recurrent decoder with LSTM layers and the general score, for one sentence, from the papers' equations."""

    def __init__(self, decoder, memory, row):
        self.weights = {name: weight.detach().numpy() for name, weight in decoder.named_parameters()}
        self.states = memory.states[row, : int(memory.mask[row].sum())].numpy()
        first = (
            self.weights["bridge.project.weight"] @ memory.summary[row].numpy() + self.weights["bridge.project.bias"]
        )
        self.hidden = np.split(np.tanh(first), len(decoder.cells))
        self.cell, self.feed = [np.zeros_like(h) for h in self.hidden], np.zeros(8)

    def lstm(self, layer, given, fed):
        """The gates of an LSTM (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""
        into, bias, back = (
            self.weights[f"cells.{layer}.{name}"] for name in ("input.weight", "input.bias", "recurrent.weight")
        )
        i, f, g, o = np.split(into @ given + bias + back @ np.concatenate((fed, self.hidden[layer])), 4)
        self.cell[layer] = sigmoid(f) * self.cell[layer] + sigmoid(i) * np.tanh(g)
        self.hidden[layer] = sigmoid(o) * np.tanh(self.cell[layer])

    def first(self, token, fed):
        self.lstm(0, self.weights["embedding.weight"][token], fed)
        return self.hidden[0]

    def above(self, top, residual, beside=()):
        """The other layers: -> the output of the top one; Wu et al. 2016, eq. 6 from the second on."""
        for layer in range(1, len(self.hidden)):
            self.lstm(layer, np.concatenate((top, beside)), self.feed[:0])
            top = self.hidden[layer] + (top if residual else 0)
        return top

    def read(self, token, context, top, readout):
        y, weight = self.weights["embedding.weight"][token], self.weights.get("combine.weight")
        if readout == "maxout":  # Bahdanau et al. 2015, section A.2.2
            return (weight @ np.concatenate((context, top, y)) + self.weights["combine.bias"]).reshape(-1, 2).max(1)
        if readout == "linear":  # See et al. 2017, eq. 4
            return weight @ np.concatenate((context, top)) + self.weights["combine.bias"]
        return (
            top if readout == "state" else np.tanh(weight @ np.concatenate((context, top)))
        )  # Luong et al. 2015, eq. 5

    def attend(self, query):
        """Luong et al. 2015, eq. 7-8, general."""
        scores = np.array([query @ self.weights["attention.scorer.keys.weight"] @ h for h in self.states])
        return np.exp(scores) / np.exp(scores).sum() @ self.states

    def step(self, token, order, readout, residual):
        if order in ("bahdanau", "previous"):  # Bahdanau et al. 2015, eq. 4-6: c_t from s_{t-1}, then s_t
            before = self.hidden[-1]
            context = self.attend(before)
            top = self.above(self.first(token, context), residual)
            top = before if order == "previous" else top
        elif order == "gnmt":  # Wu et al. 2016, section 3: the same with the first layer's, and c_t enters all layers
            context = self.attend(self.hidden[0])
            top = self.above(self.first(token, context), residual, context)
        elif order == "gnmt_v2":  # c_t from the first layer's new state
            first = self.first(token, self.feed)
            context = self.attend(first)
            top = self.above(first, residual, context)
        else:  # Luong et al. 2015, section 3: h_t, then c_t; section 3.3 feeds the attentional state
            top = self.above(self.first(token, self.feed[:0] if order == "plain" else self.feed), residual)
            context = self.attend(top)
        features = self.read(token, context, top, readout)
        self.feed = context if order in ("context", "gnmt_v2") else features
        return features


@torch.no_grad()
@pytest.mark.parametrize(("layers", "residual"), [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("order", ["luong", "plain", "context", "bahdanau", "previous", "gnmt", "gnmt_v2"])
def test_a_decoder_follows_its_papers_equations(order, readout, layers, residual, design):
    row = {"order": order, "readout": readout, "layers": (1, layers), "residual": residual}
    if order in ("previous", "luong", "plain") and readout == "state":
        with pytest.raises(ConfigError, match=r"model\.readout"):
            design.settings("rnn", row)
        return
    assert set(design.choices["rnn"]["order"]) == {
        "luong",
        "plain",
        "context",
        "bahdanau",
        "previous",
        "gnmt",
        "gnmt_v2",
    }
    case = design.problem(design.settings("rnn", row), torch.float64)
    memory = case.model.encode(case.source)
    output = case.model.decode(case.target_in, memory)
    for number in range(3):
        twin = Twin(case.model.decoder, memory, number)
        for t, token in enumerate(case.target_in[number].tolist()):
            np.testing.assert_allclose(
                output.features[number, t].numpy(), twin.step(token, order, readout, residual), atol=1e-10
            )


@torch.no_grad()
@pytest.mark.parametrize("order", ["bahdanau", "previous"])
def test_a_pointers_gate_sees_the_new_state_whatever_the_readout_sees(order, design):
    """See et al. 2017, eq. 8: s_t."""
    case = design.problem(design.settings("rnn", {"order": order, "head": "pointer", "layers": (1, 1)}), torch.float64)
    memory = case.model.encode(case.source, case.copy)
    state, token = case.model.start(memory), case.target_in[:, 0]
    output, after = case.model.step(token, state, memory)
    context, top = output.parts.split((memory.states.size(-1), after["hidden0"].size(-1), 6), -1)[:2]
    torch.testing.assert_close(top, after["hidden0"])
    torch.testing.assert_close(context, (output.weights.unsqueeze(1) @ memory.states).squeeze(1))


@torch.no_grad()
def test_coverage_is_the_sum_of_the_weights_before(design):
    case = design.problem(design.settings("rnn", {"scorer": "additive", "coverage": True}), torch.float64)
    memory, total = case.model.encode(case.source), 0.0
    state = case.model.start(memory)
    for token in case.target_in.unbind(1):
        output, state = case.model.step(token, state, memory)
        total = total + output.weights
        torch.testing.assert_close(state["covered"], total)


@torch.no_grad()
@pytest.mark.parametrize("order", ["luong", "plain", "bahdanau"])
def test_dropout_masks_are_drawn_beforehand_and_multiply_each_step(order, design, monkeypatch):
    """With the masks fixed, `decode` is a loop over steps in which each upper layer's input and the features are masked."""
    row = {"order": order, "layers": (1, 3)}
    decoder = (case := design.problem(design.settings("rnn", row, dropout=0.5), torch.float64)).model.decoder
    memory, steps = case.model.encode(case.source), case.target_in.size(1)
    drawn = torch.rand(steps, 3, 3, 8).double().round() * 2
    decoder.train()
    decoder.dropout.p = 0.0  # of the embeddings: drawn elsewhere
    inputs = decoder.inputs
    with monkeypatch.context() as patch:
        patch.setattr(decoder, "inputs", lambda token: inputs(token)._replace(dropout=drawn))
        whole = decoder.decode(case.target_in, memory).features
    state = decoder.start(memory)
    for t in range(steps):
        hooks = [
            hook
            for layer in (1, 2)
            for hook in masked_below(decoder.cells[layer - 1], decoder.cells[layer], drawn[t, layer - 1])
        ]
        output, after = decoder.step(case.target_in[:, t], state, memory)
        for hook in hooks:
            hook.remove()
        features = output.features * drawn[t, -1]
        torch.testing.assert_close(whole[:, t], features)
        state = after | ({"feed": features} if "feed" in after else {})


def masked_below(lower, upper, mask):
    """Let `upper` read the masked output of `lower` in place of the whole one."""
    seen = []
    yield lower.register_forward_hook(lambda cell, given, new: seen.append(new["hidden"]))
    yield upper.register_forward_pre_hook(lambda cell, given: (cell.project(seen[-1] * mask), *given[1:]))


def test_masks_of_dropout_keep_the_mean_and_are_there_in_training_only(design):
    case = design.problem(design.settings("rnn", {"layers": (1, 2)}, dropout=0.25), torch.float32)
    decoder = case.model.decoder
    assert decoder.inputs(torch.zeros(2, 3, dtype=torch.long)).dropout is None
    decoder.train()
    masks = decoder.inputs(torch.zeros(20, 500, dtype=torch.long)).dropout
    assert masks.shape == (20, 2, 500, 8)
    assert set(masks.unique().tolist()) == {0.0, 1 / 0.75} or torch.allclose(
        masks.unique(), torch.tensor([0.0, 1 / 0.75])
    )
    assert masks.mean().item() == pytest.approx(1, abs=0.02)
    torch.manual_seed(1)
    first, second = (case.model(case.source, case.target_in).features for _ in range(2))
    assert not first.equal(second)


@torch.no_grad()
@pytest.mark.parametrize("cell", CELLS)
def test_steps_work_in_half_precision(cell, design):
    case = design.problem(design.settings("rnn", {"cell": cell, "scorer": "additive", "coverage": True}), torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        memory = case.model.encode(case.source)
        whole, state = case.model.decode(case.target_in, memory), case.model.start(memory)
        for t, token in enumerate(case.target_in.unbind(1)):
            output, state = case.model.step(token, state, memory)
            torch.testing.assert_close(output.features.float(), whole.features[:, t].float(), atol=0.05, rtol=0.05)
    assert whole.weights.dtype == state["covered"].dtype == torch.float32
