"""Where does a Transformer's decoder keep the keys and values of the steps before? In two ways, of the same numbers.

given to a layer   queries, keys, values (N, heads, 1, d) of this step
given back         the same with all steps so far, and what may be seen of them, for scaled dot-product attention
"""

import torch
from torch import Tensor

from seq2seq.nn.interface import State
from seq2seq.nn.ops import devices

SEEN = "seen"  # of a state whose caches have room


def names(layer: int) -> tuple[str, str]:
    """What the caches of a layer are called in the state."""
    return f"own_keys{layer}", f"own_values{layer}"


class Growing:
    """A row's own past, (N, heads, t, d), grown by concatenation: no value is ever changed, as export wants it."""

    def __init__(self, state: State) -> None:
        self.state, self.after = state, State()

    def add(self, layer: int, query: Tensor, *new: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """One step more. Under autocast the memory, and so the cache, is wider than what comes."""
        for name, value in zip(names(layer), new, strict=True):
            self.after[name] = torch.cat((self.state[name], value.to(self.state[name].dtype)), 2)
        return query, *(self.after[name] for name in names(layer)), None  # type: ignore[return-value]


class Room:
    """A block for each group of G hypotheses, (N / G, heads, capacity, G, d), written in place.

    What hypothesis g computed at step t stays in slot (t, g) for good. A reordering moves none of it, it only changes
    which slots each hypothesis has as its past: `seen` (N, capacity, G)."""

    def __init__(self, state: State) -> None:
        self.seen = state[SEEN]
        rows, capacity, self.group = self.seen.shape
        self.state, self.number = state, state["number"][:1]
        self.used = used(state, capacity, 1)
        self.write(self.seen, 1, slots(rows, self.group, self.seen.device).unsqueeze(1))
        self.allowed = self.seen[:, : self.used].reshape(-1, 1, self.group, self.used * self.group)
        self.after: State = {SEEN: self.seen}

    def add(self, layer: int, query: Tensor, *new: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """One step more: queries (N / G, heads, G, d), keys and values (N / G, heads, steps * G, d)."""
        for name, value in zip(names(layer), new, strict=True):
            self.after[name] = self.write(
                self.state[name], 2, self.grouped(value).unsqueeze(2).to(self.state[name].dtype)
            )
        whole = (self.after[name][:, :, : self.used].flatten(2, 3) for name in names(layer))
        return self.grouped(query), *whole, self.allowed  # type: ignore[return-value]

    def write(self, cache: Tensor, dim: int, value: Tensor) -> Tensor:
        """Put in the place of this step what it made."""
        if devices.asynchronous(cache):
            return cache.index_copy_(dim, self.number, value)
        cache.narrow(dim, self.used - 1, 1).copy_(value)
        return cache

    def grouped(self, x: Tensor) -> Tensor:
        """(N, heads, 1, d) -> (N / G, heads, G, d)."""
        return x.squeeze(2).unflatten(0, (-1, self.group)).transpose(1, 2)


def used(state: State, capacity: int, more: int = 0) -> int:
    """Steps that a cache holds, and `more`; all of it where asking how many there are would wait."""
    number = state["number"]
    return capacity if devices.asynchronous(number) or not len(number) else int(number[0]) + more


def slots(rows: int, group: int, device: torch.device) -> Tensor:
    """(N, G) bool: which slot of its block a row writes."""
    return torch.arange(rows, device=device).unsqueeze(1) % group == torch.arange(group, device=device)


def select(rows: Tensor, state: State) -> State:
    """The states of `rows`, (N',) or (B', W') as in interface.Model.select; caches with room are only moved where they must be."""
    flat = rows.flatten()
    if SEEN not in state:
        return {name: value.index_select(0, flat) for name, value in state.items()}
    chosen = {name: value.index_select(0, flat) for name, value in state.items() if not name.startswith("own_")}
    caches = {name: value for name, value in state.items() if name.startswith("own_")}
    group, width = state[SEEN].size(2), rows.size(1) if rows.dim() == 2 else 1
    if group == width > 1:
        moved = rows.size(0) != len(state[SEEN]) // group
        blocks = rows[:, 0] // group
        return chosen | {name: value.index_select(0, blocks) if moved else value for name, value in caches.items()}
    held = used(state, chosen[SEEN].size(1))
    slot = chosen[SEEN][:, :held].int().argmax(2)[:, None, :, None, None]  # (N', 1, held, 1, 1)
    chosen[SEEN] = chosen[SEEN].any(2, keepdim=True) & slots(len(flat), width, flat.device).unsqueeze(1)
    return chosen | {name: regrouped(value, flat // group, slot, width) for name, value in caches.items()}


def regrouped(cache: Tensor, blocks: Tensor, slot: Tensor, width: int) -> Tensor:
    """(N / G, heads, capacity, G, d) -> blocks of `width` rows, whose pasts are in `blocks` (N') and the `slot` of each step."""
    _, heads, capacity, _, size = cache.shape
    held = cache[:, :, : slot.size(2)].index_select(0, blocks)  # (N', heads, held, G, d)
    own = held.gather(3, slot.expand(-1, heads, -1, -1, size)).squeeze(3).unflatten(0, (-1, width))
    made = cache.new_zeros(len(blocks) // width, heads, capacity, width, size)
    made[:, :, : slot.size(2)] = own.permute(0, 2, 3, 1, 4)
    return made
