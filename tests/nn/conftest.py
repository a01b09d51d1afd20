"""Models to test, and the papers' formulas of scores, windows and normalizers in NumPy.

The models are every named variant, and combinations of choices such that every compatible pair of choices occurs in at
least one. All have tiny sizes and random weights.
"""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from seq2seq.config import MODELS, AttentionConfig
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.launch.compose import conf_dir
from seq2seq.nn.attention.normalizers import NORMALIZERS
from seq2seq.nn.attention.scorers import SCORERS
from seq2seq.nn.attention.windows import WINDOWS, WindowConfig
from seq2seq.nn.build import build_model
from seq2seq.nn.heads import HEADS
from seq2seq.nn.layers import ACTIVATIONS, NORMS
from seq2seq.nn.rnn.cells import CELLS
from seq2seq.nn.rnn.decoder import READOUTS
from seq2seq.nn.rnn.encoder import BRIDGES
from tests.pairs import cover

VARIANTS = conf_dir() / "model" / "attention"
NAMES = sorted(path.stem for path in VARIANTS.glob("*.yaml"))
NAMED = [(family, name) for family in MODELS for name in NAMES if (family, name) != ("transformer", "coverage")]
QUICK = {  # variants whose tests are not marked slow
    ("rnn", "coverage"),
    ("rnn", "local_p"),
    ("transformer", "scaled_dot"),
    ("transformer", "local_m"),
}
TINY = {
    "rnn": {"embedding": 6, "hidden": 8},
    "transformer": {"size": 8, "heads": 2, "feedforward": 7, "encoder_layers": 1, "decoder_layers": 2},
}
ATTENTION = {"scorer": tuple(SCORERS), "window": tuple(WINDOWS), "normalizer": tuple(NORMALIZERS)}
ORDERS = {  # decoder -> its settings
    "luong": {}, "plain": {"input_feeding": False}, "context": {"feed": "context"}, "bahdanau": {"order": "bahdanau"},
    "previous": {"order": "bahdanau", "readout_state": "previous"}, "gnmt": {"order": "gnmt"},
    "gnmt_v2": {"order": "gnmt_v2"},
}  # fmt: skip
DIRECTIONS = {  # how the source is read
    "both": {}, "forward": {"bidirectional": False}, "reverse": {"bidirectional": False, "reverse": True},
    "first": {"bidirectional_layers": 1},
}  # fmt: skip
CHOICES = {
    "rnn": {
        **ATTENTION,
        "coverage": (False, True),
        "attention_heads": (1, 2),
        "head": tuple(HEADS),
        "tie": ("none", "target", "all"),
        "layers": ((1, 1), (2, 2), (1, 2), (2, 1)),
        "cell": tuple(CELLS),
        "order": tuple(ORDERS),
        "readout": tuple(READOUTS),
        "bridge": tuple(BRIDGES),
        "residual": (False, True),
        "encoder_hidden": (0, 12),
        "direction": tuple(DIRECTIONS),
    },
    "transformer": {
        **ATTENTION,
        "head": ("vocabulary", "copy"),
        "tie": ("none", "target", "all"),
        "layers": ((1, 1), (2, 2), (1, 2), (2, 1)),
        "norm_order": ("pre", "post"),
        "norm": tuple(NORMS),
        "activation": tuple(ACTIVATIONS),
        "positions": ("sinusoidal", "learned", "rotary"),
    },
}
SCORE_FORMULAS = {  # (weights, q (Q), h (M), position of h) -> score, as the papers write it
    "dot": lambda m, q, h, s: q @ h,
    "scaled_dot": lambda m, q, h, s: q @ h / len(q) ** 0.5,
    "general": lambda m, q, h, s: q @ m["keys.weight"] @ h,
    "scaled_general": lambda m, q, h, s: m["gain"] * (q @ m["keys.weight"] @ h),
    "concat": lambda m, q, h, s: (
        m["energy.weight"][0] @ np.tanh(np.hstack((m["query.weight"], m["keys.weight"])) @ np.hstack((q, h)))
    ),
    "concat_identity": lambda m, q, h, s: (
        m["energy.weight"][0] @ np.tanh(np.hstack((m["query.weight"], np.eye(len(h)))) @ np.hstack((q, h)))
    ),
    "additive": lambda m, q, h, s: (
        m["energy.weight"][0] @ np.tanh(m["query.weight"] @ q + m["keys.weight"] @ h + m["query.bias"])
    ),
    "normed_additive": lambda m, q, h, s: (
        m["gain"] * SCORE_FORMULAS["additive"](m, q, h, s) / np.linalg.norm(m["energy.weight"][0])
    ),
    "location": lambda m, q, h, s: m["position.weight"][s] @ q,
    "cosine": lambda m, q, h, s: m["gain"] * (q @ h) / (np.linalg.norm(q) * np.linalg.norm(h)),
    "euclidean": lambda m, q, h, s: -((q - h) ** 2).sum() / len(q) ** 0.5,
    "uniform": lambda m, q, h, s: 0.0,
}
WINDOW_FORMULAS = {  # (weights, q (Q), step, source length, D, head) -> gain of each source position, 0 outside
    "everywhere": lambda m, q, t, S, D, head: np.ones(S),
    "local_m": lambda m, q, t, S, D, head: 1.0 * (abs(np.arange(S) - min(t, S - 1)) <= D),
    "local_p": lambda m, q, t, S, D, head: gaussian(np.arange(S) - center(m, q, S, head), D),
    "last": lambda m, q, t, S, D, head: 1.0 * (np.arange(S) == S - 1),
}
NORMALIZER_FORMULAS = {  # scores (..., S), -inf at positions that are not allowed -> weights
    "softmax": lambda scores: np.exp(scores) / np.exp(scores).sum(-1, keepdims=True),
    "entmax": lambda scores: entmax(scores, 1.5),
    "sparsemax": lambda scores: entmax(scores, 2.0),
}
SOURCE, TARGET = 11, 13  # sizes of the vocabularies
B, S, T = 3, 6, 4


def center(m, q, S, head=0):
    """p = S sigmoid(v . tanh(W q))  (Luong et al. 2015, eq. 9), with a v for each head."""
    return S / (1 + np.exp(-m["outer.weight"][head] @ np.tanh(m["inner.weight"] @ q)))


def gaussian(distance, D):
    """Luong et al. 2015, eq. 10, sigma = D / 2; nothing beyond D."""
    return np.exp(-(distance**2) / (2 * (D / 2) ** 2)) * (abs(distance) <= D)


def entmax(scores, alpha):
    """max((alpha - 1) a - tau, 0)^(1 / (alpha - 1))  (Peters et al. 2019, eq. 10); tau is found by bisection."""
    scores = (alpha - 1) * scores
    high = scores.max(-1, keepdims=True)
    low = high - 1
    for _ in range(60):
        tau = (low + high) / 2
        more = (np.maximum(scores - tau, 0) ** (1 / (alpha - 1))).sum(-1, keepdims=True) > 1
        low, high = np.where(more, tau, low), np.where(more, high, tau)
    return np.maximum(scores - low, 0) ** (1 / (alpha - 1))


def model_config(family, combination, **more):
    """The ModelConfig of a combination of choices, of tiny sizes; sizes that these choices do not use keep their
    defaults."""
    row = dict(combination)
    layers = row.pop("layers", None)
    default = "gnmt" if row.get("readout") == "state" else "luong"  # the context has to enter somewhere
    row |= ORDERS[row.pop("order", default)] | DIRECTIONS[row.pop("direction", "both")]
    attention = {name: row.pop(name) for name in (*ATTENTION, *WindowConfig._fields, "coverage") if name in row}
    attention["heads"] = row.pop("attention_heads", 1)
    if row.get("tie", "none") != "none" and row.get("readout") == "state":
        row["embedding"] = TINY["rnn"]["hidden"]
    uses = SCORERS[attention.get("scorer", "general")].uses | WINDOWS[attention.get("window", "everywhere")].uses
    attention |= {name: size for name, size in {"hidden": 5, "width": 1}.items() if name in uses}
    if row.get("bridge") == "directions":
        layers, row["encoder_hidden"] = layers or (1, 2), row.get("encoder_hidden") or 2 * TINY["rnn"]["hidden"]
    row |= dict(zip(("encoder_layers", "decoder_layers"), layers, strict=True)) if layers else {}
    return MODELS[family](**{**TINY[family], **row, **more, "attention": AttentionConfig(**attention)})


def compatible(row):
    """Whether these choices can be combined; one that is not made yet can be combined with all."""
    layers = row.get("layers", (2, 2))
    return not (
        (row.get("window") == "last" and row.get("scorer", "uniform") != "uniform")
        or (row.get("scorer") == "uniform" and row.get("normalizer", "softmax") != "softmax")
        or (row.get("window") == "last" and row.get("normalizer", "softmax") != "softmax")
        or (row.get("window") == "last" and row.get("coverage"))
        or (row.get("coverage") and "coverage" not in SCORERS[row.get("scorer", "additive")].uses)
        or (row.get("coverage") and row.get("attention_heads", 1) > 1)
        or (row.get("residual") and max(layers) < 2)
        or (row.get("bridge", "zero").startswith("copy") and layers[0] != layers[1])
        or (row.get("encoder_hidden") and row.get("bridge", "zero").startswith("copy"))
        or (
            row.get("encoder_hidden")
            and row.get("attention_heads", 1) == 1
            and SCORERS[row.get("scorer", "general")].equal_sizes
        )
        or (row.get("bridge") in ("copy_all", "directions", "reduce") and row.get("cell", "lstm") != "lstm")
        or (row.get("bridge") == "directions" and not allows_directions(row))
        or (row.get("bridge") in ("backward", "directions") and row.get("direction", "both") in ("forward", "reverse"))
        or (row.get("bridge") == "backward" and row.get("direction") == "first" and row.get("layers", (1, 1))[0] > 1)
        or (row.get("order") == "previous" and row.get("readout") == "state")
        or (
            row.get("order") in ("luong", "plain")
            and row.get("readout") == "state"
            and row.get("window", "everywhere") != "last"
        )
    )


def allows_directions(row):
    """Whether bridge=directions is possible: two decoder layers per encoder layer, of half the size of its states."""
    equal = row.get("attention_heads", 1) == 1 and SCORERS[row.get("scorer", "general")].equal_sizes
    return row.get("layers", (1, 2)) == (1, 2) and not row.get("encoder_hidden") and not equal


@cache
def pairwise_combinations(family):
    """Combinations of choices that together contain every compatible pair of values."""
    return cover(CHOICES[family], compatible)


@cache
def quick_combinations(family):
    """The numbers of few of them that together contain every choice; those of ATTENTION for recurrent models only."""
    rows = [set(row.items()) for row in pairwise_combinations(family)]
    axes = {name: values for name, values in CHOICES[family].items() if family == "rnn" or name not in ATTENTION}
    missing, quick = {(name, value) for name, values in axes.items() for value in values}, []
    while missing:
        quick.append(max(range(len(rows)), key=lambda n: len(rows[n] & missing)))
        missing -= rows[quick[-1]]
    return quick


@cache
def variant_config(family, variant):
    """The settings of a named variant, read from conf/, of tiny sizes; some with a copy head."""
    attention = AttentionConfig(**yaml.safe_load((VARIANTS / f"{variant}.yaml").read_text()))
    row = {name: getattr(attention, name) for name in (*ATTENTION, "coverage")}
    return model_config(family, row, head="copy" if variant in ("coverage", "local_p", "sparsemax") else "vocabulary")


def build_case(config, dtype):
    """A model with random weights, far enough from zero that every part matters, and a batch for it: namespace with
    config, model, source and copy (B, S), target_in and target_out (B, T)."""
    torch.manual_seed(7)
    source_size = TARGET if config.tie == "all" else SOURCE
    model = build_model(config, source_size, TARGET).to(dtype).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.3)
    source, target = torch.randint(4, source_size, (B, S)), torch.randint(4, TARGET, (B, T + 1))
    lengths, steps = torch.tensor([S, S - 3, S - 1]), torch.tensor([T - 1, T, T - 2])
    source[torch.arange(S) == lengths[:, None] - 1] = EOS
    source[torch.arange(S) >= lengths[:, None]] = PAD
    copy = torch.where(source == PAD, PAD, torch.randint(4, TARGET, (B, S)))
    target[:, 0] = BOS
    if model.head.reads_weights:
        copy[0, 1] = copy[0, 3] = TARGET  # an unknown word, twice
        target[0, 2] = TARGET
    else:
        target[0, 2] = UNK
    target_in, target_out = target[:, :-1].clone(), target[:, 1:].clone()
    target_out[torch.arange(T) >= steps[:, None]] = PAD
    return SimpleNamespace(
        config=config, model=model, source=source, copy=copy, target_in=target_in, target_out=target_out
    )


def pytest_generate_tests(metafunc):
    """Parameters of the fixtures `variant` and `case`.

    Most cases are slow tests, and are made for --slow only. A test marked `cases(every_pair=True)` runs every
    combination in the fast tests, too, one marked `cases(families=["rnn"])` the cases of one family only, and
    `cases(fast=...)` names its fast variants."""
    options = {name: value for mark in metafunc.definition.iter_markers("cases") for name, value in mark.kwargs.items()}
    families, every_pair = options.get("families", MODELS), options.get("every_pair", False)
    quick = options.get("fast", QUICK)
    named = [name for name in NAMED if name[0] in families]
    variants = [(name, "-".join(name), name in quick) for name in named]  # parameter, its name, whether it is fast
    cases = [(("variant", name), *others) for name, *others in variants]
    cases += [
        ((family, n), f"{family}-pairs{n}", every_pair or n in quick_combinations(family))
        for family in families
        for n in range(len(pairwise_combinations(family)))
    ]
    slow = bool(metafunc.config.getoption("--slow") or metafunc.config.getoption("-m"))
    for fixture, params in {"variant": variants, "case": cases}.items():
        if fixture in metafunc.fixturenames:
            made = [
                pytest.param(value, id=name, marks=() if fast else pytest.mark.slow)
                for value, name, fast in params
                if fast or slow
            ]
            metafunc.parametrize(fixture, made, indirect=True)


@pytest.fixture
def case(request):
    """Every named variant in float64, and every combination of choices in float32, as `build_case` returns it."""
    family, which = request.param
    if family == "variant":
        return build_case(variant_config(*which), torch.float64)
    return build_case(model_config(family, pairwise_combinations(family)[which]), torch.float32)


@pytest.fixture
def variant(request):
    """Every named variant in float32, as `build_case` returns it."""
    return build_case(variant_config(*request.param), torch.float32)


@pytest.fixture
def assert_close():
    """`assert_close(a, b)`: two tensors are equal up to the rounding errors of their dtype."""
    exact = {torch.float32: {"rtol": 2e-4, "atol": 2e-5}, torch.float64: {"rtol": 1e-8, "atol": 1e-9}}
    return lambda a, b: torch.testing.assert_close(a, b, **exact.get(a.dtype, {}))


@pytest.fixture(scope="session")
def model_cases():
    """For tests that choose their own models: `config(family, combination, **settings)` and `build(config, dtype)`; the
    choices, their pairwise combinations, and the tiny sizes."""
    return SimpleNamespace(
        choices=CHOICES, pairwise=pairwise_combinations, config=model_config, build=build_case, tiny=TINY
    )


@pytest.fixture
def formulas():
    """The formulas of scores, windows and normalizers; `weights_of(module)`: the weights that they are given."""

    def weights_of(module):
        return {name: weight.detach().numpy() for name, weight in module.named_parameters()}

    return SimpleNamespace(
        scores=SCORE_FORMULAS,
        views=WINDOW_FORMULAS,
        center=center,
        normalizers=NORMALIZER_FORMULAS,
        weights_of=weights_of,
    )
