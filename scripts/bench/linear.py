"""Who makes x W^T faster, torch as it is or oneDNN asked directly? GFLOP/s in float32 for the shapes of the models.

python scripts/bench/linear.py [--rows 5 64 320] [--threads N]
"""

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median

import limit
import torch
import work  # noqa: F401  (says to the process what the command does)
from torch.nn.functional import linear

from seq2seq.nn.linear import direct

SHAPES = [(512, 8000), (1024, 2048), (1024, 512), (256, 8000), (256, 1024), (256, 768), (1024, 256), (256, 256)]


@torch.inference_mode()
def main(argv: Sequence[str] | None = None) -> None:
    """A row for each shape and number of rows."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[5, 64, 320])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    print(limit.machine())
    print("| rows | K | N | torch | oneDNN | oneDNN / torch | taken |\n| --- | --- | --- | --- | --- | --- | --- |")
    for size, made in SHAPES:
        for rows in options.rows:
            x, weight, bias = torch.randn(rows, size), torch.randn(made, size), torch.randn(made)
            plain, asked = turns([linear, onednn], (x, weight, bias), options.times)
            rates = [2 * rows * size * made / seconds / 1e9 for seconds in (plain, asked)]
            taken = "yes" if direct(x, weight, bias) else ""
            print(f"| {rows} | {size} | {made} | {rates[0]:.0f} | {rates[1]:.0f} | {plain / asked:.2f} | {taken} |")


def onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The product, whether it pays or not."""
    y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y


def turns(calls: Sequence[Callable[..., object]], given: tuple[torch.Tensor, ...], times: int) -> list[float]:
    """Median seconds of each, in turns."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(times + 2):
        for call, own in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call(*given)
            own.append(time.perf_counter() - start)
    return [median(own[2:]) for own in seconds]


if __name__ == "__main__":
    main()
