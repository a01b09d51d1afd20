"""The experiments in conf/: every one composes, and those that follow a paper have its values."""

from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from seq2seq.config.io import every_setting, flatten, flatten_values
from seq2seq.ids import EOS
from seq2seq.launch.compose import compose_config, conf_dir
from seq2seq.nn.build import build_meta_model, build_model
from seq2seq.training.optim import check_schedule
from tests.each import each

FOLDER = conf_dir() / "experiment"
NAMES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.yaml"))
SMALL = {
    "embedding": 8, "hidden": 8, "encoder_hidden": 16, "features": 6, "size": 8, "heads": 2, "feedforward": 8,
}  # fmt: skip


@cache
def composed(name):
    """The settings of an experiment, which tests must not change."""
    group, _, last = name.rpartition("/")
    return compose_config([f"experiment{group and '/'}{group}={last}"])


QUICK = ("bahdanau2015", "see2017", "gnmt", "luong2015/unk", "luong_table/transformer")


@each("name", NAMES)
def test_file_names_settings_and_files_that_there_are(name):
    values = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
    for entry in values.pop("defaults"):
        for path, choice in [(entry, "")] if isinstance(entry, str) else entry.items():
            path = path.removeprefix("override ")
            parts = (conf_dir() if path.startswith("/") else FOLDER, path.removeprefix("/"), choice)
            assert Path(*parts).with_suffix(".yaml").is_file(), entry
    assert values["variant"].startswith(name.replace("/", "_").removeprefix("luong_table_"))
    groups = {setting.rpartition(".")[0] for setting in every_setting()}
    assert set(flatten_values(values)) <= {*every_setting(), *groups}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.fast(*QUICK)
def test_experiment_composes(name):
    config = composed(name)
    check_schedule(config.training.schedule, config.training.max_updates or config.training.max_epochs)
    build_meta_model(config.model)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.fast(*QUICK)
def test_experiment_has_finite_gradients(name):
    config = composed(name)
    uses_hidden = config.model.attention.hidden != type(config.model.attention)().hidden
    attention = replace(config.model.attention, hidden=5) if uses_hidden else config.model.attention
    sizes = {name: size for name, size in SMALL.items() if getattr(config.model, name, 0)}
    torch.manual_seed(1)
    model = build_model(replace(config.model, **sizes, attention=attention), 11, 11)
    source, target = torch.randint(4, 11, (3, 7)), torch.randint(4, 11, (3, 5))
    source[:, -1] = EOS
    if config.model.output == "label":  # nothing but the end may follow a label
        target = torch.cat((target[:, :1], torch.full((3, 1), EOS)), 1)
    memory = model.encode(source)
    loss = model.head.loss(model.decode(target, memory), memory, target).total
    loss.backward()
    assert loss.isfinite()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


LUONG = {
    "model.embedding": 1000, "model.hidden": 1000, "model.encoder_layers": 4, "model.decoder_layers": 4,
    "model.init": 0.1, "model.bidirectional": False, "tokenizer.size": 50000, "data.max_words": 50,
    "training.optimizer": "sgd", "training.learning_rate": 1.0, "training.normalization": "sentences",
    "training.clip": 5.0, "training.patience": 0, "training.label_smoothing": 0.0,
}  # fmt: skip
LUONG_10 = {
    **LUONG,
    "training.max_epochs": 10,
    "training.halve_from": 0.5,
    "training.halve_every": 0.1,
    "model.dropout": 0.0,
}
LUONG_12 = {
    **LUONG,
    "training.max_epochs": 12,
    "training.halve_from": 8 / 12,
    "training.halve_every": 1 / 12,
    "model.dropout": 0.2,
}
TF_NMT = {
    "model.dropout": 0.2, "training.optimizer": "sgd", "training.learning_rate": 1.0, "training.clip": 5.0,
    "search.beam": 10, "training.normalization": "sentences", "training.patience": 0, "model.init": 0.1,
}  # fmt: skip
PAPERS = {  # values copied from papers and published code, not from conf/
    "bahdanau2015": {  # appendices A.2.3 and B
        "model.embedding": 620, "model.hidden": 1000, "model.encoder_hidden": 2000, "model.features": 500,
        "model.attention.hidden": 1000, "tokenizer.size": 30000, "data.max_words": 50,
        "training.optimizer": "adadelta", "training.clip": 1.0, "model.dropout": 0.0, "model.initializer": "bahdanau",
        "training.label_smoothing": 0.0, "training.normalization": "sentences",
    },
    "luong2015/base": LUONG_10, "luong2015/reverse": LUONG_10, "luong2015/dropout": LUONG_12,
    "luong2015/feed": LUONG_12,
    "luong2015/local_p_general": {**LUONG_12, "model.attention.width": 10},
    "luong2015/local_m_dot": {"model.attention.width": 10},
    "see2017": {  # section 5, and the flags of run_summarization.py
        "model.embedding": 128, "model.hidden": 256, "model.encoder_hidden": 512, "tokenizer.size": 50000,
        "training.optimizer": "adagrad", "training.learning_rate": 0.15, "training.clip": 2.0,
        "training.coverage_loss": 1.0, "data.truncate_source": 400, "data.truncate_target": 100, "search.beam": 4,
        "search.min_length": 35, "search.max_length": 120, "model.init": 0.02, "model.embedding_init": 1e-4,
        "model.dropout": 0.0, "training.label_smoothing": 0.0, "training.batch_tokens": 16 * 401,
        "training.monitor": "loss", "tokenizer.joint": True,
    },
    "gnmt": {  # sections 3, 5 and 7
        "model.encoder_layers": 8, "model.decoder_layers": 8, "model.hidden": 1024, "tokenizer.size": 32000,
        "training.optimizer": "adam", "training.learning_rate": 2e-4, "training.clip": 5.0, "model.init": 0.04,
        "model.residual_from": 3, "search.alpha": 0.2, "search.coverage_penalty": 0.2, "model.bidirectional_layers": 1,
        "model.dropout": 0.2,
    },
    "tf_nmt/scaled_luong": {  # iwslt15.json and luong234 of nmt.py
        **TF_NMT, "model.hidden": 512, "model.encoder_layers": 1, "model.encoder_hidden": 1024,
        "model.decoder_layers": 2, "training.max_updates": 12000, "training.halve_from": 0.75,
        "training.halve_every": 1 / 12, "search.length_penalty": "none",
    },
    "tf_nmt/gnmt": {  # wmt16_gnmt_4_layer.json and luong10
        **TF_NMT, "model.hidden": 1024, "model.encoder_layers": 4, "training.max_updates": 340000,
        "training.halve_from": 0.55, "training.halve_every": 0.05, "search.alpha": 1.0, "model.bidirectional_layers": 1,
    },
}  # fmt: skip


def test_experiments_have_the_values_of_their_papers():
    for name, values in PAPERS.items():
        found = flatten(composed(name))
        assert {setting: found[setting] for setting in values} == pytest.approx(values, abs=1e-4), name


def test_experiments_without_a_schedule_stop_early_after_many_updates():
    for name in ("bahdanau2015", "gnmt", "see2017"):
        training = composed(name).training
        assert (training.max_updates, training.max_epochs) == (0, 0), name
        assert training.validate_every * training.patience >= 40_000, name


def count(name, source, target):
    return sum(weight.numel() for weight in build_meta_model(composed(name).model, source, target).parameters())


def test_rnnsearch_has_the_parameters_of_its_appendix():
    """Bahdanau et al. 2015, section A.2: n = n' = 1000, m = 620, l = 500. Its equations leave out the biases."""
    n, m, words, pieces = 1000, 620, 30000, 500
    encoder = words * m + 2 * 3 * (m * n + n * n)
    decoder = words * m + 3 * (m * n + n * n + 2 * n * n)
    first_state, score = n * n, n + n * n + 2 * n * n
    output = 2 * pieces * (n + m + 2 * n) + words * pieces
    biases = 2 * 3 * n + 3 * n + n + n + 2 * pieces + words
    assert count("bahdanau2015", words, words) == encoder + decoder + first_state + score + output + biases


def test_luong_base_has_the_parameters_of_its_paper():
    """Luong et al. 2015, section 4.1; each layer of either side has one bias."""
    n, words, layers = 1000, 50000, 4
    lstm = 4 * (2 * n * n)
    assert count("luong2015/base", words, words) == 2 * words * n + 2 * layers * (lstm + 4 * n) + words * n + words


@pytest.mark.slow
def test_experiments_of_the_luong_table_differ_in_the_attention_only():
    """The Transformer differs in model and training as well, but not in data, batches and number of updates."""
    rows = {name: flatten(composed(name)) for name in NAMES if name.startswith("luong_table/")}
    transformer = rows.pop("luong_table/transformer")
    assert len(rows) == 8
    for one, other in combinations(rows.values(), 2):
        assert all(name == "variant" or name.startswith("model.attention.") for name in one if one[name] != other[name])
    (first, *_) = rows.values()
    alike = (
        "data.",
        "tokenizer.",
        "search.",
        "trainer.",
        "training.max",
        "training.batch_tokens",
        "training.validate_every",
        "seed",
    )
    assert all(first[name] == transformer[name] for name in first if name.startswith(alike))
