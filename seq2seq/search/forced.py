"""Forced decoding: log-probabilities and attention of given target sentences."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.ids import BOS, EOS, PAD
from seq2seq.nn.interface import Memory, Model, Output
from seq2seq.runtime.hypothesis import Hypothesis
from seq2seq.search.ensemble import check_models, log_mean_probability, mean_attention

MAX_POSITIONS = 1024  # target positions whose log-probabilities (V,) exist at the same time


@torch.inference_mode()
def score_targets(
    models: Sequence[Model],
    memories: Sequence[Memory],
    targets: Sequence[Sequence[int]],
    *,
    attention: bool = False,
) -> list[Hypothesis]:
    """`targets`, ids without BOS and EOS, as finished hypotheses; their score is their log-probability.

    Several models count with their mean probability. All steps are computed together by `Model.decode`; the figures
    equal what a search reports for the same tokens."""
    if not targets:
        return []
    check_models(models, memories)
    sizes = memories[0].lengths
    longest = max(map(len, targets)) + 1
    padded = [[BOS, *ids, EOS, *[PAD] * (longest - 1 - len(ids))] for ids in targets]
    ids = torch.tensor(padded, device=sizes.device)  # (B, T + 1)
    outputs = [model.decode(ids[:, :-1], memory, attention) for model, memory in zip(models, memories, strict=True)]
    log_probs = target_log_probs(models, memories, outputs, ids[:, 1:]).tolist()
    weights = mean_attention([output.weights for output in outputs]).cpu() if attention else None
    found = []
    for b, (target, size) in enumerate(zip(targets, sizes.tolist(), strict=True)):
        steps = len(target) + 1
        token_log_probs = log_probs[b][:steps]
        total = sum(token_log_probs)
        own = None if weights is None else weights[b, :steps, :size].clone()
        found.append(Hypothesis(list(target), total, total, token_log_probs, True, own))
    return found


def target_log_probs(
    models: Sequence[Model], memories: Sequence[Memory], outputs: Sequence[Output], targets: Tensor
) -> Tensor:
    """Log-probabilities (B, T) of targets (B, T) under the models' mean.

    A few steps at a time, so that (B, T, V) never exists as a whole."""
    batch, steps = targets.shape
    chunk = max(1, MAX_POSITIONS // batch)
    taken = []
    for start in range(0, steps, chunk):
        piece = slice(start, start + chunk)
        parts = zip(models, outputs, memories, strict=True)
        log_probs = log_mean_probability(
            [model.head.log_probs(slice_steps(output, piece), memory) for model, output, memory in parts]
        )
        taken.append(log_probs.gather(2, targets[:, piece, None])[..., 0])
    return torch.cat(taken, 1)


def slice_steps(output: Output, steps: slice) -> Output:
    """The target steps `steps` of an output of `Model.decode`, without its maps."""
    weights, parts = (None if part is None else part[:, steps] for part in (output.weights, output.parts))
    return Output(output.features[:, steps], weights, parts=parts)
