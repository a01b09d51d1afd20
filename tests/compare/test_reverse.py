"""Does each run find its partner of the other direction, whatever the order of the words?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.compare import reverse
from seq2seq.compare.collect import Broken, EvaluatedRun
from seq2seq.compare.reverse import open_reverse, with_reverse
from seq2seq.errors import ConfigError, RunError
from seq2seq.evaluation.testset import TestSet
from seq2seq.runs.directory import Run

Make = Callable[..., EvaluatedRun]
TEST = TestSet("made", ["a b", "c d"], [["A B", "C D"]])
HERE = [{(0, 0), (1, 1)}, {(0, 0), (1, 0)}]
THERE = {  # source and target change places; what both directions have in common is another link of each
    "wide-1": [{(0, 0)}, {(1, 1)}],
    "wide-2": [{(1, 1)}, {(1, 1)}],
    "narrow-1": [set(), {(0, 1)}],
}
COMMON = {"wide-1": [{(0, 0)}, set()], "wide-2": [{(1, 1)}, set()], "narrow-1": [set(), {(1, 0)}]}
SETTINGS = {"wide-1": ("seed=1",), "wide-2": ("seed=2",), "narrow-1": ("seed=1", "model.hidden=8")}
Joined = Callable[..., tuple[dict[str, Any], list[str], Broken]]


@pytest.fixture
def joined(make_cell: Make, monkeypatch: pytest.MonkeyPatch) -> Joined:
    """`joined(cells, partners)` of names in SETTINGS: the common links of each cell, what is said, and who is left out."""
    made: dict[Path, Run] = {}

    def opened(path: Path) -> Run:
        if path not in made:
            raise RunError(f"{path} is no run")
        return made[path]

    def links(which: Any, test: TestSet) -> dict[str, Any]:
        name = which.runs[0].folder.name.removeprefix("back-").removesuffix("-again")
        if name not in THERE:
            raise RunError("no links")
        assert (test.sources, test.references) == (TEST.references[0], [TEST.sources])
        return {"argmax": THERE[name]}

    monkeypatch.setattr(reverse.Run, "open", opened)
    monkeypatch.setattr(reverse, "load_or_align", links)

    def join(cells: list[str], partners: list[str]) -> tuple[dict[str, Any], list[str], Broken]:
        broken, paths = Broken(), []
        here = [make_cell(TEST.sources, *SETTINGS[name], name=name, links={"argmax": HERE}) for name in cells]
        for name in partners:
            words = SETTINGS.get(name.removesuffix("-again"), ("seed=1",))
            there = make_cell(TEST.sources, "data.source=de", "data.target=en", *words, name=f"back-{name}").run
            paths.append(there.folder)
            if name != "missing":
                made[there.folder] = there
        found, notes = with_reverse(here, open_reverse(paths, here[0].run, broken), TEST, "intersection", {}, broken)
        return {cell.name: cell.links.get("intersection") for cell in found}, notes, broken

    return join


@pytest.mark.parametrize("order", [1, -1])
def test_partners_have_settings_and_seed_in_common(order: int, joined: Joined) -> None:
    """Whose names are the same: nothing but `model.hidden` tells narrow-1 from wide-1."""
    links, notes, broken = joined([*COMMON], [*COMMON][::order])
    assert links == COMMON
    assert (notes, broken) == ([], [])


def test_columns_of_a_table_change_places_too(make_cell: Make) -> None:
    def run(*words: str) -> Run:
        return make_cell(TEST.sources, "data.format=tsv", *words).run

    there = ("data.source=de", "data.target=en")
    assert reverse.alike(run(*there, "data.columns=[3,1]"), run("data.columns=[1,3]"))
    assert not reverse.alike(run(*there, "data.columns=[1,3]"), run("data.columns=[1,3]"))


def test_who_has_no_partner_is_named(joined: Joined) -> None:
    links, (lone, unused), _ = joined(["wide-1", "wide-2"], ["wide-1", "narrow-1"])
    assert links == {"wide-1": COMMON["wide-1"], "wide-2": None}
    assert lone == "No links of the other direction for: wide-2."
    assert unused.startswith("Of no use with --reverse, since no run has their seed and settings: ")
    assert unused.endswith("/back-narrow-1.")


def test_a_single_partner_is_everyones(joined: Joined) -> None:
    links, (lent,), _ = joined(["wide-1", "narrow-1"], ["wide-1"])
    assert links == dict.fromkeys(["wide-1", "narrow-1"], COMMON["wide-1"])
    assert lent.endswith("/back-wide-1, which has another seed or other settings: narrow-1.")


def test_a_broken_partner_ends_nothing(joined: Joined) -> None:
    """Neither one that cannot be opened nor one that cannot be asked, and who is left does not become everyone's."""
    for wrong in ("missing", "mute"):
        links, notes, broken = joined(["wide-1", "wide-2"], ["wide-2", wrong])
        assert links == {"wide-1": None, "wide-2": COMMON["wide-2"]}
        assert "No links of the other direction for: wide-1." in notes
        assert [Path(run).name for run, _ in broken] == [f"back-{wrong}"]


def test_two_partners_are_refused(joined: Joined) -> None:
    with pytest.raises(
        ConfigError, match=r"back-wide-1 and .*back-wide-1-again have the settings and the seed of .*; name one of them"
    ):
        joined(["wide-1"], ["wide-1", "wide-1-again"])


def test_of_a_folder_those_of_the_other_direction_are_taken(
    make_cell: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both lie together wherever `runs` is what it is by itself."""
    here = [make_cell(TEST.sources, name=name).run for name in ("a", "b")]
    back = make_cell(TEST.sources, "data.source=de", "data.target=en", name="c").run
    runs = {run.folder: run for run in (*here, back)}
    monkeypatch.setattr(reverse.Run, "open", runs.__getitem__)
    assert open_reverse([tmp_path], here[0], Broken()) == ([back], True)
    with pytest.raises(ConfigError, match="/a translates en-de, not the other way round"):
        open_reverse([tmp_path, here[0].folder], here[0], Broken())
    with pytest.raises(ConfigError, match="translates de-en, not the other way round"):
        open_reverse([back.folder], back, Broken())


def test_the_same_direction_is_refused(make_cell: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell(TEST.sources)
    monkeypatch.setattr(reverse.Run, "open", lambda path: cell.run)
    with pytest.raises(ConfigError, match="translates en-de, not the other way round"):
        open_reverse([cell.run.folder], cell.run, Broken())
