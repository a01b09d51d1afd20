"""Which of very many scores are the largest, and of equal ones the first?"""

import torch
from torch import Tensor

from seq2seq.nn.ops import devices

CHUNK = 64  # ids that are looked at together


def largest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of scores (R, C), largest first, of equal ones the lower index first: values, indices (R, count).

    Among values of -inf any index may come. Fewer than `count` columns are filled up with -inf at index 0."""
    size = scores.shape[1]
    if size <= count:
        values, index = scores.sort(dim=1, descending=True, stable=True)
        more = (0, count - size)
        return torch.nn.functional.pad(values, more, value=-torch.inf), torch.nn.functional.pad(index, more)
    values, index = scores.topk(count + 1)
    split = (values[:, -2] == values[:, -1]) & (values[:, -1] > -torch.inf)
    values, index = values[:, :count], index[:, :count]
    if devices.asynchronous(scores) or split.any():
        index = lowest_at_edge(scores, values, index)
    index = index.sort(1).values
    values, order = scores.gather(1, index).sort(dim=1, descending=True, stable=True)
    return values, index.gather(1, order)


def lowest_at_edge(scores: Tensor, values: Tensor, index: Tensor) -> Tensor:
    """topk takes any of the values that equal its last one: the indices (R, count) with the lowest of them instead."""
    size, count = scores.shape[1], values.shape[1]
    edge = values[:, -1:]
    columns = torch.arange(size, device=scores.device)
    lowest = torch.where(scores == edge, columns, size).topk(count, largest=False).values.sort(1).values
    rank = torch.arange(count, device=scores.device) - (values > edge).sum(1, keepdim=True)
    return torch.where(rank < 0, index, lowest.gather(1, rank.clamp(min=0)))


def continuations(log_probs: Tensor, total: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`largest` of total (B, W) + log_probs (B, W, V) over the W V continuations of a sentence: values, w V + id (B, count).

    What is among the best lies in one of the `count` chunks with the highest maxima, of equal ones the lower: so one pass
    looks for these, and only their entries are added up and ranked."""
    width, ids = log_probs.shape[1:]
    whole = ids // CHUNK * CHUNK
    highest = log_probs[..., :whole].unflatten(2, (-1, CHUNK)).amax(3)
    if whole < ids:
        highest = torch.cat((highest, log_probs[..., whole:].amax(2, keepdim=True)), 2)
    highest = (highest + total[..., None]).flatten(1)  # (B, W chunks)
    if highest.shape[1] <= count:
        return largest((log_probs + total[..., None]).flatten(1), count)
    chunks = highest.shape[1] // width
    chosen = largest(highest, count)[1].sort(1).values[..., None]  # (B, count, 1)
    columns = chosen % chunks * CHUNK + torch.arange(CHUNK, device=chosen.device)  # (B, count, CHUNK)
    place = (chosen // chunks * ids + columns.clamp(max=ids - 1)).flatten(1)
    values = log_probs.flatten(1).gather(1, place) + total.gather(1, place // ids)
    values, order = largest(values.masked_fill((columns >= ids).flatten(1), -torch.inf), count)
    return values, place.gather(1, order)
