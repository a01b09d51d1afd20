"""Attention records round-trip, and files that are damaged or hostile are refused."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from seq2seq.errors import RunError
from seq2seq.evaluation import attention_records
from seq2seq.evaluation.attention_records import (
    EMPTY_RECORD,
    MAX_ENTRY_BYTES,
    Alternative,
    AttentionRecord,
    AttentionRecordFile,
    AttentionRecordWriter,
    dequantize,
    quantize,
)


def random_record(T: int, S: int, maps: bool = True, centers: bool = True) -> AttentionRecord:
    rng = np.random.default_rng(T)
    return AttentionRecord(
        tuple(f"▁s{i}\n\u2028" for i in range(S)),
        tuple(f"t{i}" for i in range(T)),
        rng.integers(256, size=(T, S), dtype=np.uint8),
        rng.integers(256, size=(2, 3, T, S), dtype=np.uint8) if maps else None,
        rng.random(T, dtype=np.float32) if centers else None,
        (Alternative("ein anderer", -1.5),) * (T % 3),
    )


def write(path: Path, records: list[AttentionRecord], order: list[int]) -> AttentionRecordFile:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        writer = AttentionRecordWriter(file)
        for i in order:
            writer.add(i, records[i])
    return AttentionRecordFile(path, len(records))


def test_records_round_trip(tmp_path: Path) -> None:
    """Written in any order, with and without maps and centres, and of an empty line."""
    records = [random_record(3, 4), random_record(1, 7, maps=False), random_record(5, 2, centers=False), EMPTY_RECORD]
    file = write(tmp_path / "a.zip", records, [2, 0, 3, 1])
    assert len(file) == 4
    for record, read in zip(records, file, strict=True):
        assert record[:2] == read[:2]
        assert record.alternatives == read.alternatives
        for mine, theirs in zip(record[2:5], read[2:5], strict=True):
            assert (mine is None) == (theirs is None)
            np.testing.assert_array_equal(mine, theirs)
    assert file[-2].source == records[2].source
    assert [read.target for read in file[1:3]] == [record.target for record in records[1:3]]
    with pytest.raises(IndexError):
        file[4]


def test_indexing_reads_a_single_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.zip", [random_record(3, 4)] * 50, list(range(50)))
    read: list[str] = []
    original = zipfile.ZipFile.read
    monkeypatch.setattr(
        zipfile.ZipFile, "read", lambda self, entry: read.append(entry.filename) or original(self, entry)
    )
    assert file[31].target == ("t0", "t1", "t2")
    assert read == ["31"]


def test_maps_are_left_out_once_the_file_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """72 bytes of maps a sentence: two fit, and the weights are stored for all."""
    monkeypatch.setattr(attention_records, "MAX_MAPS_BYTES", 150)
    file = write(tmp_path / "a.zip", [random_record(3, 4)] * 4, [0, 1, 2, 3])
    assert [record.maps is not None for record in file] == [True, True, False, False]
    assert all(record.weights.shape == (3, 4) for record in file)


def test_quantize_takes_the_nearest_byte() -> None:
    weights = np.array([[0, 1, 0.5, 1.0000001, 1 / 255, 0.0019]], dtype=np.float32)
    assert quantize(weights).tolist() == [[0, 255, 128, 255, 1, 0]]


HEAD = {"source": ["a", "b"], "target": ["c"], "alternatives": [], "maps": None, "centers": False}
WRONG = {
    "too few bytes": (HEAD, b"\0"),
    "too many bytes": (HEAD, b"\0" * 3),
    "too many empty maps": (HEAD | {"target": [], "maps": [10**9, 10**9]}, b""),
    "maps without heads": (HEAD | {"maps": [10**9, 0]}, b"\0\0"),
    "maps that are missing": (HEAD | {"maps": [10**9, 10**9]}, b"\0\0"),
    "maps of negative size": (HEAD | {"maps": [-1, -1]}, b"\0" * 4),
    "no alternatives": ({name: value for name, value in HEAD.items() if name != "alternatives"}, b"\0\0"),
    "alternatives of another type": (HEAD | {"alternatives": [3]}, b"\0\0"),
    "no JSON object": ([], b""),
    "source of another type": (HEAD | {"source": 3}, b""),
    "infinite score": (HEAD | {"alternatives": [["a", float("inf")]]}, b"\0\0"),
    "infinite centre": (HEAD | {"centers": True}, b"\0\0" + np.array([np.inf], "<f4").tobytes()),
}


@pytest.mark.parametrize("case", WRONG)
def test_inconsistent_entry_is_refused(case: str, tmp_path: Path) -> None:
    head, body = WRONG[case]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("0", json.dumps(head).encode() + b"\n" + body)
    with pytest.raises(RunError, match=r"a\.zip: sentence 1 cannot be read"):
        AttentionRecordFile(tmp_path / "a.zip", 1)[0]


def test_damaged_file_and_zip_bomb_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for content in (b"", b"no zip at all", with_wrong_local_header()):
        path.write_bytes(content)
        with pytest.raises(RunError, match="cannot be read"):
            AttentionRecordFile(path, 1)[0]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("0", b"\0" * (MAX_ENTRY_BYTES + 1))
    assert path.stat().st_size < MAX_ENTRY_BYTES / 500
    with pytest.raises(RunError, match="too many for a sentence"):
        AttentionRecordFile(path, 1)[0]


def with_wrong_local_header() -> bytes:
    """A zip file whose entry does not match the central directory."""
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("0", b"abc" * 100)
    content = bytearray(text.getvalue())
    content[40:44] = b"\xff\xff\xff\xff"
    return bytes(content)


@pytest.mark.parametrize("positions", [3, 400, 600])
def test_dequantize_restores_small_weights(positions: int) -> None:
    """0.3 on one position and the rest on hundreds, each less than half a byte, is not all on the one position."""
    weights = np.full((2, positions), 0.7 / (positions - 1), np.float32)
    weights[:, 1] = 0.3
    normalized = dequantize(quantize(weights), normalize=True)
    np.testing.assert_allclose(normalized, weights, atol=1 / 510)
    np.testing.assert_allclose(normalized.sum(1), 1, atol=positions / 510 if positions < 200 else 1e-3)
    assert (dequantize(quantize(weights), normalize=False).sum(1) < 0.31).all() == (positions > 300)
    zeros = np.zeros((1, positions), np.float32)
    np.testing.assert_allclose(dequantize(quantize(zeros), normalize=True), 1 / positions, rtol=1e-6)
