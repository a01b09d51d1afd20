"""Stable top-k: the largest of many scores, ties broken by the lower index."""

import torch
from torch import Tensor

from seq2seq.nn.ops import devices

CHUNK = 64  # ids whose maximum is taken together


def stable_topk(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of scores (R, C), largest first, ties in the order of the indices: values, indices (R,
    count).

    Among values of -inf the indices are arbitrary. Fewer than `count` columns are padded with -inf at index 0."""
    size = scores.shape[1]
    if size <= count:
        values, index = scores.sort(dim=1, descending=True, stable=True)
        padding = (0, count - size)
        return torch.nn.functional.pad(values, padding, value=-torch.inf), torch.nn.functional.pad(index, padding)
    values, index = scores.topk(count + 1)
    tied = (values[:, -2] == values[:, -1]) & (values[:, -1] > -torch.inf)  # at the cutoff
    values, index = values[:, :count], index[:, :count]
    if devices.asynchronous(scores) or tied.any():
        index = lowest_indices_at_cutoff(scores, values, index)
    index = index.sort(1).values
    values, order = scores.gather(1, index).sort(dim=1, descending=True, stable=True)
    return values, index.gather(1, order)


def lowest_indices_at_cutoff(scores: Tensor, values: Tensor, index: Tensor) -> Tensor:
    """Indices (R, count) of a topk, with the lowest of those whose score equals its last value; topk takes any."""
    size, count = scores.shape[1], values.shape[1]
    cutoff = values[:, -1:]
    columns = torch.arange(size, device=scores.device)
    lowest = torch.where(scores == cutoff, columns, size).topk(count, largest=False).values.sort(1).values
    rank = torch.arange(count, device=scores.device) - (values > cutoff).sum(1, keepdim=True)
    return torch.where(rank < 0, index, lowest.gather(1, rank.clamp(min=0)))


def topk_continuations(log_probs: Tensor, total: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Stable top-k of total (B, W) + log_probs (B, W, V) over the W V continuations of a sentence.

    Returns values and flat indices w V + id, both (B, count). The best lie in the `count` chunks of ids with the
    highest maxima, of equal maxima the lower chunks; so one pass takes the maxima, and only the entries of these chunks
    are added up and ranked."""
    width, size = log_probs.shape[1:]
    whole = size // CHUNK * CHUNK
    maxima = log_probs[..., :whole].unflatten(2, (-1, CHUNK)).amax(3)
    if whole < size:
        maxima = torch.cat((maxima, log_probs[..., whole:].amax(2, keepdim=True)), 2)
    maxima = (maxima + total[..., None]).flatten(1)  # (B, W chunks)
    if maxima.shape[1] <= count:
        return stable_topk((log_probs + total[..., None]).flatten(1), count)
    chunks = maxima.shape[1] // width
    chosen = stable_topk(maxima, count)[1].sort(1).values[..., None]  # (B, count, 1)
    columns = chosen % chunks * CHUNK + torch.arange(CHUNK, device=chosen.device)  # (B, count, CHUNK)
    index = (chosen // chunks * size + columns.clamp(max=size - 1)).flatten(1)
    values = log_probs.flatten(1).gather(1, index) + total.gather(1, index // size)
    values, order = stable_topk(values.masked_fill((columns >= size).flatten(1), -torch.inf), count)
    return values, index.gather(1, order)
