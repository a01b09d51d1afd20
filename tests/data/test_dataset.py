"""Encoded pairs are read back from disk unchanged, and incomplete folders are refused."""

import json
import os
import random
import re
import resource
from pathlib import Path

import numpy as np
import pytest

from seq2seq.data.dataset import WRITE_BLOCK, EncodedPair, PairArrays, join_arrays, write_arrays
from seq2seq.errors import DataError


def rows(count: int, size: int, copied: bool, seed: int = 0) -> list[EncodedPair]:
    rng = random.Random(seed)

    def ids(top: int) -> list[int]:
        return [rng.randrange(top) for _ in range(rng.randint(1, 9))]

    return [
        EncodedPair(source := ids(size), ids(size), [i + 7 for i in source] if copied else source) for _ in range(count)
    ]


def write(folder: Path, pairs: list[EncodedPair], size: int, longest: int = 10) -> PairArrays:
    with write_arrays(folder, size, size, max_length=longest) as add:
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


@pytest.mark.parametrize("damage", ["cut", "missing", "meta", "version"])
def test_incomplete_folder_is_refused(tmp_path: Path, damage: str) -> None:
    write(tmp_path, rows(30, 99, True), 99)
    file, meta = tmp_path / "target.ids", tmp_path / "arrays.json"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "missing":
        file.unlink()
    elif damage == "meta":
        meta.unlink()
    else:
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format": 0}))
    with pytest.raises(DataError, match=re.escape(str(tmp_path))):
        PairArrays(tmp_path)


def test_joining_opens_few_files(tmp_path: Path) -> None:
    parts = []
    for number in range(40):
        with write_arrays(tmp_path / str(number), 300, 10) as add:
            add(EncodedPair([4, number], [5], [7, 8]))
        parts.append(tmp_path / str(number))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 40, limits[1]))
    try:
        join_arrays(parts, tmp_path / "all")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [PairArrays(tmp_path / "all").source(i)[1] for i in range(40)] == list(range(40))


def content(folder: Path) -> dict[str, bytes]:
    """The content of every file of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("copied", [(False, False), (True, False), (False, True)])
def test_joined_arrays_equal_arrays_written_at_once(tmp_path: Path, copied: tuple[bool, bool]) -> None:
    rows, parts = [], []
    for number, other in enumerate((*copied, False)):
        part = [
            EncodedPair([4, number], [5, 6, number], [7, 8] if other else [4, number]) for _ in range(3 * (number < 2))
        ]
        with write_arrays(tmp_path / str(number), 300, 10) as add:
            for row in part:
                add(row)
        rows += part
        parts.append(tmp_path / str(number))
    join_arrays(parts, tmp_path / "all")
    with write_arrays(tmp_path / "expected", 300, 10) as add:
        for row in rows:
            add(row)
    assert content(tmp_path / "all") == content(tmp_path / "expected")


@pytest.mark.parametrize(
    ("source", "target", "copy", "links", "fits"),
    [
        ([4, 2], [5, 2], [4, 2], [0, 0, 1, 1], True),
        ([9, 2], [9, 2], [9, 2], [], True),
        ([1, 2], [10, 11, 2], [10, 2], [], False),  # the pair has one unknown word, of id 10
        ([1, 2], [10, 2], [10, 2], [], True),
        ([1, 2], [2], [13, 2], [], False),  # not so many words
        ([10, 2], [2], [4, 2], [], False),
        ([4, 2], [10, 2], [4, 2], [], False),
        ([4, 2], [5, 2], [4], [], False),
        ([], [5, 2], [], [], False),
        ([4, 2], [], [4, 2], [], False),
        ([4, 2], [5, 2], [4, 2], [2, 0], False),
        ([4, 2], [5, 2], [4, 2], [0, 2], False),
        ([4, 2], [5, 2], [4, 2], [0], False),
    ],
)
def test_ids_and_links_are_checked(
    source: list[int], target: list[int], copy: list[int], links: list[int], fits: bool, tmp_path: Path
) -> None:
    """Vocabularies of 10 entries; the pair before is in order."""
    with write_arrays(tmp_path, 10, 10, max_length=5, linked=True) as add:
        add(EncodedPair([3, 2], [3, 2], [3, 2], [0, 0]))
        add(EncodedPair(source, target, copy, links))
    arrays = PairArrays(tmp_path)
    if fits:
        arrays.check_ids(10, 10)
    else:
        with pytest.raises(DataError, match="ids that are not in the vocabulary"):
            arrays.check_ids(10, 10)
    with pytest.raises(DataError, match=r"is damaged|of another vocabulary"):
        arrays.check_ids(10, 9)
