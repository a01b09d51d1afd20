"""The Triton kernels equal torch's operations, and compile. Without a GPU Triton's interpreter runs them."""

import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton")

from seq2seq.nn.ops import cross_entropy, devices, kernels
from seq2seq.nn.ops.additive import additive_scores_reference
from seq2seq.nn.ops.lstm import lstm_gates_reference

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
EXACT, ROUNDED = {"rtol": 1e-4, "atol": 1e-5}, {"rtol": 0.03, "atol": 0.03}
DTYPES = pytest.mark.parametrize(
    ("dtype", "tolerances"), [(torch.float32, EXACT), (torch.bfloat16, ROUNDED)], ids=["float32", "bfloat16"]
)


def random_tensors(*sizes, dtype=torch.float32):
    torch.manual_seed(5)
    return [torch.randn(size, device=DEVICE).to(dtype).requires_grad_() for size in sizes]


@pytest.mark.parametrize(
    ("sizes", "dtype", "tolerances"),
    [
        ((2, 1, 18, 70), torch.float32, EXACT),
        ((1, 2, 18, 70), torch.bfloat16, ROUNDED),
        ((2, 1, 5, 64), torch.float32, EXACT),
        ((1, 17, 1, 6), torch.float32, EXACT),
        pytest.param((1, 2, 16, 130), torch.float32, EXACT, marks=pytest.mark.slow),
    ],
)
def test_additive_scores(sizes, dtype, tolerances, assert_equals_reference):
    N, T, S, K = sizes

    def reference(*inputs):  # in float32, as the sums of the kernel are
        return additive_scores_reference(*(x.float() for x in inputs)).to(dtype)

    inputs = random_tensors((N, T, K), (N, S, K), (K,), dtype=dtype)
    assert_equals_reference(kernels.TritonAdditiveScores.apply, reference, inputs, **tolerances)


@DTYPES
@pytest.mark.parametrize(("N", "size"), [(3, 5), (1, 1100), (7, 300)])
def test_lstm_gates(dtype, tolerances, N, size, assert_equals_reference):
    inputs = random_tensors((N, 4 * size), (N, size), dtype=dtype)
    assert_equals_reference(kernels.TritonLSTMGates.apply, lstm_gates_reference, inputs, **tolerances)


def test_lstm_gates_of_two_dtypes(assert_equals_reference):
    """Under autocast the first cell state may be wider than the gates."""
    (gates,), (cell,) = random_tensors((2, 12), dtype=torch.bfloat16), random_tensors((2, 3))
    assert_equals_reference(kernels.TritonLSTMGates.apply, lstm_gates_reference, [gates, cell], **ROUNDED)


def test_inputs_need_not_be_contiguous(assert_equals_reference):
    gates, cell = (x.detach().t().requires_grad_() for x in random_tensors((20, 3), (5, 3)))
    assert_equals_reference(kernels.TritonLSTMGates.apply, lstm_gates_reference, [gates, cell], **EXACT)
    query, keys, vector = random_tensors((2, 6, 3), (2, 6, 4), (6,))
    query, keys = (x.detach().mT.requires_grad_() for x in (query, keys))
    inputs = [query, keys, vector]
    assert_equals_reference(kernels.TritonAdditiveScores.apply, additive_scores_reference, inputs, **EXACT)


@DTYPES
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("V", [9, 1024, 2500])
def test_cross_entropy(dtype, tolerances, smoothing, V):
    (logits,) = random_tensors((4, V), dtype=dtype)
    target = torch.tensor([3, V - 1, 0, 5], device=DEVICE)
    buffers = [torch.empty(6, V, device=DEVICE) for _ in range(2)]
    expected = cross_entropy.softmax_gradient(logits.detach().clone(), target, smoothing, buffers)
    found = cross_entropy.softmax_gradient(logits.detach().clone(), target, smoothing, [])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **tolerances)


@pytest.mark.parametrize("sizes", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5)])
def test_additive_scores_of_empty_tensors(sizes, assert_equals_reference):
    N, T, S, K = sizes
    inputs = random_tensors((N, T, K), (N, S, K), (K,))
    assert_equals_reference(kernels.TritonAdditiveScores.apply, additive_scores_reference, inputs, **EXACT)


def test_cross_entropy_of_no_rows():
    target = torch.empty(0, device=DEVICE, dtype=torch.long)
    found = kernels.cross_entropy(torch.empty(0, 4, device=DEVICE), target, 0.1)
    assert [x.shape for x in found] == [(0,)] * 3


def test_models_have_the_same_loss_and_gradients(variant, assert_close, monkeypatch):
    model = variant.model.to(DEVICE)
    source, copy, target_in, target_out = (
        x.to(DEVICE) for x in (variant.source, variant.copy, variant.target_in, variant.target_out)
    )
    parameters = [p for p in model.parameters() if p.requires_grad]

    def loss_and_gradients():
        memory = model.encode(source, copy if variant.model.head.reads_weights else None)
        output = model.decode(target_in, memory, attention=model.head.reads_weights)
        loss = model.head.loss(output, memory, target_out, 0.1)
        return loss.total, *torch.autograd.grad(loss.total, parameters, allow_unused=True)

    monkeypatch.setattr(devices, "fused", lambda x: False)
    expected = loss_and_gradients()
    monkeypatch.setattr(devices, "fused", lambda x: True)
    for ours, theirs in zip(loss_and_gradients(), expected, strict=True):
        assert_close(ours, theirs)


@pytest.mark.slow
@pytest.mark.skipif(DEVICE == "cuda", reason="the tests above compile the kernels on a GPU")
def test_kernels_compile_for_ampere_and_hopper(tmp_path):
    """By Triton's compiler, which needs no GPU."""
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", COMPILE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    every = ["additive_forward", "additive_backward", "lstm_forward", "lstm_backward", "cross_entropy_rows"]
    assert done.stdout.split() == [name for name in every for _ in range(2 * 3)], done.stderr


COMPILE = """
import itertools
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from seq2seq.nn.ops import kernels

TYPES = {name: "*fp32" for name in ("grad_scores", "norms", "sums", "grad_vector")}
TYPES |= {"target": "*i64", "smoothing": "fp32"}
TYPES |= {name: "i32" for name in "T S K V OWN OTHER own_step other_step size count".split()}
CONSTANTS = {"LEARN": True, "BLOCK": kernels.BLOCK, "POSITIONS": kernels.POSITIONS, "FEATURES": kernels.FEATURES}
for kernel_name, kernel in vars(kernels).items():
    if isinstance(kernel, triton.JITFunction) and kernel_name != "tanh":
        constants = {name: CONSTANTS[name] for name in kernel.arg_names if name in CONSTANTS}
        for architecture, dtype in itertools.product((80, 90), ("*fp32", "*bf16", "*fp16")):
            signature = {
                name: "constexpr" if name in constants else TYPES.get(name, dtype) for name in kernel.arg_names
            }
            source = ASTSource(kernel, signature, constants)
            compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32))
            assert compiled.asm["cubin"].startswith(b"\x7fELF")
            print(kernel_name)
"""
