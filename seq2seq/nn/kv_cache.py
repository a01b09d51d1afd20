"""Key-value caches of the Transformer decoder: grown by concatenation, preallocated and written in place, or only read.

Each class of cache has one method: `attend` takes the queries, keys and values (N, heads, 1, d) of a step, and returns
what each row attends to of its own steps so far (N, 1, D).
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from seq2seq.nn.interface import Memory, State
from seq2seq.nn.ops import devices

# Entry of a state with preallocated caches: (N, capacity, G) bool, the slots of each hypothesis's own tokens.
VISIBLE = "visible"
# The same (B, W, capacity, G) in a state whose caches are only read, and which the caller writes (`ReadOnlyCache`).
PAST = "past"


class OwnAttention(Protocol):
    """What the caches need of a layer's self-attention."""

    @property
    def out(self) -> Callable[[Tensor], Tensor]:
        """The projection of what the heads attend to, (..., D) -> (..., D)."""
        ...

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """q, k, v (B, heads, N, d) -> (B, N, D)."""
        ...


class Attendable(NamedTuple):
    """The arguments of scaled dot-product attention; the shapes are those of the cache."""

    query: Tensor
    keys: Tensor
    values: Tensor
    mask: Tensor | None


def cache_names(layer: int) -> tuple[str, str]:
    """The names of a layer's caches in the state."""
    return f"own_keys{layer}", f"own_values{layer}"


def empty(memory: Memory, layers: int, heads: int, capacity: int | None = None) -> State:
    """The state before the first step: step numbers (B,) and empty caches, to grow or for `capacity` steps."""
    B, D = memory.mask.size(0), memory.states.size(-1)
    size = (0,) if capacity is None else (capacity, 1)
    state = {"number": torch.zeros(B, dtype=torch.long, device=memory.mask.device)}
    for layer in range(layers):
        for name in cache_names(layer):
            state[name] = memory.states.new_zeros(B, heads, *size, D // heads)
    if capacity is not None:
        state[VISIBLE] = memory.mask.new_zeros(B, capacity, 1)
    return state


class Cache:
    """Base of the caches."""

    next_state: State

    def append(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Attendable:
        """Append the query, key and value (N, heads, 1, d) of a step."""
        raise NotImplementedError

    def attend(self, layer: int, own: OwnAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Append a step; what its rows attend to of their past and themselves, (N, 1, D) or (N / G, G, D)."""
        return own.attend(*self.append(layer, query, key, value))


class GrowingCache(Cache):
    """One block per row, (N, heads, t, d), grown by concatenation: no tensor is changed, as torch.export requires."""

    def __init__(self, state: State) -> None:
        self.state, self.next_state = state, State()

    def append(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Attendable:
        """Append a step; no mask. Under autocast the cache has the wider dtype of the memory."""
        keys, values = (
            torch.cat((self.state[name], new.to(self.state[name].dtype)), 2)
            for name, new in zip(cache_names(layer), (key, value), strict=True)
        )
        self.next_state |= dict(zip(cache_names(layer), (keys, values), strict=True))
        return Attendable(query, keys, values, None)


class PreallocatedCache(Cache):
    """One block per group of G hypotheses, (N / G, heads, capacity, G, d), written in place.

    What hypothesis g computed at step t stays in slot (t, g). Reordering hypotheses moves no key and no value: it only
    changes which slots are the past of each hypothesis, in VISIBLE (N, capacity, G)."""

    def __init__(self, state: State) -> None:
        visible = state[VISIBLE]
        rows, capacity, self.group = visible.shape
        self.state, self.number = state, state["number"][:1]
        self.length = steps_held(state, capacity, 1)
        self.write(visible, 1, own_slots(rows, self.group, visible.device).unsqueeze(1))
        self.mask = visible[:, : self.length].reshape(-1, 1, self.group, self.length * self.group)
        self.next_state: State = {VISIBLE: visible}

    def append(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Attendable:
        """Write a step.

        Returns queries (N / G, heads, G, d), keys and values (N / G, heads, steps * G, d), mask (N / G, 1, G, steps *
        G)."""
        caches = []
        for name, new in zip(cache_names(layer), (key, value), strict=True):
            new = self.grouped(new).unsqueeze(2).to(self.state[name].dtype)
            self.next_state[name] = self.write(self.state[name], 2, new)
            caches.append(self.next_state[name][:, :, : self.length].flatten(2, 3))
        return Attendable(self.grouped(query), caches[0], caches[1], self.mask)

    def write(self, cache: Tensor, dim: int, value: Tensor) -> Tensor:
        """Write `value` to the slots of this step, along `dim`, in place. Returns `cache`."""
        if devices.asynchronous(cache):
            return cache.index_copy_(dim, self.number, value)
        cache.narrow(dim, self.length - 1, 1).copy_(value)
        return cache

    def grouped(self, x: Tensor) -> Tensor:
        """(N, heads, 1, d) -> (N / G, heads, G, d)."""
        return x.squeeze(2).unflatten(0, (-1, self.group)).transpose(1, 2)


class ReadOnlyCache(Cache):
    """One block per sentence, (B, heads, capacity, G, d), for exported graphs: a step returns its keys and values
    (B, heads, W, d) in place of the blocks, and the caller writes them.

    So no graph copies the past. Slot (t, g) holds what hypothesis g computed at step t; PAST (B, W, capacity, G) says
    which slots are the past of each of W hypotheses."""

    def __init__(self, state: State) -> None:
        self.state, self.next_state = state, State()

    def attend(self, layer: int, own: OwnAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """One softmax over the scores of the past and of the step itself."""
        past, size = self.state[PAST].flatten(2), query.size(-1)
        query, key, value = (x.squeeze(2).unflatten(0, past.shape[:2]).transpose(1, 2) for x in (query, key, value))
        keys, values = (self.state[name].flatten(2, 3) for name in cache_names(layer))
        self.next_state |= dict(zip(cache_names(layer), (key, value), strict=True))
        query = query * size**-0.5
        before = (query @ keys.transpose(-2, -1)).masked_fill(~past.unsqueeze(1), -torch.inf)
        weights = torch.cat((before, (query * key).sum(-1, keepdim=True)), -1).softmax(-1)
        of_past, of_step = weights.split((past.size(2), 1), -1)
        attended = of_past @ values + of_step * value
        y: Tensor = own.out(attended.transpose(1, 2).flatten(0, 1).flatten(1)).unsqueeze(1)
        return y


def cache_of(state: State) -> Cache:
    """The cache of the kind that `state` holds."""
    if PAST in state:
        return ReadOnlyCache(state)
    return PreallocatedCache(state) if VISIBLE in state else GrowingCache(state)


def steps_held(state: State, capacity: int, more: int = 0) -> int:
    """The number of steps in the caches plus `more`; the whole capacity where reading it would make the host wait."""
    number = state["number"]
    return capacity if devices.asynchronous(number) or not len(number) else int(number[0]) + more


def own_slots(rows: int, group: int, device: torch.device) -> Tensor:
    """(N, G) bool: the slot of its block that each row writes."""
    return torch.arange(rows, device=device).unsqueeze(1) % group == torch.arange(group, device=device)


def select(rows: Tensor, state: State) -> State:
    """As interface.Model.select; preallocated caches are copied only if necessary."""
    flat = rows.flatten()
    if VISIBLE not in state:
        return {name: value.index_select(0, flat) for name, value in state.items()}
    chosen = {name: value.index_select(0, flat) for name, value in state.items() if not name.startswith("own_")}
    caches = {name: value for name, value in state.items() if name.startswith("own_")}
    group, width = state[VISIBLE].size(2), rows.size(1) if rows.dim() == 2 else 1
    if group == width > 1:
        if rows.size(0) == len(state[VISIBLE]) // group:  # the same sentences: every block stays where it is
            return chosen | caches
        blocks = rows[:, 0] // group
        return chosen | {name: value.index_select(0, blocks) for name, value in caches.items()}
    held = steps_held(state, chosen[VISIBLE].size(1))
    slot = chosen[VISIBLE][:, :held].int().argmax(2)[:, None, :, None, None]  # (N', 1, held, 1, 1)
    chosen[VISIBLE] = chosen[VISIBLE].any(2, keepdim=True) & own_slots(len(flat), width, flat.device).unsqueeze(1)
    return chosen | {name: regroup(value, flat // group, slot, width) for name, value in caches.items()}


def regroup(cache: Tensor, blocks: Tensor, slot: Tensor, width: int) -> Tensor:
    """A cache (N / G, heads, capacity, G, d) as blocks of `width` rows.

    The past of row n is in block `blocks[n]`, at `slot[n]` (N', 1, steps, 1, 1) of each step."""
    _, heads, capacity, _, size = cache.shape
    held = cache[:, :, : slot.size(2)].index_select(0, blocks)  # (N', heads, steps, G, d)
    own = held.gather(3, slot.expand(-1, heads, -1, -1, size)).squeeze(3).unflatten(0, (-1, width))
    regrouped = cache.new_zeros(len(blocks) // width, heads, capacity, width, size)
    regrouped[:, :, : slot.size(2)] = own.permute(0, 2, 3, 1, 4)
    return regrouped
