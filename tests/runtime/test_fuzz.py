"""Mutated bundles are refused in one sentence, or opened and used; fuzz.py prints how many of each."""

from pathlib import Path

import pytest

from tests.runtime.fuzz import KINDS, fuzz


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_bundles_are_used_or_refused(
    kind: str, count: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is printed, whatever libraries are given, and none takes long."""
    pytest.importorskip("onnxruntime")
    found = fuzz(kind, count, tmp_path)
    assert found.refused > 0.2 * count
    assert found.longest < 2
    assert capfd.readouterr() == ("", "")
