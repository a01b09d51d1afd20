"""Where does a Transformer's decoder keep the keys and values of the steps before? In two ways, of the same numbers.

given to a layer   queries, keys, values (N, heads, 1, d) of this step
given back         the same with all steps so far, and what may be seen of them, for scaled dot-product attention
"""

import torch
from torch import Tensor

from seq2seq.nn.interface import State

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
        self.seen.index_copy_(1, self.number, slots(rows, self.group, self.seen.device).unsqueeze(1))
        # only the processor may ask how many steps there are, a device would be waited for
        self.used = int(self.number) + 1 if self.seen.is_cpu else capacity
        self.allowed = self.seen[:, : self.used].reshape(-1, 1, self.group, self.used * self.group)
        self.after: State = {SEEN: self.seen}

    def add(self, layer: int, query: Tensor, *new: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """One step more: queries (N / G, heads, G, d), keys and values (N / G, heads, steps * G, d)."""
        for name, value in zip(names(layer), new, strict=True):
            self.after[name] = self.state[name].index_copy_(2, self.number, self.grouped(value).unsqueeze(2).to(self.state[name].dtype))
        whole = (self.after[name][:, :, : self.used].flatten(2, 3) for name in names(layer))
        return self.grouped(query), *whole, self.allowed  # type: ignore[return-value]

    def grouped(self, x: Tensor) -> Tensor:
        """(N, heads, 1, d) -> (N / G, heads, G, d)."""
        return x.squeeze(2).unflatten(0, (-1, self.group)).transpose(1, 2)


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
    slot = chosen[SEEN].int().argmax(2)[:, None, :, None, None]  # (N', 1, capacity, 1, 1)
    chosen[SEEN] = chosen[SEEN].any(2, keepdim=True) & slots(len(flat), width, flat.device).unsqueeze(1)
    return chosen | {name: regrouped(value.index_select(0, flat // group), slot, width) for name, value in caches.items()}


def regrouped(cache: Tensor, slot: Tensor, width: int) -> Tensor:
    """The past of each row, (N', heads, capacity, G, d) with the slots that are its own, -> blocks of `width` rows."""
    own = cache.gather(3, slot.expand(-1, cache.size(1), -1, -1, cache.size(4))).squeeze(3)  # (N', heads, capacity, d)
    return own.unflatten(0, (-1, width)).permute(0, 2, 3, 1, 4).contiguous()
