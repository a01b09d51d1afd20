"""Which source positions may a step see? One class per answer, one row per class in WINDOWS (Luong et al. 2015, section 3.2)."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.nn.linear import Linear


class View(NamedTuple):
    """What a window lets through."""

    allowed: Tensor  # (B, T or 1, S) bool; at least one position of every row
    gain: Tensor | None = None  # (B, T, S) in [0, 1], multiplies the weights after they were normalised


class Window(nn.Module):
    """Narrows the source mask for each target step."""

    uses: ClassVar[frozenset[str]] = frozenset()  # {"width"} where it reads that setting
    gains: ClassVar[bool] = False  # whether its views have a gain
    single: ClassVar[bool] = False  # whether they allow one position, whose weight is 1 whatever its score

    def __init__(self, query_size: int, width: int) -> None:
        """width: D, positions to either side of the centre."""
        super().__init__()
        self.width = width

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        """query (B, T, Q), number of the step from 0 (B, T), mask (B, S) -> the view of each step."""
        raise NotImplementedError

    def around(self, center: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """center (B, T), mask (B, S) -> allowed (B, T, S), distance from the centre (B, T, S).

        A centre behind the end counts as the last position, so that no step is left blind."""
        center = torch.minimum(center, (mask.sum(-1, keepdim=True) - 1).to(center.dtype))
        distance = torch.arange(mask.size(-1), device=mask.device) - center.unsqueeze(-1)
        return mask.unsqueeze(1) & (distance.abs() <= self.width), distance


class Everywhere(Window):
    """all positions ("global")  (Luong et al. 2015, section 3.1)."""

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        return View(mask.unsqueeze(1))


class LocalM(Window):
    """|s - t| <= D ("monotonic")  (Luong et al. 2015, section 3.2, local-m)."""

    uses = frozenset({"width"})

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        return View(self.around(step, mask)[0])


class LocalP(Window):
    """|s - p| <= D, p = S sigmoid(v . tanh(W q)), then times exp(-2 (s - p)^2 / D^2)  (Luong et al. 2015, eq. 9-10, local-p).

    S is the length of the source, EOS included; p is not rounded, and the weights are not normalised again."""

    uses = frozenset({"width"})
    gains = True

    def __init__(self, query_size: int, width: int) -> None:
        super().__init__(query_size, width)
        self.inner = Linear(query_size, query_size, bias=False)
        self.outer = Linear(query_size, 1, bias=False)

    def center(self, query: Tensor, mask: Tensor) -> Tensor:
        """(B, T, Q), (B, S) -> p (B, T), in positions from 0."""
        share = self.outer(self.inner(query).tanh()).squeeze(-1)
        return share.to(torch.promote_types(share.dtype, torch.float32)).sigmoid() * mask.sum(-1, keepdim=True)

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        allowed, distance = self.around(self.center(query, mask), mask)
        return View(allowed, torch.exp(-2 * (distance / self.width).square()))  # sigma = D / 2


class Last(Window):
    """the last position only: no attention  (Sutskever et al. 2014)."""

    single = True

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        last = torch.arange(mask.size(-1), device=mask.device) == mask.sum(-1, keepdim=True) - 1  # (B, S)
        return View(last.unsqueeze(1))


WINDOWS: dict[str, type[Window]] = {"everywhere": Everywhere, "local_m": LocalM, "local_p": LocalP, "last": Last}
