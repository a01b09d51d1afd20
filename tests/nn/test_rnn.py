"""Do the recurrent encoder and decoder equal torch's own layers and the papers' equations?"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2seq.nn.cells import CELLS
from seq2seq.nn.recurrence import Plain
from seq2seq.nn.rnn import Bridge, RecurrentEncoder, reverse

LENGTHS = torch.tensor([5, 3, 4])
MASK = torch.arange(5) < LENGTHS[:, None]


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [True, False], ids=["both", "forward"])
@pytest.mark.parametrize("cell", CELLS)
def test_the_encoder_is_torchs_packed_layer(cell, bidirectional, layers):
    torch.manual_seed(1)
    encoder = RecurrentEncoder(nn.Embedding(9, 6), CELLS[cell], 8, layers, bidirectional=bidirectional).double()
    directions = 1 + bidirectional
    twin = CELLS[cell].sequence(6, 8 // directions, layers, batch_first=True, bidirectional=bidirectional).double()
    for end, parts in (("", encoder.forwards), ("_reverse", encoder.backwards)):
        for layer, part in enumerate(parts):
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(twin, f"{kind}_l{layer}{end}").data = getattr(part, f"{kind}_l0").data
    source = torch.randint(1, 9, (3, 5)) * MASK
    ours = encoder(source, MASK)
    packed, last = twin(pack_padded_sequence(encoder.embedding(source), LENGTHS, batch_first=True, enforce_sorted=False))
    states, _ = pad_packed_sequence(packed, batch_first=True)
    last = last[0] if isinstance(last, tuple) else last  # (layers * directions, B, size)
    ends = last.unflatten(0, (layers, directions)).permute(2, 0, 1, 3).flatten(2)
    torch.testing.assert_close(ours.states * MASK[..., None], states)
    torch.testing.assert_close(ours.ends, ends)
    torch.testing.assert_close(ours.summary, ends[:, -1])


def test_rows_are_reversed_inside_their_length():
    x = torch.tensor([[1, 2, 3, 4, 5], [1, 2, 3, 8, 9], [1, 2, 3, 4, 9]])[..., None]
    back = reverse(x, MASK).squeeze(-1).tolist()
    assert [row[:n] for row, n in zip(back, LENGTHS.tolist(), strict=True)] == [[5, 4, 3, 2, 1], [3, 2, 1], [4, 3, 2, 1]]
    assert reverse(reverse(x, MASK), MASK).equal(x)


@torch.no_grad()
def test_residual_layers_add_their_input():
    """Wu et al. 2016, eq. 6: from the second layer on, what goes up is x + LSTM(x)."""
    torch.manual_seed(1)
    encoder = RecurrentEncoder(nn.Embedding(9, 6), CELLS["lstm"], 8, 2, bidirectional=False, residual=True)
    source = torch.randint(1, 9, (3, 5))
    first = encoder.forwards[0](encoder.embedding(source))[0]
    torch.testing.assert_close(encoder(source, torch.ones_like(source).bool()).states, first + encoder.forwards[1](first)[0])


@torch.no_grad()
@pytest.mark.parametrize("fed", [0, 3])
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_torchs_cell(name, fed):
    torch.manual_seed(1)
    cell, twin = CELLS[name](4, fed, 5), {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[name](4 + fed, 5)
    after_input = cell.recurrent.weight[:, :fed] if name == "lstm" else cell.feed.weight if fed else cell.input.weight[:, :0]
    twin.weight_ih.copy_(torch.cat((cell.input.weight, after_input), 1))
    twin.weight_hh.copy_(cell.recurrent.weight[:, fed:] if name == "lstm" else cell.recurrent.weight)
    twin.bias_ih.copy_(cell.input.bias)
    twin.bias_hh.zero_() if name == "lstm" else twin.bias_hh.copy_(cell.recurrent.bias)
    given, more = torch.randn(2, 4), torch.randn(2, fed)
    state = {part: torch.randn(2, 5) for part in cell.parts}
    after = cell(cell.project(given), more if fed else None, state, Plain())
    hidden = twin(torch.cat((given, more), 1), tuple(state.values()) if name == "lstm" else state["hidden"])
    for ours, theirs in zip(after.values(), hidden if name == "lstm" else (hidden,), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert list(after) == list(cell.parts) == list(cell.start(state["hidden"]))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Twin:
    """A recurrent decoder with LSTM layers and the general score, for one sentence, from the papers' equations."""

    def __init__(self, decoder, memory, row):
        self.weights = {name: weight.detach().numpy() for name, weight in decoder.named_parameters()}
        self.states = memory.states[row, : int(memory.mask[row].sum())].numpy()
        first = self.weights["bridge.project.weight"] @ memory.summary[row].numpy() + self.weights["bridge.project.bias"]
        self.hidden = np.split(np.tanh(first), len(decoder.cells))
        self.cell, self.feed = [np.zeros_like(h) for h in self.hidden], np.zeros(self.weights["combine.weight"].shape[0])

    def lstm(self, layer, given, fed):
        """The gates of an LSTM (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""
        into, bias, back = (self.weights[f"cells.{layer}.{name}"] for name in ("input.weight", "input.bias", "recurrent.weight"))
        i, f, g, o = np.split(into @ given + bias + back @ np.concatenate((fed, self.hidden[layer])), 4)
        self.cell[layer] = sigmoid(f) * self.cell[layer] + sigmoid(i) * np.tanh(g)
        self.hidden[layer] = sigmoid(o) * np.tanh(self.cell[layer])

    def recur(self, token, fed, residual):
        """All layers: -> the output of the top one; Wu et al. 2016, eq. 6 from the second on."""
        self.lstm(0, self.weights["embedding.weight"][token], fed)
        top = self.hidden[0]
        for layer in range(1, len(self.hidden)):
            self.lstm(layer, top, self.feed[:0])
            top = self.hidden[layer] + (top if residual else 0)
        return top

    def attend(self, query):
        """Luong et al. 2015, eq. 7-8, general."""
        scores = np.array([query @ self.weights["attention.scorer.keys.weight"] @ h for h in self.states])
        return np.exp(scores) / np.exp(scores).sum() @ self.states

    def step(self, token, order, feeding, residual):
        if order == "bahdanau":  # Bahdanau et al. 2015, eq. 4-6: c_t from s_{t-1}, then s_t
            context = self.attend(self.hidden[-1])
            top = self.recur(token, context, residual)
        else:  # Luong et al. 2015, section 3: h_t, then c_t; section 3.3 feeds the attentional state
            top = self.recur(token, self.feed if feeding else self.feed[:0], residual)
            context = self.attend(top)
        self.feed = np.tanh(self.weights["combine.weight"] @ np.concatenate((context, top)))  # eq. 5
        return self.feed


@torch.no_grad()
@pytest.mark.parametrize(("layers", "residual"), [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize(("order", "feeding"), [("luong", True), ("luong", False), ("bahdanau", True)])
def test_a_decoder_follows_its_papers_equations(order, feeding, layers, residual, design):
    row = {"order": order, "input_feeding": feeding, "layers": (1, layers), "residual": residual}
    case = design.problem(design.settings("rnn", row), torch.float64)
    memory = case.model.encode(case.source)
    output = case.model.decode(case.target_in, memory)
    for number in range(3):
        twin = Twin(case.model.decoder, memory, number)
        for t, token in enumerate(case.target_in[number].tolist()):
            np.testing.assert_allclose(output.features[number, t].numpy(), twin.step(token, order, feeding, residual), atol=1e-10)


@torch.no_grad()
def test_bridges(design):
    case = design.problem(design.settings("rnn", {"layers": (2, 2), "bridge": "copy"}), torch.float64)
    memory = case.model.encode(case.source)
    ends = case.model.encoder(case.source, memory.mask).ends
    for layer, hidden in enumerate(case.model.decoder.bridge(memory)):
        torch.testing.assert_close(hidden, ends[:, layer])
    dense = Bridge("dense", 8, 5, 2).double()
    wanted = torch.tanh(memory.summary @ dense.project.weight.T + dense.project.bias)
    torch.testing.assert_close(torch.cat(dense(memory), -1), wanted)
    zero = Bridge("zero", 8, 5, 2)(memory)
    assert [hidden.shape for hidden in zero] == [(3, 5)] * 2
    assert not any(hidden.any() for hidden in zero)


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
@pytest.mark.parametrize(("order", "feeding"), [("luong", True), ("luong", False), ("bahdanau", True)])
def test_dropout_masks_are_drawn_beforehand_and_multiply_each_step(order, feeding, design, monkeypatch):
    """With the masks fixed, `decode` is a loop over steps in which each upper layer's input and the features are masked."""
    row = {"order": order, "input_feeding": feeding, "layers": (1, 3)}
    decoder = (case := design.problem(design.settings("rnn", row, dropout=0.5), torch.float64)).model.decoder
    memory, steps = case.model.encode(case.source), case.target_in.size(1)
    drawn = torch.rand(steps, 3, 3, 8).double().round() * 2
    decoder.train()
    decoder.dropout.p = 0.0  # of the embeddings: drawn elsewhere
    monkeypatch.setattr(decoder, "draw_masks", lambda *_: drawn.unbind(0))
    whole = decoder.decode(case.target_in, memory).features
    state = decoder.start(memory)
    for t in range(steps):
        hooks = [hook for layer in (1, 2) for hook in masked_below(decoder.cells[layer - 1], decoder.cells[layer], drawn[t, layer - 1])]
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
    assert decoder.draw_masks(3, 2, torch.zeros(1)) == [None, None]
    decoder.train()
    masks = torch.stack(list(decoder.draw_masks(500, 20, torch.zeros(1))))
    assert masks.shape == (20, 2, 500, 8)
    assert set(masks.unique().tolist()) == {0.0, 1 / 0.75} or torch.allclose(masks.unique(), torch.tensor([0.0, 1 / 0.75]))
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
