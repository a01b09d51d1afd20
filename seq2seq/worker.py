"""One of several processes that run a command together, one for each device.

    python -m seq2seq.worker COMMAND ARGUMENTS

is what a launcher starts: ours for `--devices 2`, or torchrun. Rank 0 runs the command, and the others do what it
calls them for. A process alone just runs the command."""

import sys
from collections.abc import Callable, Sequence

from seq2seq import cli
from seq2seq.commands.devices import started
from seq2seq.utils import process


def main(argv: Sequence[str]) -> int:
    """Run a command. Returns the exit code."""
    if not started():
        return cli.main(argv)

    process.set_environment()  # before torch is imported
    from seq2seq.distributed.process import together

    return together(lambda: _share(argv))


def _share(argv: Sequence[str]) -> int | None:
    """Run the command in rank 0, and its tasks in the others."""
    from seq2seq import translator
    from seq2seq.distributed.shared_work import shared
    from seq2seq.evaluation.attention_maps import maps_share
    from seq2seq.training.run import train_here

    tasks: dict[str, Callable[..., object]] = {"train": train_here, "maps": maps_share, **translator.TASKS}
    with shared(tasks) as is_main:
        try:
            return cli.run(argv) if is_main else 0
        except SystemExit as end:  # of --help, or a wrong option, after which the others have to end too
            return end.code if isinstance(end.code, int | None) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
