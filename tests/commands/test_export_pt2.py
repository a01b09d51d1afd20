"""`export --format pt2`: programs of torch.export, which PyTorch alone loads, and which no command opens."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq import Translator
from seq2seq.errors import RunError
from seq2seq.ids import BOS, EOS
from seq2seq.nn.build import EncoderDecoder
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import load_model
from seq2seq.runtime import Translator as GraphTranslator
from seq2seq.runtime.bundle import Bundle
from tests.runtime.bundles import bundle_of

RandomRun = Callable[..., Path]
FamilyRun = Callable[[str], Path]
Call = Callable[..., tuple[int, str, str]]
Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]
FAMILIES = ("rnn", "transformer")


@torch.no_grad()
def greedy(model: EncoderDecoder, source: list[int]) -> list[int]:
    """The likeliest next token of a model, again and again, at most 50."""
    memory = model.encode(torch.tensor([source]))
    state, found = model.start(memory), [BOS]
    while found[-1] != EOS and len(found) <= 50:
        output, state = model.step(torch.tensor(found[-1:]), state, memory)
        found.append(int(model.head.log_probs(output, memory).argmax()))
    return [token for token in found[1:] if token != EOS]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_programs_are_exported_and_the_documented_loop_runs_them(
    family: str, family_run: FamilyRun, call: Call, lines: list[str], tmp_path: Path, capsys: Capture
) -> None:
    run = Path(shutil.copytree(family_run(family), tmp_path / "run"))
    folder = run / "export-pt2"
    code, out, err = call("export", run, "--format", "pt2", "--sentences", 12)
    assert code == 0, err
    assert out.splitlines()[-1].startswith(f"exported: {folder} (0.")
    assert out.endswith(" MB), 12 of 12 sentences the same\n")
    Bundle.open(folder, trusted=True).verify()
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {*files} == {"card.md", "config.json", "encoder.pt2", "parity.json", "step.pt2", "tokenizer.spm"}
    for text in (str(ROOT), str(tmp_path)):
        assert not [name for name, content in files.items() if text.encode() in content]
    # nothing of this package is needed to load them
    assert not [name for name, content in files.items() if name.endswith(".pt2") and b"seq2seq" in content]

    page = (ROOT / "docs/how-to/export.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"## torch\.export\n.*?```python\n(.*?)```.*?```python\n(.*?)```", page, re.DOTALL)
    documented: dict[str, Any] = {}
    exec("\n".join(code).replace("FOLDER", str(folder)).replace("A dog runs .", lines[0]), documented)
    model, vocabularies = load_model(Run.open(run)), Run.open(run).vocabularies
    found = {line: greedy(model, vocabularies.encode_source(line).ids) for line in (lines[0], lines[-1], "")}
    assert capsys.readouterr().out == f"{vocabularies.decode_target(found[lines[0]])}\n"
    for line, ids in found.items():
        assert documented["greedy"](documented["programs"], vocabularies.encode_source(line).ids) == ids


@pytest.mark.parametrize("path", ["export-pt2", "export.s2s"])
def test_no_command_opens_programs(
    path: str, random_run: RandomRun, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even their tokenizers are read: loading a program can run any code that its file holds."""
    monkeypatch.setattr(torch.export, "load", lambda *inputs: pytest.fail("a program is loaded"))
    run = random_run()
    bundle = bundle_of(run, tmp_path / path, {"encoder.pt2": b"\x80", "step.pt2": b"\x80"}, kind="pt2")
    message = f"{bundle} holds programs of torch.export, which are not opened here: loading one can run any code"
    corpus = ["--source", "a", "--reference", "a"]
    for words in (
        ["translate", bundle], ["translate", run, bundle], ["score", bundle], ["evaluate", bundle, *corpus],
        ["plot", bundle, "--sentence", "a"], ["verify", bundle],
    ):  # fmt: skip
        code, out, err = call(*words, stdin="a\n")
        assert (code, out, err) == (2, "", f"seq2seq: {message}\n"), words
    for opener in (Translator, GraphTranslator):
        with pytest.raises(RunError, match=re.escape(message)):
            opener.open(bundle)
    assert call("export", bundle)[0] == 2


def test_programs_are_in_float32_and_not_shrunk(random_run: RandomRun, call: Call) -> None:
    for words, message in (
        (["--dtype", "float32", "int8"], "dtype=int8 does not exist in format=pt2; choose one of: float32"),
        (["--shrink"], "--shrink works with --format=onnx, not with --format=pt2"),
    ):
        code, _, err = call("export", random_run(), "--format", "pt2", *words)
        assert code == 2
        assert message in err


@pytest.mark.slow
def test_ensembles_are_exported_as_one_with_their_shortlist(family_run: FamilyRun, call: Call, tmp_path: Path) -> None:
    runs = [Path(shutil.copytree(family_run(family), tmp_path / family)) for family in FAMILIES]
    assert call("shortlist", runs[0])[0] == 0
    code, out, err = call("export", *runs, "--format", "pt2", "--sentences", 12, "--output", tmp_path / "two.s2s")
    assert code == 0, err
    assert out.endswith(" MB), 12 of 12 sentences the same\n")
    bundle = Bundle.open(tmp_path / "two.s2s", trusted=True)
    programs = [f"{name}{number}.pt2" for name in ("encoder", "step") for number in (1, 2)]
    assert sorted(name for name in bundle.config.files if name.endswith(".pt2")) == programs
    assert bundle.has("shortlist.npy")
    assert "logit_mask" in bundle.config.values["inputs"]["step2"]
