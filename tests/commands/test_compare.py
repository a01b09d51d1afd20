"""Does a comparison say of runs what they are?"""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from seq2seq.evaluation.metrics import score
from seq2seq.evaluation.sacre import paired_test
from seq2seq.evaluation.score import How
from seq2seq.evaluation.significance import holm
from seq2seq.translator import Translator

Say = Callable[..., tuple[int, str, str]]
FEW = ("--bootstrap", 40, "--trials", 20, "--metrics", "chrf,rougeL")


@pytest.fixture(scope="session")
def gold(runs: Path, corpus: Path) -> Path:
    """A gold file that links the first words of both sides."""
    path = corpus / "links.talp"
    path.write_text("1-1\n" * 12)
    return path


@pytest.fixture
def compared(say: Say) -> Callable[..., Any]:
    """`compared(*words)`: what the command says in JSON."""

    def run(*words: object) -> Any:
        code, out, err = say("compare", *words, "--format", "json")
        assert code == 0, err
        return json.loads(out)

    return run


def row(found: Any, variant: str) -> Any:
    return next(row for row in found["rows"] if row["variant"] == variant)


def test_figures_are_means_of_what_the_runs_wrote(compared: Callable[..., Any], runs: Path, corpus: Path) -> None:
    """Of the hypotheses that the run has kept; the baseline is the variant without attention, and comes first."""
    found = compared(runs, *FEW)
    assert found["baseline"] == found["rows"][0]["variant"] == "rnn-uniform-last"
    assert [(r["variant"], r["seeds"]) for r in found["rows"][1:]] == [("rnn-general", [1, 2]), ("transformer-dot", [1])]
    references = [(corpus / "test.de").read_text().splitlines()]
    for r in found["rows"]:
        kept = [(Path(run) / "evaluation/test/hypotheses.txt").read_text().split("\n")[:-1] for run in r["runs"]]
        assert kept == [Translator.open(run).translate((corpus / "test.en").read_text().splitlines()) for run in r["runs"]]
        for name in ("chrf", "rougeL"):
            values = [score(lines, references, [name], language="de", bootstrap=0)[0].value for lines in kept]
            assert r["figures"][name]["values"] == pytest.approx(values)
            assert r["figures"][name]["value"] == pytest.approx(mean(values))
            assert r["figures"][name]["deviation"] == (pytest.approx(stdev(values)) if len(values) > 1 else None)
            low, high = r["figures"][name]["interval"]
            assert low <= r["figures"][name]["value"] <= high
            assert len(r["buckets"][name]) == len(found["buckets"])
    assert not found["rows"][0]["figures"]["chrf"]["p"]
    for name in ("chrf", "rougeL"):
        for test in ("bootstrap", "randomisation"):
            figures = [r["figures"][name] for r in found["rows"][1:]]
            assert [f["corrected"][test] for f in figures] == pytest.approx(holm([f["p"][test] for f in figures]))
    assert any("scores are averaged over seeds inside each resample" in note for note in found["footnotes"])


def test_one_seed_each_is_tested_by_sacrebleu(compared: Callable[..., Any], runs: Path, corpus: Path) -> None:
    names = ("rnn-uniform-last-1", "rnn-general-1", "transformer-dot-1")
    found = compared(*(runs / name for name in names), *FEW)
    lines = [(runs / name / "evaluation/test/hypotheses.txt").read_text().split("\n")[:-1] for name in names]
    references = [(corpus / "test.de").read_text().splitlines()]
    for test in ("bootstrap", "randomisation"):
        theirs = paired_test(test, ["chrf"], lines, references, How("de"), {"bootstrap": 40, "randomisation": 20}[test])["chrf"]
        assert [r["figures"]["chrf"]["p"][test] for r in found["rows"][1:]] == theirs
    assert any("sacreBLEU's own" in note for note in found["footnotes"])


def test_what_is_kept_is_used_and_what_is_of_another_text_is_not(
    compared: Callable[..., Any], own: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, opened = own / "rnn-general-1", []
    original = Translator.open.__func__  # type: ignore[attr-defined]

    def counted(cls: type, *runs: Path, **options: Any) -> Translator:
        opened.append(runs)
        return original(cls, *runs, **options)

    monkeypatch.setattr(Translator, "open", classmethod(counted))
    first = compared(run, *FEW)
    before = len(opened)
    assert compared(run, *FEW) == first
    assert len(opened) == before <= 1
    config = run / "config.yaml"  # the test set under the same name is another text now
    root = Path(shutil.copytree(corpus, tmp_path / "other"))
    config.write_text(config.read_text().replace(f"root: {corpus}", f"root: {root}"))
    (root / "test.en").write_text("".join(f"{line} indeed\n" for line in (corpus / "test.en").read_text().splitlines()))
    assert compared(run, *FEW)["rows"][0]["figures"]["chrf"] != first["rows"][0]["figures"]["chrf"]
    assert len(opened) == before + 1
    shutil.copy(own / "rnn-general-2/weights.safetensors", run)  # training went on
    compared(run, *FEW)
    assert len(opened) == before + 2
    (run / "evaluation/test/hypotheses.txt").write_text("other\n" * 12)
    compared(run, *FEW)
    (run / "evaluation/test/sentences.csv").write_text("other\n" * 12)
    compared(run, *FEW)
    (run / "evaluation/test/explained.zip").write_text("")
    compared(run, *FEW)
    (run / "evaluation/test/scores.json").write_text("[]")
    compared(run, *FEW)
    assert len(opened) == before + 6


def test_alignment_against_a_gold_file(compared: Callable[..., Any], runs: Path, gold: Path) -> None:
    """Argmax gives every target word a link, one-to-one fewer; of each only the first can be right."""
    found = compared(runs / "rnn-general-1", *FEW, "--gold", gold)
    figures = found["rows"][0]["figures"]
    for end in ("", "_one_to_one"):
        parts = [figures[f"{name}{end}"]["value"] for name in ("aer", "precision", "recall")]
        assert all(0 <= part <= 100 for part in parts)
    links = json.loads((runs / "rnn-general-1/evaluation/test/forced.json").read_text())["links"]
    right = sum("0-0" in line.split() for line in links["argmax"])
    claimed = sum(len(line.split()) for line in links["argmax"])
    assert figures["aer"]["value"] == pytest.approx(100 - 100 * 2 * right / (claimed + 12))
    assert {column["signature"] for column in found["columns"] if column["key"] == "aer"} == {
        "links:argmax|of:references|gold:sure+possible"
    }


def test_who_claims_no_link_has_no_precision(compared: Callable[..., Any], runs: Path, gold: Path) -> None:
    """Neither is it then the best of the column."""
    found = compared(runs, *FEW, "--gold", gold)
    figures = row(found, "rnn-uniform-last")["figures"]
    assert figures["aer"]["value"] == 100
    assert figures["recall"]["value"] == 0
    assert "precision" not in figures
    assert "precision" in row(found, "rnn-general")["figures"]


def test_runs_without_weights_are_compared_by_what_they_kept(compared: Callable[..., Any], say: Say, own: Path, gold: Path) -> None:
    """Deleted to save the disk, or left on another machine; what was looked at may be gone as well."""
    before = compared(own, *FEW, "--gold", gold)
    for run in own.iterdir():
        for name in ("weights.safetensors", "joint.spm", "evaluation/test/alignments.txt"):
            (run / name).unlink()
    (own / "rnn-general-1/evaluation/test/explained.zip").unlink()
    after = compared(own, *FEW, "--gold", gold, "--report", own / "report.html")
    assert after["rows"] == before["rows"]
    assert after["header"][-1].startswith("Without weights, taken at the word of what was kept: rnn-uniform-last-1, ")
    assert after["header"][:-1] == before["header"]
    assert "<html" in (own / "report.html").read_text()
    (own / "rnn-general-1/evaluation/test/hypotheses.txt").write_text("other\n" * 12)
    info = own / "rnn-general-2/run.json"
    info.write_text(info.read_text().replace('"parameters"', '"numbers"'))
    broken = {Path(one["run"]).name: one["why"] for one in compared(own, *FEW, "--gold", gold)["broken"]}
    assert "weights.safetensors is missing, though training is finished" in broken["rnn-general-1"]
    assert "has neither weights.safetensors nor a number of parameters" in broken["rnn-general-2"]
    code, _, err = say("compare", own, *FEW, "--beam", 5)
    assert code == 2
    assert "no run is left to compare" in err


def test_links_of_both_directions(compared: Callable[..., Any], say: Say, trained: Any, runs: Path, gold: Path) -> None:
    back = trained("data.source=de", "data.target=en", "training.max_updates=1", "training.monitor=loss")
    found = compared(runs / "rnn-general-1", *FEW, "--gold", gold, "--reverse", back, "--symmetrize", "intersection")
    there, here = (
        json.loads(next(run.glob("evaluation/*/forced.json")).read_text())["links"]["argmax"] for run in (runs / "rnn-general-1", back)
    )
    both = [{tuple(map(int, link.split("-"))) for link in line.split()} for line in there]
    turned = [{tuple(map(int, link.split("-")))[::-1] for link in line.split()} for line in here]
    joined = [one & other for one, other in zip(both, turned, strict=True)]
    right, claimed = sum((0, 0) in links for links in joined), sum(map(len, joined))
    assert found["rows"][0]["figures"]["aer_intersection"]["value"] == pytest.approx(100 - 100 * 2 * right / (claimed + 12))
    code, _, err = say("compare", runs / "rnn-general-1", "--gold", gold, "--reverse", runs / "rnn-general-2")
    assert code == 2
    assert "translates en-de, not the other way round" in err
    code, _, err = say("compare", runs / "rnn-general-1", "--reverse", back)
    assert code == 2
    assert "--reverse would be ignored: no gold links" in err


def test_a_broken_run_is_named_and_the_others_go_on(compared: Callable[..., Any], say: Say, own: Path) -> None:
    (own / "rnn-general-2/weights.safetensors").write_bytes(b"nothing")
    (own / "transformer-dot-1/run.json").write_text("{")
    found = compared(own, *FEW)
    assert [Path(broken["run"]).name for broken in found["broken"]] == ["transformer-dot-1", "rnn-general-2"]
    assert "is damaged" in found["broken"][0]["why"]
    assert [(r["variant"], r["seeds"]) for r in found["rows"]] == [("rnn-uniform-last", [1, 2]), ("rnn-general", [1])]
    code, out, err = say("compare", own / "transformer-dot-1", own / "nowhere")
    assert (code, out) == (2, "")
    assert "no run is left to compare" in err


def test_runs_that_are_the_same_count_once(compared: Callable[..., Any], own: Path) -> None:
    copy = shutil.copytree(own / "rnn-general-1", own / "z-copy")
    found = compared(own / "rnn-general-1", own / "rnn-general-2", own / "rnn-general-1/", copy, *FEW)
    assert [r["seeds"] for r in found["rows"]] == [[1, 2]]
    assert any("was named twice and counts once" in line for line in found["header"])
    assert any(f"{copy} is left out: it has the settings and the seed of" in line for line in found["header"])
    assert not found["rows"][0]["figures"]["chrf"]["p"]


def test_a_run_against_its_twin_is_no_different(compared: Callable[..., Any], own: Path) -> None:
    """Another name, the same words: p is 1, not the least there can be."""
    copy = Path(shutil.copytree(own / "rnn-general-1", own / "twin"))
    (copy / "config.yaml").write_text((copy / "config.yaml").read_text().replace("variant: ''", "variant: twin"))
    found = compared(own / "rnn-general-1", copy, *FEW)
    assert row(found, "twin")["figures"]["chrf"]["corrected"] == {"bootstrap": 1, "randomisation": 1}


def test_variants_of_one_name_are_told_apart(compared: Callable[..., Any], own: Path) -> None:
    config = own / "rnn-general-2/config.yaml"
    config.write_text(config.read_text().replace("label_smoothing: 0.1", "label_smoothing: 0.2"))
    found = compared(own / "rnn-general-1", own / "rnn-general-2", *FEW, "--baseline", "rnn-general label_smoothing=0.2")
    assert [r["variant"] for r in found["rows"]] == ["rnn-general label_smoothing=0.2", "rnn-general label_smoothing=0.1"]
    assert [r["settings"] for r in found["rows"]] == [{"training.label_smoothing": "0.2"}, {"training.label_smoothing": "0.1"}]


def test_the_header_says_what_the_runs_had_in_common(compared: Callable[..., Any], own: Path) -> None:
    one, other = own / "rnn-general-1", own / "rnn-uniform-last-1"
    assert compared(one, other, *FEW)["header"][0] == "Equal budget: all runs had the same updates (4) and parameters (4,448 to 4,512)."

    def say_batches(run: Path, *sums: str) -> None:
        rows = [f"{2 * i},{checksum}" for i, checksum in enumerate(sums, 1)]
        (run / "metrics.csv").write_text("\n".join(["update,batches", *rows]) + "\n")

    for run in (one, other):
        say_batches(run)
    assert "Runs of one seed learnt from the same batches in the same order." in compared(one, other, *FEW)["header"]  # by run.json
    for run in (one, other):
        info = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({name: value for name, value in info.items() if name != "batches"}))
    assert any(line.startswith("Not known whether the batches were the same, since") for line in compared(one, other, *FEW)["header"])
    say_batches(one, "aaaaaaaa", "bbbbbbbb", "cccccccc")
    say_batches(other, "aaaaaaaa", "bbbbbbbb")
    assert "Runs of one seed learnt from the same batches in the same order." in compared(one, other, *FEW)["header"]
    say_batches(other, "aaaaaaaa", "dddddddd")
    assert any(line.startswith("Not the same batches by update 4: ") for line in compared(one, other, *FEW)["header"])
    assert any(
        "do not search alike: search.beam (2, 3)" in line for line in compared(one, changed(other, "beam: 3", "beam: 2"), *FEW)["header"]
    )
    info = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(info | {"updates": 5, "finished": False}))
    said = compared(one, other, *FEW)["header"]
    assert "Training is not finished: rnn-uniform-last-1." in said
    assert not any("updates" in line for line in said if line.startswith("Equal"))


def changed(run: Path, before: str, after: str) -> Path:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(before, after))
    return run


def test_every_format_has_the_figures(say: Say, runs: Path, tmp_path: Path) -> None:
    said = {kind: say("compare", runs, *FEW, "--format", kind)[1] for kind in ("terminal", "markdown", "csv", "latex", "json")}
    found = json.loads(said["json"])
    for r in found["rows"]:
        for kind in ("terminal", "markdown", "latex"):
            assert f"{r['figures']['chrf']['value']:,.2f}" in said[kind], kind
    rows = list(csv.DictReader(io.StringIO(said["csv"])))
    for one, other in zip(rows, found["rows"], strict=True):
        assert (one["variant"], one["seeds"].split()) == (other["variant"], [str(seed) for seed in other["seeds"]])
        for key, figure in other["figures"].items():
            assert float(one[key]) == figure["value"]
            assert one.get(f"{key}.corrected.bootstrap", "") == str(figure["corrected"].get("bootstrap", ""))
    lines = [line for line in said["markdown"].splitlines() if line.startswith("|")]
    assert len({line.count("|") - line.count("\\|") for line in lines[:5]}) == 1
    assert said["latex"].count("\\begin{tabular}") == said["latex"].count("\\end{tabular}") == 2
    assert not re.search(r"(?<!\\)_", "".join(line for line in said["latex"].splitlines(True) if not line.startswith("%")))
    assert say("compare", runs, *FEW, "--format", "csv", "--output", tmp_path / "new/a.csv")[:2] == (0, "")
    assert (tmp_path / "new/a.csv").read_text() == said["csv"]


def test_columns_can_be_chosen(say: Say, runs: Path) -> None:
    code, out, _ = say("compare", runs, *FEW, "--columns", "diagonality,chrf", "--format", "markdown")
    assert code == 0
    assert "| variant (seeds) | diagonality | chrF2 ↑ |" in out


WRONG = {
    "no such baseline": (
        ["--baseline", "rnn-genral"],
        "--baseline='rnn-genral' is unknown (did you mean 'rnn-general'?); choose one of: rnn-general,",
    ),
    "no such test": (["--test", "tset"], "--test='tset' is unknown (did you mean 'test'?); choose one of: test, dev"),
    "no such metric": (["--metrics", "blue"], "--metrics='blue' is unknown (did you mean 'bleu'?)"),
    "no such column": (["--columns", "blue"], "--columns='blue' is unknown (did you mean 'bleu'?)"),
    "no such format": (["--format", "html"], "--format='html' is unknown"),
    "too few trials": (["--trials", "-1"], "--trials=-1 is too small: at least 0"),
    "too few resamples": (["--bootstrap", "39"], "--bootstrap=39 is too small: at least 40, or 0 for no intervals"),
    "two kinds of test": (["--test", "test", "--source", "x", "--reference", "y"], "give either --test NAME, or --source FILE"),
    "no reference": (["--source", "x"], "give either --test NAME, or --source FILE"),
    "n-best": (["--n-best", "2"], "search.n_best=2 would be ignored"),
    "a folder for a file": (["--output", "."], ". cannot be written or read: Is a directory"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_sentence(case: str, say: Say, runs: Path) -> None:
    words, message = WRONG[case]
    code, out, err = say("compare", runs, *words)
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert message in err


def test_runs_of_other_text_are_refused(say: Say, own: Path, tmp_path: Path) -> None:
    info = own / "rnn-general-2/run.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"data": "0" * 64}))
    code, out, err = say("compare", own / "rnn-general-1", own / "rnn-general-2")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "learnt from different text" in err
