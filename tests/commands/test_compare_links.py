"""`seq2seq compare`: alignment error against gold links, in one and in both directions."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from seq2seq.runs.weights import save_weights
from tests.commands.conftest import resaved

Call = Callable[..., tuple[int, str, str]]
Row = Callable[[Any, str], Any]


def test_alignment_against_a_gold_file(compared: Callable[..., Any], runs: Path, gold: Path) -> None:
    """Argmax gives every target word a link, one-to-one fewer; of each only the first can be right."""
    found = compared(runs / "rnn-general-1", "--gold", gold)
    figures = found["rows"][0]["figures"]
    links = json.loads((runs / "rnn-general-1/evaluation/test/forced.json").read_text())["links"]
    for kind, end in (("argmax", ""), ("one-to-one", "_one_to_one")):
        right = sum("0-0" in line.split() for line in links[kind])
        claimed = sum(len(line.split()) for line in links[kind])
        expected = {
            "aer": 100 - 100 * 2 * right / (claimed + 12),
            "precision": 100 * right / claimed,
            "recall": 100 * right / 12,
        }
        assert {name: figures[f"{name}{end}"]["value"] for name in expected} == pytest.approx(expected)
    assert {column["signature"] for column in found["columns"] if column["key"] == "aer"} == {
        "links:argmax|of:references|gold:sure+possible"
    }


def test_precision_is_undefined_without_predicted_links(
    compared: Callable[..., Any], row: Row, runs: Path, gold: Path
) -> None:
    """Nor is it the best of its column."""
    found = compared(runs / "rnn-uniform-last-1", runs / "rnn-general-1", "--gold", gold)
    figures = row(found, "rnn-uniform-last")["figures"]
    assert figures["aer"]["value"] == 100
    assert figures["recall"]["value"] == 0
    assert "precision" not in figures
    assert "precision" in row(found, "rnn-general")["figures"]


def test_recall_is_undefined_without_sure_gold_links(compared: Callable[..., Any], runs: Path, corpus: Path) -> None:
    """It would be 100 % of no links."""
    path = corpus / "possible.align"
    path.write_text("0p0\n" * 12)
    figures = compared(runs / "rnn-general-1", "--gold", path)["rows"][0]["figures"]
    assert "precision" in figures
    assert "recall" not in figures


def test_gold_without_any_link_is_refused(call: Call, runs: Path, corpus: Path) -> None:
    path = corpus / "none.align"
    path.write_text("\n" * 12)
    code, _, err = call("compare", runs / "rnn-general-1", "--gold", path)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{path} has no link: nothing can be compared with it" in err


@pytest.fixture(scope="module")
def back(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs of the other direction, with seeds 1 and 2."""
    folder = tmp_path_factory.mktemp("back")
    words = ("training.max_updates=2", "training.monitor=loss", "search.beam=3")  # as those of `runs`
    run = trained("data.source=de", "data.target=en", *words)
    for seed in (1, 2):
        resaved(run, folder / f"back-{seed}", seed=seed)
    return folder


@pytest.mark.slow
def test_runs_of_the_other_direction_may_be_a_folder(
    compared: Callable[..., Any], back: Path, runs: Path, gold: Path
) -> None:
    """Each seed is paired with its own reverse run."""
    found = compared(runs / "rnn-general-1", runs / "rnn-general-2", "--gold", gold, "--reverse", back)
    assert len(found["rows"][0]["figures"]["aer_grow_diag_final_and"]["values"]) == 2
    assert found["header"] == compared(runs / "rnn-general-1", runs / "rnn-general-2", "--gold", gold)["header"]


def test_links_of_both_directions(compared: Callable[..., Any], back: Path, runs: Path, gold: Path) -> None:
    run = back / "back-1"
    found = compared(runs / "rnn-general-1", "--gold", gold, "--reverse", run, "--symmetrize", "intersection")
    there, here = (
        json.loads(next(run.glob("evaluation/*/forced.json")).read_text())["links"]["argmax"]
        for run in (runs / "rnn-general-1", run)
    )
    both = [{tuple(map(int, link.split("-"))) for link in line.split()} for line in there]
    turned = [{tuple(map(int, link.split("-")))[::-1] for link in line.split()} for line in here]
    joined = [one & other for one, other in zip(both, turned, strict=True)]
    right, claimed = sum((0, 0) in links for links in joined), sum(map(len, joined))
    assert found["rows"][0]["figures"]["aer_intersection"]["value"] == pytest.approx(
        100 - 100 * 2 * right / (claimed + 12)
    )


def test_wrong_reverse_runs_are_refused_before_translation(call: Call, runs_copy: Path, gold: Path) -> None:
    for kept in runs_copy.glob("*/evaluation"):
        shutil.rmtree(kept)
    one, two = runs_copy / "rnn-general-1", runs_copy / "rnn-general-2"
    for words, why in (
        (["--gold", gold, "--reverse", two], f"--reverse {two} translates en-de, not the other way round"),
        (
            ["--reverse", two],
            "--reverse would be ignored: no gold links of this test set are known; --gold FILE names them",
        ),
    ):
        code, out, err = call("compare", one, *words)
        assert (code, out, err) == (2, "", f"seq2seq: {why}\n")
    assert not list(runs_copy.glob("*/evaluation"))


@pytest.mark.parametrize("command", ["compare", "evaluate"])
@pytest.mark.fast("evaluate")
def test_gold_replaces_the_test_sets_own_links(
    command: str, call: Call, tiny_run: Path, corpus: Path, tmp_path: Path, gold: Path
) -> None:
    """Even if the test set's own links do not fit the text."""
    root = Path(shutil.copytree(corpus, tmp_path / "text"))
    (root / "test.align").write_text("99-0\n" * 12)
    run = resaved(tiny_run, tmp_path / "run", data={"root": str(root)})
    words = (command, run, "--test", "test", "--bootstrap", 0)
    code, _, err = call(*words)
    assert code == 2
    assert "link 99-0 is beyond" in err
    code, out, err = call(*words, "--gold", gold)
    assert code == 0, err
    assert "aer" in out.lower()


def test_reversed_gold_links_are_named(call: Call, runs_copy: Path, corpus: Path, tmp_path: Path) -> None:
    sizes = [[len(line.split()) for line in (corpus / f"test.{end}").read_text().splitlines()] for end in ("en", "de")]
    turned = ["0-0" if s <= t else f"{s - 1}-0" for s, t in zip(*reversed(sizes), strict=True)]  # target-source
    assert any(link != "0-0" for link in turned)
    (tmp_path / "turned").write_text("\n".join(turned) + "\n")
    code, _, err = call("compare", runs_copy / "rnn-general-1", "--gold", tmp_path / "turned")
    assert code == 2
    assert "with source and target swapped all links would fit: a link names the source word first" in err


def test_stored_links_of_other_weights_are_not_used(compared: Callable[..., Any], runs_copy: Path, gold: Path) -> None:
    """A run that was trained further, or whose evaluation was copied from another run."""
    one, two = runs_copy / "rnn-general-1", runs_copy / "rnn-general-2"
    compared(one, "--gold", gold), compared(two, "--gold", gold)
    mine, theirs = (json.loads((run / "evaluation/test/forced.json").read_text()) for run in (one, two))
    assert mine["links"] != theirs["links"]
    save_weights(load_file(two / "weights.safetensors"), one)
    compared(one, "--gold", gold)
    found = json.loads((one / "evaluation/test/forced.json").read_text())
    assert found == theirs != mine


def test_gold_links_need_the_words_of_the_tokenizer(
    call: Call, random_run: Callable[..., Path], tmp_path: Path
) -> None:
    """NFKC splits a word at its no-break space: all later links would be of other words."""
    run = Path(shutil.copytree(random_run("tokenizer.normalizer=nmt_nfkc"), tmp_path / "run"))
    for name, text in (("s", "the old\u00a0teacher opens\n"), ("t", "der alte Lehrer\n"), ("links", "0-0\n")):
        (tmp_path / name).write_text(text)
    words = ("--source", tmp_path / "s", "--reference", tmp_path / "t")
    code, out, _ = call(
        "compare", run, *words, "--gold", tmp_path / "links", "--bootstrap", 0, "--trials", 0, "--format", "json"
    )
    assert code == 0
    why = "'the old\\xa0teacher opens' has 3 words by its spaces, but 4 as the tokenizer normalizes it"
    note = next(line for line in json.loads(out)["header"] if "alignment error" in line)
    assert note.startswith(f"Without alignment error: {run.name}: {why}")
    assert {"bleu", "aer"} & json.loads(out)["rows"][0]["figures"].keys() == {"bleu"}
