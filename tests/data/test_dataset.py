"""Do encoded pairs come back from disk as they went, and is a folder that is not whole refused?"""

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

import numpy as np
import pytest

from seq2seq.data.dataset import WRITE_BLOCK, EncodedPair, PairArrays, write_arrays
from seq2seq.data.folders import atomic_folder
from seq2seq.data.readers import Pair
from seq2seq.data.sampling import SampledCorpus, encode_pair, text_row
from seq2seq.data.tokenizer import train_tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import DataError


def rows(count: int, size: int, copied: bool, seed: int = 0) -> list[EncodedPair]:
    rng = random.Random(seed)

    def ids(top: int) -> list[int]:
        return [rng.randrange(top) for _ in range(rng.randint(1, 9))]

    return [
        EncodedPair(source := ids(size), ids(size), [i + 7 for i in source] if copied else source) for _ in range(count)
    ]


def write(folder: Path, pairs: list[EncodedPair], size: int, longest: int = 10) -> PairArrays:
    with write_arrays(folder, size, size, longest) as add:
        for row in pairs:
            add(row)
    return PairArrays(folder)


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize(("size", "dtype"), [(200, "u1"), (250, "u2"), (60_000, "u2"), (65_530, "i4"), (70_000, "i4")])
@pytest.mark.parametrize("count", [1, 5, WRITE_BLOCK + 3])
def test_round_trip(tmp_path: Path, count: int, size: int, dtype: str, copied: bool) -> None:
    pairs = rows(count, size, copied)
    arrays = write(tmp_path / "a", pairs, size)
    assert len(arrays) == count
    assert arrays.target(0).dtype == np.dtype(dtype)
    assert (tmp_path / "a" / "copy.ids").exists() == copied
    for i in (*range(min(count, 20)), count - 1):
        assert [list(side) for side in arrays.row(i)] == [list(side) for side in pairs[i]]
    assert arrays.source_lengths.tolist() == [len(row.source) for row in pairs]
    assert arrays.target_lengths.tolist() == [len(row.target) for row in pairs]
    assert arrays.epoch_rows(3) is arrays


@pytest.mark.parametrize("damage", ["cut", "gone", "meta", "version"])
def test_a_folder_that_is_not_whole(tmp_path: Path, damage: str) -> None:
    write(tmp_path, rows(30, 99, True), 99)
    file, meta = tmp_path / "target.ids", tmp_path / "arrays.json"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "gone":
        file.unlink()
    elif damage == "meta":
        meta.unlink()
    else:
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format": 0}))
    with pytest.raises(DataError, match="will be rebuilt"):
        PairArrays(tmp_path)


def fail(folder: Path) -> None:
    (folder / "x").touch()
    raise KeyboardInterrupt


def test_an_error_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "a") as temporary:
        fail(temporary)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), write_arrays(tmp_path / "b", 9, 9):
        fail(tmp_path / "b")
    with pytest.raises(DataError):
        PairArrays(tmp_path / "b")


def test_the_first_of_two_writers_wins(tmp_path: Path) -> None:
    def make(text: str) -> None:
        with atomic_folder(tmp_path / "a") as temporary:
            (temporary / "x").write_text(text)
            barrier.wait(10)

    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(make, "12"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "x").read_text() in "12"


PAIRS = [Pair(f"the cat sees {n} dogs\u2028", f"die Katze sieht {n} Hunde") for n in range(40)]


def sampled(folder: Path, alpha: float = 0.3, seed: int = 1) -> tuple[SampledCorpus, Vocabularies]:
    joint = train_tokenizer([side for pair in PAIRS for side in pair], kind="bpe", size=60)
    both = Vocabularies(joint, joint)
    with write_arrays(folder / "ids", 60, 60) as add, write_arrays(folder / "text", 256, 256, 0) as add_text:
        for pair in PAIRS:
            add(encode_pair(pair, both))
            add_text(text_row(pair))
    return SampledCorpus(PairArrays(folder / "ids"), folder / "text", both, alpha, seed, (inf, inf)), both


def test_sampled_segmentation_is_a_function_of_seed_epoch_and_line(tmp_path: Path) -> None:
    corpus, both = sampled(tmp_path)

    def ids(seed: int, epoch: int, lines: list[int]) -> dict[int, list[list[int]]]:
        rows = SampledCorpus(corpus.arrays, tmp_path / "text", both, 0.3, seed, (inf, inf)).epoch_rows(epoch)
        return {i: [list(side) for side in rows.row(i)] for i in lines}

    forward = ids(1, 0, list(range(40)))
    assert ids(1, 0, list(reversed(range(40)))) == forward
    assert ids(1, 0, [17]) == {17: forward[17]}
    assert ids(1, 1, list(range(40))) != forward != ids(2, 0, list(range(40)))
    for i, (source, target, *_) in forward.items():
        assert Pair(both.source.decode(source), both.decode_target(target)) == PAIRS[i]
    assert corpus.source_lengths.tolist() == [len(both.encode_source(pair.source).ids) for pair in PAIRS]
