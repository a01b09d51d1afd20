"""What do weights start as? Each initializer as its paper says, in every recurrent model; the Transformer's; what none of them draws."""

import itertools
import math
from copy import deepcopy

import pytest
import torch
from torch import nn

from seq2seq.config import MODELS
from seq2seq.nn.attention.scorers import SCORERS
from seq2seq.nn.build import build_model
from seq2seq.nn.heads import HEADS
from seq2seq.nn.init import INITIALIZERS
from seq2seq.nn.rnn.cells import CELLS, LSTMCell, RecurrentCell
from seq2seq.nn.rnn.encoder import BRIDGES

WORDS, EMBEDDING, HIDDEN, WIDTH, TABLE = 200, 20, 24, 0.05, 0.7
FED = (
    "luong",
    "plain",
    "context",
    "bahdanau",
    "previous",
    "gnmt",
    "gnmt_v2",
)  # what enters the first cell, or all of them
RECURRENT = [{"cell": cell, "order": order, "layers": (2, 2)} for cell, order in itertools.product(CELLS, FED)]
SCORED = [{"scorer": scorer, "attention_heads": heads} for scorer, heads in itertools.product(SCORERS, (1, 2))]
OTHERS = [
    *({"bridge": bridge} | ({"layers": (1, 2)} if bridge == "directions" else {}) for bridge in BRIDGES),
    *({"head": head} for head in HEADS),
    *({"tie": tie} for tie in ("target", "all")),
    {"window": "local_p", "attention_heads": 2},
    {"scorer": "additive", "coverage": True},
]
GAINS = {
    "scaled_general": lambda K: 1.0,
    "cosine": lambda K: 10.0,
    "normed_additive": lambda K: K**-0.5,
}  # tf/nmt; ours; tf/nmt


@pytest.fixture(scope="module", params=RECURRENT + SCORED + OTHERS, ids=lambda row: "-".join(map(str, row.values())))
def made(request, design):
    """Initializer -> a recurrent model, drawn from one seed."""
    wide = {"encoder_hidden": 2 * HIDDEN} if request.param.get("bridge") == "directions" else {}

    def make(initializer):
        given = {"init": WIDTH, "embedding_init": TABLE} if initializer == "uniform" else {}
        row = design.settings(
            "rnn", request.param, embedding=EMBEDDING, hidden=HIDDEN, initializer=initializer, **given, **wide
        )
        torch.manual_seed(1)
        return build_model(row, WORDS, WORDS)

    return {initializer: make(initializer) for initializer in INITIALIZERS}


def uniform(bound):
    """k -> the k-th moment between plus and minus `bound`."""
    return lambda k: bound**k / (k + 1) * (k % 2 == 0)


def normal(deviation):
    return lambda k: deviation**k * math.prod(range(1, k, 2)) * (k % 2 == 0)


def require_moments(x, moment, name):
    """The mean, the variance and the tails are those of so many draws."""
    for k in (1, 2, 4):
        error = math.sqrt((moment(2 * k) - moment(k) ** 2) / x.numel())
        assert abs(x.double().pow(k).mean().item() - moment(k)) < 6 * error, f"{name}: moment {k}"


def is_bias(name):
    return name.rpartition(".")[2].startswith("bias")


def of_states(model):
    """The matrices (gates N, fed + N) that make gates of a state (N), and of what is fed with it -> N."""
    for part in model.modules():
        if isinstance(part, nn.RNNBase):
            yield part.weight_hh_l0, part.hidden_size
        elif isinstance(part, RecurrentCell):
            yield from (
                (layer.weight, part.size) for name, layer in part.named_children() if name in ("recurrent", "candidate")
            )


@torch.no_grad()
def test_uniform_draws_tables_and_other_matrices_and_nothing_else(made):
    """Luong et al. 2015, section 4.1."""
    model = made["uniform"]
    tables = {id(model.encoder.embedding.weight), id(model.decoder.embedding.weight)}
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            bound = TABLE if id(weight) in tables else WIDTH
            assert weight.abs().max() <= bound, name
            require_moments(weight, uniform(bound), name)


@torch.no_grad()
def test_vectors_that_are_no_biases_are_the_same_whatever_draws_the_matrices(made):
    """Gains, and the direction of coverage."""
    models = [dict(model.named_parameters()) for model in made.values()]
    for name in (name for name, weight in models[0].items() if weight.dim() < 2 and not is_bias(name)):
        assert all(model[name].equal(models[0][name]) for model in models), name


@torch.no_grad()
def test_bahdanaus_recurrent_matrices_are_orthogonal_gate_by_gate(made):
    """Bahdanau et al. 2015, section B.1: of what a cell reads beside its state, the matrix is none that is recurrent."""
    matrices = list(of_states(made["bahdanau"]))
    assert len(matrices) >= 3  # two directions and a decoder
    for matrix, size in matrices:
        gates = matrix[:, -size:].split(size)
        for gate in gates:
            torch.testing.assert_close(gate @ gate.T, torch.eye(size), atol=1e-5, rtol=0)
        assert not any(a.abs().allclose(b.abs(), atol=1e-2) for a, b in itertools.combinations(gates, 2))


@torch.no_grad()
def test_bahdanaus_other_matrices_are_normal(made):
    """Section B.1: those of the score with deviation 0.001, the others with 0.01; what is fed to a cell is among the others."""
    model = made["bahdanau"]
    fed = {id(matrix): matrix[:, :-size] for matrix, size in of_states(model)}
    for name, weight in model.named_parameters():
        drawn = fed.get(id(weight), weight)
        if drawn.dim() > 1 and drawn.numel() and not name.endswith("energy.weight"):
            require_moments(drawn, normal(0.001 if ".scorer." in name else 0.01), name)


@torch.no_grad()
def test_bahdanaus_biases_and_the_vector_of_the_score_are_zero(made):
    """Section B.1; where the score divides that vector by its length, it must have one."""
    model = made["bahdanau"]
    normed = isinstance(model.decoder.attention.scorer, SCORERS["normed_additive"])
    for name, weight in model.named_parameters():
        if is_bias(name) or name.endswith("energy.weight"):
            assert weight.any().item() == (normed and not is_bias(name)), name
    assert all(
        part.isfinite().all() for part in model(torch.full((2, 3), 5), torch.full((2, 2), 5)) if part is not None
    )


@torch.no_grad()
@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_who_draws_again_draws_the_matrices(made, initializer):
    """And neither vectors nor, of Bahdanau's, that of the score, which keeps its length where it is divided by it."""
    model, again = made[initializer], deepcopy(made[initializer])
    INITIALIZERS[initializer](again, (again.encoder.embedding.weight, again.decoder.embedding.weight), WIDTH, TABLE)
    for (name, weight), other in zip(model.named_parameters(), again.parameters(), strict=True):
        stays = weight.dim() < 2 or (initializer == "bahdanau" and name.endswith("energy.weight"))
        assert weight.equal(other) == stays, name


@torch.no_grad()
def test_the_decoders_lstm_remembers_at_first(made):
    """Forget gates begin with 1 (Jozefowicz et al. 2015), no other does; the encoder's begin like torch's."""
    model = made["uniform"]
    for name, part in model.named_modules():
        if isinstance(part, LSTMCell):
            opened = [(gate == 1).all().item() for gate in part.input.bias.split(part.size)]
            assert opened == [False, name.startswith("decoder"), False, False], name
            assert name.startswith("decoder") or part.input.bias.abs().max() <= part.size**-0.5


@torch.no_grad()
@pytest.mark.parametrize("hidden", [5, 9])
@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("family", MODELS)
def test_gains_have_their_first_values(family, scorer, hidden, design):
    config = design.settings(family, {"scorer": scorer})
    if "hidden" in SCORERS[scorer].uses:
        config.attention.hidden = hidden
    model = build_model(config, WORDS, WORDS)
    gains = [weight.item() for name, weight in model.decoder.named_parameters() if name.endswith("scorer.gain")]
    assert gains == pytest.approx(
        [GAINS[scorer](hidden)] * (config.decoder_layers if family == "transformer" else 1) if scorer in GAINS else []
    )


@torch.no_grad()
@pytest.mark.parametrize("scorer", SCORERS)
def test_a_transformers_matrices_keep_the_size_of_what_they_are_given_and_of_slopes(scorer, design):
    """Glorot & Bengio 2010, eq. 16; embeddings, which are multiplied by the root of their size, have deviation 1 after that."""
    torch.manual_seed(1)
    model = build_model(design.settings("transformer", {"scorer": scorer}, size=16), WORDS, WORDS)
    for name, weight in [*model.encoder.named_parameters(), *model.decoder.named_parameters()]:
        if name == "embedding.weight":
            require_moments(weight, normal(16**-0.5), name)
        elif weight.dim() > 1:
            bound = math.sqrt(6 / sum(weight.shape))
            assert weight.abs().max() <= bound, name
            require_moments(weight, uniform(bound), name)
