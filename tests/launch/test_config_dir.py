"""Faulty YAML files in a user's own folder of settings are reported in a sentence that names the file."""

from pathlib import Path

import pytest

from seq2seq.errors import ConfigError
from seq2seq.launch.compose import compose_config

FAULTS = {  # content of experiment/own.yaml -> part of the message
    "3": "own.yaml: it holds '3' where settings belong",
    "[]": "own.yaml: it holds '[]' where settings belong",
    "training: 3": "own.yaml: training is a group of settings, not a value",
    "model: rnn": "own.yaml: model is a group of settings, not a value",
    "data: {train: {a: b}}": "own.yaml: data.train is not a list of names",
    "null: 4": "own.yaml: the key 'None' is not the name of a setting",
    "training: {null: 1}": "own.yaml: the key 'None' is not the name of a setting",
    "defaults: 3": "own.yaml: defaults is not a list of names, or of GROUP: NAME, but '3'",
    "defaults: [3]": "own.yaml: defaults is not a list of names, or of GROUP: NAME: it holds '3'",
    "defaults: [{a: {b: c}}]": "own.yaml: defaults is not a list of names, or of GROUP: NAME: it holds",
    "defaults: [nothing]": "experiment/own.yaml: its defaults name experiment/nothing, and there is no such file",
    "defaults: [override /modl: rnn]": "experiment/own.yaml: its defaults override modl, which is not a group in use",
    "a: &a {b: *a}": "own.yaml: line 2 has an alias, *a",
    "- " * 5000: "own.yaml: line 2 is nested too deeply",
    "[" * 5000: "own.yaml: line 2 is nested too deeply",
    "training: {keep: " + "9" * 5000 + "}": "own.yaml: line 2 has a number of more than 300 digits: '99999",
    "training: {keep: -" + "9" * 5000 + "}": "own.yaml: line 2 has a number of more than 300 digits: '-9999",
    "training: {keep: !!int x}": "own.yaml has a value that is not of the type of its tag",
    "training: {keep: !!bool x}": "own.yaml has a value that is not of the type of its tag",
    "training: {keep: \x00}": "own.yaml is not valid YAML: it has a character that YAML does not allow",
    "training: {keep: \udcff}": "own.yaml is damaged: not UTF-8 at byte",
    "hydra: {launcher: {n_jobs: 3}}": "own.yaml: hydra.launcher.n_jobs is not a setting",
    "hydra: {sweeper: 3}": "own.yaml: is a group of settings",
    "training: {keep: .nan}": "training.keep",
    "training: {keep: 2020-01-01}": "training.keep",
    "training: {keep: 190:20:30}": "training.keep",
}


TWINS = (
    "[]",
    "[" * 5000,
    "model: rnn",
    "null: 4",
    "training: {keep: -" + "9" * 5000 + "}",
    "training: {keep: !!bool x}",
    "training: {keep: 2020-01-01}",
    "training: {keep: 190:20:30}",
    "hydra: {sweeper: 3}",
)


@pytest.mark.parametrize(
    "content",
    [pytest.param(key, id=key[:20], marks=pytest.mark.slow if key in TWINS else ()) for key in FAULTS],
)
def test_faulty_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = f"# @package _global_\n{content}\n"
    (tmp_path / "experiment" / "own.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        compose_config(["experiment=own"], tmp_path)
    assert FAULTS[content] in str(caught.value)
    assert len(str(caught.value)) < 400


def test_first_line_without_a_package_is_reported(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text("# @package\nseed: 3\n")
    with pytest.raises(ConfigError, match=r"own\.yaml: its first line must be `# @package _global_`"):
        compose_config(["experiment=own"], tmp_path)
