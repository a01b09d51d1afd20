"""What is the learning rate at an update? Factors of the peak rate as pure functions, one row each in SCHEDULES."""

import math
from collections.abc import Callable
from typing import NamedTuple

from seq2seq.errors import ConfigError


class Course(NamedTuple):
    """The numbers a schedule may read; updates are counted from 0."""

    warmup: int  # updates of linear warm-up
    total: int  # updates of the whole training; 0 if nobody knows
    halve_from: float  # share of the total after which Luong's halving begins
    halve_every: float  # share of the total between halvings


Schedule = Callable[[int, Course], float]


def constant(update: int, course: Course) -> float:
    """1 after the warm-up."""
    return warm(update, course)


def inverse_sqrt(update: int, course: Course) -> float:
    """sqrt(warmup / update)  (Vaswani et al. 2017, eq. 3, scaled to peak at 1)."""
    return warm(update, course) * math.sqrt(max(course.warmup, 1) / max(course.warmup, update + 1))


def luong(update: int, course: Course) -> float:
    """1, then halved again and again, at `halve_from` for the first time  (Luong et al. 2015, section 4.1: each epoch after the fifth)."""
    intervals = (update / course.total - course.halve_from) / course.halve_every + 1e-9  # which is to be whole in spite of rounding
    return warm(update, course) * (0.5 ** (math.floor(intervals) + 1) if intervals >= 0 else 1.0)


def cosine(update: int, course: Course) -> float:
    """(1 + cos(pi x)) / 2, x from 0 after the warm-up to 1 at the end  (Loshchilov & Hutter 2017, eq. 5)."""
    done = (update - course.warmup) / max(course.total - course.warmup, 1)
    return warm(update, course) * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


def warm(update: int, course: Course) -> float:
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
        raise ConfigError(f"training.schedule={name} needs an end to plan for: set training.max_updates or training.max_epochs")


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "inverse_sqrt": inverse_sqrt,
    "luong": luong,
    "plateau": constant,  # its falls are decided by validation: see Plateau
    "cosine": cosine,
}
