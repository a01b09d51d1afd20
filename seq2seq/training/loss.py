"""What does training minimise beside the head's cross-entropy?"""

from torch import Tensor

from seq2seq.ids import PAD


def coverage_loss(weights: Tensor, target_out: Tensor) -> Tensor:
    """sum_t sum_s min(a_ts, c_ts), c_t = sum of a before t: attending twice costs  (See et al. 2017, eq. 12).

    weights (B, T, S), target_out (B, T) -> scalar, the sum over the steps that are not padding."""
    covered = weights.cumsum(1) - weights
    return (weights.minimum(covered).sum(-1) * (target_out != PAD)).sum()
