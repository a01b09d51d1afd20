"""IBM model 1 learns the textbook's example and agrees with a slow implementation."""

import random
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from seq2seq.data import ibm1
from seq2seq.data.dataset import EncodedPair, PairArrays, write_arrays
from seq2seq.ids import EOS, PAD, UNK

DAS, HAUS, BUCH, EIN = 4, 5, 6, 7
THE, HOUSE, BOOK, A = 4, 5, 6, 7


def write(folder: Path, pairs: list[tuple[list[int], list[int]]], copies: list[list[int]] | None = None) -> PairArrays:
    with write_arrays(folder, 12, 12, max_length=10) as add:
        for number, (source, target) in enumerate(pairs):
            add(EncodedPair([*source, EOS], [*target, EOS], [*(copies[number] if copies else source), EOS]))
    return PairArrays(folder)


@pytest.mark.parametrize(
    ("iterations", "expected"), [(1, (0.5, 0.25, 0.5)), (2, (0.6364, 0.1818, 0.4286)), (3, (0.7479, 0.1208, 0.3466))]
)
def test_textbook_example(iterations: int, expected: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Koehn 2010, figure 4.4: das Haus, das Buch, ein Buch, without an empty word."""
    monkeypatch.setattr(ibm1, "ITERATIONS", iterations)
    text = [([DAS, HAUS], [THE, HOUSE]), ([DAS, BUCH], [THE, BOOK]), ([EIN, BUCH], [A, BOOK])]
    together = [(s, t) for source, target in text for t in target for s in source]
    both = sorted(set(together))
    cell = np.array([both.index(pair) for pair in together])
    found = ibm1.translation_probabilities(cell, np.full(6, 2), np.array([s for s, _ in both]))
    probabilities = dict(zip(both, found, strict=True))
    assert (probabilities[DAS, THE], probabilities[DAS, BOOK], probabilities[EIN, BOOK]) == pytest.approx(
        expected, abs=5e-5
    )


def slow_probabilities(pairs: list[tuple[list[int], list[int]]]) -> dict[int, dict[int, float]]:
    """t(target | source) by loops, with EOS as the empty word."""
    probability: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(lambda: 1.0))
    for _ in range(ibm1.ITERATIONS):
        count: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        for source, target in pairs:
            for t in target:
                norm = sum(probability[s][t] for s in [*source, EOS])
                for s in [*source, EOS]:
                    count[s][t] += probability[s][t] / norm
        probability = defaultdict(lambda: defaultdict(float))
        for s, row in count.items():
            for t, n in row.items():
                probability[s][t] = n / sum(row.values())
    return probability


def test_translation_table_equals_slow_implementation(tmp_path: Path) -> None:
    draw = random.Random(1)
    pairs = [
        (draw.choices(range(4, 12), k=draw.randint(1, 6)), draw.choices(range(4, 12), k=draw.randint(0, 6)))
        for _ in range(40)
    ]
    expected, table = slow_probabilities(pairs), ibm1.translation_table(write(tmp_path / "a", pairs), 13, 5)
    assert table.shape == (13, 5)
    assert (table[[PAD, 1, 2, 12]] == PAD).all()  # not in the text
    for s in [EOS, *range(4, 12)]:
        probabilities = [expected[s].get(t, 0.0) for t in table[s]]
        best = sorted(expected[s].values(), reverse=True)[:5]
        assert probabilities == pytest.approx(best, abs=1e-9)
        assert all(a < b for a, b in pairwise(table[s]) if expected[s][a] == expected[s][b])


def test_large_corpus_is_subsampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = write(tmp_path / "a", [([4], [4]), ([5], [5])] * 10)
    monkeypatch.setattr(ibm1, "MAX_COOCCURRENCES", 50)  # there are 80, so that every second pair is used
    table = ibm1.translation_table(arrays, 12, 2)
    assert list(table[4]) == [4, PAD]
    assert list(table[5]) == [PAD, PAD]


def test_unknown_target_words_are_left_out(tmp_path: Path) -> None:
    table = ibm1.translation_table(write(tmp_path / "a", [([4], [12, UNK, 5])], copies=[[12]]), 12, 3)
    assert list(table[4]) == [5, PAD, PAD]


def test_table_coverage(tmp_path: Path) -> None:
    """Of 6, 7, 8, 4: 6 is the first translation of 4, 7 the second; 4 is in the source; 8 is not found."""
    table = np.full((12, 2), PAD, np.int32)
    table[4] = 6, 7
    assert ibm1.table_coverage(table, write(tmp_path / "a", [([4], [6, 7, 8, 4])]), [1, 2]) == [0.5, 0.75]
