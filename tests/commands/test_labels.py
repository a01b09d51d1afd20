"""Classifiers and labellers on the command line: trained, evaluated, compared, exported, and used."""

import json
import math
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from seq2seq.data.toy.entities import generate_entities
from seq2seq.data.toy.sentiment import generate_sentiment
from seq2seq.evaluation.evaluate import EvaluationSpec
from seq2seq.evaluation.store import load_or_find_probabilities
from seq2seq.evaluation.testset import TestSet
from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import Run
from seq2seq.training.run import train

Call = Callable[..., tuple[int, str, str]]
SMALL = (
    "training.batch_tokens=800", "training.max_updates=12", "training.validate_every=6", "training.warmup=2",
    "training.dev_lines=20", "trainer.threads=1", "trainer.accelerator=cpu", "trainer.progress=none", "data.pairs=150",
    "search.batch=100",
)  # fmt: skip
RNN = ("model.embedding=8", "model.hidden=8")
KINDS = {
    "classifier": ("data=toy_sentiment", *RNN),
    "transformer": (
        "data=toy_sentiment", "model=transformer", "model.size=8", "model.heads=2", "model.feedforward=8",
        "model.encoder_layers=1", "model.pooling=structured", "model.hops=2", "model.hop_penalty=0.1",
        "training.class_weights=balanced", "training.pad_to_multiple_of=8",
    ),
    "tagger": ("data=toy_entities", "model.crf=true", *RNN),
    "random": (  # a CRF with large weights, for which a narrow beam misses the best tags
        "data=toy_entities", "model.crf=true", "model.bio=false", "model.init=2", "training.learning_rate=1e-9",
        "training.max_updates=1", *RNN,
    ),
    "last": ("data=toy_sentiment", "model.pooling=last", *RNN),
    "guided": (
        "data=toy_sentiment", "training.guided_alignment=1", "training.max_updates=60", "training.learning_rate=1e-2",
        *RNN,
    ),
}  # fmt: skip
TEXTS = [example.source for example in generate_sentiment(1).dev[:3]]
INPUT = "".join(f"{text}\n" for text in TEXTS)


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`labelled(kind)`: a run of KINDS, trained for a second."""
    folder = tmp_path_factory.mktemp("labels")
    paths = (f"runs={folder / 'runs'}", f"data.cache={folder / 'cache'}")

    @cache
    def make(kind: str) -> Path:
        return train(compose_config([*SMALL, *KINDS[kind], *paths, f"variant={kind}"]))

    return make


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with any number of labels a text."""
    folder = tmp_path_factory.mktemp("several")
    lines = ["sunny day\twarm dry", "rainy day\twet warm", "sunny night\tdry", "rainy night\twet", "night\t"] * 8
    for name in ("train", "dev"):
        (folder / f"{name}.tsv").write_text("".join(f"{line}\n" for line in lines))
    own = ("task=multilabel", "data=mine", "data.format=tsv", "+data.test.test=dev.tsv")
    files = ("data.columns=[0,1]", "data.train=train.tsv", "data.dev=dev.tsv", f"data.root={folder}")
    steps = ("training.max_updates=120", "training.learning_rate=3e-2", "model.dropout=0")
    replaced = ("data.pairs", "training.max_updates", "training.validate_every")
    small = [word for word in SMALL if not word.startswith(replaced)]
    paths = (f"runs={folder / 'runs'}", f"data.cache={folder / 'cache'}")
    return train(compose_config([*own, *files, *RNN, *small, *steps, *paths]))


def test_probabilities_of_all_labels_sum_to_one(call: Call, labelled: Callable[[str], Path]) -> None:
    run = labelled("classifier")
    code, out, _ = call("predict", run, "--n-best", 5, stdin=INPUT)
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert [row[0] for row in rows] == ["1", "2", "3"] * len(TEXTS)
    for start in range(0, len(rows), 3):
        assert {row[1] for row in rows[start : start + 3]} == {"negative", "neutral", "positive"}
        assert math.fsum(float(row[2]) for row in rows[start : start + 3]) == pytest.approx(1, abs=1e-3)
    _, best, _ = call("predict", run, stdin=INPUT)
    assert best.splitlines() == ["\t".join(row[1:]) for row in rows[::3]]
    _, plain, _ = call("predict", run, "--json", "--n-best", 3, stdin=INPUT)
    answers = [json.loads(line) for line in plain.splitlines()]
    assert [[one["labels"] for one in answer] for answer in answers] == [
        [[row[1]] for row in rows[start : start + 3]] for start in range(0, len(rows), 3)
    ]


def test_more_answers_do_not_change_the_first(call: Call, labelled: Callable[[str], Path]) -> None:
    """The beam of a tagger is not narrowed to the number of its answers."""
    texts = "".join(f"{example.source}\n" for example in generate_entities(1).dev[:40])
    _, best, _ = call("predict", labelled("random"), stdin=texts)
    _, two, _ = call("predict", labelled("random"), "--n-best", 2, stdin=texts)
    assert [line.split("\t")[1] for line in two.splitlines()[::2]] == [
        line.split("\t")[0] for line in best.splitlines()
    ]


def test_scores_of_labels_that_are_none(call: Call, labelled: Callable[[str], Path], several: Path) -> None:
    run = labelled("classifier")
    code, out, err = call("score", run, stdin=f"{TEXTS[0]}\tpositive\n{TEXTS[0]}\tpositve\n")
    assert (code, out) == (2, "")
    assert err.startswith(
        "seq2seq: stdin, line 2: the label 'positve' is not in the training text (did you mean positive?)"
    )
    one, other = (call("score", several, stdin=f"sunny day\t{labels}\n")[1] for labels in ("warm dry", "dry warm"))
    assert one == other != ""


def test_files_are_read_as_stdin(call: Call, labelled: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "texts").write_text(INPUT)
    assert call("predict", labelled("classifier"), "--input", tmp_path / "texts") == call(
        "predict", labelled("classifier"), stdin=INPUT
    )
    (tmp_path / "texts").write_text(f"{TEXTS[0]}\n\n{TEXTS[1]}\n")
    code, out, err = call("predict", labelled("classifier"), "--input", tmp_path / "texts")
    assert (code, len(out.splitlines())) == (2, 1)  # what came before the empty line is labelled
    assert err == f"seq2seq: {tmp_path / 'texts'}:2 is empty: there is nothing to label\n"


def test_empty_texts_and_other_runs_are_refused(
    call: Call, labelled: Callable[[str], Path], random_run: Callable[..., Path], tmp_path: Path
) -> None:
    run, other = labelled("classifier"), random_run()
    code, out, err = call("predict", run, stdin=f"{TEXTS[0]}\n \n")
    assert (code, len(out.splitlines())) == (2, 1)
    assert err == "seq2seq: stdin:2 is empty: there is nothing to label\n"
    assert call("translate", run, stdin=INPUT)[::2] == (2, f"seq2seq: {run} gives labels: seq2seq predict {run}\n")
    expected = f"seq2seq: {other} gives text, not labels: seq2seq translate {other}\n"
    assert call("predict", other, stdin=INPUT)[::2] == (2, expected)
    assert call("erase", other)[::2] == (2, expected)
    assert "is not a run directory" in call("predict", tmp_path / "none", stdin=INPUT)[2]


def test_each_label_has_its_probability(call: Call, labelled: Callable[[str], Path]) -> None:
    _, out, _ = call("predict", labelled("classifier"), "--each", stdin=INPUT)
    _, all_answers, _ = call("predict", labelled("classifier"), "--n-best", 3, "--json", stdin=INPUT)
    for each, answers in zip(out.splitlines(), all_answers.splitlines(), strict=True):
        expected = {one["labels"][0]: one["probability"] for one in json.loads(answers)}
        assert json.loads(each) == pytest.approx(expected, abs=1e-5)
    for arguments, message in (
        ((labelled("classifier"), "--each", "--json"), "--json would be ignored: --each prints all labels"),
        ((labelled("tagger"), "--each"), f"--each would be ignored: {labelled('tagger')} labels words, not texts"),
    ):
        assert call("predict", *arguments, stdin=INPUT)[::2] == (2, f"seq2seq: {message}\n")


def test_every_word_gets_one_tag_and_bio_holds(call: Call, labelled: Callable[[str], Path]) -> None:
    texts = ["Ann Smith met Bob .", "x", "  two   words "]
    _, out, _ = call("predict", labelled("tagger"), stdin="".join(f"{text}\n" for text in texts))
    rows = [line.split("\t")[0].split(" ") for line in out.splitlines()]
    assert [len(row) for row in rows] == [5, 1, 2]
    _, out, _ = call("predict", labelled("tagger"), "--json", stdin="".join(f"{text}\n" for text in texts))
    for row, line in zip(rows, out.splitlines(), strict=True):
        (answer,) = json.loads(line)
        assert answer["labels"] == row
        assert len(answer["probabilities"]) == len(row)
        assert math.prod(answer["probabilities"]) == pytest.approx(answer["probability"], rel=1e-4)
    for row in rows:
        for before, tag in zip(["O", *row], row, strict=False):
            assert not tag.startswith("I-") or before[2:] == tag[2:]


def test_several_labels_are_a_set(call: Call, several: Path) -> None:
    _, out, _ = call("predict", several, stdin="sunny day\nrainy night\nnight\n")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["dry warm", "wet", ""]
    code, out, _ = call("predict", several, "--n-best", 8, "--json", stdin="day\n")
    (answers,) = map(json.loads, out.splitlines())
    assert code == 0
    assert len({" ".join(one["labels"]) for one in answers}) == 8
    assert all(one["labels"] == sorted(set(one["labels"])) for one in answers)
    assert math.fsum(one["probability"] for one in answers) == pytest.approx(1, abs=1e-4)
    _, out, _ = call("predict", several, "--each", stdin="day\n")
    for label, probability in json.loads(out).items():  # that of all sets with the label
        of_sets = math.fsum(one["probability"] for one in answers if label in one["labels"])
        assert probability == pytest.approx(of_sets, abs=1e-4)


def test_evaluation_of_several_labels(call: Call, several: Path, tmp_path: Path) -> None:
    """By files as by the test set of the run, in any order of the labels."""
    code, out, _ = call("evaluate", several, "--bootstrap", 0, "--json")
    found = {one["name"]: one["value"] for one in json.loads(out)["scores"]}
    assert code == 0
    assert found == {"micro_f1": 100, "macro_f1": 100, "exact_match": 100, "auc": 100}
    (tmp_path / "texts").write_text("sunny day\nnight\n")
    (tmp_path / "labels").write_text("warm dry\n\n")
    files = ("--source", tmp_path / "texts", "--reference", tmp_path / "labels")
    code, out, _ = call("evaluate", several, *files, "--bootstrap", 0, "--json")
    assert {one["name"]: one["value"] for one in json.loads(out)["scores"]}["exact_match"] == 100


def test_evaluation_of_a_classifier(call: Call, labelled: Callable[[str], Path]) -> None:
    run = labelled("classifier")
    code, out, _ = call("evaluate", run, "--bootstrap", 40, "--json")
    report = json.loads(out)
    found = {one["name"]: one for one in report["scores"]}
    assert code == 0
    assert {"accuracy", "macro_f1", "aer", "calibration_error", "auc", "wrong"} <= found.keys()
    counts = found["wrong"]["confusion"]["counts"]
    right = sum(counts[i][i] for i in range(len(counts)))
    assert found["accuracy"]["value"] == pytest.approx(100 * right / 500)
    assert found["wrong"]["value"] == 500 - right == sum(map(sum, counts)) - right
    _, out, _ = call("evaluate", run, "--bootstrap", 0)
    assert "is \\ given" in out
    code, out, _ = call("erase", run, "--bootstrap", 0)
    assert [line.split(" ")[0] for line in out.splitlines()] == [
        *["comprehensiveness"] * 3,
        *["sufficiency"] * 3,
        "attention_mass",
        "attention_hit",
    ]
    _, out, _ = call("erase", labelled("last"), "--bootstrap", 0)  # no word has attention
    assert "most attended" not in out
    assert [line.split(" ")[0] for line in out.splitlines()] == [*["comprehensiveness"] * 2, *["sufficiency"] * 2]


def test_classifiers_are_compared_with_a_report(call: Call, labelled: Callable[[str], Path], tmp_path: Path) -> None:
    runs = [labelled("classifier"), labelled("transformer")]
    code, out, err = call("compare", *runs, "--bootstrap", 40, "--report", tmp_path / "report.html", "--format", "json")
    assert code == 0, err
    page = (tmp_path / "report.html").read_text()
    assert "macro F1" in page
    columns = {column["key"] for column in json.loads(out)["columns"]}
    assert {"accuracy", "macro_f1", "aer", "calibration_error", "auc"} <= columns


def test_attention_can_be_guided_to_the_words_that_decide(call: Call, labelled: Callable[[str], Path]) -> None:
    """A few updates move it there."""
    found = {}
    for kind in ("classifier", "guided"):
        _, out, _ = call("erase", labelled(kind), "--bootstrap", 0, "--json")
        found[kind] = next(one["value"] for one in json.loads(out)["scores"] if one["name"] == "attention_hit")
    assert found["guided"] > 40 > found["classifier"] + 20


@pytest.mark.parametrize(
    "kind", ["classifier", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("transformer", "tagger"))]
)
def test_labels_of_a_bundle_are_those_of_its_run(
    kind: str, call: Call, labelled: Callable[[str], Path], tmp_path: Path
) -> None:
    check_bundle(call, labelled(kind), tmp_path / "bundle.onnx", INPUT)


@pytest.mark.slow
def test_several_labels_of_a_bundle_are_those_of_its_run(call: Call, several: Path, tmp_path: Path) -> None:
    check_bundle(call, several, tmp_path / "bundle.onnx", "sunny day\nrainy night\n")


def test_files_of_other_labels_are_refused(call: Call, labelled: Callable[[str], Path], tmp_path: Path) -> None:
    """By all commands that read them."""
    (tmp_path / "texts").write_text("one two\n\n")
    (tmp_path / "labels").write_text("O\nO\n")
    files = ("--source", tmp_path / "texts", "--reference", tmp_path / "labels")
    for command in ("evaluate", "compare"):
        code, _, err = call(command, labelled("tagger"), *files)
        assert (code, "labels, line 1: 2 words and 1 tag" in err) == (2, True)
    (tmp_path / "labels").write_text("a b\nc\n")
    code, _, err = call("erase", labelled("classifier"), *files)
    assert (code, "labels, line 1: the label 'a b' has 2 words" in err) == (2, True)
    (tmp_path / "labels").write_text("positive\npositive\n")
    code, _, err = call("evaluate", labelled("classifier"), *files)
    assert (code, "labels, line 2: the text is empty" in err) == (2, True)


def test_stored_probabilities_are_of_these_weights_and_labels(
    call: Call, labelled: Callable[[str], Path], tmp_path: Path
) -> None:
    """They are read in place of labelling anew, unless they are of others or damaged."""
    run = tmp_path / "run"
    shutil.copytree(labelled("classifier"), run)
    spec, test = EvaluationSpec((Run.open(run),)), TestSet("own", TEXTS, [["positive"] * len(TEXTS)])
    first = load_or_find_probabilities(spec, test)
    path = run / "evaluation/own/probabilities.json"
    assert first is not None
    stored = json.loads(path.read_text())

    def found(**changes: object) -> list[list[float]]:
        path.write_text(json.dumps(stored | changes))
        probabilities = load_or_find_probabilities(EvaluationSpec((Run.open(run),)), test)
        assert probabilities is not None
        return probabilities.values.tolist()

    others = [[0.5, 0.25, 0.25]] * len(TEXTS)
    assert found(values=others) == others
    for changes in (
        {"values": others, "labels": stored["labels"][::-1]},
        {"values": others, "depends": stored["depends"] | {"weights": ["0" * 64]}},
        {"values": others, "depends": stored["depends"] | {"text": "0" * 64}},
        {"values": others[1:]},
        {"values": [[2.0, 0.0, 0.0]] * len(TEXTS)},
        {"values": "x"},
    ):
        np.testing.assert_allclose(found(**changes), first.values, atol=1e-5)


def check_bundle(call: Call, run: Path, path: Path, texts: str) -> None:
    """The bundle of a run gives its labels, with the same probabilities."""
    code, _, err = call("export", run, "--format", "onnx", "--output", path)
    assert code == 0, err
    ours, theirs = (call("predict", one, "--n-best", 3, stdin=texts)[1].splitlines() for one in (run, path))
    for one, other in zip(ours, theirs, strict=True):
        assert one.split("\t")[:2] == other.split("\t")[:2]
        assert float(one.split("\t")[2]) == pytest.approx(float(other.split("\t")[2]), abs=1e-3)
    assert f"seq2seq predict {path}" in call("translate", path, stdin=texts)[2]


def test_a_bundle_is_evaluated_as_its_run(call: Call, labelled: Callable[[str], Path], tmp_path: Path) -> None:
    run = labelled("classifier")
    assert call("export", run, "--format", "weights", "--output", tmp_path / "bundle")[0] == 0
    (tmp_path / "texts").write_text(INPUT)
    (tmp_path / "labels").write_text("positive\nneutral\npositive\n")
    files = ("--source", tmp_path / "texts", "--reference", tmp_path / "labels", "--bootstrap", 0, "--json")
    one, other = (json.loads(call("evaluate", model, *files)[1])["scores"] for model in (run, tmp_path / "bundle"))
    assert [score["name"] for score in one] == ["accuracy", "macro_f1", "calibration_error", "auc", "wrong"]
    for ours, theirs in zip(one, other, strict=True):
        assert theirs["value"] == pytest.approx(ours["value"])
