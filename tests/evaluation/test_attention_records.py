"""Does what a run looked at come back as it was, and is a stranger's file harmless?"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from seq2seq.errors import RunError
from seq2seq.evaluation import attention_records
from seq2seq.evaluation.attention_records import (
    MAX_ENTRY_BYTES,
    Alternative,
    AttentionRecord,
    AttentionRecordFile,
    AttentionRecordWriter,
    dequantize,
    quantize,
)


def example(T: int, S: int, maps: bool = True, centers: bool = True) -> AttentionRecord:
    rng = np.random.default_rng(T)
    return AttentionRecord(
        tuple(f"▁s{i}\n\u2028" for i in range(S)),
        tuple(f"t{i}" for i in range(T)),
        rng.integers(256, size=(T, S), dtype=np.uint8),
        rng.integers(256, size=(2, 3, T, S), dtype=np.uint8) if maps else None,
        rng.random(T, dtype=np.float32) if centers else None,
        (Alternative("ein anderer", -1.5),) * (T % 3),
    )


def write(path: Path, sentences: list[AttentionRecord], order: list[int]) -> AttentionRecordFile:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        writer = AttentionRecordWriter(file)
        for i in order:
            writer.add(i, sentences[i])
    return AttentionRecordFile(path, len(sentences))


def test_sentences_come_back_in_order(tmp_path: Path) -> None:
    """Whatever the order they were written in, with or without single maps and centres, an empty one too."""
    given = [example(3, 4), example(1, 7, maps=False), example(5, 2, centers=False), attention_records.EMPTY_RECORD]
    found = write(tmp_path / "a.zip", given, [2, 0, 3, 1])
    assert len(found) == 4
    for one, other in zip(given, found, strict=True):
        assert one[:2] == other[:2]
        assert one.alternatives == other.alternatives
        for mine, theirs in zip(one[2:5], other[2:5], strict=True):
            assert (mine is None) == (theirs is None)
            np.testing.assert_array_equal(mine, theirs)
    assert found[-2].source == given[2].source
    assert [one.target for one in found[1:3]] == [one.target for one in given[1:3]]
    with pytest.raises(IndexError):
        found[4]


def test_one_sentence_is_read_without_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write(tmp_path / "a.zip", [example(3, 4)] * 50, list(range(50)))
    read: list[str] = []
    original = zipfile.ZipFile.read
    monkeypatch.setattr(
        zipfile.ZipFile, "read", lambda self, entry: read.append(entry.filename) or original(self, entry)
    )
    assert found[31].target == ("t0", "t1", "t2")
    assert read == ["31"]


def test_single_maps_stop_where_the_file_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """72 bytes of maps a sentence: two fit, and the mean is there for all."""
    monkeypatch.setattr(attention_records, "MAX_MAPS_BYTES", 150)
    found = write(tmp_path / "a.zip", [example(3, 4)] * 4, [0, 1, 2, 3])
    assert [one.maps is not None for one in found] == [True, True, False, False]
    assert all(one.weights.shape == (3, 4) for one in found)


def test_bytes_are_the_nearest() -> None:
    weights = np.array([[0, 1, 0.5, 1.0000001, 1 / 255, 0.0019]], dtype=np.float32)
    assert quantize(weights).tolist() == [[0, 255, 128, 255, 1, 0]]


HEAD = {"source": ["a", "b"], "target": ["c"], "alternatives": [], "maps": None, "centers": False}
WRONG = {
    "too few bytes": (HEAD, b"\0"),
    "too many bytes": (HEAD, b"\0" * 3),
    "endless empty maps": (HEAD | {"target": [], "maps": [10**9, 10**9]}, b""),
    "maps of no head": (HEAD | {"maps": [10**9, 0]}, b"\0\0"),
    "maps that are not there": (HEAD | {"maps": [10**9, 10**9]}, b"\0\0"),
    "maps of negative size": (HEAD | {"maps": [-1, -1]}, b"\0" * 4),
    "no alternatives": ({name: value for name, value in HEAD.items() if name != "alternatives"}, b"\0\0"),
    "alternatives of another kind": (HEAD | {"alternatives": [3]}, b"\0\0"),
    "no object": ([], b""),
    "source of another kind": (HEAD | {"source": 3}, b""),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_entry_that_does_not_fit_is_told(case: str, tmp_path: Path) -> None:
    head, body = WRONG[case]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("0", json.dumps(head).encode() + b"\n" + body)
    with pytest.raises(RunError, match=r"a\.zip: sentence 1 cannot be read"):
        AttentionRecordFile(tmp_path / "a.zip", 1)[0]


def test_a_file_that_is_damaged_or_swells_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for content in (b"", b"no zip at all", cut()):
        path.write_bytes(content)
        with pytest.raises(RunError, match="cannot be read"):
            AttentionRecordFile(path, 1)[0]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("0", b"\0" * (MAX_ENTRY_BYTES + 1))
    assert path.stat().st_size < MAX_ENTRY_BYTES / 500
    with pytest.raises(RunError, match="too many for a sentence"):
        AttentionRecordFile(path, 1)[0]


def cut() -> bytes:
    """A zip file whose entry is another's than its list says."""
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("0", b"abc" * 100)
    content = bytearray(text.getvalue())
    content[40:44] = b"\xff\xff\xff\xff"
    return bytes(content)


@pytest.mark.parametrize("positions", [3, 400, 600])
def test_small_weights_are_not_lost_in_bytes(positions: int) -> None:
    """A third on one place and the rest on hundreds, each of them less than half a byte, is not all on one place."""
    weights = np.full((2, positions), 0.7 / (positions - 1), np.float32)
    weights[:, 1] = 0.3
    whole = dequantize(quantize(weights), normalize=True)
    np.testing.assert_allclose(whole, weights, atol=1 / 510)
    np.testing.assert_allclose(whole.sum(1), 1, atol=positions / 510 if positions < 200 else 1e-3)
    assert (dequantize(quantize(weights), normalize=False).sum(1) < 0.31).all() == (positions > 300)
    nowhere = np.zeros((1, positions), np.float32)
    np.testing.assert_allclose(dequantize(quantize(nowhere), normalize=True), 1 / positions, rtol=1e-6)
