"""Models to test searches on: no networks, their probabilities are looked up in a table or hashed."""

from types import SimpleNamespace

import pytest
import torch

from seq2seq.ids import EOS, PAD
from seq2seq.nn.interface import LOGIT_MASK, Memory, Output

PRIME = 2147483647


class Fake:
    """Base class of the models. The state holds all tokens fed so far, so a search that does not reorder it is caught.

    Subclasses define `features` of the tokens so far, and `logits` of the features."""

    max_source = max_target = None

    def __init__(self, size, copies=False, dtype=torch.float64):
        self.size, self.copies, self.dtype, self.head = size, copies, dtype, self
        self.rows, self.batches = [], []  # of each step

    def encode(self, source, copy=None):
        mask = source != PAD
        key = hashed(torch.where(mask, source, 0) + 1, mask)
        return Memory(source, source[..., None].double(), mask, key[:, None], {})

    def start(self, memory, capacity=None):
        rows = len(memory.mask)
        return {"tokens": torch.zeros(rows, capacity, dtype=torch.long), "length": torch.zeros(rows, dtype=torch.long)}

    def step(self, token, state, memory, attention=False):
        rows, batch = len(token), len(memory.mask)
        assert rows % batch == 0, "memory does not fit the rows"
        assert len(state["tokens"]) == rows, "the state does not fit the rows"
        self.rows.append(rows)
        self.batches.append(batch)
        tokens, length = state["tokens"], state["length"]
        state.clear()  # spent
        tokens.scatter_(1, length[:, None], token[:, None])
        length = length + 1
        key = memory.summary[:, 0].repeat_interleave(rows // batch)
        inside = torch.arange(tokens.shape[1]) < length[:, None]
        features = self.features(key, tokens, inside)
        mask = memory.mask.repeat_interleave(rows // batch, 0)
        return Output(features, self.attend(features, mask) if attention else None), {
            "tokens": tokens,
            "length": length,
        }

    def attend(self, features, mask):
        scores = (features[:, :1] * (torch.arange(mask.shape[1]) * 7919 + 13) % 10007).to(self.dtype) / 2000
        return scores.masked_fill(~mask, -torch.inf).softmax(-1)

    def select(self, rows, state):
        assert rows.dim() == 2, "rows must be grouped by sentence"
        assert (rows // (len(state["length"]) // self.batches[-1])).eq(self.sentences(rows, state)).all(), (
            "rows of other sentences"
        )
        return {name: value[rows.flatten()] for name, value in state.items()}

    def sentences(self, rows, state):
        """The sentences that rows must belong to: the first row's, and their own index if no sentence has left."""
        first = rows[:, :1] // (len(state["length"]) // self.batches[-1])
        return first if len(rows) < self.batches[-1] else torch.arange(len(rows))[:, None]

    def decode(self, target_in, memory, attention=False):
        state, outputs = self.start(memory, target_in.shape[1]), []
        for token in target_in.unbind(1):
            output, state = self.step(token, state, memory, attention)
            outputs.append(output)
        weights = torch.stack([o.weights for o in outputs], 1) if attention else None
        return Output(torch.stack([o.features for o in outputs], 1), weights)

    def log_probs(self, output, memory, rows=None):
        flat = output.features.flatten(0, -2)
        batch = len(memory.mask)
        logits = self.logits(flat, memory)
        if self.copies:
            mask = memory.mask.repeat_interleave(len(flat) // batch, 0)
            copy = self.attend(flat + 5, mask).log() + 0.5
            logits = torch.cat([logits, copy.masked_fill(~mask, -torch.inf)], 1)
        return logits.log_softmax(-1).unflatten(0, output.features.shape[:-1])


class Hashed(Fake):
    """Log-probabilities depend on the sentence and on every token before; few `levels` give many ties."""

    def __init__(self, size, seed=0, levels=10007, scale=4.0, end=0.0, **options):
        super().__init__(size, **options)
        self.seed, self.levels, self.scale, self.end = seed, levels, scale, end

    def features(self, key, tokens, inside):
        return hashed(torch.cat([key[:, None] + self.seed, tokens + 1], 1), torch.cat([inside[:, :1], inside], 1))[
            :, None
        ]

    def logits(self, flat, memory):
        level = flat * (torch.arange(self.size) * 7919 + 13) % 10007 % self.levels
        logits = level.to(self.dtype) / self.levels * self.scale
        logits[:, EOS] += self.end
        return logits


class Barred(Hashed):
    """Has the whole vocabulary, with ids that a sentence may not use at -inf."""

    def log_probs(self, output, memory, rows=None):
        found = super().log_probs(output, memory)
        each = len(output.features) // len(memory.mask)
        barred = memory.cached[LOGIT_MASK].repeat_interleave(each, 0)
        return (found + torch.nn.functional.pad(barred, (0, found.shape[-1] - barred.shape[1]))).log_softmax(-1)


class Reducible(Hashed):
    """Can be reduced to some ids of its vocabulary."""

    ids = None

    def restrict_vocabulary(self, ids):
        other = Reducible(self.size, seed=self.seed, copies=self.copies)
        other.ids = ids
        return other

    def step(self, token, state, memory, attention=False):
        if self.ids is None:
            return super().step(token, state, memory, attention)
        whole = torch.where(
            token < len(self.ids), self.ids[token.clamp(max=len(self.ids) - 1)], token - len(self.ids) + self.size
        )
        return super().step(whole, state, memory, attention)

    def logits(self, flat, memory):
        barred = memory.cached[LOGIT_MASK].repeat_interleave(len(flat) // len(memory.mask), 0)
        return super().logits(flat, memory)[:, self.ids] + barred


class Markov(Fake):
    """A Markov chain: the next token depends on the last one alone, with probabilities `table` (V, V)."""

    def __init__(self, table):
        super().__init__(len(table))
        self.table = torch.as_tensor(table, dtype=torch.float64)
        self.table[self.table.sum(1) == 0] = 1 / len(table)  # states without transitions: any distribution

    def features(self, key, tokens, inside):
        last = inside.sum(1, keepdim=True) - 1
        return tokens.gather(1, last)

    def logits(self, flat, memory):
        return self.table[flat[:, 0]].log()


def hashed(ids, inside):
    """A hash (N,) of the ids (N, L) that are `inside`."""
    value = torch.ones(len(ids), dtype=torch.long)
    for column, kept in zip(ids.unbind(1), inside.unbind(1), strict=True):
        value = torch.where(kept, (value * 48271 + column * 69621) % PRIME, value)
    return value


def sources(count, seed=0, longest=7):
    """Padded sources (count, S) of 1 to `longest` tokens and EOS."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        size = int(torch.randint(1, longest + 1, (1,), generator=generator))
        rows.append(torch.tensor([*torch.randint(4, 50, (size,), generator=generator).tolist(), EOS]))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


def step_function(model, memory):
    """A model as a step function of search_one for one sentence, and its first state."""
    size = int(memory.mask.sum())
    short = Memory(memory.tokens[:, :size], memory.states[:, :size], memory.mask[:, :size], memory.summary, {})

    def step(tokens, state):
        tensors = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
        output, new = model.step(torch.from_numpy(tokens), tensors, short, True)
        log_probs = model.head.log_probs(output, short)
        return log_probs.numpy(), output.weights.numpy(), {name: value.numpy() for name, value in new.items()}

    return step, {name: value.numpy() for name, value in model.start(short, 64).items()}


@pytest.fixture
def fakes():
    return SimpleNamespace(
        Hashed=Hashed, Barred=Barred, Reducible=Reducible, Markov=Markov, sources=sources, step_function=step_function
    )
