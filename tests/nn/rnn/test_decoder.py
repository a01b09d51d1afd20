"""The recurrent decoders equal the papers' equations."""

import numpy as np
import pytest
import torch

from seq2seq.errors import ConfigError
from seq2seq.nn.ops import lstm as lstm_module
from seq2seq.nn.ops import scan as scan_module
from seq2seq.nn.rnn.cells import CELLS
from seq2seq.nn.rnn.decoder import READOUTS, StepInput


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ORDERS = ("luong", "plain", "context", "bahdanau", "previous", "gnmt", "gnmt_v2")


class NumpyDecoder:
    """A recurrent decoder with LSTM layers and the general score, for one sentence, from the papers' equations."""

    def __init__(self, decoder, memory, row):
        self.weights = {name: weight.detach().numpy() for name, weight in decoder.named_parameters()}
        self.states = memory.states[row, : int(memory.mask[row].sum())].numpy()
        first = (
            self.weights["bridge.project.weight"] @ memory.summary[row].numpy() + self.weights["bridge.project.bias"]
        )
        self.hidden = np.split(np.tanh(first), len(decoder.cells))
        self.cell, self.feed = [np.zeros_like(h) for h in self.hidden], np.zeros(8)

    def lstm(self, layer, x, fed):
        """The next state of an LSTM (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""
        names = "input.weight", "input.bias", "recurrent.weight"
        weight, bias, recurrent = (self.weights[f"cells.{layer}.{name}"] for name in names)
        i, f, g, o = np.split(weight @ x + bias + recurrent @ np.concatenate((fed, self.hidden[layer])), 4)
        self.cell[layer] = sigmoid(f) * self.cell[layer] + sigmoid(i) * np.tanh(g)
        self.hidden[layer] = sigmoid(o) * np.tanh(self.cell[layer])

    def first_cell(self, token, fed):
        self.lstm(0, self.weights["embedding.weight"][token], fed)
        return self.hidden[0]

    def upper_cells(self, top, residual, context=()):
        """The output of the top layer; residual from the second layer on  (Wu et al. 2016, eq. 6)."""
        for layer in range(1, len(self.hidden)):
            self.lstm(layer, np.concatenate((top, context)), self.feed[:0])
            top = self.hidden[layer] + (top if residual else 0)
        return top

    def read_out(self, token, context, top, readout):
        y, weight = self.weights["embedding.weight"][token], self.weights.get("combine.weight")
        if readout == "maxout":  # Bahdanau et al. 2015, section A.2.2
            return (weight @ np.concatenate((context, top, y)) + self.weights["combine.bias"]).reshape(-1, 2).max(1)
        if readout == "linear":  # See et al. 2017, eq. 4
            return weight @ np.concatenate((context, top)) + self.weights["combine.bias"]
        if readout == "tanh":  # Luong et al. 2015, eq. 5
            return np.tanh(weight @ np.concatenate((context, top)))
        return top

    def attend(self, query):
        """Luong et al. 2015, eq. 7-8, general."""
        scores = np.array([query @ self.weights["attention.scorer.keys.weight"] @ h for h in self.states])
        return np.exp(scores) / np.exp(scores).sum() @ self.states

    def step(self, token, order, readout, residual):
        if order in ("bahdanau", "previous"):  # Bahdanau et al. 2015, eq. 4-6: c_t from s_{t-1}, then s_t
            previous = self.hidden[-1]
            context = self.attend(previous)
            top = self.upper_cells(self.first_cell(token, context), residual)
            top = previous if order == "previous" else top
        elif order == "gnmt":  # Wu et al. 2016, section 3: the same with the first layer's, and c_t enters all layers
            context = self.attend(self.hidden[0])
            top = self.upper_cells(self.first_cell(token, context), residual, context)
        elif order == "gnmt_v2":  # c_t from the first layer's new state
            first = self.first_cell(token, self.feed)
            context = self.attend(first)
            top = self.upper_cells(first, residual, context)
        else:  # Luong et al. 2015, section 3: h_t, then c_t; section 3.3 feeds the attentional state
            top = self.upper_cells(self.first_cell(token, self.feed[:0] if order == "plain" else self.feed), residual)
            context = self.attend(top)
        features = self.read_out(token, context, top, readout)
        self.feed = context if order in ("context", "gnmt_v2") else features
        return features


@torch.no_grad()
@pytest.mark.pairs(order=ORDERS, readout=READOUTS, layers=(1, 3), residual=(False, True))
def test_decoder_equals_its_papers_equations(order, readout, layers, residual, model_cases):
    residual = residual and layers > 1
    row = {"order": order, "readout": readout, "layers": (1, layers), "residual": residual}
    if order in ("previous", "luong", "plain") and readout == "state":
        with pytest.raises(ConfigError, match=r"model\.readout"):
            model_cases.config("rnn", row)
        return
    case = model_cases.build(model_cases.config("rnn", row), torch.float64)
    memory = case.model.encode(case.source)
    output = case.model.decode(case.target_in, memory)
    for number in range(3):
        twin = NumpyDecoder(case.model.decoder, memory, number)
        for t, token in enumerate(case.target_in[number].tolist()):
            np.testing.assert_allclose(
                output.features[number, t].numpy(), twin.step(token, order, readout, residual), atol=1e-10
            )


@torch.no_grad()
@pytest.mark.parametrize("order", ["bahdanau", "previous"])
def test_pointer_gate_reads_the_new_state_whichever_the_readout_reads(order, model_cases):
    """See et al. 2017, eq. 8: s_t."""
    case = model_cases.build(
        model_cases.config("rnn", {"order": order, "head": "pointer", "layers": (1, 1)}), torch.float64
    )
    memory = case.model.encode(case.source, case.copy)
    state, token = case.model.start(memory), case.target_in[:, 0]
    output, new_state = case.model.step(token, state, memory)
    sizes = memory.states.size(-1), new_state["hidden0"].size(-1), 6
    context, top, embedded = output.parts.split(sizes, -1)
    torch.testing.assert_close(embedded, case.model.decoder.embedding(token))
    torch.testing.assert_close(top, new_state["hidden0"])
    torch.testing.assert_close(context, (output.weights.unsqueeze(1) @ memory.states).squeeze(1))


@torch.no_grad()
def test_coverage_is_the_sum_of_earlier_weights(model_cases):
    case = model_cases.build(model_cases.config("rnn", {"scorer": "additive", "coverage": True}), torch.float64)
    memory, total = case.model.encode(case.source), 0.0
    state = case.model.start(memory)
    for token in case.target_in.unbind(1):
        output, state = case.model.step(token, state, memory)
        total = total + output.weights
        torch.testing.assert_close(state["covered"], total)


@torch.no_grad()
@pytest.mark.parametrize("order", ["luong", "plain", "bahdanau"])
def test_dropout_factors_apply_to_upper_inputs_and_features(order, model_cases, monkeypatch):
    """With given factors, `decode` equals steps in which each upper cell's input and the features are multiplied."""
    case = model_cases.build(model_cases.config("rnn", {"order": order, "layers": (1, 3)}, dropout=0.5), torch.float64)
    decoder, memory = case.model.decoder, case.model.encode(case.source)
    factors = torch.rand(case.target_in.size(1), 3, 3, 8).double().round() * 2  # (T, layers, B, H)
    decoder.train()
    decoder.dropout.p = 0.0  # that of the embeddings, which is drawn elsewhere
    inputs = decoder.inputs
    with monkeypatch.context() as patch:
        patch.setattr(decoder, "inputs", lambda token: inputs(token)._replace(dropout=factors))
        whole = decoder.decode(case.target_in, memory).features
    state = decoder.start(memory)
    for t, token in enumerate(case.target_in.unbind(1)):
        hooks = [
            hook
            for layer in (1, 2)
            for hook in multiply_between(decoder.cells[layer - 1], decoder.cells[layer], factors[t, layer - 1])
        ]
        output, state = decoder.step(token, state, memory)
        for hook in hooks:
            hook.remove()
        features = output.features * factors[t, -1]
        torch.testing.assert_close(whole[:, t], features)
        if "feed" in state:
            state["feed"] = features


def multiply_between(lower, upper, factors):
    """Hooks by which the cell `upper` reads the hidden state of `lower` times the factors."""
    hidden = []
    yield lower.register_forward_hook(lambda cell, args, state: hidden.append(state["hidden"]))
    yield upper.register_forward_pre_hook(lambda cell, args: (cell.project(hidden[-1] * factors), *args[1:]))


def test_dropout_factors_have_mean_one_and_exist_in_training_only(model_cases):
    case = model_cases.build(model_cases.config("rnn", {"layers": (1, 2)}, dropout=0.25), torch.float32)
    decoder = case.model.decoder
    assert decoder.inputs(torch.zeros(2, 3, dtype=torch.long)).dropout is None
    decoder.train()
    factors = decoder.inputs(torch.zeros(20, 500, dtype=torch.long)).dropout
    assert factors.shape == (20, 2, 500, 8)
    torch.testing.assert_close(factors.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert factors.mean().item() == pytest.approx(1, abs=0.02)
    torch.manual_seed(1)
    first, second = (case.model(case.source, case.target_in).features for _ in range(2))
    assert not first.equal(second)


def test_dropout_is_not_applied_to_the_residual_path(model_cases):
    """With zero weights in the upper cells, and all of their input dropped, the output is that of the first cell."""
    row = {"layers": (1, 6), "residual": True}
    decoder = model_cases.build(model_cases.config("rnn", row, dropout=0.5), torch.float32).model.decoder
    with torch.no_grad():
        for cell in decoder.cells[1:]:
            for weight in cell.parameters():
                weight.zero_()
    first = {"hidden": torch.rand(3, 8), "cell": torch.rand(3, 8)}
    state = {f"{name}{layer}": torch.zeros(3, 8) for name in first for layer in range(6)}
    inputs = StepInput(torch.zeros(3, 32), torch.zeros(3, 8), torch.zeros(6, 3, 8))
    top, _ = decoder.upper_cells(inputs, first, state)
    assert top.equal(first["hidden"])


@pytest.mark.cases(families=["rnn"])
def test_gradients_equal_those_of_torchs_operations(case, monkeypatch):
    """For every cell, order, number of layers, score and window: without `scan`'s deferred products and fused gates."""
    gradients = []
    for wanted in (scan_module.gradients_wanted, lambda: False):
        for module in (scan_module, lstm_module):
            monkeypatch.setattr(module, "gradients_wanted", wanted)
        output = case.model(case.source, case.target_in, case.copy)
        parameters = dict(case.model.named_parameters())
        found = torch.autograd.grad(output.features.square().sum(), list(parameters.values()), allow_unused=True)
        gradients.append(
            {name: gradient for name, gradient in zip(parameters, found, strict=True) if gradient is not None}
        )
    ours, expected = gradients
    assert ours.keys() == expected.keys()
    largest = max(gradient.norm() for gradient in expected.values())
    for name, gradient in ours.items():
        assert (gradient - expected[name]).norm() < 1e-5 * largest, name


def test_every_order_is_tested(model_cases):
    assert set(model_cases.choices["rnn"]["order"]) == set(ORDERS)


@torch.no_grad()
@pytest.mark.parametrize("cell", CELLS)
def test_decode_equals_step_under_autocast(cell, model_cases):
    case = model_cases.build(
        model_cases.config("rnn", {"cell": cell, "scorer": "additive", "coverage": True}), torch.float32
    )
    with torch.autocast("cpu", torch.bfloat16):
        memory = case.model.encode(case.source)
        whole, state = case.model.decode(case.target_in, memory), case.model.start(memory)
        for t, token in enumerate(case.target_in.unbind(1)):
            output, state = case.model.step(token, state, memory)
            torch.testing.assert_close(output.features.float(), whole.features[:, t].float(), atol=0.05, rtol=0.05)
    assert whole.weights.dtype == state["covered"].dtype == torch.float32
