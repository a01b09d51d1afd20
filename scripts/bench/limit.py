"""What could this machine do at best? The rate of a large matrix product, and the operations that a model needs."""

import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

DTYPE = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


def matrix_rate(precision: str, device: str = "cpu", size: int = 0, seconds: float = 1.0) -> float:
    """Floating-point operations a second of a square matrix product, the best of a second's tries."""
    n = size or (2048 if device == "cpu" else 8192)
    if precision == "int8":
        a, b = (torch.randint(-127, 128, (n, n), dtype=torch.int8, device=device) for _ in range(2))
    else:
        a, b = (torch.randn(n, n, dtype=DTYPE[precision], device=device) for _ in range(2))
    product = torch._int_mm if precision == "int8" else torch.mm
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end or not best:
        start = time.perf_counter()
        product(a, b)
        if device != "cpu":
            torch.cuda.synchronize()
        best = max(best, 2 * n**3 / (time.perf_counter() - start))
    return best


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products in `work`, a multiplication and an addition counted as two.

    Recurrent layers are run in torch's own code meanwhile: the library's kernels cannot be looked into."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reading the switch warns of GPUs that are not there
        whole = {torch.ops.aten._int_mm: lambda a, b, *rest, **more: 2 * a[0] * a[1] * b[1]}  # given shapes
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False, custom_mapping=whole) as counter:
            work()
    return int(counter.get_total_flops())


def machine() -> str:
    """What the figures were measured on, in a line."""
    return f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"


def processor() -> str:
    """The name of the processor, or of the GPU if there is one."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
