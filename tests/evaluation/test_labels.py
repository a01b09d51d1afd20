"""Scores of labels: cases solved on paper, and the same as scikit-learn and seqeval."""

import random

import numpy as np
import pytest
from sklearn import metrics
from sklearn.preprocessing import MultiLabelBinarizer

from seq2seq.evaluation.metrics import score
from seq2seq.utils.bio import Entity, entities
from tests.each import each

TYPES = ("PER", "LOC")
CHAIN = [  # tags -> entities, as conlleval has them
    ("B-PER I-PER O B-LOC", [("PER", 0, 1), ("LOC", 3, 3)]),
    ("I-PER I-PER O", [("PER", 0, 1)]),
    ("B-PER I-LOC", [("PER", 0, 0), ("LOC", 1, 1)]),
    ("B-PER B-PER I-PER", [("PER", 0, 0), ("PER", 1, 2)]),
    ("O O", []),
    ("B-PER O I-PER", [("PER", 0, 0), ("PER", 2, 2)]),
    ("", []),
]


def value(name: str, hypotheses: list[str], references: list[str]) -> float:
    return score(hypotheses, [references], [name], bootstrap=0)[0].value


def texts(seed: int, labels: tuple[str, ...], most: int = 1) -> list[str]:
    """Lines of 1 to `most` of the labels."""
    rng = random.Random(seed)
    return [" ".join(sorted({rng.choice(labels) for _ in range(rng.randint(1, most))})) for _ in range(60)]


def tagged(seed: int, lengths: list[int]) -> list[str]:
    """Lines of tags, of which some are no BIO."""
    rng = random.Random(seed)
    tags = ["O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES)]
    return [" ".join(rng.choice(tags) for _ in range(length)) for length in lengths]


@each(("tags", "expected"), CHAIN)
def test_entities_of_tags(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert entities(tags.split()) == {Entity(*one) for one in expected}


def test_scores_on_paper() -> None:
    """Of a: 2 right, 1 wrong; of b: 1 right, 1 missing. F1(a) = 4/5, F1(b) = 2/3."""
    ours, theirs = ["a", "a", "a", "b"], ["a", "a", "b", "b"]
    assert value("accuracy", ours, theirs) == pytest.approx(75)
    assert value("macro_f1", ours, theirs) == pytest.approx(100 * (4 / 5 + 2 / 3) / 2)
    assert value("micro_f1", ours, theirs) == pytest.approx(75)
    assert value("exact_match", ["a b", "a", ""], ["a b", "a b", ""]) == pytest.approx(200 / 3)
    # one of two entities is right, and three were found
    ours, theirs = ["B-X I-X O B-Y B-Y"], ["B-X I-X O B-Y I-Y"]
    assert value("entity_f1", ours, theirs) == pytest.approx(100 * 2 / 5)
    assert value("accuracy", ours, theirs) == pytest.approx(80)
    assert value("accuracy", ["a", ""], ["a b", "a"]) == pytest.approx(100 / 3)
    assert value("entity_f1", ["", "B-X B-X"], ["B-X", "O"]) == 0


def test_f1_is_that_of_scikit_learn() -> None:
    for seed in range(4):
        ours, theirs = texts(seed, ("a", "b", "c")), texts(seed + 10, ("a", "b", "c"))
        assert value("accuracy", ours, theirs) == pytest.approx(100 * metrics.accuracy_score(theirs, ours))
        for name in ("macro", "micro"):
            expected = metrics.f1_score(theirs, ours, average=name)
            assert value(f"{name}_f1", ours, theirs) == pytest.approx(100 * expected)
        ours, theirs = texts(seed, ("a", "b", "c"), 3), texts(seed + 10, ("a", "b", "c"), 3)
        sets = MultiLabelBinarizer().fit([line.split() for line in theirs])
        one, other = (sets.transform([line.split() for line in lines]) for lines in (ours, theirs))
        for name in ("macro", "micro"):
            assert value(f"{name}_f1", ours, theirs) == pytest.approx(100 * metrics.f1_score(other, one, average=name))
        assert value("exact_match", ours, theirs) == pytest.approx(100 * metrics.accuracy_score(other, one))


def test_entity_f1_is_that_of_seqeval() -> None:
    """Its figures for random tags, of which some are no BIO, by version 1.2.2."""
    rng = random.Random(5)
    lengths = [rng.randint(1, 9) for _ in range(80)]
    for seed, expected in enumerate((23.77049180327869, 24.481327800829874, 30.737704918032787, 26.693227091633464)):
        assert value("entity_f1", tagged(seed, lengths), tagged(seed + 10, lengths)) == pytest.approx(expected)


def test_classes_of_a_resample_are_those_in_it() -> None:
    """A class that is not drawn is no class with an F1 of 0."""
    (found,) = score(["a", "b", "b"], [["a", "b", "c"]], ["macro_f1"], bootstrap=0)
    assert found.formula(found.statistics[:1].sum(0)) == pytest.approx(100)
    assert found.value == pytest.approx(100 * np.mean([1, 2 / 3, 0]))
