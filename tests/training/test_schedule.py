"""Are the learning rates those on paper?"""

import math

import pytest

from seq2seq.errors import ConfigError
from seq2seq.training.optim import SCHEDULES, Plateau, Schedule, check_schedule

COURSE = Schedule(warmup=4, total=24, halve_from=0.5, halve_every=0.125)
PAPER = {
    "constant": {0: 0.25, 1: 0.5, 3: 1.0, 4: 1.0, 99: 1.0},
    "inverse_sqrt": {0: 0.25, 3: 1.0, 15: 0.5, 35: 1 / 3},
    "luong": {0: 0.25, 3: 1.0, 11: 1.0, 12: 0.5, 14: 0.5, 15: 0.25, 17: 0.25, 18: 0.125, 21: 1 / 16, 24: 1 / 32},
    "plateau": {0: 0.25, 3: 1.0, 99: 1.0},
    "cosine": {0: 0.25, 4: 1.0, 9: (1 + math.sqrt(0.5)) / 2, 14: 0.5, 19: (1 - math.sqrt(0.5)) / 2, 24: 0.0, 30: 0.0},
}


def test_every_schedule_is_on_paper() -> None:
    assert PAPER.keys() == SCHEDULES.keys()


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_at_chosen_updates(name: str) -> None:
    assert {update: SCHEDULES[name](update, COURSE) for update in PAPER[name]} == pytest.approx(PAPER[name], abs=1e-12)


def test_halvings_are_where_the_shares_say_whatever_their_rounding() -> None:
    """0.7 - 0.5 is less than two tenths in binary: a rate that falls one update late would be that of the interval before."""
    rates = [
        SCHEDULES["luong"](update, Schedule(warmup=0, total=100, halve_from=0.5, halve_every=0.1))
        for update in range(100)
    ]
    assert rates == [1.0] * 50 + [0.5 ** (1 + late // 10) for late in range(50)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_without_warmup_the_first_update_has_the_peak(name: str) -> None:
    assert SCHEDULES[name](0, COURSE._replace(warmup=0)) == 1.0


def test_a_plateau_halves_after_every_second_score_without_progress() -> None:
    plateau = Plateau(patience=2, factor=0.5)
    rates = []
    for score in (1.0, 2.0, 2.0, 1.9, 2.0, 1.0, 2.1, 0.0, 0.0):
        plateau.tell(score)
        rates.append(plateau.rate)
    assert rates == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_a_plateau_goes_on_from_its_state() -> None:
    one, other = Plateau(3, 0.1), Plateau(3, 0.1)
    for score in (1.0, 0.5, 0.4):
        one.tell(score)
    other.restore(one.state())
    one.tell(0.0), other.tell(0.0)
    assert one.state() == other.state() == {"best": 1.0, "waited": 0, "rate": pytest.approx(0.1)}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_that_plans_for_an_end_needs_one(name: str) -> None:
    check_schedule(name, 10)
    if name in ("luong", "cosine"):
        with pytest.raises(
            ConfigError, match=rf"training\.schedule={name} needs an end .*max_updates or training\.max_epochs"
        ):
            check_schedule(name, 0)
    else:
        check_schedule(name, 0)
