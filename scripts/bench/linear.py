"""Benchmark of linear layers in inference: weights prepacked for oneDNN against torch, for the shapes of the workloads.

python scripts/bench/linear.py [--precision 32 bf16] [--rows 5 64 320] [--threads N]
"""

import argparse
import time
from collections.abc import Sequence
from statistics import median

import limit
import torch
import work  # noqa: F401  (sets the environment of the process as the commands do)
from torch import nn

from seq2seq.nn.ops.linear import PackedLinear

SHAPES = [(512, 8000), (1024, 2048), (1024, 512), (256, 8000), (256, 1024), (256, 768), (1024, 256), (256, 256)]


@torch.inference_mode()
def main(argv: Sequence[str] | None = None) -> None:
    """Print a row with GFLOP/s for each precision, shape and number of rows."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--precision", nargs="+", default=["32", "bf16"], choices=["32", "bf16"])
    parser.add_argument("--rows", type=int, nargs="+", default=[5, 64, 320])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    print(limit.machine())
    print("| precision | rows | K | N | torch | packed | packed / torch |\n| --- | --- | --- | --- | --- | --- | --- |")
    for precision in options.precision:
        for inputs, outputs in SHAPES:
            layer = nn.Linear(inputs, outputs).to(limit.DTYPES[precision])
            for rows in options.rows:
                x = torch.randn(rows, inputs).to(limit.DTYPES[precision])
                plain, packed = (
                    2 * rows * inputs * outputs / seconds / 1e9
                    for seconds in median_seconds([layer, PackedLinear(layer)], x, options.times)
                )
                rates = f"{plain:.0f} | {packed:.0f} | {packed / plain:.2f}"
                print(f"| {precision} | {rows} | {inputs} | {outputs} | {rates} |")


def median_seconds(layers: Sequence[nn.Module], x: torch.Tensor, times: int) -> list[float]:
    """The median time of each layer, measured alternately; the first two rounds do not count."""
    seconds: list[list[float]] = [[] for _ in layers]
    for _ in range(times + 2):
        for layer, own in zip(layers, seconds, strict=True):
            start = time.perf_counter()
            layer(x)
            own.append(time.perf_counter() - start)
    return [median(own[2:]) for own in seconds]


if __name__ == "__main__":
    main()
