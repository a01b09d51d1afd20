"""A stand-in for CUDA graphs that needs no GPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


class TensorRecorder:
    """A `Recorder` (nn.cuda_graphs) that notes the tensor operations of the work.

    Like a CUDA graph, a recording repeats them in the same memory without running the model's Python code, and work
    that reads values of tensors cannot be recorded. torch.fx could do the same, in ten times the time."""

    def __init__(self) -> None:
        self.graphs: list[Recording] = []

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        with Recording() as recording:
            work()
        self.graphs.append(recording)
        return recording.replay


class Recording(TorchDispatchMode):
    """The operations that run while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, Any, Any]] = []  # function, its arguments, its results

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert function is not torch.ops.aten._local_scalar_dense.default, "a CUDA graph cannot read values"
        given = aliases((args, kwargs or {}))
        results = function(*args, **(kwargs or {}))
        self.steps.append((function, given, aliases(results)))
        return results

    @torch.no_grad()
    def replay(self) -> None:
        for function, given, results in self.steps:
            args, kwargs = aliases(given)
            for old, new in zip(tree_leaves(results), tree_leaves(function(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def aliases(value: Any) -> Any:
    """The same memory in new tensors, as some operations change the shape of a tensor in place."""
    return tree_map_only(torch.Tensor, torch.Tensor.detach, value)
