"""Does every setting of a model reach the part that it is meant for?"""

import dataclasses
import itertools

import pytest
import torch

from seq2seq.config import MODELS, AttentionConfig
from seq2seq.config.choices import field_choices
from seq2seq.ids import EOS
from seq2seq.nn import transformer
from seq2seq.nn.attention import multihead
from seq2seq.nn.attention.scorers import SCORERS, Product
from seq2seq.nn.build import build_model
from seq2seq.nn.ops import devices
from seq2seq.nn.ops.dropout import Dropout

V = 13
BASE = {  # settings under which each other setting has an effect
    "rnn": {"embedding": 8, "hidden": 8, "encoder_layers": 2, "decoder_layers": 2, "residual": True, "dropout": 0.4},
    "transformer": {"size": 8, "heads": 2, "feedforward": 12, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.4},
}
OTHER = {  # numbers and switches; words have their tables
    "encoder_layers": [1], "decoder_layers": [1], "dropout": [0.0, 0.1], "embedding": [6], "hidden": [10], "bidirectional": [False],
    "input_feeding": [False], "embedding_init": [0.6], "init": [0.2], "residual": [False], "size": [12], "heads": [4],
    "feedforward": [9], "attention.hidden": [7], "attention.width": [2], "attention.coverage": [True], "max_length": [30],
    "features": [6], "encoder_hidden": [12], "bidirectional_layers": [1], "reverse": [True], "residual_from": [3], "attention.heads": [2],
    "attention.renormalize": [True],
}  # fmt: skip
NEEDS = {  # what else must be so that a setting can be made
    "attention.hidden": {"attention.scorer": "additive"}, "attention.width": {"attention.window": "local_m"},
    "attention.window_size": {"attention.window": "local_m", "attention.width": 2},
    "attention.center_range": {"attention.window": "local_p"}, "attention.renormalize": {"attention.window": "local_p"},
    "attention.rounding": {"attention.window": "local_p", "attention.width": 2}, "readout=state": {"order": "gnmt"},
    "reverse": {"bidirectional": False}, "readout_state": {"order": "bahdanau"},
    "residual_from": {"encoder_layers": 3, "decoder_layers": 3},
    "max_length": {"attention.scorer": "location"}, "order=bahdanau": {"input_feeding": True},
    "attention.window=last": {"attention.scorer": "uniform"}, "bridge=directions": {"encoder_layers": 1, "encoder_hidden": 16},
}  # fmt: skip


RECURRENT = {("transformer", "attention.coverage"), ("transformer", "attention.heads")}  # refused there


def names(family):
    """The settings of a family, those of its attention with that word before them."""
    elsewhere = ("name", "attention", "parameters")  # of a size that is found before the model is built
    fields = [field.name for field in dataclasses.fields(MODELS[family]) if field.name not in elsewhere]
    return [*fields, *(f"attention.{field.name}" for field in dataclasses.fields(AttentionConfig))]


def values(family, name):
    """What a setting can be, but for what it is in BASE, or by default."""
    kind = AttentionConfig if "." in name else MODELS[family]
    field = next(field for field in dataclasses.fields(kind) if field.name == name.rpartition(".")[2])
    return [
        value for value in OTHER.get(name) or field_choices(field) if value != BASE[family].get(name, field.default)
    ]


CASES = [
    (family, name, value)
    for family in MODELS
    for name in names(family)
    for value in values(family, name)
    if (family, name) not in RECURRENT and (family, name, value) != ("transformer", "head", "pointer")
]


def made(family, given):
    """The model, drawn from one seed."""
    plain = {name: value for name, value in given.items() if "." not in name}
    attention = {name.partition(".")[2]: value for name, value in given.items() if "." in name}
    torch.manual_seed(5)
    return build_model(MODELS[family](**{**plain, "attention": AttentionConfig(**attention)}), V, V)


def fate(model):
    """What the model in training says of some sentences, dropout drawn from one seed."""
    torch.manual_seed(6)
    source, target = torch.randint(4, V, (3, 24)), torch.randint(4, V, (3, 5))
    source[:, -1] = EOS
    return torch.cat([part.flatten() for part in model.train()(source, target, attention=True) if part is not None])


@torch.no_grad()
@pytest.mark.parametrize(("family", "name", "value"), CASES, ids=lambda value: str(value))
def test_a_setting_makes_another_model(family, name, value):
    """Other parameters; or, with the same ones, other numbers. Nothing between the settings and the model is lost."""
    given = BASE[family] | NEEDS.get(name, {}) | NEEDS.get(f"{name}={value}", {})
    before, after = made(family, given), made(family, given | {name: value})
    weights = before.state_dict()
    if {key: weight.shape for key, weight in weights.items()} != {
        key: weight.shape for key, weight in after.state_dict().items()
    }:
        return
    if name not in ("init", "embedding_init", "initializer"):
        after.load_state_dict(weights)
    one, other = fate(before), fate(after)
    assert one.shape != other.shape or not torch.allclose(one, other, atol=1e-6)


def test_no_setting_is_left_out():
    tried = {(family, name) for family, name, _ in CASES}
    assert {(family, name) for family in MODELS for name in names(family)} - tried == RECURRENT


@torch.no_grad()
def test_the_same_settings_make_the_same_model():
    for family, given in BASE.items():
        assert fate(made(family, given)).equal(fate(made(family, given)))


@torch.no_grad()
@pytest.mark.parametrize("scorer", [name for name, kind in SCORERS.items() if kind.reads])
@pytest.mark.parametrize(
    ("window", "normalizer"), [*itertools.product(["everywhere", "local_m", "local_p"], ["softmax", "sparsemax"])]
)
@pytest.mark.parametrize("pays", [("LONG_SOURCE", 0), ("SMALL_BATCH", 3)])
def test_fused_kernels_serve_where_they_can(pays, scorer, window, normalizer, monkeypatch):
    """An inner product under a softmax, in a window without a gain, and nobody asks for the weights; not for several sentences
    of few positions."""
    calls = []
    fused = transformer.scaled_dot_product_attention
    for module in (transformer, multihead):
        monkeypatch.setattr(
            module,
            "scaled_dot_product_attention",
            lambda *words, **given: calls.append(given) or fused(*words, **given),
        )
    attention = {"attention.scorer": scorer, "attention.window": window, "attention.normalizer": normalizer}
    model = made("transformer", BASE["transformer"] | attention)
    memory = model.encode(torch.randint(4, V, (3, 6)))
    model.eval()
    tokens, few = torch.randint(4, V, (3, 5)), []
    for asked in (False, True):
        few.append(model.decode(tokens, memory, attention=asked).features)
    assert not calls
    name, value = pays
    monkeypatch.setattr(devices, name, value)
    for asked in (False, True):
        calls.clear()
        torch.testing.assert_close(model.decode(tokens, memory, attention=asked).features, few[asked])
        product = issubclass(SCORERS[scorer], Product) and window != "local_p" and normalizer == "softmax"
        assert len(calls) == 2 + 2 * (product and not asked)  # two layers, each with its self-attention


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
def test_both_sides_drop_out(family):
    model = made(family, BASE[family]).train()
    assert {part.p for part in model.modules() if isinstance(part, Dropout)} == {BASE[family]["dropout"]}
    source, target = torch.randint(4, V, (2, 6)), torch.randint(4, V, (2, 5))
    memory, again = model.encode(source), model.encode(source)
    assert not memory.states.equal(again.states)
    assert not model.decode(target, memory).features.equal(model.decode(target, memory).features)
    model.eval()
    assert model(source, target).features.equal(model(source, target).features)
