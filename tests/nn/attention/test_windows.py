"""Each window allows the positions, and has the gain, of its paper's formula."""

import math

import numpy as np
import pytest
import torch

from seq2seq.nn.attention.windows import WINDOWS, LocalP, WindowConfig

LENGTHS = (5, 3)  # of two sentences in S = 5 positions
MASK = torch.arange(5) < torch.tensor(LENGTHS)[:, None]


def view(name, step, width=1, query=None):
    """The view of sentences in MASK at `step` (B, T)."""
    step = torch.tensor(step)
    query = torch.randn(*step.shape, 4) if query is None else query
    return WINDOWS[name](4, WindowConfig(width))(query, step, MASK)


def allowed_positions(view):
    """The positions that are allowed, for every sentence and step."""
    return [[row.nonzero().flatten().tolist() for row in sentence] for sentence in view.allowed]


def test_everywhere_allows_all_but_padding():
    assert allowed_positions(view("everywhere", [[0, 9], [0, 9]])) == [[[0, 1, 2, 3, 4]], [[0, 1, 2]]]


def test_last_allows_the_last_token_not_the_last_position():
    assert allowed_positions(view("last", [[0, 9], [0, 9]])) == [[[4]], [[2]]]


def test_local_m_follows_the_step_up_to_the_end_of_the_source():
    steps = [[0, 1, 3, 4, 5, 99]] * 2
    long = [[0, 1], [0, 1, 2], [2, 3, 4], [3, 4], [3, 4], [3, 4]]
    short = [[0, 1], [0, 1, 2], [1, 2], [1, 2], [1, 2], [1, 2]]
    assert allowed_positions(view("local_m", steps)) == [long, short]
    assert allowed_positions(view("local_m", [[2], [2]], width=2)) == [[[0, 1, 2, 3, 4]], [[0, 1, 2]]]


def local_p(share, width, **config):
    """A view with its centre at `share` of the source: tanh(W q) is 1, and logit(share) the only entry of v."""
    window = LocalP(4, WindowConfig(width, **config)).double()
    with torch.no_grad():
        window.inner.weight.fill_(100.0)
        window.outer.weight.zero_()[0, 0] = math.log(share / (1 - share))
    return window(torch.ones(2, 1, 4, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.long), MASK)


@torch.no_grad()
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("heads", [None, 3])
@pytest.mark.parametrize("name", WINDOWS)
def test_window_equals_its_formula(name, heads, width, formulas):
    """With a view for each head, or one for all; the centres lie in the middle and at the ends."""
    torch.manual_seed(1)
    window, step = WINDOWS[name](4, WindowConfig(width), heads).double(), torch.arange(9).expand(2, 9)
    query = torch.randn(2, 9, 4, dtype=torch.float64) * torch.logspace(-1, 2, 9)[:, None]
    shown, m = window(query, step, MASK).per_head(), formulas.weights_of(window)
    allowed = shown.allowed.expand(2, heads or 1, 9, 5).numpy()
    gain = allowed if shown.gain is None else shown.gain.numpy()
    for b, head, t in np.ndindex(2, heads or 1, 9):
        expected = np.zeros(5)
        expected[: LENGTHS[b]] = formulas.views[name](m, query[b, t].numpy(), t, LENGTHS[b], width, head)
        np.testing.assert_array_equal(allowed[b, head, t], expected > 0)
        np.testing.assert_allclose(gain[b, head, t] * allowed[b, head, t], expected)
        if shown.center is not None:
            center = shown.center.view(2, -1, 9)[b, head, t].item()
            assert center == pytest.approx(formulas.center(m, query[b, t].numpy(), LENGTHS[b], head))


def test_every_window_has_a_formula(formulas):
    assert set(formulas.views) == set(WINDOWS)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.7, 0.999])
def test_local_p_of_luongs_code_differs_as_documented(share):
    paper, code = local_p(share, 2), local_p(share, 2, center_range="S-1", rounding="floor")
    for b, length in enumerate(LENGTHS):
        center = share * (length - 1)
        assert allowed_positions(code)[b][0] == [s for s in range(length) if abs(s - math.floor(center)) <= 2]
        for s in range(5):
            assert code.gain[b, 0, s].item() == pytest.approx(math.exp(-((s - center) ** 2) / 2))
    assert not paper.renormalize
    assert local_p(share, 2, renormalize=True).renormalize


def test_window_of_2d_positions_lacks_the_last_one():
    step = torch.tensor([[2], [1]])
    assert allowed_positions(WINDOWS["local_m"](4, WindowConfig(1, "2D"))(torch.randn(2, 1, 4), step, MASK)) == [
        [[1, 2]],
        [[0, 1]],
    ]
    assert allowed_positions(local_p(0.5, 1, window_size="2D")) == [[[2, 3]], [[1, 2]]]  # p = 2.5 and 1.5


@torch.no_grad()
@pytest.mark.parametrize("name", WINDOWS)
def test_every_step_sees_a_position_and_none_sees_padding(name):
    torch.manual_seed(2)
    for width in (1, 3):
        shown = view(name, [[0, 1, 2, 7, 500]] * 2, width, query=30 * torch.randn(2, 5, 4))
        assert shown.allowed.any(-1).all()
        assert not (shown.allowed & ~MASK[:, None]).any()
        assert (shown.gain is not None) == WINDOWS[name].gains
        if shown.gain is not None:
            assert (shown.gain >= 0).all()
            assert (shown.gain <= 1).all()
            assert (shown.gain * shown.allowed).any(-1).all()


@torch.no_grad()
@pytest.mark.parametrize("name", WINDOWS)
def test_window_depends_on_the_settings_that_uses_names(name):
    torch.manual_seed(2)
    query = torch.randn(2, 9, 4) * torch.logspace(-1, 2, 9)[:, None]  # centres in the middle, and at the ends
    step = torch.arange(9).expand(2, 9)
    others = {"width": 4, "window_size": "2D", "center_range": "S-1", "rounding": "floor", "renormalize": True}
    for setting, value in others.items():
        # around a position: with a centre between two, windows of 2D and of 2D + 1 have equally many
        base = WindowConfig(1, rounding="floor" if setting == "window_size" else "none")
        usual, changed = WINDOWS[name](4, base), WINDOWS[name](4, base._replace(**{setting: value}))
        changed.load_state_dict(usual.state_dict())
        pairs = zip(usual(query, step, MASK), changed(query, step, MASK), strict=True)
        same = all(a.equal(b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)
        assert same == (setting not in WINDOWS[name].uses), setting
    assert set(others) | {"center_rate"} == set(WindowConfig._fields)  # which the optimizer reads
