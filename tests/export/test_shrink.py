"""A shrunk model has fewer entries, and the same output for text of the entries that are left."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seq2seq.errors import ConfigError
from seq2seq.export.shrink import shrink_models
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import load_model
from seq2seq.translator import Translator


@pytest.mark.parametrize("settings", [(), ("tokenizer.joint=false", "tokenizer.size=150", "model.tie=none")])
def test_shrunk_model_has_the_output_of_the_run(
    random_run: Callable[..., Path], lines: list[str], settings: tuple[str, ...], tmp_path: Path
) -> None:
    run = Run.open(random_run(*settings))
    seen = lines[0]  # the training text is one line: what the others have besides is unknown to it
    for side in ("en", "de"):
        (tmp_path / f"one.{side}").write_text(f"{seen}\n")
    config = replace(run.config, data=replace(run.config.data, root=str(tmp_path), train=["one"]))
    model = load_model(run)
    (smaller,), vocabularies = shrink_models(replace(run, config=config), [model])
    assert vocabularies.joint == run.vocabularies.joint
    assert vocabularies.source.size < run.vocabularies.source.size
    assert smaller.head.output.out_features == vocabularies.target.size
    before, after = run.vocabularies, vocabularies
    assert before.source.segment(seen) == after.source.segment(seen)
    other = lines[-2]  # by characters
    assert after.source.decode(after.source.encode(other)) == before.source.decode(before.source.encode(other))
    with torch.no_grad():
        states = [
            one.encode(torch.tensor([both.encode_source(seen).ids])).states
            for one, both in ((model, before), (smaller, after))
        ]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    targets = [both.target.encode(seen) for both in (before, after)]
    translators = [Translator([one], both, run.config.search) for one, both in ((model, before), (smaller, after))]
    assert len(targets[0]) == len(targets[1])
    full, small = (translator.forced_decode([(seen, seen)]) for translator in translators)
    assert next(small).target == next(full).target


def test_bpe_is_refused(tiny_run: Path) -> None:
    run = Run.open(tiny_run)
    config = replace(run.config, tokenizer=replace(run.config.tokenizer, kind="bpe"))
    with pytest.raises(ConfigError, match="bpe cannot be shrunk"):
        shrink_models(replace(run, config=config), [load_model(run)])
