"""Run directories: damage is reported in one sentence, and weights are saved and loaded."""

import json
import re
import resource
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seq2seq import cli
from seq2seq.data.tables import csv_rows
from seq2seq.data.tokenizer import train_tokenizer
from seq2seq.errors import RunError, TrainingError
from seq2seq.launch.compose import compose_config
from seq2seq.nn.build import build_model
from seq2seq.runs.directory import INFO, WEIGHTS, Run, run_directory, variant_name
from seq2seq.runs.metrics import read_all_rows
from seq2seq.runs.weights import load_model, load_weights, save_weights
from seq2seq.utils.files import write_json


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_a_tensor(path: Path) -> None:
    weights = load_file(path)
    del weights["head.output.bias"]
    save_file(weights, path)


def of_another_size(path: Path) -> None:
    weights = load_file(path)
    save_file(weights | {"head.output.bias": torch.zeros(7)}, path)


def drop_tokenizer(info: Path) -> None:
    values = json.loads(info.read_text())
    del values["tokenizer"]
    info.write_text(json.dumps(values))


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda run: (run / "config.yaml").unlink(), "is not a whole run directory: config.yaml is missing"),
    "no info": (lambda run: (run / "run.json").unlink(), "is not a whole run directory: run.json is missing"),
    "no weights": (lambda run: (run / "weights.safetensors").unlink(), "is missing, though training is finished"),
    "no tokenizer": (lambda run: (run / "joint.spm").unlink(), "has neither joint.spm nor source.spm"),
    "no directory": (lambda run: shutil.rmtree(run), "is not a run directory: it does not exist"),
    "a file": (lambda run: (shutil.rmtree(run), run.write_text("")), "is not a run directory: it is a file"),
    "info cut": (lambda run: truncate(run / "run.json"), "run.json is damaged"),
    "info is a list": (
        lambda run: (run / "run.json").write_text("[]"),
        "run.json is damaged: it does not name a tokenizer",
    ),
    "info without tokenizer": (
        lambda run: drop_tokenizer(run / "run.json"),
        "run.json is damaged: it does not name a tokenizer",
    ),
    "info not UTF-8": (lambda run: (run / "run.json").write_bytes(b"\xff{}"), "run.json is damaged"),
    "config cut": (lambda run: (run / "config.yaml").write_text("schema: 1\ndata: {"), "config.yaml is not valid YAML"),
    "config empty": (lambda run: (run / "config.yaml").write_text(""), "not a saved config"),
    "config not UTF-8": (
        lambda run: (run / "config.yaml").write_bytes(b"\xff"),
        "config.yaml is damaged: not UTF-8 at byte 0",
    ),
    "other schema": (
        lambda run: rewrite(run / "config.yaml", "schema: 1", "schema: 99"),
        "schema 99 was written by seq2seq",
    ),
    "unknown setting": (
        lambda run: rewrite(run / "config.yaml", "dropout:", "droput:"),
        "model.droput is not a setting (did you mean",
    ),
    "code": (lambda run: rewrite(run / "config.yaml", "variant: ''", "variant: ${oc.env:HOME}"), "'${' is not allowed"),
    "python tag": (
        lambda run: rewrite(run / "config.yaml", "variant: ''", "variant: !!python/object/apply:os.getcwd []"),
        "config.yaml: ",
    ),
    "weights cut": (lambda run: truncate(run / "weights.safetensors"), "cannot be read as safetensors"),
    "weights a pickle": (
        lambda run: torch.save({"a": 1}, run / "weights.safetensors"),
        "cannot be read as safetensors",
    ),
    "weights fewer": (
        lambda run: without_a_tensor(run / "weights.safetensors"),
        "tensors differ, such as head.output.bias",
    ),
    "weights of another size": (
        lambda run: of_another_size(run / "weights.safetensors"),
        "tensors differ, such as head.output.bias",
    ),
    "other model": (
        lambda run: rewrite(run / "config.yaml", "hidden: 8", "hidden: 10"),
        "does not fit the model of its config.yaml",
    ),
    "config of aliases": (
        lambda run: rewrite(run / "config.yaml", "variant: ''", "a: &a [x, x]\nb: [*a, *a]\nvariant: ''"),
        "aliases",
    ),
    "config too long": (
        lambda run: (run / "config.yaml").write_text("schema: 1\n#" + "x" * 2**20),
        "config.yaml is too large: 1,048,587 bytes",
    ),
    "config of too many values": (
        lambda run: (run / "config.yaml").write_text("schema: 1\ndata: {train: [" + "x," * 10_000 + "]}"),
        "more than 10,000 values",
    ),
    "config too deep": (
        lambda run: (run / "config.yaml").write_text("schema: " + "[" * 30 + "]" * 30),
        "nested too deeply",
    ),
    "config beyond the parser": (lambda run: (run / "config.yaml").write_text("schema: " + "[" * 10**5), "config.yaml"),
    "config no YAML": (
        lambda run: (run / "config.yaml").write_text("schema: 1\na: b: c\n"),
        "is not valid YAML: line 2, column 5",
    ),
    "info too deep": (lambda run: (run / "run.json").write_text("[" * 10**5), "run.json is damaged"),
    "model beyond all memory": (
        lambda run: rewrite(run / "config.yaml", "hidden: 8", "hidden: 65536"),
        "does not fit the model of its",
    ),
    "layers beyond all time": (
        lambda run: rewrite(run / "config.yaml", "encoder_layers: 1", "encoder_layers: 256"),
        "257 layers",
    ),
    "unknown cell": (
        lambda run: rewrite(run / "config.yaml", "cell: lstm", "cell: lst"),
        "model.cell='lst' is unknown",
    ),
    "tokenizer cut": (lambda run: truncate(run / "joint.spm"), "joint.spm"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_damaged_run_is_reported_in_one_sentence(case: str, run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, message = SPOILED[case]
    spoil(run_copy)
    assert cli.main(["plot", str(run_copy), "--sentence", "the cat sleeps"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == 1, err
    assert message in err
    assert run_copy.name in err


def test_another_tokenizer_is_refused(run_copy: Path, lines: list[str]) -> None:
    train_tokenizer(lines, kind="bpe", size=60).save(run_copy / "joint.spm")
    with pytest.raises(RunError, match="the tokenizer there is not the one"):
        load_model(Run.open(run_copy))


def test_misspelt_run_names_the_nearest(tiny_run: Path) -> None:
    wrong = tiny_run.with_name(tiny_run.name.replace("general", "genral"))
    with pytest.raises(RunError, match=rf"did you mean {tiny_run}\?"):
        Run.open(wrong)


def test_run_directory_is_named_after_corpus_variant_seed_and_hash() -> None:
    config = compose_config(
        ["model/attention=local_p", "model.attention.normalizer=sparsemax", "model.attention.coverage=true", "seed=7"]
    )
    assert variant_name(config) == "rnn-general-local_p-sparsemax-coverage"
    assert run_directory(config, "text").name.startswith("toy-rnn-general-local_p-sparsemax-coverage-en-de-s7-")
    elsewhere = replace(config, trainer=replace(config.trainer, threads=9), data=replace(config.data, cache="x"))
    clipped = replace(config, training=replace(config.training, clip=2.0))
    first, second, third = (run_directory(each, "text").name for each in (config, elsewhere, clipped))
    assert first == second != third


def test_weights_have_the_file_mode_of_other_files(tiny_run: Path) -> None:
    modes = {
        path.name: path.stat().st_mode & 0o777 for path in (tiny_run / "weights.safetensors", tiny_run / "config.yaml")
    }
    assert len(set(modes.values())) == 1, modes


def test_full_disk_while_saving_weights_is_a_training_error(tiny_run: Path, tmp_path: Path) -> None:
    """As safetensors reports it: here a limit on the size of files stands for the full disk."""
    path, model = tmp_path / "w.safetensors", load_model(Run.open(tiny_run))
    path.write_text("what was there before")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, usual[1]))
    try:
        with pytest.raises(TrainingError, match=r"w\.safetensors cannot be written"):
            save_weights(dict(model.named_parameters()), tmp_path, path.name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert path.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [path]


def test_saved_weights_are_loaded(tiny_run: Path, tmp_path: Path) -> None:
    one, other = load_model(Run.open(tiny_run)), load_model(Run.open(tiny_run))
    for parameter in one.parameters():
        torch.nn.init.normal_(parameter)
    write_json(tmp_path / INFO, {"tokenizer": ""})
    save_weights(dict(one.named_parameters()), tmp_path, "w.safetensors")
    load_weights(other, tmp_path, "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not other.training


def test_tied_weights_stay_tied_after_loading(run_copy: Path) -> None:
    rewrite(run_copy / "config.yaml", "tie: none", "tie: all")
    run = Run.open(run_copy)
    both = run.vocabularies
    save_weights(dict(build_model(run.config.model, both.source.size, both.target.size).named_parameters()), run_copy)
    model = load_model(run)
    assert model.head.output.weight.data_ptr() == model.decoder.embedding.weight.data_ptr()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(run_copy: Path, wrong: float) -> None:
    weights = load_file(run_copy / WEIGHTS)
    name = sorted(weights)[0]
    weights[name].view(-1)[0] = wrong
    save_weights(weights, run_copy)
    with pytest.raises(
        RunError, match=rf"weights\.safetensors holds weights that are not finite numbers, such as in {re.escape(name)}"
    ):
        load_model(Run.open(run_copy))


def test_long_cell_of_metrics_is_refused_after_a_corpus_of_long_cells(tmp_path: Path) -> None:
    """The limit of Python's csv is one for the whole process."""
    (tmp_path / "text.csv").write_text(f"{'a' * 200_000},b\n")
    assert len(next(csv_rows(tmp_path / "text.csv"))[1][0]) == 200_000
    (tmp_path / "metrics.csv").write_text(f"update,batches\n1,{'1' * 200_000}\n")
    with pytest.raises(RunError, match="it is not CSV"):
        read_all_rows(tmp_path / "metrics.csv")
