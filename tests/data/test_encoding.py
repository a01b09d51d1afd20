"""Encoding gives the same arrays for any number of blocks and processes, and after an interruption."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from seq2seq.data import encoding
from seq2seq.data.dataset import PairArrays
from seq2seq.data.encoding import EncodingRules, encode_corpus
from seq2seq.data.readers import Pair
from seq2seq.data.tokenizer import train_tokenizer
from seq2seq.data.vocabulary import Vocabularies

WORDS = ["the", "cat", "sees", "a", "big", "dog", "in", "Bonn", "Q\u00a0"]
RULES = EncodingRules(max_words=9, max_ratio=3.0, max_tokens=12, keep_text=True)


def corpus(lines: int) -> list[Pair]:
    draw = random.Random(3)
    return [Pair(*(" ".join(draw.choices(WORDS, k=draw.randint(0, 10))) for _ in range(2))) for _ in range(lines)]


PAIRS = corpus(200)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Path]:
    """A folder of this name with vocabularies that do not know "Q"."""
    known = [side.replace("Q\u00a0", "the") for pair in PAIRS for side in pair if side]
    vocabularies = Vocabularies(
        train_tokenizer(known, kind="word", size=20), train_tokenizer(known, kind="word", size=20)
    )

    def make(name: str) -> Path:
        (tmp_path / name).mkdir()
        vocabularies.save(tmp_path / name)
        return tmp_path / name

    return make


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("cores", "block"), [(1, 16), (2, 67)])
def test_blocks_and_processes_do_not_change_the_result(
    cores: int, block: int, folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Except for the number of lossy lines compared, which are those of the first block."""
    one, many = folder("one"), folder("many")
    expected = encode_corpus(one, PAIRS, len(PAIRS), RULES)
    monkeypatch.setattr(encoding, "BLOCK_PAIRS", block)
    monkeypatch.setattr(encoding, "MIN_BLOCKS_PER_WORKER", 1)
    monkeypatch.setattr(encoding, "available_cores", lambda: cores)
    found = encode_corpus(many, iter(PAIRS), len(PAIRS), RULES)
    compared = [counts.sums.pop("compared") for counts in (found, expected)]
    assert 0 < compared[0] < compared[1]
    assert found.differences <= expected.differences
    assert (found.sums, found.dropped) == (expected.sums, expected.dropped)
    assert content(many) == content(one)
    sums, dropped = expected.sums, expected.dropped
    assert sums["read"] == 200 == sums["kept"] + sum(dropped.values())
    assert len(dropped) > 1
    assert min(sums["unknown_source"], sums["unknown_target"], sums["lossy"]) > 0
    assert PairArrays(one / "train").copy(0).max() < 20 + 12


def test_interrupted_encoding_resumes(folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    one, cut = folder("one"), folder("cut")
    encode_corpus(one, PAIRS, len(PAIRS), RULES)
    monkeypatch.setattr(encoding, "BLOCK_PAIRS", 32)
    encoded, real = [], encoding.encode_block

    def until(last: int) -> Callable[..., None]:
        def block(folder: Path, path: Path, pairs: list[Pair], rules: EncodingRules) -> None:
            if int(path.name) > last:
                (path.parent / f".{path.name}-killed").mkdir()
                raise KeyboardInterrupt
            encoded.append(path.name)
            real(folder, path, pairs, rules)

        return block

    for last in (1, 4, 99):
        monkeypatch.setattr(encoding, "encode_block", until(last))
        if last < 99:
            with pytest.raises(KeyboardInterrupt):
                encode_corpus(cut, PAIRS, len(PAIRS), RULES)
    encode_corpus(cut, PAIRS, len(PAIRS), RULES)
    assert encoded == [f"{number:06}" for number in range(7)]  # each block once
    assert content(cut) == content(one)


def test_damaged_block_is_encoded_again(folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut, written files may be empty or missing."""
    one, cut = folder("one"), folder("cut")
    monkeypatch.setattr(encoding, "BLOCK_PAIRS", 20)
    monkeypatch.setattr(encoding, "available_cores", lambda: 1)
    encode_corpus(one, PAIRS, len(PAIRS), RULES)
    real = encoding.join_arrays
    monkeypatch.setattr(encoding, "join_arrays", fail_with_full_disk)
    with pytest.raises(OSError, match="disk"):
        encode_corpus(cut, PAIRS, len(PAIRS), RULES)
    monkeypatch.setattr(encoding, "join_arrays", real)
    for number, damaged in enumerate(("counts.json", "train/arrays.json", "train/source.ids", "text/target.bounds")):
        (cut / "blocks-20" / f"{2 * number + 1:06}" / damaged).write_bytes(b"")
        (cut / "blocks-20" / f"{2 * number + 2:06}" / damaged).unlink()
    encode_corpus(cut, PAIRS, len(PAIRS), RULES)
    assert content(cut) == content(one)


def test_encoding_interrupted_after_joining_resumes(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arrays are written, but the blocks are not yet removed."""
    one, cut = folder("one"), folder("cut")
    encode_corpus(one, PAIRS, len(PAIRS), RULES)
    with monkeypatch.context() as patch:
        patch.setattr(encoding, "rmtree", lambda path, **options: None)
        encode_corpus(cut, PAIRS, len(PAIRS), RULES)
    assert list((cut / "joined").iterdir())
    encode_corpus(cut, PAIRS, len(PAIRS), RULES)
    assert content(cut) == content(one)


def fail_with_full_disk(parts: list[Path], folder: Path) -> None:
    raise OSError("the disk is full")


ENDLESS = """
import itertools, signal, sys
from pathlib import Path
from seq2seq.data import encoding, folders
from seq2seq.data.readers import Pair
encoding.BLOCK_PAIRS, encoding.MIN_BLOCKS_PER_WORKER, encoding.available_cores = 64, 1, lambda: 2
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background processes without it
    endless = itertools.repeat(Pair("the cat", "a dog"))
    encoding.encode_corpus(Path(sys.argv[1]), endless, 1000, encoding.EncodingRules(9, 3.0, 9, False))
"""


def running_members(group: int) -> list[str]:
    """The states of the processes of a group that are still running."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has ended meanwhile
            state, _, its_group = path.read_text().rsplit(")", 1)[1].split()[:3]
            found += [state] * (int(its_group) == group and state != "Z")
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.fast("2")
def test_workers_end_with_their_parent(number: signal.Signals, folder: Callable[[str], Path]) -> None:
    work = folder("work")
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(work)], start_new_session=True, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 60
        while not (work / "blocks-64" / "000003").is_dir() and time.monotonic() < until:
            time.sleep(0.05)
        assert len(running_members(process.pid)) >= 3
        while process.poll() is None and time.monotonic() < until:
            process.send_signal(number)  # repeatedly: Python drops an exception that is raised in a finalizer
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        process.kill()  # a survivor would write until the disk is full
    while running_members(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not running_members(process.pid)
    assert (work / "blocks-64" / "000003" / "counts.json").is_file()
