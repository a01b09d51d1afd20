"""Starting the processes of one machine, one for each device, with torch's elastic launcher."""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from uuid import uuid4

from seq2seq.errors import TrainingError

SHUTDOWN_SECONDS = 600  # that processes have to finish an update and save, after a signal to stop


def start_processes(module: str, arguments: Sequence[str], count: int) -> None:
    """Run `python -m module ARGUMENTS` in `count` processes, and wait for all of them. If one fails the others end.

    Raises TrainingError for one that failed, which has said why, and KeyboardInterrupt after a signal to stop."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what ends a process is said below
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SHUTDOWN_SECONDS))
    settings = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(),
    )
    try:
        elastic_launch(settings, sys.executable)("-m", module, *arguments)
    except SignalException:
        raise KeyboardInterrupt from None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode in (130, -signal.SIGINT):
            raise KeyboardInterrupt from None
        how = f"was ended by signal {-failure.exitcode}" if failure.exitcode < 0 else "failed, see above"
        raise TrainingError(f"process {rank} of {count} {how}; the others were stopped") from None
