"""Windows on the source: the positions that a target step can attend to, registered in `WINDOWS`."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.nn.ops.linear import Linear


class WindowConfig(NamedTuple):
    """The form of a local window; fields are named as the settings of model.attention."""

    width: int = 10  # D
    window_size: str = "2D+1"  # or "2D", without the position at p + D
    center_range: str = "S"  # the predicted centre is a share of S, or of "S-1"
    rounding: str = "none"  # or "floor": of the centre of the window, not of the Gaussian
    renormalize: bool = False  # weights sum to one after the Gaussian, too
    center_rate: float = 1.0  # learning rate of the predicted centre, as a share of that of the model


DEFAULT_WINDOW = WindowConfig()


class View(NamedTuple):
    """The positions that each step can attend to. Leading dimensions are (B,), or (B, heads) where each head has its
    own view."""

    allowed: Tensor  # (B, T or 1, S) bool; at least one position of every row
    gain: Tensor | None = None  # (B, T, S) in [0, 1], multiplies the normalized weights
    renormalize: bool = False  # whether they are then normalized again
    center: Tensor | None = None  # (B, T) predicted, in positions from 0

    def per_head(self) -> "View":
        """The view with a dimension for heads, (B, 1 or heads, T, S)."""
        if self.allowed.dim() == 4:
            return self
        return self._replace(
            allowed=self.allowed.unsqueeze(1), gain=None if self.gain is None else self.gain.unsqueeze(1)
        )


class Window(nn.Module):
    """Base of the windows: narrows the source mask for each target step."""

    uses: ClassVar[frozenset[str]] = frozenset()  # the fields of WindowConfig that it reads
    gains: ClassVar[bool] = False  # whether its views have a gain
    single: ClassVar[bool] = False  # whether they allow one position only, whose weight is 1 whatever its score

    def __init__(self, query_size: int, config: WindowConfig = DEFAULT_WINDOW, heads: int | None = None) -> None:
        """query_size: Q. heads: of multi-head attention, each with a view of its own; None: one view."""
        super().__init__()
        self.config, self.heads = config, heads

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        """query (B, T, Q), step (B, T) the number of each step from 0, mask (B, S) -> the view of each step."""
        raise NotImplementedError

    def around(self, center: Tensor, mask: Tensor) -> Tensor:
        """center (..., T), at most D after the last position, mask (..., S) -> those within D of it (..., T, S)."""
        positions, center, D = torch.arange(mask.size(-1), device=mask.device), center.unsqueeze(-1), self.config.width
        right = positions < center + D if self.config.window_size == "2D" else positions <= center + D
        return mask.unsqueeze(-2) & (positions >= center - D) & right


class Everywhere(Window):
    """all positions ("global")  (Luong et al. 2015, section 3.1)."""

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        return View(mask.unsqueeze(1))


class LocalM(Window):
    """|s - t| <= D ("monotonic")  (Luong et al. 2015, section 3.2, local-m).

    Steps after the end of the source have the window of its last position."""

    uses = frozenset({"width", "window_size"})

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        last = mask.sum(-1, keepdim=True) - 1  # a long translation would otherwise see nothing at its end
        return View(self.around(torch.minimum(step, last), mask))


class LocalP(Window):
    """|s - p| <= D, p = S sigmoid(v . tanh(W q)), then times exp(-2 (s - p)^2 / D^2)  (Luong et al. 2015,
    eq. 9-10, local-p).

    S is the length of the source, EOS included, so that p, counted from 0, lies at most 1 after the last position. Each
    head predicts its own p with its own v. Luong's code differs from the paper: p = (S - 1) sigmoid(...), the window,
    but not the Gaussian, is centred at floor(p), and weights can be normalized once more."""

    uses = frozenset(WindowConfig._fields)
    gains = True

    def __init__(self, query_size: int, config: WindowConfig = DEFAULT_WINDOW, heads: int | None = None) -> None:
        super().__init__(query_size, config, heads)
        self.inner = Linear(query_size, query_size, bias=False)
        self.outer = Linear(query_size, heads or 1, bias=False)

    def center(self, query: Tensor, mask: Tensor) -> Tensor:
        """(B, T, Q), (B, S) -> p (B, T), or (B, heads, T), in positions from 0."""
        share = self.outer(self.inner(query).tanh()).transpose(-2, -1)  # (B, heads, T)
        length = mask.sum(-1).view(-1, 1, 1) - int(self.config.center_range == "S-1")
        center = share.to(torch.promote_types(share.dtype, torch.float32)).sigmoid() * length
        return center if self.heads else center.squeeze(1)

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        center = self.center(query, mask)
        distance = torch.arange(mask.size(-1), device=mask.device) - center.unsqueeze(-1)
        allowed = self.around(
            center.floor() if self.config.rounding == "floor" else center,
            mask if center.dim() == 2 else mask.unsqueeze(1),
        )
        gain = torch.exp(-2 * (distance / self.config.width).square())  # sigma = D / 2
        return View(allowed, gain, self.config.renormalize, center)


class Last(Window):
    """the last position only: no attention  (Sutskever et al. 2014)."""

    single = True

    def forward(self, query: Tensor, step: Tensor, mask: Tensor) -> View:
        last = torch.arange(mask.size(-1), device=mask.device) == mask.sum(-1, keepdim=True) - 1  # (B, S)
        return View(last.unsqueeze(1))


WINDOWS: dict[str, type[Window]] = {"everywhere": Everywhere, "local_m": LocalM, "local_p": LocalP, "last": Last}
