"""Bugs planted on purpose: each can be planted, and with --slow the fast tests find each."""

import ast
from pathlib import Path

import pytest

from tests.each import each
from tests.mutations.__main__ import ROOT, copy_checkout, found_by, planted
from tests.mutations.bugs import BUGS, Bug


def test_names_are_unique() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 40


@each("bug", BUGS)
def test_bug_can_be_planted(bug: Bug) -> None:
    """Its line is in the file, once, and the changed file is another program; the tests that should find it exist."""
    text = (ROOT / "seq2seq" / bug.file).read_text(encoding="utf-8")
    before, after = (ast.dump(ast.parse(each)) for each in (text, planted(text, bug)))
    assert before != after
    assert all((ROOT / "tests" / name).exists() for name in bug.tests.split())


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    copy_checkout(folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_is_found(bug: Bug, copied: Path) -> None:
    assert found_by(copied, bug), bug.words
