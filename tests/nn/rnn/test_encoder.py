"""The recurrent encoder equals torch's own layers, and each bridge its formula."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2seq.nn.ops.reverse import reverse
from seq2seq.nn.rnn.cells import CELLS
from seq2seq.nn.rnn.encoder import BRIDGES, CellLayer, RecurrentEncoder

LENGTHS = torch.tensor([5, 3, 4])
MASK = torch.arange(5) < LENGTHS[:, None]
TORCH_CELLS = [name for name, cell in CELLS.items() if cell.sequence]


def build_encoder(cell, layers, **options):
    torch.manual_seed(1)
    return RecurrentEncoder(nn.Embedding(9, 6), CELLS[cell], 8, layers, **options).double()


def run_packed(layer, x):
    """The states (B, S, M) of a torch layer, and its final hidden and cell states (layers * directions, B, size)."""
    states, last = layer(pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(states, batch_first=True)[0], *(last if isinstance(last, tuple) else (last,))


def concatenate_directions(last, layers, directions):
    """(layers * directions, B, size) -> (B, layers, directions * size)."""
    return last.unflatten(0, (layers, directions)).permute(2, 0, 1, 3).flatten(2)


DIRECTIONS = pytest.mark.parametrize("directions", [2, 1], ids=["bidirectional", "forward"])


@pytest.mark.parametrize("layers", [1, 2, 3])
@DIRECTIONS
@pytest.mark.parametrize("cell", TORCH_CELLS)
def test_encoder_equals_torchs_layer_over_packed_sequences(cell, directions, layers):
    ours = build_encoder(cell, layers, bidirectional_layers=layers if directions == 2 else 0)
    twin = CELLS[cell].sequence(6, 8 // directions, layers, batch_first=True, bidirectional=directions == 2).double()
    for suffix, modules in (("", ours.forwards), ("_reverse", ours.backwards)):
        for number, layer in enumerate(modules):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(twin, f"{name}_l{number}{suffix}").data = getattr(layer, f"{name}_l0").data
    source = torch.randint(1, 9, (3, 5)) * MASK
    encoded, (states, last, *_) = ours(source, MASK), run_packed(twin, ours.embedding(source))
    ends = concatenate_directions(last, layers, directions)
    torch.testing.assert_close(encoded.states * MASK[..., None], states)
    torch.testing.assert_close(encoded.ends, ends)
    torch.testing.assert_close(encoded.summary, ends[:, -1])
    assert encoded.cells is None


@DIRECTIONS
def test_encoder_that_keeps_its_state_equals_torchs_layer(directions):
    """Step by step, which the cell states are needed for."""
    ours = build_encoder("lstm", 2, bidirectional_layers=2 if directions == 2 else 0, keep_state=True)
    twin = nn.LSTM(6, 8 // directions, 2, batch_first=True, bidirectional=directions == 2).double()
    for suffix, modules in (("", ours.forwards), ("_reverse", ours.backwards)):
        for number, layer in enumerate(modules):
            assert isinstance(layer, CellLayer)
            weights = {
                "weight_ih": layer.cell.input.weight,
                "weight_hh": layer.cell.recurrent.weight,
                "bias_ih": layer.cell.input.bias,
            }
            for name, weight in weights.items():
                getattr(twin, f"{name}_l{number}{suffix}").data = weight.data
            getattr(twin, f"bias_hh_l{number}{suffix}").data.zero_()
    source = torch.randint(1, 9, (3, 5)) * MASK
    encoded, (states, last, cells) = ours(source, MASK), run_packed(twin, ours.embedding(source))
    torch.testing.assert_close(encoded.states * MASK[..., None], states)
    torch.testing.assert_close(encoded.ends, concatenate_directions(last, 2, directions))
    torch.testing.assert_close(encoded.cells, concatenate_directions(cells, 2, directions))


@torch.no_grad()
@pytest.mark.parametrize("cell", CELLS)
def test_reversed_source_has_the_states_of_the_reversed_tokens(cell):
    source = torch.randint(1, 9, (3, 5)) * MASK
    expected = build_encoder(cell, 2)(reverse(source, MASK), MASK)
    found = build_encoder(cell, 2, reverse_source=True)(source, MASK)
    torch.testing.assert_close(found.states, reverse(expected.states, MASK))
    torch.testing.assert_close(found.ends, expected.ends)


@torch.no_grad()
def test_first_layer_alone_can_be_bidirectional():
    """Wu et al. 2016, section 3.2."""
    ours = build_encoder("lstm", 3, bidirectional_layers=1)
    assert [len(ours.forwards), len(ours.backwards)] == [3, 1]
    source = torch.randint(1, 9, (3, 5))
    x = ours.embedding(source)
    first = torch.cat((ours.forwards[0](x)[0], ours.backwards[0](x.flip(1))[0].flip(1)), -1)
    torch.testing.assert_close(
        ours(source, torch.ones(3, 5).bool()).states, ours.forwards[2](ours.forwards[1](first)[0])[0]
    )


@torch.no_grad()
@pytest.mark.parametrize("first", [2, 3])
def test_residual_layers_add_their_input(first):
    """Wu et al. 2016, eq. 6: from the layer `first` on, the output is x + LSTM(x)."""
    ours = build_encoder("lstm", 3, residual=first)
    source = torch.randint(1, 9, (3, 5))
    x = ours.forwards[0](ours.embedding(source))[0]
    for number, layer in enumerate(ours.forwards[1:], 2):
        x = layer(x)[0] + (x if number >= first else 0)
    torch.testing.assert_close(ours(source, torch.ones_like(source).bool()).states, x)


def test_dropout_is_not_applied_to_the_residual_path():
    """With zero weights in the upper layers, the output is that of the lowest one, without dropout."""
    encoder = RecurrentEncoder(nn.Embedding(9, 6), CELLS["lstm"], 8, 6, dropout=0.5, residual=2)
    with torch.no_grad():
        for layer in encoder.forwards[1:]:
            for weight in layer.parameters():
                weight.zero_()
    outputs = []
    encoder.forwards[0].register_forward_hook(lambda layer, inputs, output: outputs.append(output[0]))
    source = torch.randint(1, 9, (3, 5))
    states = encoder(source, torch.ones(3, 5, dtype=torch.bool)).states
    assert states.equal(outputs[0])


def dense(bridge, layer, hidden):
    """tanh(W h + b) of one of two layers."""
    return torch.tanh(bridge.project.weight @ hidden + bridge.project.bias).chunk(2)[layer]


def rectified(linear, layer, x):
    return (linear.weight @ x + linear.bias).clamp(min=0).chunk(2)[layer]


# (bridge, layer, summary (M), ends (layers, M), cells (layers, M)) -> hidden and cell state of the layer; None is zero
FORMULAS = {
    "dense": lambda m, layer, h, ends, cells: (dense(m, layer, h), None),
    "backward": lambda m, layer, h, ends, cells: (dense(m, layer, h[4:]), None),
    "copy": lambda m, layer, h, ends, cells: (ends[layer], None),
    "copy_all": lambda m, layer, h, ends, cells: (ends[layer], cells[layer]),
    "directions": lambda m, layer, h, ends, cells: (  # one layer of 16 for two of 8
        ends[0, 8 * layer : 8 * layer + 8],
        cells[0, 8 * layer : 8 * layer + 8],
    ),
    "reduce": lambda m, layer, h, ends, cells: (rectified(m.project, layer, h), rectified(m.cell, layer, cells[-1])),
    "zero": lambda m, layer, h, ends, cells: (torch.zeros(8), None),
}


@torch.no_grad()
@pytest.mark.parametrize("name", BRIDGES)
def test_bridge_equals_its_formula(name, model_cases):
    layers, options = ((1, 2), {"encoder_hidden": 16}) if name == "directions" else ((2, 2), {})
    case = model_cases.build(model_cases.config("rnn", {"layers": layers, "bridge": name, **options}), torch.float64)
    model, memory = case.model, case.model.encode(case.source)
    other = RecurrentEncoder(
        model.encoder.embedding, CELLS["lstm"], 8, 2, bidirectional_layers=2, keep_state=True
    ).double()
    encoded = (model.encoder if "cells" in BRIDGES[name].reads else other)(case.source, memory.mask)
    ends = memory.cached.get("ends", encoded.ends)
    state = model.start(memory)
    for row in range(3):
        for layer in range(2):
            given = memory.summary[row], ends[row], encoded.cells[row]
            hidden, cell = FORMULAS[name](model.decoder.bridge, layer, *given)
            torch.testing.assert_close(state[f"hidden{layer}"][row], hidden, check_dtype=False)
            torch.testing.assert_close(state[f"cell{layer}"][row], torch.zeros(8).double() if cell is None else cell)


def test_every_bridge_has_its_formula():
    assert set(FORMULAS) == set(BRIDGES)
