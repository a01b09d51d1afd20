"""Every pair comes exactly once, in batches within their budget, for any number of devices and interruptions."""

import itertools
import threading
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path

import numpy as np
import pytest
import torch

from seq2seq.data.batching import Batch, BatchOptions, TrainBatches, empty_batch, eval_batches, prefetched
from seq2seq.data.dataset import Corpus, EncodedPair, PairArrays, write_arrays
from seq2seq.data.readers import Pair
from seq2seq.data.sampling import SampledCorpus, encode_pair, text_row
from seq2seq.data.tokenizer import train_tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import RunError
from seq2seq.ids import BOS, EOS, PAD, UNK

V, BUDGET = 50, 128


@pytest.fixture(scope="module")
def plain(
    lengths: Callable[..., tuple[np.ndarray, np.ndarray]], tmp_path_factory: pytest.TempPathFactory
) -> PairArrays:
    folder = tmp_path_factory.mktemp("arrays")
    rng = np.random.default_rng(5)
    with write_arrays(folder, V, V, max_length=100) as add:
        for s, t in zip(*lengths(200), strict=True):
            source = [*rng.integers(4, V, s - 1).tolist(), EOS]
            copy = [i if i < 40 else V + i - 40 for i in source]
            add(EncodedPair(source, [*rng.integers(4, V + 10, t - 1).tolist(), EOS], copy))
    return PairArrays(folder)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> SampledCorpus:
    folder = tmp_path_factory.mktemp("sampled")
    pairs = [Pair("the cat sees it " * n, "die Katze sieht sie " * (n + 1)) for n in range(1, 60, 2)]
    joint = train_tokenizer([side for pair in pairs for side in pair], kind="bpe", size=40)
    both = Vocabularies(joint, joint)
    with write_arrays(folder / "ids", 40, 40) as add, write_arrays(folder / "text", 256, 256, max_length=0) as add_text:
        for pair in pairs:
            add(encode_pair(pair, both))
            add_text(text_row(pair))
    return SampledCorpus(PairArrays(folder / "ids"), folder / "text", both, alpha=0.3, seed=1, limits=(inf, inf))


@pytest.fixture(params=["plain", "sampled"])
def corpus(request: pytest.FixtureRequest) -> Corpus:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def test_pair_numbers_do_not_overflow(tmp_path: Path) -> None:
    """128 pairs fit in signed 8-bit numbers, but the bounds of a pair are at its number and the next one."""
    with write_arrays(tmp_path / "a", 300, 300) as add:
        for number in range(128):
            add(EncodedPair([number + 4, EOS], [number + 4, EOS], [number + 4, EOS]))
    seen = [batch.source[:, 0] for batch in TrainBatches(PairArrays(tmp_path / "a"), 64, 1)]
    assert sorted(torch.cat(seen).tolist()) == list(range(4, 132))


def test_batches_hold_the_encoded_rows(plain: PairArrays) -> None:
    for batch in eval_batches(plain, BUDGET, max_length=999, copying=True):
        assert batch.copy is not None
        for row, i in enumerate(batch.index.tolist()):
            source, target, copy = (side.tolist() for side in plain.row(i)[:3])  # type: ignore[union-attr]
            assert batch.source[row, : len(source)].tolist() == source
            assert batch.copy[row, : len(copy)].tolist() == copy
            assert batch.target_out[row, : len(target)].tolist() == target
            assert batch.target_in[row, : len(target)].tolist() == [BOS, *target[:-1]]


@pytest.mark.parametrize("copying", [True, False])
def test_shapes_and_padding(corpus: Corpus, copying: bool) -> None:
    for batch in TrainBatches(corpus, BUDGET, 1, BatchOptions(copying)):
        assert batch.target_in.shape == batch.target_out.shape
        assert batch.index.shape == batch.source.shape[:1] == batch.target_out.shape[:1]
        for ids in (batch.source, batch.target_out):
            ends = (ids == EOS).long().argmax(1)
            behind = torch.arange(ids.shape[1]) > ends[:, None]
            assert ((ids == PAD) == behind).all()
            assert ((ids == EOS).sum(1) == 1).all()
            assert (ids != PAD).any(0).all()  # no column of padding alone
        assert (batch.target_in[:, 0] == BOS).all()
        inside = batch.target_out[:, :-1] * (batch.target_out[:, 1:] != PAD)
        assert torch.equal(batch.target_in[:, 1:], inside)
        assert (batch.copy is not None) == copying
        if copying:
            assert batch.copy is not None
            assert torch.equal(batch.copy == PAD, batch.source == PAD)
        else:
            assert int(batch.target_out.max()) < corpus.target_size


def test_lengths_are_padded_to_a_multiple(corpus: Corpus) -> None:
    """The same pairs in fewer shapes; no batch exceeds the budget for it."""
    seen, shapes = [], set()
    for batch in TrainBatches(corpus, 64, 1, BatchOptions(copying=True, multiple=4)):
        assert batch.copy is not None
        assert batch.copy.shape == batch.source.shape
        for ids in (batch.source, batch.target_in, batch.target_out):
            assert ids.shape[1] % 4 == 0
            assert (ids[:, :-3] != PAD).any(0).all()  # no more padding than needed
        assert len(batch.index) == 1 or corpus.sampled or max(batch.source.numel(), batch.target_in.numel()) <= 64
        shapes.add((batch.source.shape[1], batch.target_in.shape[1]))
        seen += batch.index.tolist()
    assert sorted(seen) == list(range(len(corpus)))
    assert len(shapes) <= len(
        {(batch.source.shape[1], batch.target_in.shape[1]) for batch in TrainBatches(corpus, 64, 1)}
    )


def test_prefetched_items_keep_order_errors_and_bounds() -> None:
    """Items come in order, at most `count` ahead; an error is raised in its place, and no thread is left running."""
    produced: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(9):
            produced.append(number)
            yield number
        raise RunError("no more")

    coming = prefetched(numbers(), 3)
    assert produced == []
    assert next(coming) == 0
    before = threading.active_count()
    assert [next(coming) for _ in range(3)] == [1, 2, 3]
    assert set(produced) <= set(range(7))
    assert [next(coming) for _ in range(5)] == [4, 5, 6, 7, 8]
    with pytest.raises(RunError, match="no more"):
        next(coming)
    assert threading.active_count() == before - 1
    assert list(prefetched(iter([]), 2)) == []
    coming = prefetched(itertools.count(), 3)
    assert [next(coming), next(coming)] == [0, 1]
    coming.close()  # as at the end of training
    assert threading.active_count() == before - 1


def test_state_without_multiple_is_that_of_multiple_1(plain: PairArrays) -> None:
    state = TrainBatches(plain, BUDGET, 7).state_dict()
    state.pop("multiple")
    TrainBatches(plain, BUDGET, 7).load_state_dict(state)
    with pytest.raises(RunError, match="multiple was 1, now it is 8"):
        TrainBatches(plain, BUDGET, 7, BatchOptions(multiple=8)).load_state_dict(state)


def test_unknown_words_are_unk_without_copying(plain: PairArrays) -> None:
    for with_copy, without in zip(
        eval_batches(plain, BUDGET, max_length=999, copying=True),
        eval_batches(plain, BUDGET, max_length=999),
        strict=True,
    ):
        assert torch.equal(without.target_out, torch.where(with_copy.target_out >= V, UNK, with_copy.target_out))


def equal(a: Batch, b: Batch) -> bool:
    return all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor) else x == y
        for x, y in zip(a, b, strict=True)
    )


def updates_of(
    corpus: Corpus, accumulate: int, world: int, epochs: int = 1, sentences: bool = False
) -> list[list[Batch]]:
    """The updates of some epochs, each as the batches of all ranks and micro-batches in the epoch's order."""
    ranks = [
        TrainBatches(
            corpus, BUDGET, 7, BatchOptions(copying=True),
            accumulate=accumulate, rank=rank, world=world, count_sentences=sentences,
        )
        for rank in range(world)
    ]  # fmt: skip
    updates = []
    for _ in range(epochs):
        each = [list(batches) for batches in ranks]
        assert {len(batches) for batches in each} == {ranks[0].updates_per_epoch * accumulate}
        for u in range(len(each[0]) // accumulate):
            updates.append([each[r][u * accumulate + a] for a in range(accumulate) for r in range(world)])
    return updates


@pytest.mark.parametrize(("accumulate", "world"), [(2, 2), (1, 4)])
def test_updates_are_the_same_for_any_number_of_devices(corpus: Corpus, accumulate: int, world: int) -> None:
    one, sharded = updates_of(corpus, 4, 1, epochs=2), updates_of(corpus, accumulate, world, epochs=2)
    assert len(one) == len(sharded)
    for mine, theirs in zip(one, sharded, strict=True):
        assert all(equal(a, b) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize(("accumulate", "world"), [(1, 1), (3, 1), (1, 3), (5, 7)])
def test_epoch_holds_every_pair_once_and_counts_its_tokens(corpus: Corpus, accumulate: int, world: int) -> None:
    seen = []
    for update in updates_of(corpus, accumulate, world):
        counted = sum(int((batch.target_out != PAD).sum()) for batch in update)
        assert {float(batch.update_size) for batch in update} == {counted}
        seen += [int(i) for batch in update for i in batch.index if i >= 0]
    assert sorted(seen) == list(range(len(corpus)))


def test_update_size_in_sentences(corpus: Corpus) -> None:
    """Over all micro-batches and devices of the update; the last one of an epoch may have fewer."""
    for update in updates_of(corpus, 3, 2, sentences=True):
        assert {float(batch.update_size) for batch in update} == {
            sum(int((batch.index >= 0).sum()) for batch in update)
        }


def test_empty_batch_has_no_target_tokens() -> None:
    batch = empty_batch(12, BatchOptions(copying=True))
    assert (batch.target_out == PAD).all()
    assert batch.source.shape == batch.target_in.shape == batch.target_out.shape == (1, 1)
    assert (batch.index.tolist(), float(batch.update_size)) == ([-1], 12)


@pytest.mark.pairs(text=["plain", "sampled"], prefetch=[0, 1, 5], accumulate=[1, 3], stop=[1, 4, 7, 10_000])
def test_resumed_batches_equal_an_uninterrupted_run(
    text: str, accumulate: int, stop: int, prefetch: int, request: pytest.FixtureRequest
) -> None:
    """Also if batches were prefetched but not consumed."""
    corpus: Corpus = request.getfixturevalue(text)

    def loader(prefetch: int = prefetch) -> TrainBatches:
        return TrainBatches(corpus, BUDGET, 7, BatchOptions(copying=True), accumulate=accumulate, prefetch=prefetch)

    whole = loader(0)
    expected = [*whole, *whole]
    first = loader()
    seen = list(itertools.islice(itertools.chain(first, first), min(stop, len(first)) // accumulate * accumulate))
    state = first.state_dict()
    second = loader()
    second.load_state_dict(state)
    assert second.epoch == (1 if stop == 10_000 else 0)
    while second.epoch < 2:
        seen += list(second)
    assert len(seen) == len(expected)
    assert all(equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_state_inside_an_update_is_that_before_the_update(plain: PairArrays) -> None:
    batches = TrainBatches(plain, BUDGET, 7, accumulate=3)
    iterator = iter(batches)
    done = [next(iterator) and batches.state_dict()["done"] for _ in range(7)]
    assert done == [0, 0, 3, 3, 3, 6, 6]


def test_resume_on_other_devices_loses_no_pair(plain: PairArrays) -> None:
    first = TrainBatches(plain, BUDGET, 7)
    seen = [i for batch in itertools.islice(first, 5) for i in batch.index.tolist()]
    for rank in range(2):
        second = TrainBatches(plain, BUDGET, 7, accumulate=2, rank=rank, world=2)
        second.load_state_dict(first.state_dict())
        seen += [i for batch in second for i in batch.index.tolist() if i >= 0]
    assert sorted(seen) == list(range(len(plain)))


def test_state_of_another_order_is_refused(plain: PairArrays) -> None:
    state = TrainBatches(plain, BUDGET, 7).state_dict()
    with pytest.raises(RunError, match="seed was 7, now it is 8"):
        TrainBatches(plain, BUDGET, 8).load_state_dict(state)


@pytest.mark.parametrize("world", [1, 2, 5, 100])
def test_evaluation_has_each_pair_once(corpus: Corpus, world: int) -> None:
    seen = [
        i
        for rank in range(world)
        for batch in eval_batches(corpus, BUDGET, max_length=999, rank=rank, world=world)
        for i in batch.index.tolist()
    ]
    assert sorted(seen) == list(range(len(corpus)))


def test_evaluation_leaves_out_long_pairs(corpus: Corpus) -> None:
    lengths = np.maximum(corpus.source_lengths, corpus.target_lengths)
    longest = int(np.median(lengths))
    seen = [i for batch in eval_batches(corpus, BUDGET, max_length=longest) for i in batch.index.tolist()]
    assert sorted(seen) == np.flatnonzero(lengths <= longest).tolist()
    assert 0 < len(seen) < len(corpus)


def test_evaluation_batches_are_sorted_by_length_and_count_their_tokens(plain: PairArrays) -> None:
    batches = list(eval_batches(plain, BUDGET, max_length=999))
    widths = [max(batch.source.shape[1], batch.target_out.shape[1]) for batch in batches]
    assert widths == sorted(widths)
    assert all(float(batch.update_size) == (batch.target_out != PAD).sum() for batch in batches)
