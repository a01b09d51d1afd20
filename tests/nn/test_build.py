"""Every model setting reaches the part that it is meant for."""

import dataclasses

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
from tests.each import each

V = 13
BASE = {  # settings under which every other setting has an effect
    "rnn": {"embedding": 8, "hidden": 8, "encoder_layers": 2, "decoder_layers": 2, "residual": True, "dropout": 0.4},
    "transformer": {"size": 8, "heads": 2, "feedforward": 12, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.4},
}
OTHER = {  # values of numeric settings and flags; other settings have a list of choices
    "encoder_layers": [1], "decoder_layers": [1], "dropout": [0.0, 0.1], "embedding": [6], "hidden": [10],
    "bidirectional": [False], "input_feeding": [False],
    "embedding_init": [0.6], "init": [0.2], "residual": [False], "size": [12], "heads": [4],
    "feedforward": [9], "attention.hidden": [7], "attention.width": [2], "attention.coverage": [True],
    "max_length": [30], "features": [6], "encoder_hidden": [12], "bidirectional_layers": [1], "reverse": [True],
    "residual_from": [3], "attention.heads": [2],
    "attention.renormalize": [True], "source_end": [False], "norm_epsilon": [0.1],
    "hops": [3], "crf": [True], "bio": [True],
}  # fmt: skip
NEEDS = {  # what a setting, or one value of it, requires to be valid or to have an effect
    "attention.hidden": {"attention.scorer": "additive"}, "attention.width": {"attention.window": "local_m"},
    "attention.window_size": {"attention.window": "local_m", "attention.width": 2},
    "attention.center_range": {"attention.window": "local_p"}, "attention.renormalize": {"attention.window": "local_p"},
    "attention.rounding": {"attention.window": "local_p", "attention.width": 2}, "readout=state": {"order": "gnmt"},
    "reverse": {"bidirectional": False}, "readout_state": {"order": "bahdanau"},
    "residual_from": {"encoder_layers": 3, "decoder_layers": 3},
    "max_length": {"attention.scorer": "location"}, "order=bahdanau": {"input_feeding": True},
    "attention.window=last": {"attention.scorer": "uniform"},
    "bridge=directions": {"encoder_layers": 1, "encoder_hidden": 16},
    "pooling": {"output": "label"}, "hops": {"output": "label", "pooling": "structured"}, "crf": {"output": "tags"},
    "bio": {"output": "tags"},
}  # fmt: skip


REFUSED = {("transformer", "attention.coverage"), ("transformer", "attention.heads")}  # recurrent models only


def names(family):
    """The settings of a family; those of its attention start with "attention."."""
    # `parameters` is replaced by sizes before the model is built; the optimizer reads `center_rate`, and the loss
    # `hop_penalty`
    not_built = ("name", "attention", "parameters", "center_rate", "hop_penalty")
    fields = [field.name for field in dataclasses.fields(MODELS[family]) if field.name not in not_built]
    attention = [field.name for field in dataclasses.fields(AttentionConfig) if field.name not in not_built]
    return [*fields, *(f"attention.{name}" for name in attention)]


def values(family, name):
    """The values of a setting other than the one in BASE, or the default."""
    config = AttentionConfig if "." in name else MODELS[family]
    field = next(field for field in dataclasses.fields(config) if field.name == name.rpartition(".")[2])
    return [
        value for value in OTHER.get(name) or field_choices(field) if value != BASE[family].get(name, field.default)
    ]


CASES = [
    (family, name, value)
    for family in MODELS
    for name in names(family)
    for value in values(family, name)
    if (family, name) not in REFUSED and (family, name, value) != ("transformer", "head", "pointer")
]


def build(family, settings):
    """The model, initialized with a fixed seed."""
    unread = ["decoder_layers"] if settings.get("output", "text") != "text" else []
    plain = {name: value for name, value in settings.items() if "." not in name and name not in unread}
    attention = {name.partition(".")[2]: value for name, value in settings.items() if "." in name}
    torch.manual_seed(5)
    model = build_model(MODELS[family](**{**plain, "attention": AttentionConfig(**attention)}), V, V)
    tags = [*(f"▁{prefix}-{kind}" for kind in "ABCD" for prefix in "BI"), "▁O"]
    entries = ["", "▁⁇", "", "", *tags]
    model.read_entries(entries, ["", "▁⁇", "", "", "", *tags[1:]] if settings.get("output") == "labels" else entries)
    return model


def train_output(model):
    """The output of the model in training mode for some sentences, with a fixed seed for dropout."""
    torch.manual_seed(6)
    source, target = torch.randint(4, V, (3, 24)), torch.randint(4, V, (3, 5))
    source[:, -1] = EOS
    return torch.cat([part.flatten() for part in model.train()(source, target, attention=True) if part is not None])


@torch.no_grad()
@each(("family", "name", "value"), CASES)
def test_setting_changes_the_model(family, name, value):
    """Its parameters are others, or with the same parameters its output is."""
    settings = BASE[family] | NEEDS.get(name, {}) | NEEDS.get(f"{name}={value}", {})
    before, after = build(family, settings), build(family, settings | {name: value})
    shapes, other_shapes = ({key: w.shape for key, w in model.state_dict().items()} for model in (before, after))
    if shapes != other_shapes:
        return
    if name not in ("init", "embedding_init", "initializer"):
        after.load_state_dict(before.state_dict())
    one, other = train_output(before), train_output(after)
    assert one.shape != other.shape or not torch.allclose(one, other, atol=1e-6)


def test_every_setting_is_tested():
    tried = {(family, name) for family, name, _ in CASES}
    assert {(family, name) for family in MODELS for name in names(family)} - tried == REFUSED


@torch.no_grad()
def test_equal_settings_build_equal_models():
    for family, settings in BASE.items():
        assert train_output(build(family, settings)).equal(train_output(build(family, settings)))


@torch.no_grad()
@pytest.mark.pairs(
    scorer=[name for name, score in SCORERS.items() if score.reads],
    window=["everywhere", "local_m", "local_p"],
    normalizer=["softmax", "sparsemax"],
    limit=[("LONG_SOURCE", 0), ("SMALL_BATCH", 3)],
)
def test_fused_kernels_are_used_where_possible(limit, scorer, window, normalizer, monkeypatch):
    """For inner products under a softmax in a window without gain, if no weights are requested; not on small inputs."""
    calls = []
    fused = transformer.scaled_dot_product_attention
    for module in (transformer, multihead):
        monkeypatch.setattr(
            module,
            "scaled_dot_product_attention",
            lambda *args, **options: calls.append(options) or fused(*args, **options),
        )
    attention = {"attention.scorer": scorer, "attention.window": window, "attention.normalizer": normalizer}
    model = build("transformer", BASE["transformer"] | attention)
    memory = model.encode(torch.randint(4, V, (3, 6)))
    model.eval()
    tokens, composed = torch.randint(4, V, (3, 5)), []
    for asked in (False, True):
        composed.append(model.decode(tokens, memory, attention=asked).features)
    assert not calls
    name, value = limit
    monkeypatch.setattr(devices, name, value)
    product = issubclass(SCORERS[scorer], Product) and window != "local_p" and normalizer == "softmax"
    for asked in (False, True):
        calls.clear()
        torch.testing.assert_close(model.decode(tokens, memory, attention=asked).features, composed[asked])
        expected = 4 if product and not asked else 2  # two layers: cross- and self-attention, or the latter
        assert len(calls) == expected


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
def test_encoder_and_decoder_apply_dropout(family):
    model = build(family, BASE[family]).train()
    assert {part.p for part in model.modules() if isinstance(part, Dropout)} == {BASE[family]["dropout"]}
    source, target = torch.randint(4, V, (2, 6)), torch.randint(4, V, (2, 5))
    memory, again = model.encode(source), model.encode(source)
    assert not memory.states.equal(again.states)
    assert not model.decode(target, memory).features.equal(model.decode(target, memory).features)
    model.eval()
    assert model(source, target).features.equal(model(source, target).features)
