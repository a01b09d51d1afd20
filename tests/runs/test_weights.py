"""Weights of a run are those that were written: their hash, dtype, shape and finiteness are checked before use."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from seq2seq import Translator
from seq2seq.errors import RunError
from seq2seq.launch.compose import compose_config
from seq2seq.nn.build import build_meta_model
from seq2seq.runs.directory import HASHES, INFO, WEIGHTS, Run, checked_hash, file_hash, read_info
from seq2seq.runs.weights import load_model, load_weights, save_weights
from seq2seq.training.averaging import mean_weights
from seq2seq.training.resume import check_resumable
from seq2seq.training.run import train
from seq2seq.utils.files import write_json

BIAS = "head.output.bias"


def without_hashes(run: Path) -> None:
    """As in a run of an earlier version."""
    info = json.loads((run / INFO).read_text())
    write_json(run / INFO, {name: value for name, value in info.items() if name != HASHES})


def swap_tensors(path: Path) -> None:
    """Exchange the names of two tensors of one shape in the header."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    shapes: dict[str, str] = {}
    for name, entry in header.items():
        if name != "__metadata__" and (other := shapes.setdefault(str(entry["shape"]), name)) != name:
            header[name], header[other] = header[other], header[name]
            break
    text = json.dumps(header, separators=(",", ":")).encode().ljust(size)
    path.write_bytes(size.to_bytes(8, "little") + text + content[8 + size :])


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def zeros(path: Path) -> None:
    save_file({name: torch.zeros_like(value) for name, value in load_file(path).items()}, path)


@pytest.mark.parametrize("damage", [swap_tensors, flip_bit, zeros])
def test_weights_that_training_did_not_write_are_refused(damage: Callable[[Path], None], run_copy: Path) -> None:
    """By all that read them: to translate, to evaluate, to average, to resume and to start another run."""
    for name in (WEIGHTS, "checkpoints/update-6.safetensors"):
        damage(run_copy / name)
    run = Run.open(run_copy)
    model = build_meta_model(run.config.model, run.vocabularies.source.size, run.vocabularies.target.size)
    uses: list[Callable[[], Any]] = [
        lambda: Translator.open(run_copy),
        lambda: Translator.open(run_copy, weights="checkpoints/update-6.safetensors"),
        lambda: checked_hash(run_copy, WEIGHTS),
        lambda: mean_weights(model.to_empty(device="cpu"), run_copy, ["checkpoints/update-6.safetensors"]),
        lambda: check_resumable(run, run.config.training),
    ]
    for use in uses:
        with pytest.raises(RunError, match=r"\.safetensors is not what the training wrote: its SHA-256"):
            use()
    without_hashes(run_copy)
    Translator.open(run_copy)


def test_damaged_weights_start_no_other_run(
    run_copy: Path, small_settings: Callable[..., list[str]], tmp_path: Path
) -> None:
    flip_bit(run_copy / WEIGHTS)
    with pytest.raises(RunError, match="is not what the training wrote"):
        train(compose_config(small_settings(tmp_path / "others", f"init_from={run_copy}")))
    assert not list((tmp_path / "others").glob("*"))


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.uint8])
def test_weights_of_another_type_are_refused(dtype: torch.dtype, run_copy: Path) -> None:
    weights = load_file(run_copy / WEIGHTS)
    save_weights(weights | {BIAS: weights[BIAS].to(dtype)}, run_copy)
    with pytest.raises(RunError, match=rf"{WEIGHTS} holds \w+ numbers in {re.escape(BIAS)}, where one of F32, F64"):
        Translator.open(run_copy)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_floating_point_weights_of_any_precision_are_loaded(dtype: torch.dtype, run_copy: Path) -> None:
    weights = load_file(run_copy / WEIGHTS)
    save_weights({name: value.to(dtype) for name, value in weights.items()}, run_copy)
    for name, parameter in load_model(Run.open(run_copy)).named_parameters():
        assert torch.equal(parameter, weights[name].to(dtype).float())


def test_weights_beyond_the_range_of_the_models_dtype_are_refused(run_copy: Path) -> None:
    weights = load_file(run_copy / WEIGHTS)
    save_weights(weights | {BIAS: torch.full_like(weights[BIAS], 1e300, dtype=torch.float64)}, run_copy)
    with pytest.raises(RunError, match=rf"weights that are not finite numbers, such as in {re.escape(BIAS)}"):
        Translator.open(run_copy)


def test_model_that_overflows_gives_no_score(run_copy: Path) -> None:
    save_weights({name: torch.full_like(w, 1e38) for name, w in load_file(run_copy / WEIGHTS).items()}, run_copy)
    translator = Translator.open(run_copy)
    for use in (lambda: translator.translate(["the cat sleeps"]), lambda: translator.score(["the cat"], ["die"])):
        with pytest.raises(RunError, match="the model gives no probabilities"):
            use()


@pytest.mark.parametrize("renames", range(4))
def test_process_that_is_killed_while_saving_leaves_readable_weights(
    renames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each number of renames: run.json with both hashes, the weights, run.json with the new hash."""
    write_json(tmp_path / INFO, {"tokenizer": ""})
    model = nn.Linear(2, 3)
    save_weights(dict(model.named_parameters()), tmp_path)
    old, left = file_hash(tmp_path, WEIGHTS), [renames]
    replace = os.replace

    def killed(*paths: Any) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        replace(*paths)

    nn.init.zeros_(model.weight)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        try:
            save_weights(dict(model.named_parameters()), tmp_path)
        except KeyboardInterrupt:
            assert renames < 3
    load_weights(nn.Linear(2, 3), tmp_path)
    assert (file_hash(tmp_path, WEIGHTS) == old) == (renames < 2)
    save_weights(dict(model.named_parameters()), tmp_path)
    assert read_info(tmp_path)[HASHES] == {WEIGHTS: [file_hash(tmp_path, WEIGHTS)]}


@pytest.mark.parametrize("hashed_before", [True, False])
def test_weights_of_a_run_in_training_may_be_replaced_while_they_are_checked(
    hashed_before: bool, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just after run.json was read, before or after the weights are hashed."""
    weights = load_file(run_copy / WEIGHTS)

    def hash_replaced(folder: Path, name: str, most: int) -> str:
        old = file_hash(folder, name, most)
        save_weights({key: value + 1 for key, value in weights.items()}, folder)
        return old if hashed_before else file_hash(folder, name, most)

    monkeypatch.setattr("seq2seq.runs.directory.file_hash", hash_replaced)
    assert len(checked_hash(run_copy, WEIGHTS)) == 64


def test_hashes_are_those_of_the_files_that_are_kept(tiny_run: Path) -> None:
    hashes = read_info(tiny_run)[HASHES]
    files = [WEIGHTS, *(str(path.relative_to(tiny_run)) for path in tiny_run.glob("checkpoints/*.safetensors"))]
    assert {name: hashes[name] for name in files} == {name: [file_hash(tiny_run, name)] for name in files}


@pytest.mark.parametrize("wrong", [[], 3, {"weights.safetensors": "abc"}])
def test_hashes_of_another_type_are_refused(wrong: Any, run_copy: Path) -> None:
    write_json(run_copy / INFO, read_info(run_copy) | {HASHES: wrong})
    with pytest.raises(RunError, match=r"run\.json is damaged: sha256 does not list hashes by file"):
        Run.open(run_copy)
