"""Checks of the machine: Python and packages, devices, threads, memory allocator, launcher and disks.

Each takes the settings, of which it reads devices and folders, and returns a Finding. What may be broken, torch above
all, is imported by the check that needs it.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from seq2seq.config import Config
from seq2seq.data.corpora import cache_root
from seq2seq.doctor.finding import BAD, GOOD, WARNING, Finding, worst
from seq2seq.errors import counted
from seq2seq.runtime.cpu import available_cores, core_quota, cpu_flags, has_vnni
from seq2seq.utils.files import why_no_folder
from seq2seq.utils.memory import GIB, available_memory, gib
from seq2seq.utils.process import allocator_setting

OLDEST, NEWEST = (3, 11), (3, 14)  # versions of Python that the tests were run with
BFLOAT16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512"}  # what an x86 CPU multiplies bfloat16 with, the fastest first
LITTLE_MEMORY = 2 * GIB  # torch and a small model alone take half of it
BUSY = 0.75  # load for each core, of which this command causes a part
LITTLE_DISK, NO_DISK = GIB, GIB // 10
LAUNCH_SECONDS, END_SECONDS = 90, 10  # for two processes to import torch and exchange a number; to end after that


def check_python(config: Config) -> Finding:
    """Whether this version of Python was tested."""
    current = sys.version_info[:2]
    text = f"{platform.python_version()}, {sys.executable}"
    tested = f"{'.'.join(map(str, OLDEST))} to {'.'.join(map(str, NEWEST))}"
    if current < OLDEST:
        return Finding(BAD, f"{text} is too old: seq2seq needs Python {tested}")
    if current > NEWEST:
        return Finding(WARNING, f"{text} was not tested: prefer Python {tested}")
    return Finding(GOOD, text)


def check_packages(config: Config) -> Finding:
    """Whether all that seq2seq requires is installed, in the versions that it allows, and which extras are complete."""
    try:
        listed = [Requirement(text) for text in requires("seq2seq") or []]
    except PackageNotFoundError:
        return Finding(WARNING, "seq2seq runs without being installed, so what it needs is not known: pip install -e .")
    needed = [one for one in listed if one.marker is None or one.marker.evaluate({"extra": ""})]
    problems = [Finding(BAD, text) for one in needed if (text := _unmet(one))]
    extras = {extra for one in listed for extra in _extras(one)} - {"dev", "docs"}
    complete = [
        extra
        for extra in sorted(extras)
        if not any(_unmet(one) for one in listed if one.marker and one.marker.evaluate({"extra": extra}))
    ]
    text = f"{len(needed)} required packages in versions that are allowed; extras: {', '.join(complete) or 'none'}"
    return worst(problems, text)


def _extras(requirement: Requirement) -> list[str]:
    """The extra that a requirement belongs to; none for one that is always needed."""
    words = str(requirement.marker or "").replace('"', "").split()
    return [words[i + 2] for i, word in enumerate(words) if word == "extra"]


def _unmet(requirement: Requirement) -> str:
    """What is wrong with an installed package, or that it is missing; '' if it is as required."""
    install = f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing: {install}"
    if requirement.specifier.contains(installed, prereleases=True):
        return ""
    return f"{requirement.name} {installed} is not a version that works here: {install}"


def check_torch(config: Config) -> Finding:
    """Whether torch computes, what it was built for, and whether it fits the machine."""
    import torch

    if not torch.equal(torch.ones(2, 3) @ torch.ones(3, 2), torch.full((2, 2), 3.0)):
        return Finding(BAD, f"{torch.__version__} multiplies matrices wrongly: install torch again")
    if torch.version.cuda is None and shutil.which("nvidia-smi"):
        return Finding(
            WARNING, f"{torch.__version__} is built for the CPU alone, and there is a GPU: install one with CUDA"
        )
    built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone"
    return Finding(GOOD, f"{torch.__version__}, built for {built_for}")


def check_cpu(config: Config) -> Finding:
    """The CPU, its precisions and the free memory; a precision that it only emulates is a warning."""
    import torch

    from seq2seq.training.checks import uses_gpu

    flags, hardware, able = cpu_flags(), "", [torch.backends.cpu.get_cpu_capability()]
    if flags:  # of x86 on Linux; elsewhere it is not known
        hardware = next((name for flag, name in BFLOAT16.items() if flag in flags), "")
        able += [f"bf16 by {hardware}" if hardware else "no bf16", "int8 by VNNI" if has_vnni() else "no VNNI"]
    text, problems = f"{platform.machine()}: {', '.join(able)}", []
    if config.trainer.precision == "bf16" and not uses_gpu(config.trainer) and flags and not hardware:
        problems.append(Finding(WARNING, "trainer.precision=bf16 is slow on this CPU, which only emulates it: take 32"))
    free = available_memory()
    if free < LITTLE_MEMORY:
        problems.append(Finding(WARNING, f"only {gib(free)} of memory are free: end other programs"))
    return worst(problems, f"{text}; {gib(free)} of memory free")


def check_gpu(config: Config) -> Finding:
    """The GPUs, whether they compute, and their precisions."""
    import torch

    if not torch.cuda.is_available():
        if torch.version.cuda is None:
            return Finding(GOOD, "none, and torch is built without CUDA")
        return Finding(WARNING, f"torch, built for CUDA {torch.version.cuda}, can use none: see what nvidia-smi says")
    shown = []
    for number in range(torch.cuda.device_count()):
        try:
            torch.ones(8, 8, device=f"cuda:{number}").sum().item()
        except RuntimeError as error:
            return Finding(BAD, f"cuda:{number} does not work with this torch: {' '.join(str(error).split())}")
        free, memory = torch.cuda.mem_get_info(number)
        precisions = "32, bf16 and 16" if torch.cuda.is_bf16_supported() else "32 and 16"
        name = torch.cuda.get_device_name(number)
        shown.append(f"cuda:{number} {name}, precisions {precisions}, {gib(free)} of {gib(memory)} free")
    return Finding(GOOD, "; ".join(shown))


def check_threads(config: Config) -> Finding:
    """Whether the threads of training have cores of their own."""
    from seq2seq.training.checks import uses_gpu

    trainer, cores, quota = config.trainer, available_cores(), core_quota()
    threads = trainer.threads or max(1, cores // trainer.devices)
    problems = []
    if not uses_gpu(config.trainer) and threads * trainer.devices > cores:
        problems.append(
            f"trainer.threads={threads} in each of trainer.devices={trainer.devices} are more than"
            f" {counted(cores, 'core')}: set {few_threads(cores, trainer.devices)}"
        )
    if quota and threads * trainer.devices > quota:
        problems.append(
            f"a control group allows the time of {quota:.3g} cores, fewer than threads: set"
            f" {few_threads(max(1, int(quota)), trainer.devices)}"
        )
    if (load := os.getloadavg()[0]) > BUSY * cores:
        problems.append(
            f"the load of the last minute is {load:.1f} on {counted(cores, 'core')}: end other programs, which slow"
            " training down"
        )
    text = f"{counted(threads, 'thread')} on {counted(cores, 'core')}"
    return worst([Finding(WARNING, problem) for problem in problems], text)


def few_threads(cores: int, devices: int) -> str:
    """The setting by which no more threads work than there are cores."""
    return f"trainer.threads={cores // devices}" if devices <= cores else f"trainer.devices={cores}"


def check_allocator(config: Config) -> Finding:
    """Whether memory that is freed in training is kept, which saves a part of its time."""
    if setting := allocator_setting():
        return Finding(GOOD, f"as set by {setting}")
    if preloaded := os.environ.get("LD_PRELOAD"):
        return Finding(GOOD, f"LD_PRELOAD={preloaded}, whose own settings hold")
    if platform.libc_ver()[0] == "glibc":
        return Finding(GOOD, "glibc, which keeps freed memory in training")
    return Finding(GOOD, "not glibc: freed memory goes back to the system, and training may take longer")


def check_launcher(config: Config) -> Finding:
    """Whether two processes can be started and exchange a number; needed for trainer.devices > 1 only."""
    from seq2seq.distributed import exchange

    level = BAD if config.trainer.processes > 1 else WARNING
    process = subprocess.Popen(
        [sys.executable, "-m", exchange.__name__], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, error = process.communicate(timeout=LAUNCH_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()  # the launcher ends the processes that it has started
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=END_SECONDS)
        process.kill()
        process.wait()
        return Finding(level, f"two processes exchanged nothing in {LAUNCH_SECONDS} s: does `localhost` resolve?")
    if process.returncode or out.split() != exchange.EXPECTED:
        last = (error.strip().splitlines() or ["they sent something else"])[-1]
        return Finding(level, f"two processes could not exchange a number (trainer.devices > 1 would fail): {last}")
    return Finding(GOOD, "two processes were started and exchanged a number, by gloo")


def check_disk(config: Config) -> Finding:
    """Whether runs and prepared corpora can be written, and how much space there is."""
    folders = {"runs": Path(config.runs), "data.cache": cache_root(config.data)}
    problems, shown = [], []
    for setting, folder in folders.items():
        if reason := why_no_folder(folder):
            problems.append(Finding(BAD, f"{setting}={folder} cannot be written to: {reason}"))
            continue
        free = free_space(folder)
        shown.append(f"{gib(free)} for {setting}={folder}")
        if free < LITTLE_DISK:
            problems.append(
                Finding(
                    BAD if free < NO_DISK else WARNING,
                    f"only {gib(free)} are free for {setting}={folder}: delete something, or set another folder",
                )
            )
    return worst(problems, f"free: {', '.join(shown)}")


def free_space(folder: Path) -> int:
    """Bytes that are free where `folder` is, or would be made."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


MACHINE: dict[str, Callable[[Config], Finding]] = {
    "python": check_python,
    "packages": check_packages,
    "torch": check_torch,
    "cpu": check_cpu,
    "gpu": check_gpu,
    "threads": check_threads,
    "allocator": check_allocator,
    "launcher": check_launcher,
    "disk": check_disk,
}
