"""Reading and checking of a run's checkpoints."""

from pathlib import Path
from typing import Any

import torch

from seq2seq.errors import RunError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What resuming needs; no code runs. RunError if it is missing or damaged."""
    try:
        return dict(torch.load(path, weights_only=True, map_location="cpu", mmap=True))
    except Exception as error:
        raise RunError(f"{path} cannot be read as a checkpoint: {str(error).split('. ')[0]}") from None


def progress(checkpoint: dict[str, Any], path: Path) -> dict[str, float]:
    """How far the checkpoint in `path` is towards each limit. RunError if it is not one of ours."""
    try:
        callbacks, (batches,) = (
            checkpoint["callbacks"],
            checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"],
        )
        return {
            "max_updates": checkpoint["global_step"],
            "max_epochs": batches["epoch"],
            "max_minutes": callbacks["Clock"]["spent"][0] / 60,
            "patience": callbacks["Validation"]["waited"],
            "stop_at": callbacks["Validation"]["best"],
        }
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RunError(f"{path} is no checkpoint of this package: {type(error).__name__} {error}") from None
