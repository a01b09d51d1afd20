"""What is it that a tensor is on? Whether looking at its numbers waits, and in which numbers products are made there."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

MORE = 16  # times as many numbers in a piece on a device: each piece has to be launched there


def asynchronous(x: Tensor) -> bool:
    """Whether the host runs ahead of the device of x, and would wait for it by asking for a number: all but the processor."""
    return not x.is_cpu


def at_once(x: Tensor, numbers: int) -> int:
    """How many numbers a piece of work may make where x is, if the processor is best given so many."""
    return numbers if x.is_cpu else MORE * numbers


def product_dtype(x: Tensor) -> torch.dtype:
    """The kind of numbers that autocast makes of x for a product; x's own where it is off."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if autocast_exists(kind) and torch.is_autocast_enabled(kind) else x.dtype


def no_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Products in the numbers that they are given in."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if autocast_exists(kind) else nullcontext()


def autocast_exists(kind: str) -> bool:
    """Whether torch has mixed precision for this kind of device."""
    return torch.amp.autocast_mode.is_autocast_available(kind)
