"""Do the kernels for GPUs do what torch's operations do, and can they be compiled? Without a GPU an interpreter runs them."""

import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton")

from seq2seq.nn.ops import additive, cross_entropy, devices, kernels
from seq2seq.nn.ops.lstm import lstm_gates_reference

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
EXACT, ROUNDED = {"rtol": 1e-4, "atol": 1e-5}, {"rtol": 0.03, "atol": 0.03}
KINDS = pytest.mark.parametrize(
    ("kind", "near"), [(torch.float32, EXACT), (torch.bfloat16, ROUNDED)], ids=["float32", "bfloat16"]
)


def numbers(*shapes, kind=torch.float32):
    torch.manual_seed(5)
    return [torch.randn(shape, device=DEVICE).to(kind).requires_grad_() for shape in shapes]


def assert_twins(ours, theirs, given, near):
    """The same values, and for random slopes the same gradients."""
    found, expected = ours(*given), theirs(*given)
    found, expected = (x if isinstance(x, tuple) else (x,) for x in (found, expected))
    slopes = [torch.randn_like(x) for x in expected]
    for left, right in zip(found, expected, strict=True):
        assert left.dtype == right.dtype
        torch.testing.assert_close(left, right, **near)
    for left, right in zip(
        torch.autograd.grad(found, given, slopes), torch.autograd.grad(expected, given, slopes), strict=True
    ):
        assert left.dtype == right.dtype
        torch.testing.assert_close(left, right, **near)


def pieces(query, keys, vector):
    return additive.AdditiveScores.apply(query, keys, vector, None, None)


@KINDS
@pytest.mark.parametrize("sizes", [(2, 3, 20, 70), (3, 1, 5, 64), (1, 17, 1, 6), (2, 2, 16, 130)])
def test_additive_scores(kind, near, sizes):
    N, T, S, K = sizes
    wide = lambda *given: pieces(*(x.float() for x in given)).to(kind)  # noqa: E731, the kernel's sums are of such
    assert_twins(kernels.TritonAdditiveScores.apply, wide, numbers((N, T, K), (N, S, K), (K,), kind=kind), near)


@KINDS
@pytest.mark.parametrize(("N", "size"), [(3, 5), (1, 1100), (7, 300)])
def test_gates(kind, near, N, size):
    assert_twins(
        kernels.TritonLSTMGates.apply, lstm_gates_reference, numbers((N, 4 * size), (N, size), kind=kind), near
    )


def test_gates_of_two_kinds_of_numbers():
    """Under autocast the first cell may be wider than the gates."""
    (gates,), (cell,) = numbers((2, 12), kind=torch.bfloat16), numbers((2, 3))
    assert_twins(kernels.TritonLSTMGates.apply, lstm_gates_reference, [gates, cell], ROUNDED)


def test_a_part_of_a_tensor():
    """What comes in strides is read as it is meant."""
    gates, cell = (x.detach().t().requires_grad_() for x in numbers((20, 3), (5, 3)))
    assert_twins(kernels.TritonLSTMGates.apply, lstm_gates_reference, [gates, cell], EXACT)
    query, keys, vector = (
        x.detach().transpose(-1, -2).requires_grad_() if x.dim() == 3 else x
        for x in numbers((2, 6, 3), (2, 6, 4), (6,))
    )
    assert_twins(kernels.TritonAdditiveScores.apply, pieces, [query, keys, vector], EXACT)


@KINDS
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("V", [9, 1024, 2500])
def test_cross_entropy(kind, near, smoothing, V):
    (logits,) = numbers((4, V), kind=kind)
    target = torch.tensor([3, V - 1, 0, 5], device=DEVICE)
    room = [torch.empty(6, V, device=DEVICE) for _ in range(2)]
    *sums, slope = cross_entropy.softmax_gradient(logits.detach().clone(), target, smoothing, room)
    found = cross_entropy.softmax_gradient(logits.detach().clone(), target, smoothing, [])
    for ours, theirs in zip(found, (*sums, slope), strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, **near)


@pytest.mark.parametrize("sizes", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5)])
def test_nothing_is_nothing(sizes):
    N, T, S, K = sizes
    given = numbers((N, T, K), (N, S, K), (K,))
    assert_twins(kernels.TritonAdditiveScores.apply, pieces, given, EXACT)
    assert [
        len(x)
        for x in kernels.cross_entropy(torch.empty(0, 4, device=DEVICE), torch.empty(0, device=DEVICE).long(), 0.1)
    ] == [0, 0, 0]


def test_models_learn_the_same_with_them(variant, close, monkeypatch):
    model = variant.model.to(DEVICE)
    source, copy, target_in, target_out = (
        x.to(DEVICE) for x in (variant.source, variant.copy, variant.target_in, variant.target_out)
    )
    parameters = [p for p in model.parameters() if p.requires_grad]

    def learnt():
        memory = model.encode(source, copy if variant.model.head.reads_weights else None)
        output = model.decode(target_in, memory, attention=model.head.reads_weights)
        loss = model.head.loss(output, memory, target_out, 0.1)
        return loss.total, *torch.autograd.grad(loss.total, parameters, allow_unused=True)

    monkeypatch.setattr(devices, "fused", lambda x: False)
    expected = learnt()
    monkeypatch.setattr(devices, "fused", lambda x: True)
    for ours, theirs in zip(learnt(), expected, strict=True):
        close(ours, theirs)


@pytest.mark.slow
@pytest.mark.skipif(DEVICE == "cuda", reason="there the tests above compile them")
def test_they_compile(tmp_path):
    """To machine code of NVIDIA's Ampere and Hopper, by Triton's own compiler: no GPU is needed for that."""
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", COMPILE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    every = ["score_pairs", "score_gradients", "open_gates", "close_gates", "softmax_gradients"]
    assert done.stdout.split() == [name for name in every for _ in range(2 * 3)], done.stderr


COMPILE = """
import itertools
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from seq2seq.nn.ops import kernels

NUMBERS = {"grads": "*fp32", "target": "*i64", "norms": "*fp32", "sums": "*fp32", "to_vector": "*fp32", "smoothing": "fp32"}
NUMBERS |= {name: "i32" for name in "T S K V OWN OTHER own_step other_step size count".split()}
FIXED = {"LEARN": True, "BLOCK": kernels.BLOCK, "POSITIONS": kernels.POSITIONS, "FEATURES": kernels.FEATURES}
for name, kernel in vars(kernels).items():
    if isinstance(kernel, triton.JITFunction) and name != "tanh":
        fixed = {word: FIXED[word] for word in kernel.arg_names if word in FIXED}
        for architecture, kind in itertools.product((80, 90), ("*fp32", "*bf16", "*fp16")):
            kinds = {word: "constexpr" if word in fixed else NUMBERS.get(word, kind) for word in kernel.arg_names}
            made = triton.compile(ASTSource(kernel, kinds, fixed), target=GPUTarget("cuda", architecture, 32))
            assert made.asm["cubin"].startswith(b"\x7fELF")
            print(name)
"""
