"""Each fault of an attention is warned of, and nothing else; healthy attention is not."""

import ast
import inspect
from collections.abc import Callable

import numpy as np
import pytest

from seq2seq.evaluation import health
from seq2seq.evaluation.health import WARNINGS, Health, SentenceHealth

Generate = Callable[[np.random.Generator, int, int], tuple[np.ndarray, np.ndarray | None]]
WIDTH = 3


def peaks(rng: np.random.Generator, steps: int, positions: int, centers: np.ndarray) -> np.ndarray:
    """A noisy Gaussian around a position for each step."""
    distance = np.arange(positions) - centers[:, None]
    return softmax(-0.5 * (distance / 0.9) ** 2 + rng.normal(0, 0.7, (steps, positions)))


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def diagonal(rng, steps, positions):
    return peaks(rng, steps, positions, np.linspace(0, positions - 1, steps)), None


def reordered(rng, steps, positions):
    return peaks(rng, steps, positions, rng.permutation(np.linspace(0, positions - 1, steps))), None


def sink(rng, steps, positions):
    """Half of the weight is on the end of the sentence, as in many healthy models."""
    weights = diagonal(rng, steps, positions)[0] * 0.5
    weights[:, -1] += 0.5
    return weights, None


def predicted(rng, steps, positions, centers=None):
    centers = np.linspace(0, positions, steps) + rng.normal(0, 0.5, steps) if centers is None else centers
    centers = centers.clip(0, positions)  # as S times a sigmoid is
    return local(rng, steps, positions, centers), centers


def local(rng, steps, positions, centers, width=WIDTH):
    distance = np.arange(positions) - centers[:, None]
    scores = np.where(np.abs(distance) <= width, rng.normal(0, 1, (steps, positions)), -np.inf)
    return softmax(scores) * np.exp(-2 * (distance / width) ** 2)


def monotonic(rng, steps, positions):
    distance = np.arange(positions) - np.minimum(np.arange(steps), positions - 1)[:, None]
    return softmax(np.where(np.abs(distance) <= WIDTH, rng.normal(0, 1, (steps, positions)), -np.inf)), None


def hard(rng, steps, positions):
    return np.eye(positions)[rng.integers(0, positions, steps)], None


def one_column(column):
    def make(rng, steps, positions):
        weights = rng.dirichlet(np.ones(positions), steps) * 0.1
        weights[:, column] += 0.9
        return weights, None

    return make


def uniform(rng, steps, positions):
    return softmax(rng.normal(0, 0.05, (steps, positions))), None


def uniform_in_window(rng, steps, positions):
    centers = np.linspace(0, positions - 1, steps)
    return gaussian(steps, positions, centers), centers


def gaussian(steps, positions, centers):
    distance = np.arange(positions) - centers[:, None]
    return np.where(np.abs(distance) <= WIDTH, np.exp(-2 * (distance / WIDTH) ** 2), 0) / (2 * WIDTH + 1)


def blind(rng, steps, positions):
    """The same broad walk in every sentence of a length, whatever its words."""
    return softmax(
        -0.5 * ((np.arange(positions) - np.minimum(np.arange(steps), positions - 1)[:, None]) / 2) ** 2
    ), None


def unmoved(rng, steps, positions):
    return predicted(
        rng, steps, positions, np.full(steps, positions * rng.uniform(0.3, 0.7)) + rng.normal(0, 0.02, steps)
    )


def at_the_end(rng, steps, positions):
    return predicted(rng, steps, positions, rng.choice([0.1, positions - 0.9, positions + 0.0], steps))


def too_wide(rng, steps, positions):
    centers = np.linspace(0, positions - 1, steps)
    return local(rng, steps, positions, centers, 20), centers


FAULTY: dict[str, tuple[Generate, int | None]] = {
    "pinned": (at_the_end, WIDTH),
    "still": (unmoved, WIDTH),
    "outside": (too_wide, 20),
    "last": (one_column(-1), None),
    "fixed": (one_column(2), None),
    "collapsed": (hard, None),
    "flat": (uniform, None),
    "same": (blind, None),
}
HEALTHY: list[tuple[Generate, int | None]] = [
    (diagonal, None),
    (reordered, None),
    (sink, None),
    (predicted, WIDTH),
    (monotonic, WIDTH),
]


def health_of(
    make: Generate, width: int | None, seed: int = 0, sentences: int = 100, quantized: bool = False, **options: bool
) -> Health:
    rng, found = np.random.default_rng(seed), Health(width, **options)
    for _ in range(sentences):
        positions = int(rng.integers(6, 25))
        weights, centers = make(rng, int(rng.integers(max(3, positions - 2), positions + 6)), positions)
        found.add(np.round(weights * 255) / 255 if quantized else weights, centers)
    return found


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("name", WARNINGS)
def test_each_fault_gives_its_warning_and_no_other(name: str, quantized: bool) -> None:
    make, width = FAULTY[name]
    found = health_of(make, width, quantized=quantized)
    assert found.warnings() == {name: WARNINGS[name](found.sentences)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("make", "width"), HEALTHY, ids=lambda part: getattr(part, "__name__", str(part)))
def test_healthy_attention_gives_no_warning(make: Generate, width: int | None, seed: int) -> None:
    for quantized in (False, True):
        assert health_of(make, width, seed, quantized=quantized).warnings() == {}


@pytest.mark.parametrize("name", WARNINGS)
def test_warning_is_a_sentence_with_a_number(name: str) -> None:
    (warning,) = health_of(*FAULTY[name]).warnings().values()
    assert warning[0].isupper()
    assert warning.endswith(".")
    assert any(character.isdigit() for character in warning)


def test_weights_that_are_not_learnt_give_no_warning() -> None:
    assert health_of(uniform, None).warnings()
    assert not health_of(uniform, None, learned=False).warnings()


def test_uniform_weights_inside_a_predicted_window_are_flat_despite_its_gaussian() -> None:
    assert list(health_of(uniform_in_window, WIDTH).warnings()) == ["flat"]


def test_few_or_tiny_sentences_give_no_warning() -> None:
    assert not health_of(hard, None, sentences=health.MIN_SENTENCES - 1).warnings()
    tiny = Health()
    for shape in [(0, 3), (1, 9), (9, 1), (2, 2), (0, 0)] * 20:
        tiny.add(np.ones(shape))
    assert not tiny.sentences
    assert not tiny.warnings()


def test_statistics_of_a_sentence_by_hand() -> None:
    """Three steps over four positions: sharp, flat, and half on each of two."""
    found = Health(width=1)
    found.add([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0.5, 0, 0.5]], centers=[0.0, 1.0, 9.0])
    (sentence,) = found.sentences
    # windows of 3: one position beyond at the first and at the last step
    assert sentence.outside == pytest.approx(2 / 9)
    assert sentence.at_end == pytest.approx(2 / 3)
    assert sentence.moved == pytest.approx(np.std([0, 1, 9]))
    assert np.isnan(sentence.change)
    plain = Health()
    plain.add([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0.5, 0, 0.5]])
    plain.add([[0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0.5, 0, 0.5]])
    first, second = plain.sentences
    assert first[:4] == pytest.approx((1 / 3, 1 / 3, 0.25, 1.25 / 3))
    assert second.change == pytest.approx(1 / 3)  # all of one of three steps


def test_window_of_one_position_is_sharp_and_not_flat() -> None:
    found = Health(width=0)
    found.add(np.eye(5))
    assert (found.sentences[0].sharp, found.sentences[0].flat) == (1, 0)


def test_step_without_weight_counts_as_uniform() -> None:
    found = Health()
    found.add(np.zeros((5, 600)))
    assert found.sentences[0].flat == 1


@pytest.mark.parametrize(
    ("weights", "centers"), [(np.ones(3), None), (np.ones((3, 4)), np.ones(4)), (np.ones((2, 3, 4)), None)]
)
def test_other_shapes_are_refused(weights: np.ndarray, centers: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match=r"are not of \(T, S\)"):
        Health().add(weights, centers)


def test_memory_does_not_grow_with_the_maps() -> None:
    found = health_of(diagonal, None, sentences=300)
    assert all(isinstance(value, float) for sentence in found.sentences for value in sentence)
    assert len(found.sentences[0]) == len(SentenceHealth._fields)
    assert sum(array.nbytes for array in found.previous.values()) <= 20 * 8 * sum(range(25))


def test_module_imports_nothing_else_of_the_package() -> None:
    names = [
        node.module or "" for node in ast.walk(ast.parse(inspect.getsource(health))) if isinstance(node, ast.ImportFrom)
    ]
    assert not [name for name in names if name.startswith("seq2seq")]
