"""How likely is a given target sentence?"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.ids import BOS, EOS, PAD
from seq2seq.nn.interface import Memory, Model, Output
from seq2seq.search.ensemble import mean_attention, mean_probability
from seq2seq.search.hypothesis import Hypothesis

ROWS = 1024  # positions whose (V,) log-probabilities exist at the same time


@torch.inference_mode()
def score(
    models: Sequence[Model], memories: Sequence[Memory], targets: Sequence[Sequence[int]], attention: bool = False
) -> list[Hypothesis]:
    """`targets`, ids without BOS and EOS, as finished hypotheses; their score is their log-probability under the models' mean.

    Every step at once by `decode`; equals what a search reports for the same tokens."""
    if not targets:
        return []
    mask = memories[0].mask
    longest = max(map(len, targets)) + 1
    padded = [[BOS, *ids, EOS, *[PAD] * (longest - 1 - len(ids))] for ids in targets]
    ids = torch.tensor(padded, device=mask.device)  # (B, T + 1)
    outputs = [model.decode(ids[:, :-1], memory, attention) for model, memory in zip(models, memories, strict=True)]
    token_log_probs = of_targets(models, memories, outputs, ids[:, 1:]).tolist()
    weights = mean_attention([output.weights for output in outputs]).cpu() if attention else None
    found = []
    for b, (target, size) in enumerate(zip(targets, mask.sum(1).tolist(), strict=True)):
        steps = len(target) + 1
        parts = token_log_probs[b][:steps]
        total = sum(parts)
        found.append(
            Hypothesis(
                list(target), total, total, parts, True, None if weights is None else weights[b, :steps, :size].clone()
            )
        )
    return found


def of_targets(
    models: Sequence[Model], memories: Sequence[Memory], outputs: Sequence[Output], targets: Tensor
) -> Tensor:
    """The mean log-probabilities (B, T) of targets (B, T), a few steps at a time: (B, T, V) never exists as a whole."""
    batch, steps = targets.shape
    chunk = max(1, ROWS // batch)
    taken = []
    for start in range(0, steps, chunk):
        piece = slice(start, start + chunk)
        log_probs = mean_probability(
            [
                model.head.log_probs(cut(output, piece), memory)
                for model, memory, output in zip(models, memories, outputs, strict=True)
            ]
        )
        taken.append(log_probs.gather(2, targets[:, piece, None])[..., 0])
    return torch.cat(taken, 1)


def cut(output: Output, steps: slice) -> Output:
    """The `steps` of an output of decode."""
    weights, parts = (None if part is None else part[:, steps] for part in (output.weights, output.parts))
    return Output(output.features[:, steps], weights, parts=parts)
