"""--devices: a command in several processes, one for each device."""

import argparse
import os
from collections.abc import Sequence

from seq2seq.errors import ConfigError, counted
from seq2seq.runtime.arguments import add_number
from seq2seq.runtime.bounds import Bounds
from seq2seq.runtime.cpu import available_cores

DEVICES = Bounds(1, 1024)


def started() -> bool:
    """Whether this process is one of several that a launcher has started."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def add_devices(parser: argparse.ArgumentParser) -> None:
    """--devices."""
    add_number(
        parser,
        "--devices",
        DEVICES,
        default=1,
        help="share the sentences out to so many devices, GPUs with --device cuda, or parts of the CPU; the output is"
        " the same (default: 1)",
    )


def start_on_devices(command: str, argv: Sequence[str], options: argparse.Namespace) -> bool:
    """Run the command in as many processes as --devices says; False where this process has to do so itself: for one
    device, or as one of those processes."""
    if options.devices == 1 or started():
        return False
    device = str(options.device)
    if ":" in device:
        raise ConfigError(f"--device {device} is one device, and --devices={options.devices} are several")
    there = available_cores()
    if device == "cuda":
        import torch

        there = torch.cuda.device_count()
    if options.devices > max(1, there):
        kind = "GPU" if device == "cuda" else "CPU core"
        raise ConfigError(f"--devices={options.devices} is more than there are here: {counted(there, kind)}")

    from seq2seq.distributed.launch import start_processes

    start_processes("seq2seq.worker", [command, *argv], options.devices)
    return True
