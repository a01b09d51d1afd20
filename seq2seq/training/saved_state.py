"""What a checkpoint has to hold for a run to resume from it, and the check of it before anything of the run is changed.

A part is described by a predicate, by a mapping of the parts that it has at least, or by a list of exactly its parts.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from types import NoneType
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from seq2seq.config import Config
from seq2seq.training.optim import OPTIMIZERS, OptimizerOptions, Plateau, parameter_groups
from seq2seq.utils.console import silence_lightning


def first_wrong_part(found: Any, wanted: Any, name: str = "") -> str | None:
    """The dotted name of the first part of `found` that is missing or not as described; None if there is none."""
    if callable(wanted):
        return None if wanted(found) else name
    parts = wanted.items() if isinstance(wanted, Mapping) else enumerate(wanted)
    if isinstance(wanted, Mapping) != isinstance(found, Mapping) or not isinstance(found, Mapping | list | tuple):
        return name
    if not isinstance(wanted, Mapping) and len(found) != len(wanted):
        return name
    for key, part in parts:
        place = f"{name}.{key}".lstrip(".")
        if isinstance(found, Mapping) and key not in found:
            return place
        if wrong := first_wrong_part(found[key], part, place):
            return wrong
    return None


def run_id(checkpoint: Any) -> str:
    """The `id` in run.json of the run that saved the checkpoint; '' if none did, or one of an early version."""
    return str(_part(checkpoint, "callbacks", "Checkpoint", "run") or "")


def _part(value: Any, *keys: str) -> Any:
    """The part of nested mappings at these keys; None if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def described(config: Config, model: nn.Module, checkpoint: Any) -> dict[str, Any]:
    """The description of a checkpoint of this training. model: as configured, maybe on the meta device.

    checkpoint: from which the number of updates is taken that its other parts have to agree with."""
    t, updates = config.training, _part(checkpoint, "global_step")
    weights = {name: partial(_is_weight, like=p) for name, p in model.named_parameters()}
    batches = {
        "seed": partial(_equals, config.seed),
        "batch_tokens": partial(_equals, t.batch_tokens),
        "pairs": _is_whole,
        "epoch": _is_whole,
        "done": _is_whole,
    }
    silence_lightning()
    loop = _alike(L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False).fit_loop.state_dict())
    steps = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]
    loop["state_dict"], steps["completed"] = {"combined_loader": [batches]}, partial(_equals, updates)
    callbacks: dict[str, Any] = {
        "Clock": {"spent": [_is_number, _is_number]},
        "Log": {"total_tokens": _is_number, "last": _is_number},
        "Validation": {
            "last": _is_whole,
            "waited": _is_whole,
            "best": _is_number,
            "scores": partial(_are_scores, validated=_part(checkpoint, "callbacks", "Validation", "last")),
            "plateau": _alike(Plateau(1, 0.5).state_dict()) if t.schedule == "plateau" else {},
        },
    }
    if t.ema:
        callbacks["Average"] = {**weights, "updates": _is_whole}
    parts = {
        "global_step": _is_whole,
        "pytorch-lightning_version": _is_text,
        "state_dict": partial(
            _are_weights, like={f"model.{name}": value for name, value in model.state_dict().items()}
        ),
        "since_log": [_is_scalar, _is_scalar],
        "loops": {"fit_loop": loop},
        "callbacks": callbacks,
        **_optimizer_parts(config, model, updates, skipped=_part(checkpoint, "skipped", "count")),
    }
    if isinstance(checkpoint, Mapping) and "skipped" in checkpoint:  # not in those of early versions
        parts["skipped"] = {"count": _is_whole, "in_a_row": _is_whole}
    if config.trainer.precision == "16":
        parts["MixedPrecision"] = _alike(torch.amp.GradScaler("cpu").state_dict())
    return parts


def _optimizer_parts(config: Config, model: nn.Module, updates: Any, skipped: Any) -> dict[str, Any]:
    """The description of the states of optimizer and schedule. skipped: how many of the updates were skipped."""
    t = config.training
    optimizer = OPTIMIZERS[t.optimizer](
        parameter_groups(model, t.weight_decay, t.learning_rate), _hyperparameters(config)
    )
    fresh = optimizer.state_dict()
    numbers = [
        {key: _alike(value) for key, value in group.items() if type(value) in (float, tuple)}
        for group in fresh["param_groups"]
    ]
    groups = [
        {**part, "initial_lr": _is_number, "params": partial(_equals, group["params"])}
        for part, group in zip(numbers, fresh["param_groups"], strict=True)
    ]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = {number: _state_of(p.shape, config) for number, p in enumerate(parameters)}
    # gradients may not have been finite yet
    if config.trainer.precision == "16" or skipped == updates or not any(state.values()):
        state = {}
    schedule = {
        "base_lrs": [_is_number] * len(groups),
        "_last_lr": [_is_number] * len(groups),
        "last_epoch": partial(_equals, updates),
        "_step_count": _is_whole,
        "lr_lambdas": [_is_none] * len(groups),
    }
    return {"optimizer_states": [{"state": state, "param_groups": groups}], "lr_schedulers": [schedule]}


def _state_of(shape: torch.Size, config: Config) -> dict[str, Any]:
    """What the optimizer keeps of a parameter of this shape, found by an update of one."""
    parameter = nn.Parameter(torch.zeros(shape))
    parameter.grad = torch.zeros(shape)
    optimizer = OPTIMIZERS[config.training.optimizer]([parameter], _hyperparameters(config))
    optimizer.step()
    return {name: _alike(value) for name, value in optimizer.state[parameter].items() if value is not None}


def _hyperparameters(config: Config) -> OptimizerOptions:
    t = config.training
    return OptimizerOptions(t.learning_rate, t.beta1, t.beta2, t.weight_decay, fused=False)


def _alike(value: Any) -> Any:
    """The description of whatever has the parts of `value`, each of the same type; tensors also of the same shape."""
    if isinstance(value, Tensor):
        return partial(_is_tensor, like=value)
    if isinstance(value, Mapping):
        return {key: _alike(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_alike(part) for part in value]
    return {bool: _is_flag, int: _is_whole, float: _is_number, str: _is_text, NoneType: _is_none}[type(value)]


def _equals(value: Any, found: Any) -> bool:
    return type(found) is type(value) and bool(found == value)


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and not math.isnan(value)


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _is_none(value: Any) -> bool:
    return value is None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_tensor(value: Any, like: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == like.shape and value.dtype == like.dtype


def _is_weight(value: Any, like: Tensor) -> bool:
    return _is_tensor(value, like) and bool(value.isfinite().all())


def _are_weights(value: Any, like: Mapping[str, Tensor]) -> bool:
    same_names = isinstance(value, Mapping) and value.keys() == like.keys()
    return same_names and all(_is_weight(value[name], tensor) for name, tensor in like.items())


def _is_scalar(value: Any) -> bool:
    return isinstance(value, Tensor) and value.shape == () and value.is_floating_point()


def _are_scores(value: Any, validated: Any) -> bool:
    """Whether it maps updates to pairs of score and loss; validated: the last update with any."""
    return (
        isinstance(value, Mapping)
        and bool(value) == bool(validated)
        and all(
            _is_whole(update) and isinstance(pair, Sequence) and len(pair) == 2 and all(map(_is_number, pair))
            for update, pair in value.items()
        )
    )
