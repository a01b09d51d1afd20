"""Starting processes that work together, one for each device of this machine, with torch's elastic launcher."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from uuid import uuid4

from seq2seq.distributed.process import STARTED
from seq2seq.errors import TrainingError
from seq2seq.runtime.program import PIPE_CLOSED
from seq2seq.runtime.signals import EXIT_CODES, STOP_SIGNALS, Interrupted, signal_of
from seq2seq.utils import process

MEETING_SECONDS = 600  # that processes of several machines wait for each other to start
SHUTDOWN_SECONDS = 600  # that processes have to finish an update and save, after a signal to stop


def start_processes(module: str, arguments: Sequence[str], count: int, nodes: int = 1, rendezvous: str = "") -> None:
    """Run `python -m module ARGUMENTS` in `count` processes, and wait for all of them. If one fails the others end.

    nodes: machines on which this is called, each with as many processes; rendezvous: host:port of one of them, where
    they meet.
    Raises TrainingError with the error of the one that failed first, and Interrupted after a signal to stop."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in filter(
        lambda name: name.startswith("torch.distributed.elastic"), list(logging.root.manager.loggerDict)
    ):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are reported below
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SHUTDOWN_SECONDS))
    handled = [n for n in (*STOP_SIGNALS, *EXIT_CODES) if signal.getsignal(n) is not signal.SIG_IGN]
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = ",".join(signal.Signals(n).name for n in handled)
    os.environ[STARTED] = str(process.BEGAN)
    before = {number: signal.getsignal(number) for number in handled}
    settings = LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=count,
        run_id="seq2seq" if rendezvous else uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=rendezvous or "localhost:0",  # any free port
        rdzv_configs={"join_timeout": MEETING_SECONDS},
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(),
    )
    try:
        elastic_launch(settings, sys.executable)("-m", module, *arguments)
    except RendezvousError as error:
        raise TrainingError(
            f"the processes cannot meet at {rendezvous or 'a port of this machine'}: no machine has that address,"
            f" another program uses the port, or another machine did not start the command within {MEETING_SECONDS} s"
        ) from error
    except SignalException as error:
        raise Interrupted(error.sigval) from None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode == PIPE_CLOSED:  # the reader of stdout is gone, which is no error
            sys.exit(PIPE_CLOSED)
        if number := signal_of(failure.exitcode):
            raise Interrupted(number) from None
        raise TrainingError(_sentence(rank, count * nodes, failure)) from None
    finally:
        del os.environ[STARTED]
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _sentence(rank: int, count: int, failure: object) -> str:
    """The error of the process of this rank, or how it ended."""
    exit_code: int = failure.exitcode  # type: ignore[attr-defined]
    message = failure.error_file_data["message"]  # type: ignore[attr-defined]
    if isinstance(message, dict):
        return str(message["message"]) if rank == 0 else f"process {rank} of {count}: {message['message']}"
    how = f"was ended by signal {-exit_code}" if exit_code < 0 else "failed, see above"
    return f"process {rank} of {count} {how}; the others were stopped"
