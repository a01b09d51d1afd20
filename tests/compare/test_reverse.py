"""Partners of the reverse direction: which run belongs to which, and the sentences about those that are missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.compare import reverse
from seq2seq.compare.collect import EvaluatedRun, SkippedRuns
from seq2seq.compare.reverse import open_reverse, with_reverse
from seq2seq.errors import ConfigError, RunError
from seq2seq.evaluation.testset import TestSet
from seq2seq.runs.directory import Run

Make = Callable[..., EvaluatedRun]
TEST = TestSet("made", ["a b", "c d"], [["A B", "C D"]])
LINKS = [{(0, 0), (1, 1)}, {(0, 0), (1, 0)}]  # of every compared run
REVERSE_LINKS = {  # (target, source), as a reverse run has them; each pair of runs has another link in common
    "wide-1": [{(0, 0)}, {(1, 1)}],
    "wide-2": [{(1, 1)}, {(1, 1)}],
    "narrow-1": [set(), {(0, 1)}],
}
COMMON = {"wide-1": [{(0, 0)}, set()], "wide-2": [{(1, 1)}, set()], "narrow-1": [set(), {(1, 0)}]}
SETTINGS = {"wide-1": ("seed=1",), "wide-2": ("seed=2",), "narrow-1": ("seed=1", "model.hidden=8")}
REVERSED = ("data.source=de", "data.target=en")
Joined = Callable[..., tuple[dict[str, Any], list[str], SkippedRuns]]


@pytest.fixture
def joined(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> Joined:
    """`joined(runs, partners)` of names in SETTINGS: each run's intersected links, the notes, and the skipped runs.

    A partner called "missing" cannot be opened, one called "mute" has no links."""
    folders: dict[Path, Run] = {}

    def open_made(path: Path) -> Run:
        if path not in folders:
            raise RunError(f"{path} is no run")
        return folders[path]

    def made_links(spec: Any, test: TestSet) -> dict[str, Any]:
        name = spec.runs[0].folder.name.removeprefix("back-").removesuffix("-again")
        if name not in REVERSE_LINKS:
            raise RunError("no links")
        assert (test.sources, test.references) == (TEST.references[0], [TEST.sources])
        return {"argmax": REVERSE_LINKS[name]}

    monkeypatch.setattr(reverse.Run, "open", open_made)
    monkeypatch.setattr(reverse, "load_or_align", made_links)

    def join(runs: list[str], partners: list[str]) -> tuple[dict[str, Any], list[str], SkippedRuns]:
        skipped, paths = SkippedRuns(), []
        evaluated = [make_run(TEST.sources, *SETTINGS[name], name=name, links={"argmax": LINKS}) for name in runs]
        for name in partners:
            settings = SETTINGS.get(name.removesuffix("-again"), ("seed=1",))
            partner = make_run(TEST.sources, *REVERSED, *settings, name=f"back-{name}").run
            paths.append(partner.folder)
            if name != "missing":
                folders[partner.folder] = partner
        opened = open_reverse(paths, evaluated[0].run, skipped)
        found, notes = with_reverse(evaluated, opened, TEST, "intersection", {}, skipped)
        return {run.name: run.links.get("intersection") for run in found}, notes, skipped

    return join


@pytest.mark.parametrize("order", [1, -1])
def test_partners_have_the_same_settings_and_seed(order: int, joined: Joined) -> None:
    """The variants have the same name: only `model.hidden` distinguishes narrow-1 from wide-1."""
    links, notes, skipped = joined([*COMMON], [*COMMON][::order])
    assert links == COMMON
    assert (notes, skipped) == ([], [])


def test_partners_have_swapped_tsv_columns(make_run: Make) -> None:
    def run(*settings: str) -> Run:
        return make_run(TEST.sources, "data.format=tsv", *settings).run

    assert reverse.are_partners(run(*REVERSED, "data.columns=[3,1]"), run("data.columns=[1,3]"))
    assert not reverse.are_partners(run(*REVERSED, "data.columns=[1,3]"), run("data.columns=[1,3]"))


def test_runs_without_partner_and_unused_partners_are_named(joined: Joined) -> None:
    links, (without, unused), _ = joined(["wide-1", "wide-2"], ["wide-1", "narrow-1"])
    assert links == {"wide-1": COMMON["wide-1"], "wide-2": None}
    assert without == "No links of the reverse direction for: wide-2."
    assert unused.startswith("Unused with --reverse, since no run has their seed and settings: ")
    assert unused.endswith("/back-narrow-1.")


def test_single_reverse_run_is_the_partner_of_all(joined: Joined) -> None:
    links, (mismatched,), _ = joined(["wide-1", "narrow-1"], ["wide-1"])
    assert links == dict.fromkeys(["wide-1", "narrow-1"], COMMON["wide-1"])
    assert "/back-wide-1, which has another seed or other settings, and is one run" in mismatched
    assert mismatched.endswith("tests over seeds do not speak of its seed: narrow-1.")


def test_damaged_partner_is_skipped(joined: Joined) -> None:
    """Whether it cannot be opened or has no links; the partner that is left does not become that of all."""
    for wrong in ("missing", "mute"):
        links, notes, skipped = joined(["wide-1", "wide-2"], ["wide-2", wrong])
        assert links == {"wide-1": None, "wide-2": COMMON["wide-2"]}
        assert "No links of the reverse direction for: wide-1." in notes
        assert [Path(run).name for run, _ in skipped] == [f"back-{wrong}"]


def test_two_partners_of_one_run_are_refused(joined: Joined) -> None:
    message = r"back-wide-1 and .*back-wide-1-again have the settings and the seed of .*; name one of them"
    with pytest.raises(ConfigError, match=message):
        joined(["wide-1"], ["wide-1", "wide-1-again"])


def test_reverse_runs_are_chosen_from_a_folder(make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of both directions lie in one folder unless the setting `runs` separates them."""
    runs = [make_run(TEST.sources, name=name).run for name in ("a", "b")]
    back = make_run(TEST.sources, *REVERSED, name="c").run
    folders = {run.folder: run for run in (*runs, back)}
    monkeypatch.setattr(reverse.Run, "open", folders.__getitem__)
    assert open_reverse([tmp_path], runs[0], SkippedRuns()) == ([back], True)
    with pytest.raises(ConfigError, match="/a translates en-de, not the other way round"):
        open_reverse([tmp_path, runs[0].folder], runs[0], SkippedRuns())
    with pytest.raises(ConfigError, match="translates de-en, not the other way round"):
        open_reverse([back.folder], back, SkippedRuns())


def test_run_of_the_same_direction_is_refused(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated = make_run(TEST.sources)
    monkeypatch.setattr(reverse.Run, "open", lambda path: evaluated.run)
    with pytest.raises(ConfigError, match="translates en-de, not the other way round"):
        open_reverse([evaluated.folder], evaluated.run, SkippedRuns())
