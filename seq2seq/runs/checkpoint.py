"""Reading last.ckpt of a run, and how far it is towards each limit of training."""

from pathlib import Path
from typing import Any

import torch

from seq2seq.errors import RunError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state that a run resumes from, on the CPU; loading it runs no code.

    Raises RunError if the file is missing or damaged."""
    try:
        return dict(torch.load(path, weights_only=True, map_location="cpu", mmap=True))
    except Exception as error:
        raise RunError(f"{path} cannot be read as a checkpoint: {str(error).split('. ')[0]}") from None


def progress_of(checkpoint: dict[str, Any], path: Path) -> dict[str, float]:
    """The limits of training by their settings' names, each with how far the checkpoint is towards it.

    path: its file, for the message. Raises RunError if it is not a checkpoint of this package."""
    try:
        callbacks = checkpoint["callbacks"]
        (batches,) = checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"]
        return {
            "max_updates": checkpoint["global_step"],
            "max_epochs": batches["epoch"],
            "max_minutes": callbacks["Clock"]["spent"][0] / 60,
            "patience": callbacks["Validation"]["waited"],
            "stop_at": callbacks["Validation"]["best"],
        }
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RunError(f"{path} is not a checkpoint of this package: {type(error).__name__} {error}") from None
