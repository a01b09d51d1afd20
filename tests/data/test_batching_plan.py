"""An epoch's plan has every pair once, with pairs of similar length in batches within the budget."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from seq2seq.data import batching
from seq2seq.data.batching import plan_by_length, plan_epoch, sort_by_length

Lengths = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.mark.parametrize("budget", [1, 64, 128, 1000, 100_000])
@pytest.mark.parametrize("count", [1, 2, 500])
def test_plan_has_every_pair_once_within_the_budget(count: int, budget: int, lengths: Lengths) -> None:
    source, target = lengths(count)
    for batches in (
        plan_epoch(np.maximum(source, target), budget, seed=3, epoch=2),
        plan_by_length(np.maximum(source, target), budget),
    ):
        assert sorted(np.concatenate(list(batches)).tolist()) == list(range(count))
        for numbers in batches:
            padded = len(numbers) * max(source[numbers].max(), target[numbers].max())
            assert padded <= budget or len(numbers) == 1


def test_budget_is_inclusive() -> None:
    same_length = np.full(12, 32)
    assert [len(numbers) for numbers in plan_epoch(same_length, 128, seed=1, epoch=0)] == [4, 4, 4]


def test_plan_is_a_function_of_seed_and_epoch(lengths: Lengths) -> None:
    def flat(seed: int, epoch: int) -> list[list[int]]:
        return [numbers.tolist() for numbers in plan_epoch(np.maximum(*lengths(500)), 128, seed=seed, epoch=epoch)]

    assert flat(1, 0) == flat(1, 0)
    assert len({str(flat(seed, epoch)) for seed, epoch in itertools.product(range(3), range(3))}) == 9
    assert len({len(flat(1, epoch)) for epoch in range(5)}) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_plan_sorts_shuffled_pairs_by_length(dtype: type, lengths: Lengths) -> None:
    """The order is that of NumPy's stable sort, whatever the dtype of the lengths."""
    longest = np.maximum(*lengths(500))
    generator = np.random.default_rng([3, 2])
    shuffled = generator.permutation(500)
    batches = plan_epoch(longest.astype(dtype), 128, seed=3, epoch=2)
    assert batches.order.tolist() == shuffled[np.argsort(longest[shuffled], kind="stable")].tolist()


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blockwise_sort_is_stable(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "SORT_BLOCK", block)
    numbers, sizes = np.random.default_rng(1).permutation(500), np.random.default_rng(2).integers(0, 9, 500)
    assert sort_by_length(numbers, sizes).tolist() == numbers[np.argsort(sizes[numbers], kind="stable")].tolist()
    assert sort_by_length(numbers[:0], sizes[:0]).tolist() == []


def test_plan_mixes_lengths_and_pads_little(lengths: Lengths) -> None:
    source, target = lengths(5000)
    first, second = (plan_epoch(np.maximum(source, target), 1024, seed=1, epoch=epoch) for epoch in (0, 1))
    longest = [source[numbers].max() for numbers in first]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.3  # short and long ones alternate
    neighbours = [
        {frozenset(pair) for numbers in batches for pair in itertools.pairwise(numbers.tolist())}
        for batches in (first, second)
    ]
    kept = len(neighbours[0] & neighbours[1])  # pairs of pairs that are neighbours in both epochs
    assert kept < 0.2 * len(neighbours[0])
    padded = sum(len(numbers) * max(source[numbers].max(), target[numbers].max()) for numbers in first)
    assert np.maximum(source, target).sum() > 0.95 * padded
