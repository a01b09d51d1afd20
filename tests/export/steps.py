"""Steps of exported graphs beside those of the model that they were exported from."""

import numpy as np
import torch

from seq2seq.ids import BOS, EOS, PAD

LENGTHS = (9, 5, 1)
COUNT = 4  # likeliest next tokens


def sources(lengths=LENGTHS):
    """Random sources of these lengths, EOS included, in a batch, and what copying their tokens yields."""
    source = torch.randint(4, 11, (len(lengths), max(lengths)))
    copy = torch.randint(4, 15, source.shape)  # 13, 14: unknown words
    for row, length in zip(source, lengths, strict=True):
        row[length - 1], row[length:] = EOS, PAD
    return source, copy.where(source > EOS, source)


def hypotheses(sentences, before, width):
    """Random last tokens (B, W), and which of the hypotheses before they continue."""
    return torch.randint(4, 14, (sentences, width)), torch.randint(0, before, (sentences, width))


def assert_steps_are_those_of(model, graphs, steps=6, atol=2e-5, select=None):
    """Random hypotheses, whose number changes, have the log-probabilities and weights of the model itself."""
    source, copy = sources()
    decoding = graphs.encode(source.numpy(), copy.numpy())
    memory = model.encode(source, copy)
    state = model.start(memory)
    B, before = len(source), 1
    tokens, parents = torch.full((B, 1), BOS), torch.zeros(B, 1, dtype=torch.long)
    for step in range(steps):
        B, W = tokens.shape
        forbidden = torch.tensor([PAD, 4 + step % 8]).expand(B, W, 2)
        found = decoding.step(tokens.numpy(), parents.numpy(), forbidden.numpy(), COUNT, log_probs=True, attention=True)
        state = model.select((parents + before * torch.arange(B)[:, None]).flatten(), state)
        output, state = model.step(tokens.flatten(), state, memory, attention=True)
        expected = model.head.log_probs(output, memory).unflatten(0, (B, W)).scatter(2, forbidden, -torch.inf)
        for got, wanted in ((found.log_probs, expected), (found.scores, expected.topk(COUNT).values)):
            torch.testing.assert_close(torch.from_numpy(got), wanted, rtol=1e-5, atol=atol)
        chosen = torch.from_numpy(found.log_probs).gather(2, torch.from_numpy(found.ids))
        torch.testing.assert_close(torch.from_numpy(found.scores), chosen, rtol=0, atol=0)
        weights = output.weights.unflatten(0, (B, W))
        torch.testing.assert_close(torch.from_numpy(found.weights), weights, rtol=0, atol=atol)
        if step == select:  # the second sentence leaves
            staying = torch.tensor([0, 2])
            decoding.select(staying.numpy())
            rows = (staying[:, None] * W + torch.arange(W)).flatten()
            memory, state, B = memory.select(staying), model.select(rows, state), 2
        before = W
        tokens, parents = hypotheses(B, before, (3, 5, 2)[step % 3])


def assert_candidates_are_those_of(model, graphs, atol=2e-5):
    """Log-probabilities of candidates are those of a model restricted to them, and each sentence has its own."""
    source, _ = sources()
    ids = torch.tensor([0, 1, 2, 3, 5, 8, 9])
    mask = torch.zeros(len(source), len(ids)).index_put_(
        (torch.tensor([1]), torch.tensor([5])), torch.tensor(-torch.inf)
    )
    copy = torch.searchsorted(ids, source.where(torch.isin(source, ids), PAD))
    restricted = model.restrict_vocabulary(ids)
    memory = restricted.encode(source, copy)
    memory.cached["logit_mask"] = mask
    decoding = graphs.encode(source.numpy(), copy.numpy(), ids.numpy(), mask.numpy())
    state = restricted.start(memory)
    for number in (BOS, 4, 5):  # the restricted model reads numbers of candidates, the graphs their ids
        tokens = np.full((3, 1), ids[number])
        output, state = restricted.step(torch.full((3,), number), state, memory)
        expected = restricted.head.log_probs(output, memory).unflatten(0, (3, 1))
        expected[..., PAD] = -torch.inf
        found = decoding.step(tokens, np.zeros((3, 1), int), np.full((3, 1, 1), PAD), COUNT, log_probs=True)
        torch.testing.assert_close(torch.from_numpy(found.log_probs), expected, rtol=0, atol=atol)
