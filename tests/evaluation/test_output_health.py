"""Warnings about translations that hardly depend on their sources, and none about those that do."""

import random

import pytest

from seq2seq.evaluation.output_health import MIN_SENTENCES, output_warnings

WORDS = [
    "der", "alte", "Mann", "kauft", "ein", "neues", "Buch", "und", "liest", "es", "am", "Abend", "im", "Garten",
    "mit", "seiner", "Frau", "bei", "Regen",
]  # fmt: skip
OTHER = [
    "the", "old", "man", "buys", "a", "new", "book", "and", "reads", "it", "in", "the", "evening", "at", "home",
    "with", "his", "wife",
]  # fmt: skip


def texts(seed: int, words: list[str] = WORDS) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(words, k=draw.randint(4, 12))) for _ in range(60)]


SOURCES, REFERENCES = texts(1, OTHER), texts(2)


def noisy(share: float) -> list[str]:
    """The references, with this share of their words replaced."""
    draw = random.Random(3)
    return [" ".join(draw.choice(WORDS) if draw.random() < share else w for w in line.split()) for line in REFERENCES]


BAD = {  # warning -> outputs
    "same": ["der Mann liest"] * 40 + texts(4)[40:],
    "copied": SOURCES[:40] + REFERENCES[40:],
    "unrelated": texts(4),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_outputs_are_warned_of(name: str) -> None:
    found = output_warnings(SOURCES, BAD[name], REFERENCES)
    assert name in found
    assert found.keys() <= {name, "unrelated"}
    few = MIN_SENTENCES - 1
    assert output_warnings(SOURCES[:few], BAD[name][:few], REFERENCES[:few]) == {}
    blank = [*[" "] * 51, *SOURCES[51:]]
    assert output_warnings(blank, BAD[name], REFERENCES) == {}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_outputs_that_depend_on_their_sources_are_not_warned_of(share: float) -> None:
    assert output_warnings(SOURCES, noisy(share), REFERENCES) == {}


def test_what_the_references_do_is_not_warned_of() -> None:
    same = ["ja"] * 40 + REFERENCES[40:]
    assert output_warnings(SOURCES, same, same) == output_warnings(SOURCES, SOURCES, SOURCES) == {}


def test_empty_outputs_are_warned_of() -> None:
    assert output_warnings(SOURCES, [""] * 60, REFERENCES).keys() == {"same", "unrelated"}


def test_other_scripts() -> None:
    """Without spaces, too, what is measured is not the number of words."""
    chinese = [
        "".join(random.Random(n).choices("我们今天去北京大学看朋友然后一起吃饭回家休息", k=9)) for n in range(60)
    ]
    assert output_warnings(SOURCES, chinese, chinese) == {}
    assert output_warnings(SOURCES, chinese[1:] + chinese[:1], chinese).keys() == {"unrelated"}
