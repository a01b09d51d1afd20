"""Does every experiment compose, and is each that names a paper what the paper says?"""

from dataclasses import replace
from itertools import combinations

import pytest
import torch

from seq2seq.compose import compose_config, conf_dir
from seq2seq.ids import EOS
from seq2seq.nn.build import build_model, check_model
from seq2seq.settings import flatten
from seq2seq.training.schedule import check_schedule

FOLDER = conf_dir() / "experiment"
NAMES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.yaml"))
SMALL = {
    "embedding": 8, "hidden": 8, "encoder_hidden": 12, "features": 6, "size": 8, "heads": 2, "feedforward": 8,
}  # fmt: skip


def composed(name):
    group, _, last = name.rpartition("/")
    return compose_config([f"experiment{group and '/'}{group}={last}"])


QUICK = ("bahdanau2015", "see2017", "gnmt", "luong2015/unk", "luong_table/local_p", "luong_table/transformer", "tf_nmt/gnmt")


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NAMES])
def test_an_experiment_composes_and_learns(name):
    config = composed(name)
    check_schedule(config.training.schedule, config.training.max_updates or config.training.max_epochs)
    assert config.variant.startswith(name.replace("/", "_").removeprefix("luong_table_")) or name == "tf_nmt/gnmt"
    uses_hidden = config.model.attention.hidden != type(config.model.attention)().hidden
    attention = replace(config.model.attention, hidden=5) if uses_hidden else config.model.attention
    sizes = {name: size for name, size in SMALL.items() if getattr(config.model, name, 0)}
    torch.manual_seed(1)
    model = build_model(replace(config.model, **sizes, attention=attention), 11, 11)
    source, target = torch.randint(4, 11, (3, 7)), torch.randint(4, 11, (3, 5))
    source[:, -1] = EOS
    memory = model.encode(source)
    loss = model.head.loss(model.decode(target, memory), memory, target).total
    loss.backward()
    assert loss.isfinite()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


def count(name, source, target):
    return sum(weight.numel() for weight in check_model(composed(name).model, source, target).parameters())


def test_rnnsearch_has_the_matrices_of_its_appendix():
    """Bahdanau et al. 2015, section A.2: n = n' = 1000, m = 620, l = 500; biases of the gates, of the score and of the output are ours."""
    n, m, words, pieces = 1000, 620, 30000, 500
    encoder = words * m + 2 * 3 * (m * n + n * n)
    decoder = words * m + 3 * (m * n + n * n + 2 * n * n)
    first_state, score = n * n, n + n * n + 2 * n * n
    output = 2 * pieces * (n + m + 2 * n) + words * pieces
    ours = 2 * 3 * n + 3 * n + n + words
    assert count("bahdanau2015", words, words) == encoder + decoder + first_state + score + output + ours


def test_luongs_base_has_four_layers_of_a_thousand_on_each_side():
    """Luong et al. 2015, section 4.1: the encoder's layers have torch's two biases, the decoder's one."""
    n, words, layers = 1000, 50000, 4
    lstm = 4 * (2 * n * n)
    assert count("luong2015/base", words, words) == 2 * words * n + 2 * layers * (lstm + 4 * n) + words * n + words


def test_rows_of_the_small_table_differ_in_nothing_but_the_attention():
    """But for the Transformer, which has a model and a training of its own, for as many updates."""
    rows = {name: flatten(composed(name)) for name in NAMES if name.startswith("luong_table/")}
    transformer = rows.pop("luong_table/transformer")
    assert len(rows) == 8
    for one, other in combinations(rows.values(), 2):
        assert all(name == "variant" or name.startswith("model.attention.") for name in one if one[name] != other[name])
    (first, *_) = rows.values()
    alike = ("data.", "tokenizer.", "search.", "trainer.", "training.max", "training.batch_tokens", "training.validate_every", "seed")
    assert all(first[name] == transformer[name] for name in first if name.startswith(alike))
