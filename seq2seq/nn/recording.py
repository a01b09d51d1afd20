"""How is a GPU spared the launching of thousands of small kernels? It records what it is asked to do, and does it again at once."""

from collections.abc import Callable

import torch

Work = Callable[[], None]  # with tensors that stay where they are
Recorder = Callable[[Work], Work]  # runs nothing, or does no harm; what it gives does the work again


class CUDAGraphs:
    """Records what this thread asks CUDA to do, while another may pin batches; all graphs share one pool of memory, for they never
    run at once."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> Work:
        graph = torch.cuda.CUDAGraph()
        torch.clear_autocast_cache()  # what it holds is of another pool, and what it will hold is of this
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            work()
        torch.clear_autocast_cache()
        return graph.replay
