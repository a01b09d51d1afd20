"""The checksum of training batches identifies which pairs were trained on, in which order and cut."""

import hashlib
import itertools
from typing import Any

import numpy as np
import pytest

from seq2seq.data.batching import INITIAL_CHECKSUM, BatchOptions, TrainBatches, extend_checksum
from seq2seq.data.dataset import EncodedPair, PairArrays, write_arrays
from seq2seq.ids import EOS

BUDGET = 60


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> PairArrays:
    """A hundred pairs of one to nine words."""
    folder = tmp_path_factory.mktemp("arrays")
    with write_arrays(folder, 50, 50) as add:
        for number in range(100):
            ids = [4] * (1 + number * 7 % 9) + [EOS]
            add(EncodedPair(ids, ids, ids))
    return PairArrays(folder)


def expected_checksum(batches: list[list[int]]) -> str:
    """The documented formula, from the numbers of the pairs in each batch."""
    checksum = "000000000000"
    for numbers in batches:
        data = checksum.encode() + b"".join(number.to_bytes(8, "little") for number in numbers)
        checksum = hashlib.sha256(data).hexdigest()[:12]
    return checksum


@pytest.mark.parametrize("prefetch", [0, 5])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_checksum_covers_the_batches_yielded(plain: PairArrays, accumulate: int, prefetch: int) -> None:
    batches = TrainBatches(plain, BUDGET, 7, accumulate=accumulate, prefetch=prefetch)
    assert batches.checksum == INITIAL_CHECKSUM
    seen: list[list[int]] = []
    for number, batch in enumerate(itertools.chain(batches, batches), 1):
        seen.append(batch.index.tolist())
        whole = seen[: len(seen) // accumulate * accumulate]
        if number in (1, 4, 6, 9):
            assert batches.checksum == expected_checksum([numbers for numbers in whole if numbers != [-1]])
    assert batches.epoch == 2
    assert batches.checksum == expected_checksum([numbers for numbers in seen if numbers != [-1]])


def test_checksum_is_independent_of_devices_and_accumulation(plain: PairArrays) -> None:
    ends = set()
    for accumulate, world, rank in ((1, 1, 0), (4, 1, 0), (2, 2, 0), (2, 2, 1)):
        batches = TrainBatches(plain, BUDGET, 7, accumulate=accumulate, world=world, rank=rank)
        list(batches)
        ends.add(batches.checksum)
    assert len(ends) == 1


@pytest.mark.parametrize("other", [{"seed": 8}, {"batch_tokens": 59}, {"options": BatchOptions(multiple=8)}])
def test_checksum_depends_on_seed_budget_and_padding(plain: PairArrays, other: dict[str, Any]) -> None:
    ends = []
    for settings in ({}, other):
        batches = TrainBatches(plain, **{"batch_tokens": BUDGET, "seed": 7, **settings})
        list(batches)
        ends.append(batches.checksum)
    assert ends[0] != ends[1]


def test_checksum_depends_on_order_and_boundaries() -> None:
    one, two = np.array([1]), np.array([2])
    assert extend_checksum(extend_checksum(INITIAL_CHECKSUM, one), two) != extend_checksum(
        extend_checksum(INITIAL_CHECKSUM, two), one
    )
    assert extend_checksum(extend_checksum(INITIAL_CHECKSUM, one), two) != extend_checksum(
        INITIAL_CHECKSUM, np.array([1, 2])
    )
    assert (
        extend_checksum(INITIAL_CHECKSUM, one.astype(np.int32))
        == extend_checksum(INITIAL_CHECKSUM, one.astype(">i8"))
        == expected_checksum([[1]])
    )


def test_checksum_stays_empty_after_a_checkpoint_without_one(plain: PairArrays) -> None:
    batches = TrainBatches(plain, BUDGET, 7)
    state = batches.state_dict()
    del state["checksum"]
    batches.load_state_dict(state)
    list(batches)
    assert batches.checksum == ""
