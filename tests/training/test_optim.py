"""Optimizers, against twins in NumPy that follow the papers; and learning rate schedules."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from seq2seq.config import AttentionConfig, ModelConfig, RNNConfig, TransformerConfig
from seq2seq.errors import ConfigError
from seq2seq.nn.build import build_model
from seq2seq.training.optim import (
    OPTIMIZERS,
    SCHEDULES,
    OptimizerOptions,
    Plateau,
    ScheduleOptions,
    check_schedule,
    parameter_groups,
)
from tests.each import each

RATE, BETA1, BETA2, DECAY = 0.02, 0.8, 0.95, 0.1
Array = np.ndarray


def adam(w: Array, gradients: Array, coupled: float, decoupled: float) -> Array:
    """Kingma & Ba 2015, algorithm 1; epsilon = 1e-9 as in Vaswani et al. 2017, section 5.3."""
    mean = square = 0 * w
    for t, gradient in enumerate(gradients, 1):
        g, w = gradient + coupled * w, w - RATE * decoupled * w
        mean, square = BETA1 * mean + (1 - BETA1) * g, BETA2 * square + (1 - BETA2) * g**2
        w = w - RATE * mean / (1 - BETA1**t) / (np.sqrt(square / (1 - BETA2**t)) + 1e-9)
    return w


def sgd(w: Array, gradients: Array) -> Array:
    """Luong et al. 2015, section 4.1: without momentum."""
    for gradient in gradients:
        w = w - RATE * (gradient + DECAY * w)
    return w


def adagrad(w: Array, gradients: Array) -> Array:
    """Duchi et al. 2011; the accumulator begins with 0.1, as in See et al. 2017, section 5."""
    total = 0.1 + 0 * w
    for gradient in gradients:
        g = gradient + DECAY * w
        total = total + g**2
        w = w - RATE * g / np.sqrt(total)
    return w


def adadelta(w: Array, gradients: Array) -> Array:
    """Zeiler 2012, algorithm 1, times a rate; rho = 0.95 and epsilon = 1e-6 as in Bahdanau et al. 2015, section B.2."""
    square = moved = 0 * w
    for gradient in gradients:
        g = gradient + DECAY * w
        square = 0.95 * square + 0.05 * g**2
        step = np.sqrt(moved + 1e-6) / np.sqrt(square + 1e-6) * g
        moved, w = 0.95 * moved + 0.05 * step**2, w - RATE * step
    return w


def adafactor(w: Array, gradients: Array) -> Array:
    """Shazeer & Stern 2018, algorithm 4, with the constants proposed in section 9.

    The weights decay as in Loshchilov & Hutter 2019.
    The constants are rho_t = min(rate, 1 / sqrt(t)), epsilon_2 = 1e-3, d = 1, beta_2 = 1 - t^-0.8."""
    rows, columns = 0 * w[:, :1], 0 * w[:1]
    for t, g in enumerate(gradients, 1):
        alpha = max(1e-3, np.sqrt((w**2).mean())) * min(RATE, t**-0.5)
        rows, columns = (
            old + t**-0.8 * ((g**2).mean(axis, keepdims=True) - old) for old, axis in ((rows, 1), (columns, 0))
        )
        update = g / np.sqrt(rows * columns / rows.mean())
        w = w - RATE * DECAY * w - alpha * update / max(1, np.sqrt((update**2).mean()))
    return w


TWINS: dict[str, Callable[[Array, Array], Array]] = {
    "sgd": sgd,
    "adam": lambda w, gradients: adam(w, gradients, DECAY, 0),
    "adamw": lambda w, gradients: adam(w, gradients, 0, DECAY),
    "adagrad": adagrad,
    "adadelta": adadelta,
    "adafactor": adafactor,
}


def test_every_optimizer_has_its_twin() -> None:
    assert set(TWINS) == set(OPTIMIZERS)


@each("fused", [False, True])
@each("size", [0.0, 1e-3, 5.0])
@each("name", OPTIMIZERS)
def test_optimizer_takes_the_steps_of_its_paper(name: str, size: float, fused: bool) -> None:
    """With gradients of all magnitudes: the constants matter where they are small. Weights near zero hardly decay."""
    draw = np.random.default_rng(1)
    w, gradients = size * draw.normal(size=(4, 5)), draw.normal(size=(6, 4, 5)) * np.logspace(-9, 0, 5)
    weight = torch.nn.Parameter(torch.from_numpy(w.copy()))
    optimizer = OPTIMIZERS[name]([weight], OptimizerOptions(RATE, BETA1, BETA2, DECAY, fused))
    for gradient in gradients:
        weight.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), TWINS[name](w, gradients), rtol=1e-6, atol=1e-14)


LENGTHS = ScheduleOptions(warmup=4, total=24, halve_from=0.5, halve_every=0.125)


EXPECTED = {
    "constant": {0: 0.25, 1: 0.5, 3: 1.0, 4: 1.0, 99: 1.0},
    "inverse_sqrt": {0: 0.25, 3: 1.0, 15: 0.5, 35: 1 / 3},
    "luong": {0: 0.25, 3: 1.0, 11: 1.0, 12: 0.5, 14: 0.5, 15: 0.25, 17: 0.25, 18: 0.125, 21: 1 / 16, 24: 1 / 32},
    "plateau": {0: 0.25, 3: 1.0, 99: 1.0},
    "cosine": {0: 0.25, 4: 1.0, 9: (1 + math.sqrt(0.5)) / 2, 14: 0.5, 19: (1 - math.sqrt(0.5)) / 2, 24: 0.0, 30: 0.0},
}


def test_every_schedule_has_expected_rates() -> None:
    assert EXPECTED.keys() == SCHEDULES.keys()


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_at_selected_updates(name: str) -> None:
    rates = {update: SCHEDULES[name](update, LENGTHS) for update in EXPECTED[name]}
    assert rates == pytest.approx(EXPECTED[name], abs=1e-12)


def test_rounding_does_not_delay_halvings() -> None:
    """In binary 0.7 - 0.5 is less than 2 * 0.1."""
    rates = [
        SCHEDULES["luong"](update, ScheduleOptions(warmup=0, total=100, halve_from=0.5, halve_every=0.1))
        for update in range(100)
    ]
    assert rates == [1.0] * 50 + [0.5 ** (1 + late // 10) for late in range(50)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_without_warmup_the_first_update_has_the_peak(name: str) -> None:
    assert SCHEDULES[name](0, LENGTHS._replace(warmup=0)) == 1.0


def test_plateau_halves_after_every_second_score_without_improvement() -> None:
    plateau = Plateau(patience=2, factor=0.5)
    rates = []
    for score in (1.0, 2.0, 2.0, 1.9, 2.0, 1.0, 2.1, 0.0, 0.0):
        plateau.step(score)
        rates.append(plateau.scale)
    assert rates == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_plateau_resumes_from_its_state() -> None:
    one, other = Plateau(3, 0.1), Plateau(3, 0.1)
    for score in (1.0, 0.5, 0.4):
        one.step(score)
    other.load_state_dict(one.state_dict())
    one.step(0.0)
    other.step(0.0)
    assert one.state_dict() == other.state_dict() == {"best": 1.0, "waited": 0, "rate": pytest.approx(0.1)}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_that_depends_on_the_length_needs_one(name: str) -> None:
    check_schedule(name, 10)
    if name in ("luong", "cosine"):
        with pytest.raises(ConfigError, match=rf"training\.schedule={name} needs the length of training: set"):
            check_schedule(name, 0)
    else:
        check_schedule(name, 0)


def test_biases_and_gains_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    matrices, vectors = parameter_groups(model, 0.1, 1e-3)
    assert [p.shape for p in matrices["params"]] == [(3, 2)]
    assert len(vectors["params"]) == 3
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)


@pytest.mark.parametrize(
    "family", [RNNConfig(hidden=8, embedding=8), TransformerConfig(size=8, heads=2, feedforward=8)]
)
def test_predicted_centre_has_a_learning_rate_of_its_own(family: ModelConfig) -> None:
    config = dataclasses.replace(family, attention=AttentionConfig(window="local_p", center_rate=0.25))
    model = build_model(config, 10, 10)
    groups = parameter_groups(model, 0.1, 4.0)
    learned = [p for group in groups for p in group["params"]]
    assert sorted(map(id, learned)) == sorted(map(id, model.parameters()))  # each once
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(groups, lr=4.0, weight_decay=0.0)
    schedule = LambdaLR(optimizer, lambda update: 0.5)
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    schedule.step()
    for name, p in model.named_parameters():
        step = 0.5 if ".window." in name else 2.0  # half of 0.25 * 4 and of 4
        torch.testing.assert_close(before[name] - p.detach(), torch.full_like(p, step))
