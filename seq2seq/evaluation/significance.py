"""How sure is a figure? Resample the sentences and look how far it moves.

n sentences, k statistics of each.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy import float64
from numpy.typing import NDArray

Array = NDArray[float64]


def resamples(n: int, samples: int, seed: int) -> Iterator[Array]:
    """`samples` times: how often each of n sentences is drawn in n draws with replacement, (n,).

    The draws are those of sacreBLEU for the same seed, made one resample at a time: all at once would fill gigabytes.
    """
    rng = np.random.default_rng(seed)
    for _ in range(samples):
        yield np.bincount(rng.choice(n, size=n, replace=True), minlength=n).astype(float64)


def bootstrap_interval(statistics: Array, corpus: Callable[[Array], float], samples: int = 1000, seed: int = 12345) -> tuple[float, float]:
    """The 95 % percentile interval of corpus(sums (k,)) over resampled sentences (Koehn 2004).

    statistics (n, k). The bounds are the order statistics that sacreBLEU reports half the distance of.
    """
    values = sorted(corpus(drawn @ statistics) for drawn in resamples(len(statistics), samples, seed))
    outside = samples // 40
    return values[outside], values[samples - outside - 1]
