"""Properties of the device that a tensor is on: whether reading a value waits for it, its free memory, the dtype of
products, which kernels run there."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

import torch
from torch import Tensor

from seq2seq.errors import ConfigError, Seq2SeqError
from seq2seq.utils.memory import available_memory

log = logging.getLogger("seq2seq")

KERNEL_DTYPES = (torch.float32, torch.bfloat16, torch.float16)  # which nn/ops/kernels.py supports
LARGER = 16  # blocks are so many times as large on other devices, where each has to be launched
# On the CPU a fused kernel pays for more source positions than LONG_SOURCE, or for SMALL_BATCH sentences at most.
LONG_SOURCE, SMALL_BATCH = 256, 2


def asynchronous(x: Tensor) -> bool:
    """Whether the host runs ahead of the device of x, and would wait for it by reading a value: every device but the
    CPU."""
    return not x.is_cpu


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on the device; on the host for devices whose memory torch does not know."""
    if device.type != "cuda":
        return available_memory()
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # kept by torch's allocator
    return torch.cuda.mem_get_info(device)[0] + unused


def at_once(x: Tensor, elements: int) -> int:
    """The elements of a block of work on the device of x, where `elements` suit the CPU best."""
    return elements if x.is_cpu else LARGER * elements


def fused_attention_pays(keys: Tensor) -> bool:
    """Whether one kernel for scores, softmax and mixing of keys (B, ..., S, d) is faster than three: on the CPU only if
    S is large, or B so small that calling three takes longer than their work."""
    return not keys.is_cpu or torch.compiler.is_compiling() or keys.size(-2) > LONG_SOURCE or len(keys) <= SMALL_BATCH


def fused(x: Tensor) -> bool:
    """Whether the kernels of nn/ops/kernels.py run for x: on a GPU for which Triton, which comes with torch, can
    compile them."""
    return x.is_cuda and x.dtype in KERNEL_DTYPES and compiles(x.device, x.dtype)


@contextmanager
def memory_errors(advice: str, kind: type[Seq2SeqError] = ConfigError) -> Iterator[None]:
    """Raise an error of this kind, with what to lower, if a tensor in the block needs more memory than there is."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_memory_error(error):
            raise kind(f"out of memory: {advice}") from error
        raise


def is_memory_error(error: BaseException) -> bool:
    """Whether an error says that a tensor needs more memory than there is."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


@cache
def compiles(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether one of the kernels runs on the device; if not, the reason is logged, once, and torch's operations are
    used."""
    try:
        from seq2seq.nn.ops.kernels import cross_entropy

        cross_entropy(
            torch.zeros(1, 4, device=device, dtype=dtype), torch.zeros(1, dtype=torch.long, device=device), 0.0
        )
    except Exception as error:  # no Triton, no C compiler, a GPU too old: each raises an error of its own
        why = "Triton is not installed" if isinstance(error, ImportError) else "they do not compile here"
        log.warning("no fused kernels for %s on %s, torch's operations are used: %s", dtype, device, why)
        log.debug("the error of the kernels", exc_info=error)
        return False
    return True


def product_dtype(x: Tensor) -> torch.dtype:
    """The dtype of a product with x: that of autocast where it is on, else its own; float64 is never converted."""
    device = x.device.type
    enabled = autocast_exists(device) and torch.is_autocast_enabled(device) and x.dtype != torch.float64
    return torch.get_autocast_dtype(device) if enabled else x.dtype


def no_autocast(x: Tensor) -> AbstractContextManager[object]:
    """A context in which autocast is off on the device of x, so that products keep the dtype of their arguments."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if autocast_exists(device) else nullcontext()


def autocast_exists(device: str) -> bool:
    """Whether torch has mixed precision for this type of device."""
    return torch.amp.autocast_mode.is_autocast_available(device)
