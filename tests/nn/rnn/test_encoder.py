"""Does the recurrent encoder equal torch's own layers, and what the decoder begins with the papers' equations?"""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2seq.nn.ops.reverse import reverse
from seq2seq.nn.rnn.cells import CELLS
from seq2seq.nn.rnn.encoder import BRIDGES, CellLayer, RecurrentEncoder

LENGTHS = torch.tensor([5, 3, 4])
MASK = torch.arange(5) < LENGTHS[:, None]
TORCHS = [name for name, cell in CELLS.items() if cell.sequence]


def encoder(cell, layers, **more):
    torch.manual_seed(1)
    return RecurrentEncoder(nn.Embedding(9, 6), CELLS[cell], 8, layers, **more).double()


def packed(layer, x):
    """A torch layer's states, and its last hidden and cell states, (layers * directions, B, size)."""
    states, last = layer(pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(states, batch_first=True)[0], *(last if isinstance(last, tuple) else (last,))


def side_by_side(last, layers, directions):
    """(layers * directions, B, size) -> (B, layers, directions * size)."""
    return last.unflatten(0, (layers, directions)).permute(2, 0, 1, 3).flatten(2)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("both", [True, False], ids=["both", "forward"])
@pytest.mark.parametrize("cell", TORCHS)
def test_the_encoder_is_torchs_packed_layer(cell, both, layers):
    ours = encoder(cell, layers, both=both * layers)
    twin = CELLS[cell].sequence(6, 8 // (1 + both), layers, batch_first=True, bidirectional=both).double()
    for end, parts in (("", ours.forwards), ("_reverse", ours.backwards)):
        for layer, part in enumerate(parts):
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(twin, f"{kind}_l{layer}{end}").data = getattr(part, f"{kind}_l0").data
    source = torch.randint(1, 9, (3, 5)) * MASK
    encoded, (states, last, *_) = ours(source, MASK), packed(twin, ours.embedding(source))
    ends = side_by_side(last, layers, 1 + both)
    torch.testing.assert_close(encoded.states * MASK[..., None], states)
    torch.testing.assert_close(encoded.ends, ends)
    torch.testing.assert_close(encoded.summary, ends[:, -1])
    assert encoded.cells is None


@pytest.mark.parametrize("both", [2, 0], ids=["both", "forward"])
def test_step_by_step_it_is_torchs_layer_and_keeps_the_cells(both):
    ours = encoder("lstm", 2, both=both, whole=True)
    twin = nn.LSTM(6, 8 // (1 + bool(both)), 2, batch_first=True, bidirectional=bool(both)).double()
    for end, parts in (("", ours.forwards), ("_reverse", ours.backwards)):
        for layer, scan in enumerate(parts):
            assert isinstance(scan, CellLayer)
            weights = {
                "weight_ih": scan.cell.input.weight,
                "weight_hh": scan.cell.recurrent.weight,
                "bias_ih": scan.cell.input.bias,
            }
            for kind, weight in weights.items():
                getattr(twin, f"{kind}_l{layer}{end}").data = weight.data
            getattr(twin, f"bias_hh_l{layer}{end}").data.zero_()
    source = torch.randint(1, 9, (3, 5)) * MASK
    encoded, (states, last, cells) = ours(source, MASK), packed(twin, ours.embedding(source))
    torch.testing.assert_close(encoded.states * MASK[..., None], states)
    torch.testing.assert_close(encoded.ends, side_by_side(last, 2, 1 + bool(both)))
    torch.testing.assert_close(encoded.cells, side_by_side(cells, 2, 1 + bool(both)))


@torch.no_grad()
@pytest.mark.parametrize("cell", CELLS)
def test_backwards_it_is_the_encoder_of_the_turned_source(cell):
    ours, usual = encoder(cell, 2, backwards=True), encoder(cell, 2)
    source = torch.randint(1, 9, (3, 5)) * MASK
    turned, backwards = usual(reverse(source, MASK), MASK), ours(source, MASK)
    torch.testing.assert_close(backwards.states, reverse(turned.states, MASK))
    torch.testing.assert_close(backwards.ends, turned.ends)


@torch.no_grad()
def test_the_first_layer_alone_reads_in_both_directions():
    """Wu et al. 2016, section 3.2."""
    ours = encoder("lstm", 3, both=1)
    assert [len(ours.forwards), len(ours.backwards)] == [3, 1]
    source = torch.randint(1, 9, (3, 5))
    x = ours.embedding(source)
    first = torch.cat((ours.forwards[0](x)[0], ours.backwards[0](x.flip(1))[0].flip(1)), -1)
    torch.testing.assert_close(
        ours(source, torch.ones(3, 5).bool()).states, ours.forwards[2](ours.forwards[1](first)[0])[0]
    )


def test_rows_are_reversed_inside_their_length():
    x = torch.tensor([[1, 2, 3, 4, 5], [1, 2, 3, 8, 9], [1, 2, 3, 4, 9]])[..., None]
    back = reverse(x, MASK).squeeze(-1).tolist()
    assert [row[:n] for row, n in zip(back, LENGTHS.tolist(), strict=True)] == [
        [5, 4, 3, 2, 1],
        [3, 2, 1],
        [4, 3, 2, 1],
    ]
    assert reverse(reverse(x, MASK), MASK).equal(x)


@torch.no_grad()
@pytest.mark.parametrize("begin", [2, 3])
def test_residual_layers_add_their_input(begin):
    """Wu et al. 2016, eq. 6: from the layer `begin` on, what goes up is x + LSTM(x)."""
    ours = encoder("lstm", 3, residual=begin)
    source = torch.randint(1, 9, (3, 5))
    x = ours.forwards[0](ours.embedding(source))[0]
    for number, layer in enumerate(ours.forwards[1:], 2):
        x = layer(x)[0] + (x if number >= begin else 0)
    torch.testing.assert_close(ours(source, torch.ones_like(source).bool()).states, x)


BRIDGED = {  # name -> hidden and cell of layer i, from summary h (M), ends e (layers, M) and cells c (layers, M); None: zero
    "dense": lambda m, i, h, e, c: (torch.tanh(m.project.weight @ h + m.project.bias).chunk(2)[i], None),
    "backward": lambda m, i, h, e, c: (torch.tanh(m.project.weight @ h[4:] + m.project.bias).chunk(2)[i], None),
    "copy": lambda m, i, h, e, c: (e[i], None),
    "copy_all": lambda m, i, h, e, c: (e[i], c[i]),
    "directions": lambda m, i, h, e, c: (e[0, 8 * i : 8 * i + 8], c[0, 8 * i : 8 * i + 8]),  # one layer of 16 for two of 8
    "reduce": lambda m, i, h, e, c: (
        (m.project.weight @ h + m.project.bias).clamp(min=0).chunk(2)[i], (m.cell.weight @ c[-1] + m.cell.bias).clamp(min=0).chunk(2)[i],
    ),
    "zero": lambda m, i, h, e, c: (torch.zeros(8), None),
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("name", BRIDGES)
def test_a_bridge_is_its_formula(name, design):
    layers, more = ((1, 2), {"encoder_hidden": 16}) if name == "directions" else ((2, 2), {})
    case = design.problem(design.settings("rnn", {"layers": layers, "bridge": name, **more}), torch.float64)
    memory = case.model.encode(case.source)
    whole = RecurrentEncoder(case.model.encoder.embedding, CELLS["lstm"], 8, 2, both=2, whole=True).double()
    encoded = (case.model.encoder if "cells" in BRIDGES[name].reads else whole)(case.source, memory.mask)
    ends = memory.cached.get("ends", encoded.ends)
    state = case.model.start(memory)
    assert set(BRIDGED) == set(BRIDGES)
    for row in range(3):
        for layer in range(2):
            given = memory.summary[row], ends[row], encoded.cells[row]
            hidden, cell = BRIDGED[name](case.model.decoder.bridge, layer, *given)
            torch.testing.assert_close(state[f"hidden{layer}"][row], hidden, check_dtype=False)
            torch.testing.assert_close(state[f"cell{layer}"][row], torch.zeros(8).double() if cell is None else cell)
