"""Does each window let through what can be worked out on paper?"""

import math

import pytest
import torch

from seq2seq.nn.windows import WINDOWS, LocalP

LENGTHS = (5, 3)  # of two sentences in S = 5 positions
MASK = torch.arange(5) < torch.tensor(LENGTHS)[:, None]


def view(name, step, width=1, query=None):
    """The view of sentences in MASK at `step` (B, T)."""
    step = torch.tensor(step)
    query = torch.randn(*step.shape, 4) if query is None else query
    return WINDOWS[name](4, width)(query, step, MASK)


def seen(view):
    """The positions that are allowed, for every sentence and step."""
    return [[row.nonzero().flatten().tolist() for row in sentence] for sentence in view.allowed]


def test_everywhere_is_all_but_padding():
    assert seen(view("everywhere", [[0, 9], [0, 9]])) == [[[0, 1, 2, 3, 4]], [[0, 1, 2]]]


def test_last_is_the_last_token_and_not_the_last_position():
    assert seen(view("last", [[0, 9], [0, 9]])) == [[[4]], [[2]]]


def test_local_m_follows_the_step_and_stays_at_the_end():
    steps = [[0, 1, 3, 4, 5, 99]] * 2
    long = [[0, 1], [0, 1, 2], [2, 3, 4], [3, 4], [3, 4], [3, 4]]
    short = [[0, 1], [0, 1, 2], [1, 2], [1, 2], [1, 2], [1, 2]]
    assert seen(view("local_m", steps)) == [long, short]
    assert seen(view("local_m", [[2], [2]], width=2)) == [[[0, 1, 2, 3, 4]], [[0, 1, 2]]]


def local_p(share, width):
    """A window whose centre is `share` of the source: tanh(W q) is 1, so v is logit(share) in its only entry."""
    window = LocalP(4, width).double()
    with torch.no_grad():
        window.inner.weight.fill_(100.0)
        window.outer.weight.zero_()[0, 0] = math.log(share / (1 - share))
    return window(torch.ones(2, 1, 4, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.long), MASK)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.7, 0.999])
def test_local_p_is_a_gaussian_around_a_share_of_the_length(share, width):
    shown = local_p(share, width)
    for b, length in enumerate(LENGTHS):
        center = min(share * length, length - 1)  # a centre behind the end counts as the last position
        for s in range(5):
            assert shown.allowed[b, 0, s].item() == (s < length and abs(s - center) <= width)
            assert shown.gain[b, 0, s].item() == pytest.approx(math.exp(-((s - center) ** 2) / (2 * (width / 2) ** 2)))


@torch.no_grad()
def test_local_p_predicts_its_centre_by_equation_9():
    torch.manual_seed(1)
    window, query = LocalP(4, 1).double(), torch.randn(2, 3, 4, dtype=torch.float64)
    center = window.center(query, MASK)
    for b, length in enumerate(LENGTHS):
        for t in range(3):
            score = window.outer.weight[0] @ torch.tanh(window.inner.weight @ query[b, t])
            torch.testing.assert_close(center[b, t], length / (1 + torch.exp(-score)))


@torch.no_grad()
@pytest.mark.parametrize("name", WINDOWS)
def test_no_step_is_blind_and_none_sees_padding(name):
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
def test_a_setting_that_is_not_said_to_be_read_is_not_read(name):
    torch.manual_seed(2)
    query = torch.randn(2, 1, 4)
    narrow, wide = (WINDOWS[name](4, width) for width in (1, 4))
    wide.load_state_dict(narrow.state_dict())
    same = narrow(query, torch.ones(2, 1), MASK).allowed.equal(wide(query, torch.ones(2, 1), MASK).allowed)
    assert same == ("width" not in WINDOWS[name].uses)
