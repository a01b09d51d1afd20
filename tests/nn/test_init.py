"""Initial weights: initializers of recurrent models as in their papers, Glorot uniform in Transformers, first gains."""

import itertools
import math
from copy import deepcopy
from functools import cache

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
from tests.each import each

WORDS, EMBEDDING, HIDDEN, WIDTH, TABLE = 200, 20, 24, 0.05, 0.7
ORDERS = ("luong", "plain", "context", "bahdanau", "previous", "gnmt", "gnmt_v2")  # these differ in the cells' inputs
RECURRENT = [{"cell": cell, "order": order, "layers": (2, 2)} for cell, order in itertools.product(CELLS, ORDERS)]
SCORED = [{"scorer": scorer, "attention_heads": heads} for scorer, heads in itertools.product(SCORERS, (1, 2))]
PARTS = [  # which do not influence each other's weights: each of both lists at least once
    RECURRENT[n % len(RECURRENT)] | SCORED[n % len(SCORED)] for n in range(max(len(RECURRENT), len(SCORED)))
]
OTHERS = [
    *({"bridge": bridge} | ({"layers": (1, 2)} if bridge == "directions" else {}) for bridge in BRIDGES),
    *({"head": head} for head in HEADS),
    *({"tie": tie} for tie in ("target", "all")),
    {"window": "local_p", "attention_heads": 2},
    {"scorer": "additive", "coverage": True},
]
COMBINATIONS = PARTS + OTHERS
GAINS = {
    "scaled_general": lambda K: 1.0,  # tf/nmt
    "cosine": lambda K: 10.0,  # ours
    "normed_additive": lambda K: K**-0.5,  # tf/nmt
}


@pytest.fixture(scope="module")
def initialized(model_cases):
    """`initialized(n)`: initializer -> the recurrent model of the n-th combination, with a fixed seed."""

    def build(initializer, combination):
        widths = {"init": WIDTH, "embedding_init": TABLE} if initializer == "uniform" else {}
        wide = {"encoder_hidden": 2 * HIDDEN} if combination.get("bridge") == "directions" else {}
        row = model_cases.config(
            "rnn", combination, embedding=EMBEDDING, hidden=HIDDEN, initializer=initializer, **widths, **wide
        )
        torch.manual_seed(1)
        return build_model(row, WORDS, WORDS)

    return cache(lambda n: {initializer: build(initializer, COMBINATIONS[n]) for initializer in INITIALIZERS})


every_combination = each("n", range(len(COMBINATIONS)))


def uniform(bound):
    """k -> the k-th moment of the uniform distribution in [-bound, bound]."""
    return lambda k: bound**k / (k + 1) * (k % 2 == 0)


def normal(deviation):
    """k -> the k-th moment of the normal distribution with mean 0."""
    return lambda k: deviation**k * math.prod(range(1, k, 2)) * (k % 2 == 0)


def require_moments(x, moment, name):
    """Mean, variance and fourth moment are within six standard errors of what they should be."""
    for k in (1, 2, 4):
        error = math.sqrt((moment(2 * k) - moment(k) ** 2) / x.numel())
        assert abs(x.double().pow(k).mean().item() - moment(k)) < 6 * error, f"{name}: moment {k}"


def is_bias(name):
    return name.rpartition(".")[2].startswith("bias")


def state_matrices(model):
    """Pairs of a matrix (gates N, fed + N), which maps the fed input and the previous state to gates, and N."""
    for part in model.modules():
        if isinstance(part, nn.RNNBase):
            yield part.weight_hh_l0, part.hidden_size
        elif isinstance(part, RecurrentCell):
            yield from (
                (layer.weight, part.size) for name, layer in part.named_children() if name in ("recurrent", "candidate")
            )


@torch.no_grad()
@every_combination
def test_uniform_embeddings_and_other_matrices(initialized, n):
    """Luong et al. 2015, section 4.1."""
    model = initialized(n)["uniform"]
    tables = {id(model.encoder.embedding.weight), id(model.decoder.embedding.weight)}
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            bound = TABLE if id(weight) in tables else WIDTH
            assert weight.abs().max() <= bound, name
            require_moments(weight, uniform(bound), name)


@torch.no_grad()
@every_combination
def test_vectors_other_than_biases_do_not_depend_on_the_initializer(initialized, n):
    """These are gains and the direction of coverage."""
    models = [dict(model.named_parameters()) for model in initialized(n).values()]
    for name in (name for name, weight in models[0].items() if weight.dim() < 2 and not is_bias(name)):
        assert all(model[name].equal(models[0][name]) for model in models), name


@torch.no_grad()
@every_combination
def test_bahdanau_recurrent_matrices_are_orthogonal_for_each_gate(initialized, n):
    """Bahdanau et al. 2015, section B.1; the columns of a cell's other inputs are not recurrent."""
    matrices = list(state_matrices(initialized(n)["bahdanau"]))
    assert len(matrices) >= 3  # two directions and a decoder
    for matrix, size in matrices:
        gates = matrix[:, -size:].split(size)
        for gate in gates:
            torch.testing.assert_close(gate @ gate.T, torch.eye(size), atol=1e-5, rtol=0)
        assert not any(a.abs().allclose(b.abs(), atol=1e-2) for a, b in itertools.combinations(gates, 2))


@torch.no_grad()
@every_combination
def test_bahdanau_other_matrices_are_normal(initialized, n):
    """Section B.1: standard deviation 0.001 in the score and 0.01 elsewhere, columns of a cell's fed input included."""
    model = initialized(n)["bahdanau"]
    fed = {id(matrix): matrix[:, :-size] for matrix, size in state_matrices(model)}
    for name, weight in model.named_parameters():
        drawn = fed.get(id(weight), weight)
        if drawn.dim() > 1 and drawn.numel() and not name.endswith("energy.weight"):
            require_moments(drawn, normal(0.001 if ".scorer." in name else 0.01), name)


@torch.no_grad()
@every_combination
def test_bahdanau_biases_and_vector_of_the_score_are_zero(initialized, n):
    """Section B.1; except that the vector must not be zero where the score divides by its norm."""
    model = initialized(n)["bahdanau"]
    normed = isinstance(model.decoder.attention.scorer, SCORERS["normed_additive"])
    for name, weight in model.named_parameters():
        if is_bias(name) or name.endswith("energy.weight"):
            assert weight.any().item() == (normed and not is_bias(name)), name
    assert all(
        part.isfinite().all() for part in model(torch.full((2, 3), 5), torch.full((2, 2), 5)) if part is not None
    )


@torch.no_grad()
@every_combination
def test_initializing_again_changes_all_matrices_and_nothing_else(initialized, n):
    """Except for the vector of the score, a matrix of one row, which `bahdanau` sets to zero or leaves."""
    for initializer, model in initialized(n).items():
        again = deepcopy(model)
        INITIALIZERS[initializer](again, (again.encoder.embedding.weight, again.decoder.embedding.weight), WIDTH, TABLE)
        for (name, weight), other in zip(model.named_parameters(), again.parameters(), strict=True):
            stays = weight.dim() < 2 or (initializer == "bahdanau" and name.endswith("energy.weight"))
            assert weight.equal(other) == stays, (initializer, name)


@torch.no_grad()
@every_combination
def test_forget_gates_of_the_decoder_start_with_bias_one(initialized, n):
    """Jozefowicz et al. 2015; no other gate does, and the encoder's are initialized as torch's."""
    model = initialized(n)["uniform"]
    for name, part in model.named_modules():
        if isinstance(part, LSTMCell):
            is_one = [(gate == 1).all().item() for gate in part.input.bias.split(part.size)]
            assert is_one == [False, name.startswith("decoder"), False, False], name
            assert name.startswith("decoder") or part.input.bias.abs().max() <= part.size**-0.5


@torch.no_grad()
@pytest.mark.pairs(family=MODELS, scorer=SCORERS, hidden=[5, 9])
def test_initial_gains(family, scorer, hidden, model_cases):
    config = model_cases.config(family, {"scorer": scorer})
    if "hidden" in SCORERS[scorer].uses:
        config.attention.hidden = hidden
    model = build_model(config, WORDS, WORDS)
    gains = [weight.item() for name, weight in model.decoder.named_parameters() if name.endswith("scorer.gain")]
    layers = config.decoder_layers if family == "transformer" else 1
    assert gains == pytest.approx([GAINS[scorer](hidden)] * layers if scorer in GAINS else [])


@torch.no_grad()
@pytest.mark.parametrize("scorer", SCORERS)
def test_transformer_matrices_are_glorot_uniform(scorer, model_cases):
    """Glorot & Bengio 2010, eq. 16; embeddings are normal with deviation 1 after multiplication by sqrt(D)."""
    torch.manual_seed(1)
    model = build_model(model_cases.config("transformer", {"scorer": scorer}, size=16), WORDS, WORDS)
    for name, weight in [*model.encoder.named_parameters(), *model.decoder.named_parameters()]:
        if name == "embedding.weight":
            require_moments(weight, normal(16**-0.5), name)
        elif weight.dim() > 1:
            bound = math.sqrt(6 / sum(weight.shape))
            assert weight.abs().max() <= bound, name
            require_moments(weight, uniform(bound), name)
