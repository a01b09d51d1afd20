"""Checks of the machine: each with a machine on which it finds something."""

import builtins
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seq2seq.config import Config
from seq2seq.doctor import finding, machine
from seq2seq.doctor.finding import BAD, GOOD, WARNING, Finding, found, worst
from seq2seq.errors import DataError
from seq2seq.runtime import cpu
from seq2seq.utils.memory import GIB
from tests.config.built import built

Patch = pytest.MonkeyPatch
IDLE = (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("version", "level"), [((3, 10), BAD), ((3, 11), GOOD), ((3, 14), GOOD), ((3, 15), WARNING)])
def test_versions_of_python(version: tuple[int, int], level: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr(machine, "sys", SimpleNamespace(version_info=(*version, 2), executable="python"))
    assert machine.check_python(built()).level == level


def test_packages_that_do_not_fit_are_named(monkeypatch: Patch) -> None:
    listed = ["numpy>=1.26", "torch<1", "nothing-of-the-kind>=2", "pytest>=1; extra == 'one'", "gone; extra == 'two'"]
    monkeypatch.setattr(machine, "requires", lambda name: listed)
    level, text = machine.check_packages(built())
    assert level == BAD
    assert "pip install 'torch<1'" in text
    assert "nothing-of-the-kind is missing: pip install 'nothing-of-the-kind>=2'" in text
    assert not any(name in text for name in ("numpy", "pytest", "gone"))
    monkeypatch.setattr(machine, "requires", lambda name: [*listed[:1], *listed[3:]])
    assert machine.check_packages(built()) == (GOOD, "1 required packages in versions that are allowed; extras: one")


def test_package_that_is_not_installed_is_a_warning(monkeypatch: Patch) -> None:
    def requires(name: str) -> list[str]:
        raise machine.PackageNotFoundError(name)

    monkeypatch.setattr(machine, "requires", requires)
    assert machine.check_packages(built()).level == WARNING


def test_torch_without_cuda_beside_a_gpu_is_a_warning(monkeypatch: Patch) -> None:
    monkeypatch.setattr("torch.version.cuda", None)
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert machine.check_torch(built()).level == GOOD
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert machine.check_torch(built()).level == WARNING


@pytest.mark.parametrize(
    ("flags", "precision", "free", "level", "part"),
    [
        ({"flags", "amx_bf16", "avx512_bf16", "avx_vnni"}, "bf16", 9, GOOD, "bf16 by AMX, int8 by VNNI"),
        ({"flags", "avx512_bf16"}, "bf16", 9, GOOD, "bf16 by AVX-512, no VNNI"),
        ({"flags", "avx2"}, "bf16", 9, WARNING, "trainer.precision=bf16 is slow"),
        ({"flags", "avx2"}, "32", 9, GOOD, "no bf16"),
        ((), "bf16", 9, GOOD, "9.0 GiB of memory free"),
        ((), "32", 1, WARNING, "1.0 GiB of memory"),
    ],
)
def test_cpus(flags: set[str], precision: str, free: int, level: str, part: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(machine, "has_vnni", lambda: "avx_vnni" in flags)
    monkeypatch.setattr(machine, "available_memory", lambda: free * GIB)
    result = machine.check_cpu(built(f"trainer.precision={precision}", "trainer.accelerator=cpu"))
    assert result.level == level
    assert part in result.text


def test_gpus(monkeypatch: Patch) -> None:
    import torch

    def ones(*shape: int, device: str) -> Any:
        if device == "cuda:1":
            raise RuntimeError("no kernel image\nfor this device")
        return torch.zeros(())

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for cuda, level in ((None, GOOD), ("13.0", WARNING)):
        monkeypatch.setattr("torch.version.cuda", cuda)
        assert machine.check_gpu(built()).level == level
    there = {"is_available": True, "device_count": 1, "is_bf16_supported": False}
    for name, value in (there | {"get_device_name": "K80", "mem_get_info": (GIB, 3 * GIB)}).items():
        monkeypatch.setattr(f"torch.cuda.{name}", lambda *number, value=value: value)
    monkeypatch.setattr("torch.ones", ones)
    assert machine.check_gpu(built()) == (GOOD, "cuda:0 K80, precisions 32 and 16, 1.0 GiB of 3.0 GiB free")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert machine.check_gpu(built()) == (
        BAD,
        "cuda:1 does not work with this torch: no kernel image for this device",
    )


@pytest.mark.parametrize(
    ("words", "cores", "quota", "load", "part"),
    [
        ((), 4, 0.0, 2.9, ""),
        (("trainer.devices=2", "trainer.threads=2"), 4, 4.0, 1.0, ""),
        (("trainer.threads=5",), 4, 0.0, 0.0, "trainer.threads=5 in each of trainer.devices=1 are more than 4 cores"),
        (("trainer.devices=2", "trainer.threads=3"), 4, 0.0, 0.0, "set trainer.threads=2"),
        (("trainer.devices=5",), 4, 0.0, 0.0, "set trainer.devices=4"),
        ((), 4, 1.5, 0.0, "a control group allows the time of 1.5 cores, fewer than threads: set trainer.threads=1"),
        ((), 4, 0.0, 3.1, "the load of the last minute is 3.1 on 4 cores: end other programs"),
    ],
)
def test_threads(words: tuple[str, ...], cores: int, quota: float, load: float, part: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr(machine, "available_cores", lambda: cores)
    monkeypatch.setattr(machine, "core_quota", lambda: quota)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0, 0))
    result = machine.check_threads(built("trainer.accelerator=cpu", *words))
    assert result.level == (WARNING if part else GOOD)
    assert part in result.text


@pytest.mark.parametrize(
    ("content", "cores"), [("150000 100000\n", 1.5), ("max 100000\n", 0), ("", 0), ("1 0", 0), (None, 0)]
)
def test_quota_of_a_control_group(content: str | None, cores: float, tmp_path: Path, monkeypatch: Patch) -> None:
    if content is not None:
        (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr(cpu, "CPU_MAX", str(tmp_path / "cpu.max"))
    assert cpu.core_quota() == cores


@pytest.mark.parametrize(
    ("variables", "part"),
    [
        ({"MALLOC_ARENA_MAX": "1"}, "as set by MALLOC_ARENA_MAX"),
        ({"GLIBC_TUNABLES": "glibc.malloc.check=0"}, "as set by GLIBC_TUNABLES"),
        ({"LD_PRELOAD": "libjemalloc.so"}, "LD_PRELOAD=libjemalloc.so"),
    ],
)
def test_allocators(variables: dict[str, str], part: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr(os, "environ", variables)
    assert part in machine.check_allocator(built()).text


LAUNCHED = {  # what takes the place of the launcher -> the level with one device and with several
    "print(0, 2)": (GOOD, GOOD),
    "print(0, 0)": (WARNING, BAD),
    "import sys; sys.exit('no route to localhost')": (WARNING, BAD),
    "import time; time.sleep(60)": (WARNING, BAD),
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)": (WARNING, BAD),
}


@pytest.mark.parametrize("code", LAUNCHED)
@pytest.mark.parametrize("devices", [1, 2])
def test_launcher(code: str, devices: int, monkeypatch: Patch) -> None:
    """That fails, prints something else, or hangs, which is ended."""
    started = []

    def start(command: list[str], **options: Any) -> Any:
        assert command[1:] == ["-m", "seq2seq.distributed.exchange"]
        started.append(popen([sys.executable, "-c", code], **options))
        return started[-1]

    popen = machine.subprocess.Popen
    monkeypatch.setattr(machine, "LAUNCH_SECONDS", 0.2 if "sleep" in code else 30)
    monkeypatch.setattr(machine, "END_SECONDS", 0.1)
    monkeypatch.setattr(machine.subprocess, "Popen", start)
    result = machine.check_launcher(built(f"trainer.devices={devices}"))
    assert result.level == LAUNCHED[code][devices > 1]
    assert ("no route to localhost" in result.text) == ("no route" in code)
    assert started[0].poll() is not None


@pytest.mark.slow
def test_two_processes_are_started(monkeypatch: Patch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    assert machine.check_launcher(built()) == (GOOD, "two processes were started and exchanged a number, by gloo")


@pytest.mark.parametrize(("free", "level"), [(2 * GIB, GOOD), (GIB // 2, WARNING), (GIB // 20, BAD)])
def test_disks(free: int, level: str, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=free) if path.exists() else 1)
    config = built(f"runs={tmp_path}/not/yet", f"data.cache={tmp_path}")
    assert machine.check_disk(config).level == level
    (tmp_path / "file").write_text("")
    result = machine.check_disk(built(f"runs={tmp_path}/file/runs", f"data.cache={tmp_path}"))
    assert result.level == BAD
    assert f"runs={tmp_path}/file/runs cannot be written to: {tmp_path}/file is not a folder" in result.text
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataError("a.en:3: not UTF-8"), "a.en:3: not UTF-8"),
        (ImportError("libcuda.so: no such file", name="torch"), "torch cannot be imported: install it again, with pip"),
        (ZeroDivisionError("by nought"), "this check failed with ZeroDivisionError: by nought"),
    ],
    ids=str,
)
def test_check_that_raises_is_bad(error: Exception, text: str) -> None:
    def check(config: Config) -> Finding:
        raise error

    assert found(check, built()) == (BAD, text)


def test_interruption_is_no_finding() -> None:
    def check() -> Finding:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found(check)


def test_problems_have_the_level_of_the_worst() -> None:
    problems = [Finding(WARNING, "slow"), Finding(BAD, "full")]
    assert worst(problems, "well") == (BAD, "slow; full")
    assert worst(problems[:1], "well") == (WARNING, "slow")
    assert worst([], "well") == (GOOD, "well")


def test_checks_of_the_machine_survive_a_torch_that_cannot_be_imported(monkeypatch: Patch) -> None:
    """Nothing that is imported with the module needs it."""
    original: Callable[..., Any] = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "torch":
            raise ImportError("libgomp is gone", name="torch")
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(os, "getloadavg", lambda: IDLE)
    levels = {name: found(check, built()).level for name, check in machine.MACHINE.items() if name != "launcher"}
    assert {name for name, level in levels.items() if level == BAD} >= {"torch", "gpu"}
    assert levels["python"] == GOOD
    assert finding.failure(ImportError("x", name="torch")).level == BAD
