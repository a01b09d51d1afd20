"""How do gradients move the weights? torch's optimizers under the names of the settings, one row each in OPTIMIZERS."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer

from seq2seq.errors import ConfigError


class Rates(NamedTuple):
    """The numbers an optimizer may read."""

    learning_rate: float
    beta1: float
    beta2: float
    weight_decay: float
    fused: bool  # one kernel for all; not where gradients are scaled, which it would undo after they are clipped


def sgd(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Stochastic gradient descent, no momentum  (as in Luong et al. 2015)."""
    return torch.optim.SGD(parameters, lr=rates.learning_rate, weight_decay=rates.weight_decay)


def adam(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Kingma & Ba 2015; weight decay is L2."""
    return torch.optim.Adam(
        parameters,
        lr=rates.learning_rate,
        betas=rates[1:3],
        eps=1e-9,
        weight_decay=rates.weight_decay,
        fused=rates.fused,
    )


def adamw(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Loshchilov & Hutter 2019; decoupled weight decay."""
    return torch.optim.AdamW(
        parameters,
        lr=rates.learning_rate,
        betas=rates[1:3],
        eps=1e-9,
        weight_decay=rates.weight_decay,
        fused=rates.fused,
    )


def adafactor(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Shazeer & Stern 2018: sublinear memory."""
    return torch.optim.Adafactor(parameters, lr=rates.learning_rate, weight_decay=rates.weight_decay)


def adagrad(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Duchi et al. 2011; the sum of squares begins with 0.1, as in See et al. 2017."""
    return torch.optim.Adagrad(
        parameters, lr=rates.learning_rate, weight_decay=rates.weight_decay, initial_accumulator_value=0.1
    )


def adadelta(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Zeiler 2012, rho = 0.95 and epsilon = 1e-6, as in Bahdanau et al. 2015, section B.2; its rate is 1."""
    return torch.optim.Adadelta(parameters, lr=rates.learning_rate, rho=0.95, eps=1e-6, weight_decay=rates.weight_decay)


def decayed(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: matrices decay, biases and gains do not."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


OPTIMIZERS: dict[str, Callable[[Iterable[Any], Rates], Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "adafactor": adafactor,
}


class Schedule(NamedTuple):
    """The numbers a schedule may read; updates are counted from 0."""

    warmup: int  # updates of linear warm-up
    total: int  # updates of the whole training; 0 if nobody knows
    halve_from: float  # share of the total after which Luong's halving begins
    halve_every: float  # share of the total between halvings


ScheduleFunction = Callable[[int, Schedule], float]


def constant(update: int, course: Schedule) -> float:
    """1 after the warm-up."""
    return warm(update, course)


def inverse_sqrt(update: int, course: Schedule) -> float:
    """sqrt(warmup / update)  (Vaswani et al. 2017, eq. 3, scaled to peak at 1)."""
    return warm(update, course) * math.sqrt(max(course.warmup, 1) / max(course.warmup, update + 1))


def luong(update: int, course: Schedule) -> float:
    """1, then halved again and again, at `halve_from` for the first time  (Luong et al. 2015, section 4.1: each epoch after the fifth)."""
    intervals = (
        update / course.total - course.halve_from
    ) / course.halve_every + 1e-9  # which is to be whole in spite of rounding
    return warm(update, course) * (0.5 ** (math.floor(intervals) + 1) if intervals >= 0 else 1.0)


def cosine(update: int, course: Schedule) -> float:
    """(1 + cos(pi x)) / 2, x from 0 after the warm-up to 1 at the end  (Loshchilov & Hutter 2017, eq. 5)."""
    done = (update - course.warmup) / max(course.total - course.warmup, 1)
    return warm(update, course) * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


def warm(update: int, course: Schedule) -> float:
    """Rises linearly to 1 in the first updates."""
    return min(1.0, (update + 1) / max(course.warmup, 1))


class Plateau:
    """Lowers the rate whenever `patience` scores in a row are no better than the best."""

    def __init__(self, patience: int, factor: float) -> None:
        self.patience, self.factor = patience, factor
        self.best, self.waited, self.rate = -math.inf, 0, 1.0

    def tell(self, score: float) -> None:
        """A score, the higher the better."""
        self.waited = 0 if score > self.best else self.waited + 1
        self.best = max(self.best, score)
        if self.waited >= self.patience:
            self.rate, self.waited = self.rate * self.factor, 0

    def state(self) -> dict[str, float]:
        """What a resumed run needs."""
        return {"best": self.best, "waited": self.waited, "rate": self.rate}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from `state`."""
        self.best, self.waited, self.rate = state["best"], int(state["waited"]), state["rate"]


def needs_total(name: str) -> bool:
    """Whether the schedule reads the length of the training."""
    return name in ("luong", "cosine")


def check_schedule(name: str, total: int) -> None:
    """Refuse a schedule whose end nobody knows."""
    if needs_total(name) and not total:
        raise ConfigError(
            f"training.schedule={name} needs an end to plan for: set training.max_updates or training.max_epochs"
        )


SCHEDULES: dict[str, ScheduleFunction] = {
    "constant": constant,
    "inverse_sqrt": inverse_sqrt,
    "luong": luong,
    "plateau": constant,  # its falls are decided by validation: see Plateau
    "cosine": cosine,
}
