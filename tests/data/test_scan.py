"""Text that has not changed is not read again, and whatever changed is."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seq2seq.config import DataConfig
from seq2seq.data import scan as module
from seq2seq.data.scan import CorpusScan, scan_corpus
from tests.each import each

TEXT = {"train": ["a cat", "a dog", "the end"], "dev": ["a cat", "one"], "test": ["a dog", "two"]}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    for name, lines in TEXT.items():
        for side in ("en", "de"):
            (tmp_path / f"{name}.{side}").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "train.align").write_text("0-0 1-1\n" * 3)
    monkeypatch.setattr(module, "CLOCK_STEP", -600)  # as if the files were old
    return DataConfig(
        train=["train"], dev=["dev"], test={"test": ["test"]}, root=str(tmp_path), cache=str(tmp_path / "cache")
    )


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for each time that the text is read."""
    found, read = [], module._read_corpus

    def counted(data: DataConfig, linked: bool, *others: object) -> CorpusScan:
        found.append(linked)
        return read(data, linked, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_read_corpus", counted)
    return found


@pytest.mark.parametrize("linked", [False, True])
def test_what_was_read_is_recorded(
    linked: bool, data: DataConfig, reads: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    first = scan_corpus(data, linked)
    warnings = list(caplog.messages)
    assert (first.pairs, first.overlap, bool(first.links)) == (3, {"dev": [1, 2], "test": [1, 2]}, linked)
    assert warnings  # both sides are the same
    caplog.clear()
    assert scan_corpus(replace(data, max_words=2), linked) == first
    assert (reads, caplog.messages) == ([linked], warnings)
    assert scan_corpus(data, not linked) != first
    assert reads == [linked, not linked]


def rewrite(path: Path) -> None:
    """Write other text of the same length in place, and give it the old times."""
    times = path.stat()
    with path.open("r+") as file:
        file.write("x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "the same length and time": lambda root: rewrite(root / "train.de"),
    "a longer file": lambda root: (root / "train.de").write_text("a cat\na dog\nthe end!\n"),
    "another file": lambda root: (
        (root / "new").write_text("a cat\na dog\nThe end\n") and (root / "new").rename(root / "train.de")
    ),
    "development text": lambda root: rewrite(root / "dev.en"),
    "a test set": lambda root: (root / "test.en").write_text("a dog\na cat\n"),
    "word links": lambda root: rewrite(root / "train.align") or (root / "train.align").write_text("0-0\n" * 3),
}


@each("change", CHANGES)
def test_whatever_changes_is_read_again(change: str, tmp_path: Path, data: DataConfig, reads: list[bool]) -> None:
    first = scan_corpus(data, linked=True)
    reads.clear()
    CHANGES[change](tmp_path)
    second = scan_corpus(data, linked=True)
    assert second._replace(stamps={}) != first._replace(stamps={})
    assert scan_corpus(data, linked=True) == second
    assert len(reads) == 1


@each("setting", [{"source": "de", "target": "en"}, {"train": ["train", "dev"]}, {"test": {}}])
def test_other_settings_have_another_record(setting: dict[str, Any], data: DataConfig, reads: list[bool]) -> None:
    scan_corpus(data)
    reads.clear()
    scan_corpus(replace(data, **setting))
    assert len(reads) == 1


def test_text_that_may_still_change_is_not_recorded(
    tmp_path: Path, data: DataConfig, reads: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOCK_STEP", 2.0)  # the files were written just now
    scan_corpus(data)
    scan_corpus(data)
    assert len(reads) == 2
    monkeypatch.setattr(module, "CLOCK_STEP", -600)
    (tmp_path / "test.en").write_text("one line\n")  # of two
    assert scan_corpus(data) == scan_corpus(data)
    (tmp_path / "test.en").unlink()  # it may come back
    assert scan_corpus(data) == scan_corpus(data)
    assert len(reads) == 6


def test_text_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, data: DataConfig, reads: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = module.train_pairs
    monkeypatch.setattr(module, "train_pairs", lambda data: rewrite(tmp_path / "dev.de") or read(data))
    scan_corpus(data)
    scan_corpus(data)
    assert len(reads) == 2


@each("content", ["", "{", "[]", '{"stamps": {}}', '{"stamps": {}, "pairs": 3, "train": 5}'])
def test_damaged_record_is_ignored(content: str, data: DataConfig, reads: list[bool]) -> None:
    first = scan_corpus(data)
    reads.clear()
    [record] = Path(data.cache).iterdir()
    record.write_text(content)
    assert scan_corpus(data) == first
    assert len(reads) == 1


def test_generated_text_has_no_record(tmp_path: Path, reads: list[bool]) -> None:
    data = DataConfig(name="toy", format="toy", pairs=30, cache=str(tmp_path / "cache"))
    assert scan_corpus(data) == scan_corpus(data)
    assert len(reads) == 2
    assert not (tmp_path / "cache").exists()
