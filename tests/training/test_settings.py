"""Does every setting of training reach the training?"""

import csv
import dataclasses
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seq2seq.config import TrainingConfig
from seq2seq.config.choices import field_choices
from seq2seq.data.prepare import prepare
from seq2seq.launch.compose import compose_config
from seq2seq.nn.build import EncoderDecoder
from seq2seq.runs.directory import Run
from seq2seq.training.module import TrainingModule
from seq2seq.training.run import make_model, train
from seq2seq.translator import Translator

LAST = (
    "training.ema=0.5",
    "training.average=last",
    "training.validate_every=2",
)  # no checkpoint is better than another: all are at 0
FALLING = ("training.schedule=plateau", "training.plateau_patience=1", "training.validate_every=2")
LUONG = ("training.schedule=luong", "training.warmup=0")
OTHER: dict[str, tuple[tuple[str, ...], object]] = {  # setting -> what else must be, and another value
    "batch_tokens": ((), 128), "normalization": ((), "sentences"),
    "pad_to_multiple_of": ((), 8), "accumulate": ((), 2), "learning_rate": ((), 2e-3),
    "beta1": ((), 0.5), "beta2": ((), 0.5), "weight_decay": ((), 0.5),
    "warmup": ((), 5), "halve_from": (LUONG, 0.1), "halve_every": (LUONG, 0.3),
    "plateau_patience": (FALLING[::2], 1), "plateau_factor": (FALLING, 0.1), "label_smoothing": ((), 0.0), "coverage_loss": ((), 1.0),
    "guided_alignment": ((), 1.0),
    "clip": ((), 0.01), "max_updates": ((), 7), "validate_every": ((), 2),
    "max_epochs": (("training.max_updates=25", "training.validate_every=0"), 1),
    "keep": (LAST, 1), "ema": (("training.ema=0.9",), 0.1),
}  # fmt: skip
ELSEWHERE = {"max_minutes", "stop_at", "patience", "dev_lines", "monitor"}  # below, and in test_limits.py
WORDS = [  # of each list of choices those that are not the default
    (field.name, ("training.weight_decay=0.1",), value)
    for field in dataclasses.fields(TrainingConfig)
    for value in field_choices(field)
    if field.name in ("optimizer", "schedule") and value not in (field.default, "plateau")
]
GUIDED = [("guided_loss", ("training.guided_alignment=0.5",), "squared_error")]
AVERAGE = [("average", LAST[::2], value) for value in ("best", "last")]
QUICK = {
    "batch_tokens", "accumulate", "beta2", "weight_decay", "halve_every", "plateau_factor", "label_smoothing", "coverage_loss", "clip",
    "max_updates", "ema", "guided_loss", "adafactor", "luong", "best",
}  # fmt: skip
CASES = [*((name, needs, value) for name, (needs, value) in OTHER.items()), *WORDS, *GUIDED, *AVERAGE]


def fate(run: Path) -> tuple[list[dict[str, str]], dict[str, torch.Tensor]]:
    """Its figures but for times, and its weights."""
    with (run / "metrics.csv").open() as file:
        rows = [
            {k: v for k, v in row.items() if "seconds" not in k and k not in ("tokens_per_second", "waiting")}
            for row in csv.DictReader(file)
        ]
    return rows, load_file(run / "weights.safetensors")


@pytest.fixture(scope="module")
def trained_once(trained: Callable[..., Path]) -> Callable[..., Path]:
    return cache(trained)


@pytest.mark.parametrize(
    ("name", "needs", "value"),
    [pytest.param(*case, marks=() if QUICK & {case[0], case[2]} else pytest.mark.slow) for case in CASES],
    ids=lambda value: str(value) if not isinstance(value, tuple) else "",
)
def test_a_setting_makes_another_training(
    name: str, needs: tuple[str, ...], value: object, trained_once: Callable[..., Path]
) -> None:
    before, after = fate(trained_once(*needs)), fate(trained_once(*needs, f"training.{name}={value}"))
    moved = any(not torch.equal(before[1][key], after[1][key]) for key in before[1])
    assert moved or (name == "validate_every" and len(before[0]) != len(after[0]))


def test_no_setting_is_left_out() -> None:
    assert {field.name for field in dataclasses.fields(TrainingConfig)} == {name for name, _, _ in CASES} | ELSEWHERE


def test_the_same_settings_make_the_same_training(trained: Callable[..., Path]) -> None:
    first, second = trained(), trained()
    assert first != second
    (rows, weights), (others, same) = fate(first), fate(second)
    assert rows == others
    assert all(torch.equal(weights[key], same[key]) for key in weights)


@pytest.mark.parametrize(("precision", "kind"), [("32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_of_the_precision(
    precision: str, kind: torch.dtype, small: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[torch.dtype] = []
    decode = EncoderDecoder.decode

    def watched(self: EncoderDecoder, *words: Any, **given: Any) -> Any:
        output = decode(self, *words, **given)
        if self.training:
            kinds.append(self.head.output(output.features).dtype)
        return output

    monkeypatch.setattr(EncoderDecoder, "decode", watched)
    train(compose_config(small(tmp_path, f"trainer.precision={precision}")))
    assert kinds == [kind] * 6


def test_the_seed_draws_the_weights(small: Callable[..., list[str]], tmp_path: Path) -> None:
    configs = [compose_config(small(tmp_path, f"seed={seed}")) for seed in (1, 1, 2)]
    prepared = prepare(configs[0].data, configs[0].tokenizer)
    one, same, other = (
        [p.detach().clone() for p in make_model(config, prepared, None).parameters()] for config in configs
    )
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(one, other, strict=True) if a.dim() > 1)


@pytest.mark.parametrize(("given", "lines"), [((), 12), (("training.dev_lines=5",), 5)])
def test_so_many_dev_lines_are_decoded(
    given: tuple[str, ...], lines: int, small: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    translate = Translator.translate

    def counted(self: Translator, sources: object) -> list[str]:
        found = translate(self, sources)  # type: ignore[arg-type]
        decoded.append(len(found))
        return found

    monkeypatch.setattr(Translator, "translate", counted)
    train(compose_config(small(tmp_path, *given)))
    assert decoded
    assert set(decoded) == {lines}


@pytest.mark.parametrize(("monitor", "metrics"), [("bleu", ["bleu"]), ("rouge", ["rougeL"]), ("loss", [])])
def test_the_monitor_is_the_dev_score(
    monitor: str, metrics: list[str], small: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the target language, which chooses BLEU's tokenizer."""
    from seq2seq.training import checks, fit

    asked: list[tuple[list[str], str]] = []
    score = fit.score

    def heard(*words: Any, **given: Any) -> Any:
        asked.append((words[2], given["language"]))
        return score(*words, **given)

    monkeypatch.setattr(fit, "score", heard)
    monkeypatch.setattr(checks, "score", heard)
    train(compose_config(small(tmp_path, f"training.monitor={monitor}")))
    assert asked == [(metrics, "de")] * (len(metrics) * 3)  # once before all work, then in each validation


def test_tensorboard_has_the_figures_where_it_is_installed(tiny_run: Path) -> None:
    if find_spec("tensorboard") is None:
        assert not (tiny_run / "tensorboard").exists()
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tiny_run / "tensorboard"))
    board.Reload()
    assert {"loss", "dev_loss", "dev_score", "learning_rate"} <= set(board.Tags()["scalars"])
    assert [event.step for event in board.Scalars("loss")] == [2, 4, Run.open(tiny_run).info["updates"]]


def test_gradients_are_not_kept_beyond_their_update(
    trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But through the batches that one update accumulates."""
    seen: list[set[bool]] = []
    step = TrainingModule.training_step

    def watched(module: TrainingModule, batch: Any, number: int) -> torch.Tensor:
        seen.append({p.grad is None for p in module.parameters()})
        return step(module, batch, number)

    monkeypatch.setattr(TrainingModule, "training_step", watched)
    trained("training.accumulate=2", "training.max_updates=3")
    assert seen == [{True}, {False}] * 3
