"""What is it that a tensor is on? Whether looking at its numbers waits, how products are made there, and which kernels there are."""

import logging
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor

log = logging.getLogger("seq2seq")

KERNELS = (torch.float32, torch.bfloat16, torch.float16)  # numbers that nn/kernels.py takes
MORE = 16  # times as many numbers in a piece on a device: each piece has to be launched there


def asynchronous(x: Tensor) -> bool:
    """Whether the host runs ahead of the device of x, and would wait for it by asking for a number: all but the processor."""
    return not x.is_cpu


def at_once(x: Tensor, numbers: int) -> int:
    """How many numbers a piece of work may make where x is, if the processor is best given so many."""
    return numbers if x.is_cpu else MORE * numbers


def fused(x: Tensor) -> bool:
    """Whether the kernels of nn/kernels.py serve x: on a GPU for which Triton, which comes with torch, can compile them."""
    return x.is_cuda and x.dtype in KERNELS and compiles(x.device, x.dtype)


@cache
def compiles(device: torch.device, kind: torch.dtype) -> bool:
    """Whether one of them works there; if not, it is said why, and torch's operations do it."""
    try:
        from seq2seq.nn.ops.kernels import cross_entropy

        cross_entropy(
            torch.zeros(1, 4, device=device, dtype=kind), torch.zeros(1, dtype=torch.long, device=device), 0.0
        )
    except Exception as error:  # no Triton, no C compiler, a GPU too old: each has its own
        log.warning(
            "no fused kernels for %s on %s, torch's operations are used: %s",
            kind,
            device,
            (str(error) or repr(error)).splitlines()[0],
        )
        return False
    return True


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
