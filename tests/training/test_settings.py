"""Every setting of training has an effect."""

import csv
import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seq2seq.config import Config, TrainingConfig
from seq2seq.config.choices import field_choices
from seq2seq.data.prepare import prepare
from seq2seq.launch.compose import compose_config
from seq2seq.nn.build import EncoderDecoder
from seq2seq.runs.metrics import read_metrics
from seq2seq.training import checks, fit
from seq2seq.training.checks import check_monitor
from seq2seq.training.fit import make_dev_set
from seq2seq.training.module import TrainingModule
from seq2seq.training.run import make_model
from seq2seq.translator import Translator

SHORT = ("training.max_updates=3", "training.validate_every=0", "training.monitor=loss")
# the last checkpoints are averaged
LAST = ("training.ema=0.5", "training.average=last", "training.validate_every=1")
# all scores are 0, so that none is better than another
FALLING = (
    "training.schedule=plateau", "training.plateau_patience=1", "training.monitor=bleu", "training.dev_lines=2",
    "training.max_updates=4", "training.validate_every=1",
)  # fmt: skip
LUONG = ("training.schedule=luong", "training.warmup=0", "training.max_updates=5")
OTHER: dict[str, tuple[tuple[str, ...], object]] = {  # setting -> settings that it needs, and another value
    "batch_tokens": ((), 128), "normalization": ((), "sentences"),
    "pad_to_multiple_of": ((), 8), "accumulate": ((), 2), "learning_rate": ((), 2e-3),
    "beta1": ((), 0.5), "beta2": ((), 0.5), "weight_decay": ((), 0.5),
    "warmup": ((), 5), "halve_from": (LUONG, 0.1), "halve_every": (LUONG, 0.3),
    "plateau_patience": ((FALLING[0], *FALLING[2:]), 1), "plateau_factor": (FALLING, 0.1),
    "label_smoothing": ((), 0.0), "coverage_loss": ((), 1.0),
    "guided_alignment": ((), 1.0),
    "clip": ((), 0.01), "max_updates": ((), 4), "validate_every": ((), 2),
    "max_epochs": (("training.max_updates=25", "training.validate_every=0"), 1),
    "keep": (LAST, 1), "ema": (("training.ema=0.9",), 0.1),
}  # fmt: skip
ELSEWHERE = {
    "max_minutes",
    "stop_at",
    "patience",
    "dev_lines",
    "show",
    "monitor",
    "rouge_tokenizer",
    "max_skipped",
    "save_every",
    "save_minutes",
    "class_weights",
}  # below, in test_labels.py, test_validation.py, test_module.py and test_previous_checkpoint.py
CHOICES = [  # those that are not the default
    (field.name, ("training.weight_decay=0.1",), value)
    for field in dataclasses.fields(TrainingConfig)
    for value in field_choices(field)
    if field.name in ("optimizer", "schedule") and value not in (field.default, "plateau")
]
GUIDED = [("guided_loss", ("training.guided_alignment=0.5",), "squared_error")]
AVERAGE = [("average", LAST[::2], value) for value in ("best", "last")]
QUICK = {  # accumulate is seen below, ema in test_averaging.py, batch_tokens and plateau in test_resume.py
    "weight_decay", "halve_every", "label_smoothing", "coverage_loss", "clip", "guided_loss",
}  # fmt: skip
CASES = [*((name, needs, value) for name, (needs, value) in OTHER.items()), *CHOICES, *GUIDED, *AVERAGE]


def outcome(run: Path) -> tuple[list[dict[str, str]], dict[str, torch.Tensor]]:
    """The rows of metrics.csv without times, and the weights."""
    with (run / "metrics.csv").open() as file:
        rows = [
            {k: v for k, v in row.items() if "seconds" not in k and k not in ("tokens_per_second", "waiting")}
            for row in csv.DictReader(file)
        ]
    return rows, load_file(run / "weights.safetensors")


@pytest.fixture(scope="module")
def trained_once(trained: Callable[..., Path]) -> Callable[..., Path]:
    return cache(lambda *settings: trained(*SHORT, *settings))


@pytest.mark.parametrize(
    ("name", "needs", "value"),
    [pytest.param(*case, marks=() if QUICK & {case[0], case[2]} else pytest.mark.slow) for case in CASES],
    ids=lambda value: str(value) if not isinstance(value, tuple) else "",
)
def test_setting_changes_the_training(
    name: str, needs: tuple[str, ...], value: object, trained_once: Callable[..., Path]
) -> None:
    before, after = outcome(trained_once(*needs)), outcome(trained_once(*needs, f"training.{name}={value}"))
    moved = any(not torch.equal(before[1][key], after[1][key]) for key in before[1])
    assert moved or (name == "validate_every" and len(before[0]) != len(after[0]))


def test_every_setting_is_tested() -> None:
    assert {field.name for field in dataclasses.fields(TrainingConfig)} == {name for name, _, _ in CASES} | ELSEWHERE


def test_settings_of_these_tests_are_those_that_would_be_composed(
    small_config: Callable[..., Config], small_settings: Callable[..., list[str]], tmp_path: Path
) -> None:
    words = (
        "model/attention=local_p", "model.dropout=0.4", "training.learning_rate=2e-3", "training.keep=9", "seed=3",
        "trainer.graphs=true", "data.train=[dev]", "training.optimizer=sgd",
    )  # fmt: skip
    assert repr(small_config(tmp_path, *words)) == repr(compose_config(small_settings(tmp_path, *words)))


@pytest.mark.slow  # as in test_resume.py, where an interrupted run has the weights of another
def test_training_is_deterministic(tiny_run: Path, trained: Callable[..., Path]) -> None:
    (rows, weights), (others, same) = outcome(tiny_run), outcome(trained())
    assert rows == others
    assert all(torch.equal(weights[key], same[key]) for key in weights)


@pytest.mark.parametrize(
    ("precision", "dtype"), [pytest.param("32", torch.float32, marks=pytest.mark.slow), ("bf16", torch.bfloat16)]
)
def test_logits_have_the_dtype_of_the_precision(
    precision: str, dtype: torch.dtype, trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    dtypes: list[torch.dtype] = []
    decode = EncoderDecoder.decode

    def watched(self: EncoderDecoder, *words: Any, **given: Any) -> Any:
        output = decode(self, *words, **given)
        if self.training:
            dtypes.append(self.head.output(output.features).dtype)
        return output

    monkeypatch.setattr(EncoderDecoder, "decode", watched)
    trained(*SHORT, f"trainer.precision={precision}")
    assert dtypes == [dtype] * 3


def score_dev_set(config: Config) -> None:
    """What training does to score the dev set: once before it begins, and then in each validation."""
    prepared = prepare(config.data, config.tokenizer)
    check_monitor(config, prepared)
    dev = make_dev_set(config, prepared, make_model(config, prepared, None).eval())
    if dev.decode:
        dev.decode()


@pytest.mark.parametrize(("given", "lines"), [((), 12), (("training.dev_lines=5",), 5)])
def test_dev_lines_limits_what_is_decoded(
    given: tuple[str, ...],
    lines: int,
    small_config: Callable[..., Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[int] = []
    translate = Translator.translate

    def counted(self: Translator, sources: object) -> list[str]:
        found = translate(self, sources)  # type: ignore[arg-type]
        decoded.append(len(found))
        return found

    monkeypatch.setattr(Translator, "translate", counted)
    score_dev_set(small_config(tmp_path, *given))
    assert decoded == [lines]


@pytest.mark.parametrize(
    ("monitor", "metrics"), [("bleu", ["bleu"]), ("chrf", ["chrf"]), ("rouge", ["rougeL"]), ("loss", [])]
)
def test_monitor_is_the_dev_score(
    monitor: str,
    metrics: list[str],
    small_config: Callable[..., Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The score is that of the target language, which determines BLEU's tokenizer."""
    calls: list[tuple[list[str], str]] = []
    score = fit.score

    def recorded(*words: Any, **given: Any) -> Any:
        calls.append((words[2], given["language"]))
        return score(*words, **given)

    monkeypatch.setattr(fit, "score", recorded)
    monkeypatch.setattr(checks, "score", recorded)
    score_dev_set(small_config(tmp_path, f"training.monitor={monitor}"))
    assert calls == [(metrics, "de")] * (len(metrics) * 2)


def test_gradients_are_freed_after_their_update(trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are kept across the batches that an update accumulates."""
    missing: list[set[bool]] = []
    step = TrainingModule.training_step

    def watched(module: TrainingModule, batch: Any, number: int) -> torch.Tensor:
        missing.append({p.grad is None for p in module.parameters()})
        return step(module, batch, number)

    monkeypatch.setattr(TrainingModule, "training_step", watched)
    trained(*SHORT, "training.accumulate=2")
    assert missing == [{True}, {False}] * 3


MIXED = [(model, name) for model in ("rnn", "transformer") for name in ("adam", "adamw", "adafactor", "sgd")]
MIXED_FAST = {("transformer", "adamw")}  # that of recurrent models is used above


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [pytest.param(*case, marks=() if case in MIXED_FAST else pytest.mark.slow) for case in MIXED],
)
def test_mixed_precision_trains(model: str, optimizer: str, trained: Callable[..., Path]) -> None:
    size = ["model.size=8", "model.heads=2", "model.feedforward=16"] if model == "transformer" else []
    run = trained(
        f"model={model}", *size, f"training.optimizer={optimizer}", "trainer.precision=bf16", "training.monitor=loss"
    )
    losses = [float(row["dev_loss"]) for row in read_metrics(run / "metrics.csv") if row["dev_loss"]]
    assert losses[-1] < losses[0]
    assert {w.dtype for w in load_file(run / "weights.safetensors").values()} == {torch.float32}
