"""Limits of the machine (peak FLOP/s of a matrix product, memory bandwidth), and the FLOPs and traffic of some work."""

import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # as the measured work chooses it
DTYPES = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


def matrix_rate(precision: str, size: int = 0, seconds: float = 1.0) -> float:
    """Operations per second of a square matrix product: the best of repeated measurements."""
    n = size or (2048 if DEVICE == "cpu" else 8192)
    if precision == "int8":
        a, b = (torch.randint(-127, 128, (n, n), dtype=torch.int8, device=DEVICE) for _ in range(2))
    else:
        a, b = (torch.randn(n, n, dtype=DTYPES[precision], device=DEVICE) for _ in range(2))
    product = torch._int_mm if precision == "int8" else torch.mm
    return 2 * n**3 / shortest(lambda: product(a, b), seconds)


def bandwidth(size: int = 0, seconds: float = 1.0) -> float:
    """Bytes per second that copying a large tensor reads and writes: the best of repeated measurements."""
    a, b = (
        torch.zeros(size or (2**26 if DEVICE == "cpu" else 2**30), dtype=torch.uint8, device=DEVICE) for _ in range(2)
    )
    return 2 * a.numel() / shortest(lambda: b.copy_(a), seconds)


def read_rate(size: int, seconds: float = 1.0) -> float:
    """Bytes per second at which a tensor of `size` bytes is read again and again: the best of repeated measurements."""
    a = torch.ones(size // 4, device=DEVICE)
    return size / shortest(a.sum, seconds)


def shortest(work: Callable[[], object], seconds: float) -> float:
    """The shortest time that `work` takes, in seconds, when repeated for `seconds`."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        synchronize()
        start = time.perf_counter()
        work()
        synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def synchronize() -> None:
    """Wait until a GPU, if there is one, has finished its work."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def operations(work: Callable[[], object]) -> int:
    """FLOPs of the matrix products in `work`; a multiplication and an addition count as two.

    Recurrent layers run in torch's own code meanwhile: products inside of oneDNN and cuDNN would not be counted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reading the flag warns if there is no GPU
        int8 = {torch.ops.aten._int_mm: lambda a, b, *rest, **more: 2 * a[0] * a[1] * b[1]}  # a, b: shapes
        mkldnn, cudnn = torch.backends.mkldnn.flags(enabled=False), torch.backends.cudnn.flags(enabled=False)
        with mkldnn, cudnn, FlopCounterMode(display=False, custom_mapping=int8) as counter:
            work()
    return int(counter.get_total_flops())


def traffic(work: Callable[[], object]) -> int:
    """Bytes of the inputs and outputs of all torch operations in `work`, as if each read and wrote memory.

    Views and allocations count nothing. Kernels that are no operations of torch (nn/ops/kernels.py) are not counted."""
    with Traffic() as counter:
        work()
    return counter.bytes


WITHOUT_TRAFFIC = {"_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_"}


class Traffic(TorchDispatchMode):
    """Counts the bytes of `traffic`."""

    bytes = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        if not operation.is_view and operation.overloadpacket.__name__ not in WITHOUT_TRAFFIC:
            tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, torch.Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in {id(x): x for x in tensors}.values())
        return result


def machine() -> str:
    """A line that describes the machine and the versions."""
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    return f"{device_name()}, {torch.get_num_threads()} threads, {versions}"


def device_name() -> str:
    """The name of the GPU if there is one, else of the CPU."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
