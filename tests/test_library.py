"""The package as a library: public names are imported lazily, and its parts work inside a program of one's own."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seq2seq.nn import SCORERS, WINDOWS, Additive, Attention, LocalP, MultiHeadAttention, Sizes, softmax

PACKAGES = ("nn", "search", "evaluation", "data")
ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_documented(package: str) -> None:
    module = importlib.import_module(f"seq2seq.{package}")
    assert set(module.__all__) <= {*dir(module), *vars(module)}
    for name in module.__all__:
        value = getattr(module, name)
        assert callable(value) or isinstance(value, dict), name  # not a module of the same name
        assert value.__doc__, name
    with pytest.raises(AttributeError, match=f"module 'seq2seq.{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_importing_the_packages_imports_no_torch() -> None:
    code = f"import sys, {', '.join(f'seq2seq.{name}' for name in PACKAGES)}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_attention_in_a_model_of_ones_own() -> None:
    attention = Attention(Additive(Sizes(query=8, memory=6)), LocalP(8))
    states, mask = torch.randn(2, 5, 6), torch.arange(5) < torch.tensor([[5], [3]])
    source = attention.remember(states, mask)
    attended = attention(torch.randn(2, 4, 8), source)
    assert attended.context.shape == (2, 4, 6)
    assert not attended.weights[1, :, 3:].any()
    attended.context.sum().backward()
    assert all(parameter.grad is not None for parameter in attention.parameters())


@pytest.mark.parametrize("heads", [1, 2])
def test_wrong_shapes_are_refused_in_one_sentence(heads: int) -> None:
    attention: Attention | MultiHeadAttention = Attention(SCORERS["dot"](Sizes(6, 6)))
    if heads > 1:
        window = WINDOWS["everywhere"](6, heads=heads)
        attention = MultiHeadAttention(
            SCORERS["dot"](Sizes(3, 3)), window, softmax, query_size=6, memory_size=6, heads=heads
        )
    states = torch.randn(2, 5, 6)
    source = attention.remember(states)
    for query in (torch.randn(2, 3, 7), torch.randn(3, 6), torch.randn(1, 3, 6), torch.randn(6)):
        with pytest.raises(ValueError, match=r"the query has shape \(.*\), where \(2, steps, 6\) is expected"):
            attention(query, source)
    with pytest.raises(ValueError, match=r"the step numbers have shape \(3,\), where \(2, 3\) is expected"):
        attention(torch.randn(2, 3, 6), source, torch.arange(3))
    for wrong in (states[0], states[..., :5]):
        with pytest.raises(
            ValueError, match=r"states have shape \(.*\), where \(sentences, positions, 6\) is expected"
        ):
            attention.remember(wrong)
    with pytest.raises(ValueError, match=r"the mask is torch\.float32 of shape \(2, 5\), where torch\.bool"):
        attention.remember(states, torch.ones(2, 5))
