"""Test sets and the gold alignments that are read for them."""

from pathlib import Path

import pytest

from seq2seq.errors import DataError
from seq2seq.evaluation.testset import TestSet


def test_gold_alignments_must_fit_the_text(tmp_path: Path) -> None:
    test = TestSet("x", ["a b"], [["c d"]])
    (tmp_path / "a.talp").write_text("1-2\n")
    gold = test.with_gold_file(tmp_path / "a.talp").gold
    assert gold is not None
    assert gold[0].sure == {(0, 1)}
    (tmp_path / "a.align").write_text("1-2\n")  # counted from 1 in a file that counts from 0
    with pytest.raises(DataError, match=r"a\.align, line 1: link 1-2 is beyond the 2 target words"):
        test.with_gold_file(tmp_path / "a.align")


def test_hash_is_of_the_text_alone() -> None:
    test = TestSet("x", ["a b"], [["c d"]])
    assert test.with_gold(["0-1"], "a.align").sha256 == test.sha256
    assert test.reversed().sha256 != test.sha256
