"""The properties of a device: fused kernels, autocast, sizes of blocks."""

import pytest
import torch

from seq2seq.nn.ops import devices

CPU, META = torch.zeros(1), torch.zeros(1, device="meta")


def test_every_device_but_the_cpu_is_asynchronous():
    assert not devices.asynchronous(CPU)
    assert devices.asynchronous(META)


def test_blocks_are_larger_on_other_devices():
    assert devices.at_once(CPU, 10) == 10
    assert devices.at_once(META, 10) == 10 * devices.LARGER


@pytest.mark.parametrize(
    ("sentences", "positions", "pays"),
    [
        (devices.SMALL_BATCH, 1, True),
        (devices.SMALL_BATCH + 1, devices.LONG_SOURCE, False),
        (devices.SMALL_BATCH + 1, devices.LONG_SOURCE + 1, True),
    ],
)
def test_fused_attention_pays_for_few_sentences_or_long_sources(sentences, positions, pays):
    keys = torch.zeros(1).expand(sentences, 8, positions, 4)
    assert devices.fused_attention_pays(keys) == pays
    assert devices.fused_attention_pays(keys.to("meta"))


def test_torchs_operations_are_used_where_no_kernel_can_be_compiled(monkeypatch, caplog):
    kernels = pytest.importorskip("seq2seq.nn.ops.kernels")
    device = torch.device("cpu")
    devices.compiles.cache_clear()
    assert devices.compiles(device, torch.bfloat16)

    def broken(*given):
        raise RuntimeError("Failed to find C compiler.\nPlease")

    monkeypatch.setattr(kernels, "cross_entropy", broken)
    devices.compiles.cache_clear()
    assert not devices.compiles(device, torch.bfloat16)
    assert not devices.compiles(device, torch.bfloat16)
    assert [record.getMessage() for record in caplog.records] == [
        "no fused kernels for torch.bfloat16 on cpu, torch's operations are used: they do not compile here"
    ]
    devices.compiles.cache_clear()


def test_product_dtype_is_that_of_autocast():
    assert devices.product_dtype(CPU) == devices.product_dtype(META) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert devices.product_dtype(CPU) == (CPU[None] @ CPU[:, None]).dtype == torch.bfloat16
        double = CPU.double()
        assert devices.product_dtype(double) == (double[None] @ double[:, None]).dtype == torch.float64


def test_no_autocast_turns_autocast_off_on_its_device_alone():
    with torch.autocast("cpu", torch.bfloat16), devices.no_autocast(META):  # a device that has no autocast
        assert devices.product_dtype(CPU) == torch.bfloat16
        with devices.no_autocast(CPU):
            assert devices.product_dtype(CPU) == torch.float32
