"""Which source positions may a step see? One class per answer, one row per class in WINDOWS (Luong et al. 2015, section 3.2)."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.nn.ops.linear import Linear


class WindowConfig(NamedTuple):
    """How far a window reaches from its centre; named as the settings of model.attention."""

    width: int = 10  # D
    window_size: str = "2D+1"  # or 2D: the position at p + D is out
    center_range: str = "S"  # what a predicted share is of: S, or S-1, that of the last position
    rounding: str = "none"  # or floor: of the centre, where it says what is allowed
    renormalize: bool = False  # weights sum to one after the gain as well


REACH = WindowConfig()


class View(NamedTuple):
    """What a window lets through. Leading dimensions are (B,), or (B, heads) where each head has a view of its own."""

    allowed: Tensor  # (B, T or 1, S) bool; at least one position of every row
    gain: Tensor | None = None  # (B, T, S) in [0, 1], multiplies the weights after they were normalised
    renormalize: bool = False  # whether they are then normalised again
    center: Tensor | None = None  # (B, T) predicted, in positions from 0

    def of_heads(self) -> "View":
        """The same with a place for heads, (B, 1 or heads, T, S)."""
        if self.allowed.dim() == 4:
            return self
        return self._replace(
            allowed=self.allowed.unsqueeze(1), gain=None if self.gain is None else self.gain.unsqueeze(1)
        )


class Window(nn.Module):
    """Narrows the source mask for each target step."""

    uses: ClassVar[frozenset[str]] = frozenset()  # the fields of WindowConfig that it reads
    gains: ClassVar[bool] = False  # whether its views have a gain
    single: ClassVar[bool] = False  # whether they allow one position, whose weight is 1 whatever its score

    def __init__(self, query_size: int, reach: WindowConfig = REACH, heads: int | None = None) -> None:
        """heads: of multi-head attention, whose views may differ; None: there are none."""
        super().__init__()
        self.reach, self.heads = reach, heads

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        """query (B, T, Q), number of the step from 0 (B, T), mask (B, S) -> the view of each step."""
        raise NotImplementedError

    def around(self, center: Tensor, mask: Tensor) -> Tensor:
        """center (B, T), less than D behind the last position, mask (B, S) -> allowed (B, T, S)."""
        positions, center, D = torch.arange(mask.size(-1), device=mask.device), center.unsqueeze(-1), self.reach.width
        right = positions < center + D if self.reach.window_size == "2D" else positions <= center + D
        return mask.unsqueeze(-2) & (positions >= center - D) & right


class Everywhere(Window):
    """all positions ("global")  (Luong et al. 2015, section 3.1)."""

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        return View(mask.unsqueeze(1))


class LocalM(Window):
    """|s - t| <= D ("monotonic")  (Luong et al. 2015, section 3.2, local-m).

    A step behind the end looks around the last position."""

    uses = frozenset({"width", "window_size"})

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        last = mask.sum(-1, keepdim=True) - 1  # else a long translation would be blind at its end
        return View(self.around(torch.minimum(step, last), mask))


class LocalP(Window):
    """|s - p| <= D, p = S sigmoid(v . tanh(W q)), then times exp(-2 (s - p)^2 / D^2)  (Luong et al. 2015, eq. 9-10, local-p).

    S is the length of the source, EOS included, so that p, from 0, may lie behind the last position, by 1 at most. Each head has a p
    of its own, by a v of its own. Luong's code differs from the paper: there p = (S - 1) sigmoid(...), and the window, but not the
    Gaussian, lies around floor(p); it can normalise once more."""

    uses = frozenset(WindowConfig._fields)
    gains = True

    def __init__(self, query_size: int, reach: WindowConfig = REACH, heads: int | None = None) -> None:
        super().__init__(query_size, reach, heads)
        self.inner = Linear(query_size, query_size, bias=False)
        self.outer = Linear(query_size, heads or 1, bias=False)

    def center(self, query: Tensor, mask: Tensor) -> Tensor:
        """(B, T, Q), (B, S) -> p (B, T), or (B, heads, T), in positions from 0."""
        share = self.outer(self.inner(query).tanh()).transpose(-2, -1)  # (B, heads, T)
        length = mask.sum(-1).view(-1, 1, 1) - int(self.reach.center_range == "S-1")
        center = share.to(torch.promote_types(share.dtype, torch.float32)).sigmoid() * length
        return center if self.heads else center.squeeze(1)

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        center = self.center(query, mask)
        distance = torch.arange(mask.size(-1), device=mask.device) - center.unsqueeze(-1)
        allowed = self.around(
            center.floor() if self.reach.rounding == "floor" else center,
            mask if center.dim() == 2 else mask.unsqueeze(1),
        )
        gain = torch.exp(-2 * (distance / self.reach.width).square())  # sigma = D / 2
        return View(allowed, gain, self.reach.renormalize, center)


class Last(Window):
    """the last position only: no attention  (Sutskever et al. 2014)."""

    single = True

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        last = torch.arange(mask.size(-1), device=mask.device) == mask.sum(-1, keepdim=True) - 1  # (B, S)
        return View(last.unsqueeze(1))


WINDOWS: dict[str, type[Window]] = {"everywhere": Everywhere, "local_m": LocalM, "local_p": LocalP, "last": Last}
