"""`export`, `verify` and `check`, and the commands that use a bundle in place of a run."""

import importlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from seq2seq import Translator
from seq2seq.commands import export as command
from seq2seq.errors import ConfigError
from seq2seq.export import onnx as onnx_export
from seq2seq.export.artifacts import LibraryArtifact
from seq2seq.export.runners import RUNNERS
from seq2seq.runs.directory import Run
from seq2seq.runtime.__main__ import main as runtime_main
from seq2seq.runtime.bundle import Bundle, write_bundle
from seq2seq.runtime.program import exit_code
from seq2seq.runtime.translator import Translator as GraphTranslator

RandomRun = Callable[..., Path]
FamilyRun = Callable[[str], Path]
Call = Callable[..., tuple[int, str, str]]

FAMILIES = ("rnn", pytest.param("transformer", marks=pytest.mark.slow))  # its steps: tests/export/test_onnx.py


@pytest.fixture(params=FAMILIES)
def exported(request: pytest.FixtureRequest, export_family: Callable[[str], Any]) -> Any:
    """A model of each family and its bundles, which tests must not change."""
    return export_family(request.param)


@pytest.fixture
def traced(exported: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], None]], None]:
    """`traced(change)`: exports get the graphs that were traced once, whose step `change` has changed in place."""

    def plant(change: Callable[[Any], None]) -> None:
        def graphs(model: Any, shortlist: bool = False) -> list[onnx.ModelProto]:
            bundle = Bundle.open(exported.float32)
            encoder, step = (onnx.load_from_string(bundle.read(f"{name}.onnx")) for name in ("encoder", "step"))
            change(step)
            return [encoder, step]

        monkeypatch.setattr(onnx_export, "onnx_graphs", graphs)

    return plant


def text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def rewritten(bundle: Path, path: Path, **files: bytes) -> Path:
    """A bundle with other content in some of its files, whose hashes are right."""
    opened = Bundle.open(bundle)
    settings = {name: value for name, value in opened.config.values.items() if name != "files"}
    content = {name: opened.read(name) for name in opened.config.files}
    write_bundle(path, settings, content | {name.replace("_", "."): part for name, part in files.items()})
    return path


def test_export_prints_a_table_and_where_the_bundles_are(exported: Any) -> None:
    lines = exported.out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["size", "checkpoint", "float32", "int8"]
    assert lines[4].startswith("fastest on this machine: ")
    for line, path in zip(lines[5:], (exported.float32, exported.int8), strict=True):
        assert line.startswith(f"exported: {path} (0.")
    assert lines[5].endswith(" MB), 14 of 14 sentences the same")
    assert exported.int8.stat().st_size < exported.float32.stat().st_size


def test_the_bundle_holds_card_and_sentences(exported: Any, lines: list[str]) -> None:
    bundle = Bundle.open(exported.float32)
    bundle.verify()
    card = bundle.read("card.md").decode()
    assert "English to German" in card
    assert json.loads((exported.run / "run.json").read_text())["data"] in card
    record = json.loads(bundle.read("parity.json"))
    assert (record["same"], record["of"], record["allow_loss"]) == (14, 14, None)
    sources = [one["source"] for one in record["sentences"]]
    assert sources[0] == ""
    assert str(exported.run.parent) not in bundle.read("step.onnx").decode("latin-1")
    assert max(len(source.split()) for source in sources) > 100


def numbers_in(line: str) -> list[str | float]:
    """The fields of a line, those that are scores as numbers."""
    return [float(field) if re.fullmatch(r"-?\d+\.\d+", field) else field for field in line.split("\t")]


def test_commands_take_a_bundle_in_place_of_a_run(
    exported: Any, call: Call, lines: list[str], tmp_path: Path, corpus: Path
) -> None:
    for words in (["translate"], ["translate", "--n-best", 2, "--alignment"], ["translate", "--beam", 3, "--json"]):
        results = [call(words[0], path, *words[1:], stdin=text(lines)) for path in exported[:2]]
        assert results[0][0] == results[1][0] == 0
        if "--json" not in words:
            for ours, theirs in zip(*(out.splitlines() for _, out, _ in results), strict=True):
                assert numbers_in(ours) == pytest.approx(numbers_in(theirs), abs=2e-4)
        else:
            ours, theirs = ([json.loads(line) for line in out.splitlines()] for _, out, _ in results)
            assert [[one["text"] for one in found] for found in ours] == [[o["text"] for o in f] for f in theirs]
    pairs = text([f"{line}\tdie katze" for line in lines])
    scores = [[float(x) for x in call("score", path, stdin=pairs)[1].split()] for path in exported[:2]]
    assert scores[0] == pytest.approx(scores[1], abs=2e-4)
    files = ["--source", corpus / "test.en", "--reference", corpus / "test.de", "--bootstrap", 0]
    run, bundle = (call("evaluate", path, *files)[1].splitlines() for path in exported[:2])
    assert bundle == run[:-1]  # without where they are saved
    run, bundle = (call("plot", path, "--sentence", "the cat", "--png", tmp_path / "a.png") for path in exported[:2])
    assert run == bundle
    assert call("plot", exported.float32, "--sentence", "the cat")[0] == 0


def test_graphs_are_translated_with_by_the_runtime(exported: Any, lines: list[str]) -> None:
    translator = Translator.open(exported.float32, beam=3)
    assert isinstance(translator, GraphTranslator)
    assert translator.translate(lines) == Translator.open(exported.run, beam=3).translate(lines)


IS_BUNDLE = "BUNDLE is not a run directory: it is a bundle; name the run that it was exported from"
FOLDER_IS_BUNDLE = IS_BUNDLE.replace("BUNDLE", "FOLDER")

WRONG: dict[str, tuple[list[Any], str]] = {
    "device": (["translate", "BUNDLE", "--device", "cuda"], "device=cuda is not possible: BUNDLE is a bundle"),
    "precision": (["score", "BUNDLE", "--precision", "int8"], "precision=int8 is not possible: BUNDLE is a bundle"),
    "CUDA graphs": (["translate", "BUNDLE", "--graphs"], "graphs=True is not possible: BUNDLE is a bundle"),
    "shortlist": (["translate", "BUNDLE", "--shortlist", 3], "shortlist=3 needs a table of translations"),
    "ensemble with a run": (["translate", "BUNDLE", "RUN"], "BUNDLE cannot join RUN in an ensemble: only one of them"),
    "named test set": (["evaluate", "BUNDLE", "--test", "test"], "BUNDLE is a bundle, which names no test sets"),
    "test set of a run and a bundle": (["evaluate", "RUN", "BUNDLE"], "BUNDLE is a bundle, which names no test sets"),
    "loss in float32": (["export", "RUN", "--allow-loss", 1], "--allow-loss=1 would be ignored: in float32 a bundle"),
    "bundle of a bundle": (["export", "BUNDLE"], IS_BUNDLE),
    "a bundle compared": (["compare", "BUNDLE"], IS_BUNDLE),
    "a folder of one compared": (["compare", "FOLDER"], FOLDER_IS_BUNDLE),
    "shortlist of a bundle": (["shortlist", "BUNDLE"], IS_BUNDLE),
    "shortlist of a folder": (["shortlist", "FOLDER"], FOLDER_IS_BUNDLE),
    "a bundle resumed": (["train", "resume=BUNDLE"], IS_BUNDLE),
    "a folder resumed": (["train", "resume=FOLDER"], FOLDER_IS_BUNDLE),
    "training starts from a bundle": (["train", "init_from=BUNDLE"], IS_BUNDLE),
    "training starts from a folder": (["train", "init_from=FOLDER"], FOLDER_IS_BUNDLE),
    "a run in place of settings": (["check", "RUN"], "RUN is a folder, not a setting: check takes settings"),
    "trained in place of settings": (["train", "RUN"], "RUN is a folder, not a setting: train takes settings"),
    "nothing imported": (["import"], ", --output are missing; "),
    "no path": (["verify", ""], "ARTIFACT is empty: it has to name a file or folder"),
    "no path of a bundle": (["export", "RUN", "--output", ""], "--output is empty: it has to name a file or folder"),
    "no name": (["export", "RUN", "--output", ".", "--overwrite"], ". cannot be written: it has to end in a name"),
    "a precision of other formats": (
        ["export", "RUN", "--dtype", "bfloat16"],
        "dtype=bfloat16 does not exist in format=onnx; choose one of: float32, int8, float16",
    ),
    "there is one": (["export", "RUN"], "BUNDLE exists: --overwrite replaces it"),
    "in the place of another file": (
        ["export", "RUN", "--output", "RUN/run.json", "--overwrite"],
        "RUN/run.json is not a bundle, and is not overwritten",
    ),
    "into no folder": (["export", "RUN", "--output", "nowhere/a.s2s"], "nowhere/a.s2s cannot be written"),
    "unknown precision": (["export", "RUN", "--dtype", "int9"], "'int9' is unknown (did you mean 'int8'?)"),
    "unknown format": (["export", "RUN", "--format", "onx"], "'onx' is unknown (did you mean 'onnx'?)"),
    "one name for two": (
        ["export", "RUN", "--dtype", "float32", "int8", "--output", "a.s2s"],
        "--output=a.s2s names one artifact, and --dtype several",
    ),
    "weights of two": (["export", "RUN", "RUN", "--format", "weights"], "--format=weights holds one model"),
    "too few sentences": (["export", "RUN", "--sentences", 2], "--sentences=2 is too small: at least 10"),
    "source alone": (["export", "RUN", "--source", "a"], "--source and --reference must be given together"),
    "a run verified": (["verify", "RUN"], "RUN is a run directory, not a bundle: name the one in it, BUNDLE"),
    "nothing verified": (["verify", "nowhere"], "nowhere is not an artifact"),
}


@pytest.mark.parametrize("exported", ["rnn"], indirect=True)
@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_in_one_line(case: str, exported: Any, call: Call, tmp_path: Path) -> None:
    words, message = WRONG[case]
    folder = tmp_path / "bundle"
    with zipfile.ZipFile(exported.float32) as archive:
        archive.extractall(folder)

    def named(word: object) -> str:
        names = {"BUNDLE": exported.float32, "FOLDER": folder, "RUN": exported.run}
        return re.sub("|".join(names), lambda found: str(names[found[0]]), str(word))

    code, out, err = call(*map(named, words), stdin="the cat\n")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert named(message) in err


def test_verify_repeats_the_gate(exported: Any, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    for path in exported[1:3]:
        code, out, err = call("verify", path)
        assert code == 0, err
        assert out.splitlines()[-1].startswith(f"verified: {path}")
        assert exit_code(lambda path=path: runtime_main(["verify", str(path)])) == 0
        assert "as at the export: 14 of 14 outputs the same" in capsys.readouterr().out


@pytest.mark.parametrize("exported", ["rnn"], indirect=True)
def test_damaged_records_are_refused(exported: Any, call: Call, tmp_path: Path) -> None:
    record = Bundle.open(exported.float32).read("parity.json")
    values = json.loads(record)
    others = [{**one, "checkpoint": {**one["checkpoint"], "ids": [7]}} for one in values["sentences"]]
    for number, (content, message) in enumerate(
        (
            (b"{", "is damaged"),
            (b"[]", "is not the record of a parity gate that this version reads"),
            (record.replace(b'"schema": 1', b'"schema": 9'), "this version reads"),
            (json.dumps({**values, "sentences": []}).encode(), "it has no sentences"),
            (json.dumps({**values, "sentences": [{"source": 3}]}).encode(), "is damaged"),
            (json.dumps({**values, "metric": {"name": 3}}).encode(), "is damaged"),
            *(
                (json.dumps({**values, "allow_loss": one}).encode(), "is damaged")
                for one in ("much", "", False, [], {})
            ),
            (record.replace(b'"score": -', b'"score": "-', 1).replace(b', "ids"', b'", "ids"', 2), "is damaged"),
            (json.dumps({**values, "sentences": others}).encode(), "outputs are the same"),
        )
    ):
        path = rewritten(exported.float32, tmp_path / f"{number}.s2s", parity_json=content)
        code, _, err = call("verify", path)
        assert code == 2, content[:50]
        assert message in err
        assert err.count("\n") == 1
    folder = rewritten(exported.float32, tmp_path / "folder")
    (folder / "parity.json").write_bytes(record.replace(b"1", b"2"))
    assert "was changed" in call("verify", folder)[2]


@pytest.mark.parametrize("exported", ["rnn"], indirect=True)
def test_damaged_folders_of_other_libraries_are_refused(
    exported: Any, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the library raises, and without one."""

    def damaged(*inputs: Any) -> Any:
        raise ValueError("header too large\nin line 3")

    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(exported.run / "config.yaml", folder / "seq2seq.yaml")
    record = json.loads(Bundle.open(exported.float32).read("parity.json"))
    monkeypatch.setitem(RUNNERS, "ctranslate2", damaged)
    for form, message in (
        ("ctranslate2", "folder cannot be translated with: its files are damaged, or not those of ctranslate2"),
        ("argos", "folder holds 0 .argosmodel files, where one is expected"),
        ("pickle", "format='pickle' is unknown"),
    ):
        (folder / "parity.json").write_text(json.dumps(record | {"format": form}))
        code, out, err = call("verify", folder)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err


def disturb(step: onnx.ModelProto, amount: float) -> None:
    """Change the bias of every token: only some are likely in a random model."""
    bias = next(one for one in step.graph.initializer if one.name.endswith("output.bias"))
    values = numpy_helper.to_array(bias).copy()
    values += (amount * np.sin(np.arange(len(values)))).astype(values.dtype)
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))


@pytest.mark.parametrize(
    ("exported", "dtype", "amount"),
    [("rnn", "float32", 0.02), ("rnn", "int8", 5.0), ("transformer", "float32", 0.02)],
    indirect=["exported"],
)
@pytest.mark.fast("rnn-float32-0.02", "rnn-int8-5.0")
def test_a_wrong_weight_fails_the_gate_and_nothing_is_written(
    dtype: str, amount: float, exported: Any, traced: Callable[..., None], call: Call, tmp_path: Path, corpus: Path
) -> None:
    """The references are what the checkpoint gives, as a random model has no BLEU to lose."""
    traced(lambda step: disturb(step, amount))
    sources = (corpus / "test.en").read_text().splitlines()
    (tmp_path / "references").write_text(text(Translator.open(exported.run).translate(sources)))
    path = tmp_path / "out" / "wrong.s2s"
    path.parent.mkdir()
    files = ["--source", corpus / "test.en", "--reference", tmp_path / "references"]
    loss = [] if dtype == "float32" else ["--allow-loss", 5]
    code, out, err = call("export", exported.run, "--output", path, "--dtype", dtype, *files, *loss)
    assert code == 2
    assert f"{dtype} does not translate as its checkpoint, and nothing was written: " in err
    assert out.splitlines()[2].startswith(dtype)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("exported", ["rnn"], indirect=True)
def test_a_bundle_is_replaced_if_that_is_asked_for(
    exported: Any, traced: Callable[..., None], call: Call, tmp_path: Path, corpus: Path
) -> None:
    """And with sentences of other files."""
    traced(lambda step: None)
    path = tmp_path / "a.s2s"
    path.write_bytes(b"PK")
    words = ["--source", corpus / "test.en", "--reference", corpus / "test.de", "--sentences", 12]
    assert call("export", exported.run, "--output", path, *words)[0] == 2
    code, out, err = call("export", exported.run, "--output", path, *words, "--overwrite")
    assert code == 0, err
    assert out.splitlines()[-1].startswith(f"exported: {path} (")
    record = json.loads(Bundle.open(path).read("parity.json"))
    assert {one["source"] for one in record["sentences"]} & set((corpus / "test.en").read_text().splitlines())


@pytest.mark.parametrize("form", ["ctranslate2", "huggingface", "argos"])
def test_only_exports_of_other_libraries_are_replaced_by_such(form: str, tmp_path: Path) -> None:
    """An imported run and a bundle have a parity.json, too."""
    options = Namespace(format=form, overwrite=True)
    (tmp_path / "parity.json").write_text("{}")
    with pytest.raises(ConfigError, match=f"is not what --format={form} writes, and is not replaced"):
        command._check_replaced(tmp_path, options)
    (tmp_path / "seq2seq.yaml").write_text("")
    command._check_replaced(tmp_path, options)


def test_a_folder_of_another_library_is_replaced_or_stays(
    random_run: RandomRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ctranslate2"
    for content in ("first", "second", "third"):
        new = tmp_path / "scratch" / content
        new.mkdir(parents=True)
        (new / "model.bin").write_text(content)
        if content == "third":
            rename = Path.rename

            def fail(self: Path, target: Path, new: Path = new, rename: Any = rename) -> Path:
                if self == new:
                    raise OSError(28, "No space left on device", str(target))
                return rename(self, target)

            monkeypatch.setattr(Path, "rename", fail)
        artifact = LibraryArtifact("ctranslate2", new, Run.open(random_run()).config)
        with pytest.raises(OSError, match="No space") if content == "third" else nullcontext():
            artifact.write(path, {"card.md": b""}, overwrite=content != "first")
    assert (path / "model.bin").read_text() == "second"


@pytest.mark.parametrize("exported", ["rnn"], indirect=True)
def test_ensembles_are_exported_as_one(
    exported: Any, traced: Callable[..., None], call: Call, tmp_path: Path, lines: list[str]
) -> None:
    traced(lambda step: None)
    code, _, err = call("export", exported.run, exported.run, "--output", tmp_path / "two", "--sentences", 12)
    assert code == 0, err
    assert sorted(path.name for path in (tmp_path / "two").glob("*.onnx")) == [
        "encoder1.onnx", "encoder2.onnx", "step1.onnx", "step2.onnx",
    ]  # fmt: skip
    assert Translator.open(tmp_path / "two").translate(lines) == Translator.open(exported.run).translate(lines)


def test_bundles_of_weights(exported: Any, call: Call, tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "weights.s2s"
    code, _, err = call("export", exported.run, "--format", "weights", "--output", path, "--sentences", 12)
    assert code == 0, err
    assert call("verify", path)[0] == 0
    expected = Translator.open(exported.run).translate(lines)
    assert Translator.open(path).translate(lines) == expected
    assert call("translate", path, exported.run, stdin=text(lines))[1] == text(expected)
    config = Bundle.open(path).read("config.yaml").decode()
    assert str(exported.run.parent) not in config
    for name, content, message in (
        ("config_yaml", config.replace("hidden: 8", "hidden: 12").replace("size: 16", "size: 18"), "does not fit"),
        ("config_yaml", "a: [", "is not valid YAML"),
        ("model_safetensors", "no tensors", "cannot be read as safetensors"),
    ):
        other = tmp_path / f"{len(list(tmp_path.iterdir()))}.s2s"
        code, _, err = call("translate", rewritten(path, other, **{name: content.encode()}), stdin="a\n")
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


@pytest.mark.parametrize(("words", "no"), [([], ["ctranslate2", "huggingface", "argos"]), (["model=transformer"], [])])
@pytest.mark.fast("words0-no0")
def test_check_says_which_formats_the_settings_rule_out(words: list[str], no: list[str], call: Call) -> None:
    code, out, _ = call("check", "data=toy", *words)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.split()[1] == "no:"] == no
    assert call("check", "data=toy", "model.hiden=3")[0] == 2
    assert call("check", *words)[2] == ""  # the text does not matter


@pytest.mark.parametrize("exported", ["rnn"], indirect=True)
def test_a_bundle_is_translated_with_without_torch(exported: Any) -> None:
    code = f"""
import sys
from seq2seq import cli
assert cli.main(["translate", {str(exported.float32)!r}]) == 0
sys.exit(", ".join(sorted({{"torch", "lightning", "hydra"}} & set(sys.modules))) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], input="the cat\n", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == text(Translator.open(exported.run).translate(["the cat"]))


@pytest.mark.parametrize("exported", ["rnn"], indirect=True)
def test_the_table_of_exports_has_a_row_for_each_variant(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """None for a variant that its family cannot have; runs and exports that are there are taken as they are."""
    shutil.copytree(exported.run, tmp_path / "rnn-dot/run")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    table = importlib.import_module("export_table")
    table.main(["--runs", str(tmp_path), "--variants", "rnn-dot", "transformer-coverage"])
    head, _, row = capsys.readouterr().out.splitlines()
    assert row.count("|") == head.count("|")
    assert row.split(" | ")[:2] == ["| rnn-dot", "14 of 14"]
    assert not list(tmp_path.glob("transformer-*"))
