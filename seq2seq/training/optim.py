"""Optimizers and learning rate schedules, by the names of `training.optimizer` and `training.schedule`.

`OPTIMIZERS` holds functions that build torch's optimizers; `SCHEDULES` holds functions from an update to the share of
the peak learning rate. `Plateau` lowers the rate by what validation finds."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer

from seq2seq.errors import ConfigError
from seq2seq.nn.attention.windows import LocalP


class OptimizerOptions(NamedTuple):
    """Hyperparameters that an optimizer may read."""

    learning_rate: float
    beta1: float
    beta2: float
    weight_decay: float
    fused: bool  # one kernel for all parameters; off with gradient scaling, which it would undo only after clipping


def sgd(parameters: Iterable[Any], options: OptimizerOptions) -> Optimizer:
    """Stochastic gradient descent without momentum  (as in Luong et al. 2015)."""
    return torch.optim.SGD(parameters, lr=options.learning_rate, weight_decay=options.weight_decay)


def adam(
    parameters: Iterable[Any], options: OptimizerOptions, kind: type[torch.optim.Adam] = torch.optim.Adam
) -> Optimizer:
    """Kingma & Ba 2015; weight decay is L2; epsilon = 1e-9 as in Vaswani et al. 2017, section 5.3."""
    return kind(
        parameters,
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        eps=1e-9,
        weight_decay=options.weight_decay,
        fused=options.fused,
    )


def adamw(parameters: Iterable[Any], options: OptimizerOptions) -> Optimizer:
    """Loshchilov & Hutter 2019: decoupled weight decay; epsilon as in `adam`."""
    return adam(parameters, options, torch.optim.AdamW)


def adagrad(parameters: Iterable[Any], options: OptimizerOptions) -> Optimizer:
    """Duchi et al. 2011; the accumulator starts at 0.1, as in See et al. 2017."""
    return torch.optim.Adagrad(
        parameters, lr=options.learning_rate, weight_decay=options.weight_decay, initial_accumulator_value=0.1
    )


def adadelta(parameters: Iterable[Any], options: OptimizerOptions) -> Optimizer:
    """Zeiler 2012, rho = 0.95 and epsilon = 1e-6, as in Bahdanau et al. 2015, section B.2; its learning rate is 1."""
    return torch.optim.Adadelta(
        parameters, lr=options.learning_rate, rho=0.95, eps=1e-6, weight_decay=options.weight_decay
    )


def adafactor(parameters: Iterable[Any], options: OptimizerOptions) -> Optimizer:
    """Shazeer & Stern 2018: sublinear memory."""
    return torch.optim.Adafactor(parameters, lr=options.learning_rate, weight_decay=options.weight_decay)


OPTIMIZERS: dict[str, Callable[[Iterable[Any], OptimizerOptions], Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "adafactor": adafactor,
}


def parameter_groups(model: nn.Module, weight_decay: float, learning_rate: float) -> list[dict[str, Any]]:
    """Parameter groups of an optimizer: matrices decay; biases and gains do not.

    The predictors of local windows whose `center_rate` is not 1 are a group with a learning rate of its own."""
    windows = [m for m in model.modules() if isinstance(m, LocalP) and m.config.center_rate != 1]
    predictors = [p for window in windows for p in window.parameters()]
    others = [p for p in model.parameters() if all(p is not predictor for predictor in predictors)]
    groups = [
        {"params": [p for p in others if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if predictors:
        rate = windows[0].config.center_rate * learning_rate  # one setting holds for all windows of a model
        groups.append({"params": predictors, "weight_decay": weight_decay, "lr": rate})
    return groups


class ScheduleOptions(NamedTuple):
    """Hyperparameters that a schedule may read; updates are counted from 0."""

    warmup: int  # updates of linear warm-up
    total: int  # updates of the whole training; 0 if unknown
    halve_from: float  # share of the total after which Luong's halving begins
    halve_every: float  # share of the total between halvings


def warmup_factor(update: int, options: ScheduleOptions) -> float:
    """min(1, (update + 1) / warmup)."""
    return min(1.0, (update + 1) / max(options.warmup, 1))


def constant(update: int, options: ScheduleOptions) -> float:
    """1 after the warm-up."""
    return warmup_factor(update, options)


def inverse_sqrt(update: int, options: ScheduleOptions) -> float:
    """sqrt(warmup / update)  (Vaswani et al. 2017, eq. 3, scaled to peak at 1)."""
    decay = math.sqrt(max(options.warmup, 1) / max(options.warmup, update + 1))
    return warmup_factor(update, options) * decay


def luong(update: int, options: ScheduleOptions) -> float:
    """1, halved at `halve_from` and every `halve_every` from then on.

    In Luong et al. 2015, section 4.1, after each epoch beyond the fifth."""
    intervals = (update / options.total - options.halve_from) / options.halve_every
    intervals += 1e-9  # a whole number of intervals must not be rounded below it
    decay = 0.5 ** (math.floor(intervals) + 1) if intervals >= 0 else 1.0
    return warmup_factor(update, options) * decay


def cosine(update: int, options: ScheduleOptions) -> float:
    """(1 + cos(pi x)) / 2, x from 0 after the warm-up to 1 at the end  (Loshchilov & Hutter 2017, eq. 5)."""
    done = (update - options.warmup) / max(options.total - options.warmup, 1)
    return warmup_factor(update, options) * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


SCHEDULES: dict[str, Callable[[int, ScheduleOptions], float]] = {
    "constant": constant,
    "inverse_sqrt": inverse_sqrt,
    "luong": luong,
    "plateau": constant,  # multiplied by Plateau.scale
    "cosine": cosine,
}


class Plateau:
    """A factor of the learning rate that falls whenever `patience` scores in a row are no better than the best."""

    def __init__(self, patience: int, factor: float) -> None:
        self.patience, self.factor = patience, factor
        self.best, self.waited, self.scale = -math.inf, 0, 1.0

    def step(self, score: float) -> None:
        """Take the score of a validation into account; higher is better."""
        self.waited = 0 if score > self.best else self.waited + 1
        self.best = max(self.best, score)
        if self.waited >= self.patience:
            self.scale, self.waited = self.scale * self.factor, 0

    def state_dict(self) -> dict[str, float]:
        """What `load_state_dict` of a resumed run needs."""
        return {"best": self.best, "waited": self.waited, "rate": self.scale}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from a saved state."""
        self.best, self.waited, self.scale = state["best"], int(state["waited"]), state["rate"]


def needs_total(name: str) -> bool:
    """Whether the schedule depends on the length of the training."""
    return name in ("luong", "cosine")


def check_schedule(name: str, total: int) -> None:
    """Raises ConfigError for a schedule that depends on the length of the training where `total` is 0, unknown."""
    if needs_total(name) and not total:
        raise ConfigError(
            f"training.schedule={name} needs the length of training: set training.max_updates or training.max_epochs"
        )
