"""What could this machine do at best? The rate of a large matrix product, and the operations that a model needs."""

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

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # that the measured work chooses too
DTYPE = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


def matrix_rate(precision: str, size: int = 0, seconds: float = 1.0) -> float:
    """Floating-point operations a second of a square matrix product, the best of a second's tries."""
    n = size or (2048 if DEVICE == "cpu" else 8192)
    if precision == "int8":
        a, b = (torch.randint(-127, 128, (n, n), dtype=torch.int8, device=DEVICE) for _ in range(2))
    else:
        a, b = (torch.randn(n, n, dtype=DTYPE[precision], device=DEVICE) for _ in range(2))
    product = torch._int_mm if precision == "int8" else torch.mm
    return 2 * n**3 / shortest(lambda: product(a, b), seconds)


def bandwidth(size: int = 0, seconds: float = 1.0) -> float:
    """Bytes a second that copying a large tensor reads and writes, the best of a second's tries."""
    a, b = (
        torch.zeros(size or (2**26 if DEVICE == "cpu" else 2**30), dtype=torch.uint8, device=DEVICE) for _ in range(2)
    )
    return 2 * a.numel() / shortest(lambda: b.copy_(a), seconds)


def shortest(work: Callable[[], object], seconds: float) -> float:
    """Seconds that `work` takes at best."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        wait()
        start = time.perf_counter()
        work()
        wait()
        best = min(best, time.perf_counter() - start)
    return best


def wait() -> None:
    """Until a GPU has done what it was asked to."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products in `work`, a multiplication and an addition counted as two.

    Recurrent layers are run in torch's own code meanwhile: the library's kernels cannot be looked into."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reading the switch warns of GPUs that are not there
        whole = {torch.ops.aten._int_mm: lambda a, b, *rest, **more: 2 * a[0] * a[1] * b[1]}  # given shapes
        own = torch.backends.mkldnn.flags(enabled=False), torch.backends.cudnn.flags(enabled=False)
        with own[0], own[1], FlopCounterMode(display=False, custom_mapping=whole) as counter:
            work()
    return int(counter.get_total_flops())


def traffic(work: Callable[[], object]) -> int:
    """Bytes that the operations of `work` are given and give back, as if each read and wrote memory; views and memory that is only
    taken move nothing. What is not torch's operation, as the kernels of nn/kernels.py, is not seen."""
    with Traffic() as counter:
        work()
    return counter.bytes


NOTHING_MOVES = {"_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_"}


class Traffic(TorchDispatchMode):
    """Counts them."""

    bytes = 0

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        found = operation(*given, **(named or {}))
        if not operation.is_view and operation.overloadpacket.__name__ not in NOTHING_MOVES:
            tensors = [x for x in tree_leaves((given, named, found)) if isinstance(x, torch.Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in {id(x): x for x in tensors}.values())
        return found


def machine() -> str:
    """What the figures were measured on, in a line."""
    return f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"


def processor() -> str:
    """The name of the processor, or of the GPU if there is one."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
