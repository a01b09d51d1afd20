"""Does every optimizer take its paper's steps, with its paper's constants? Twins in NumPy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from seq2seq.training.optim import OPTIMIZERS, Rates

RATE, BETA1, BETA2, DECAY = 0.02, 0.8, 0.95, 0.1
Array = np.ndarray


def adam(w: Array, slopes: Array, coupled: float, decoupled: float) -> Array:
    """Kingma & Ba 2015, algorithm 1; epsilon = 1e-9 as in Vaswani et al. 2017, section 5.3."""
    mean = square = 0 * w
    for t, slope in enumerate(slopes, 1):
        g, w = slope + coupled * w, w - RATE * decoupled * w
        mean, square = BETA1 * mean + (1 - BETA1) * g, BETA2 * square + (1 - BETA2) * g**2
        w = w - RATE * mean / (1 - BETA1**t) / (np.sqrt(square / (1 - BETA2**t)) + 1e-9)
    return w


def sgd(w: Array, slopes: Array) -> Array:
    """Luong et al. 2015, section 4.1: without momentum."""
    for slope in slopes:
        w = w - RATE * (slope + DECAY * w)
    return w


def adagrad(w: Array, slopes: Array) -> Array:
    """Duchi et al. 2011; the accumulator begins with 0.1, as in See et al. 2017, section 5."""
    total = 0.1 + 0 * w
    for slope in slopes:
        g = slope + DECAY * w
        total = total + g**2
        w = w - RATE * g / np.sqrt(total)
    return w


def adadelta(w: Array, slopes: Array) -> Array:
    """Zeiler 2012, algorithm 1, times a rate; rho = 0.95 and epsilon = 1e-6 as in Bahdanau et al. 2015, section B.2."""
    square = moved = 0 * w
    for slope in slopes:
        g = slope + DECAY * w
        square = 0.95 * square + 0.05 * g**2
        step = np.sqrt(moved + 1e-6) / np.sqrt(square + 1e-6) * g
        moved, w = 0.95 * moved + 0.05 * step**2, w - RATE * step
    return w


def adafactor(w: Array, slopes: Array) -> Array:
    """Shazeer & Stern 2018, algorithm 4, with the proposed numbers of its section 9: rho_t = min(rate, 1 / sqrt(t)), epsilon_2 = 1e-3,
    d = 1, beta_2 = 1 - t^-0.8. The weights decay as in Loshchilov & Hutter 2019."""
    rows, columns = 0 * w[:, :1], 0 * w[:1]
    for t, g in enumerate(slopes, 1):
        alpha = max(1e-3, np.sqrt((w**2).mean())) * min(RATE, t**-0.5)
        rows, columns = (
            old + t**-0.8 * ((g**2).mean(axis, keepdims=True) - old) for old, axis in ((rows, 1), (columns, 0))
        )
        update = g / np.sqrt(rows * columns / rows.mean())
        w = w - RATE * DECAY * w - alpha * update / max(1, np.sqrt((update**2).mean()))
    return w


PAPERS: dict[str, Callable[[Array, Array], Array]] = {
    "sgd": sgd,
    "adam": lambda w, slopes: adam(w, slopes, DECAY, 0),
    "adamw": lambda w, slopes: adam(w, slopes, 0, DECAY),
    "adagrad": adagrad,
    "adadelta": adadelta,
    "adafactor": adafactor,
}


def test_every_optimizer_has_its_twin() -> None:
    assert set(PAPERS) == set(OPTIMIZERS)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("size", [0.0, 1e-3, 5.0])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_takes_its_papers_steps(name: str, size: float, fused: bool) -> None:
    """Slopes of all magnitudes: where they are small the constants are what counts. Weights near zero hardly decay."""
    draw = np.random.default_rng(1)
    w, slopes = size * draw.normal(size=(4, 5)), draw.normal(size=(6, 4, 5)) * np.logspace(-9, 0, 5)
    weight = torch.nn.Parameter(torch.from_numpy(w.copy()))
    optimizer = OPTIMIZERS[name]([weight], Rates(RATE, BETA1, BETA2, DECAY, fused))
    for slope in slopes:
        weight.grad = torch.from_numpy(slope.copy())
        optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), PAPERS[name](w, slopes), rtol=1e-6, atol=1e-14)
