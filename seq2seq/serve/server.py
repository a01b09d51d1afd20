"""Runs the application until a signal: what was accepted is then finished, and the rest refused. Only this module
imports uvicorn."""

import asyncio
import errno
import logging
import resource
import signal
import socket
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn

from seq2seq.errors import ConfigError
from seq2seq.runtime.signals import Interrupted, has_terminal, leave_terminal
from seq2seq.serve.app import Server
from seq2seq.serve.reload import Reloader

log = logging.getLogger("seq2seq")

IDLE_SECONDS = 20.0  # after which a connection on which no request is complete, up to its body, is closed
END_SECONDS = 30  # in which clients have to read what was answered before the server ends
BACKLOG = 128  # connections that wait to be opened
CHECK_SECONDS = 1.0  # between checks whether files of models have changed
LOG_SECONDS = 60.0  # between messages that there are too many connections


class GracefulServer(uvicorn.Server):
    """Uvicorn's server, which at SIGTERM and SIGINT answers what it has accepted, and then ends.

    Meanwhile it answers other requests with status 503, so that a load balancer sends them elsewhere. A second signal
    ends it at once. At SIGHUP it replaces its models, unless its terminal was closed: then it ends."""

    def __init__(self, config: Any, server: Server, reloader: Reloader) -> None:
        super().__init__(config)
        self.application, self.reloader = server, reloader
        self.second_signal, self.has_terminal = 0, has_terminal()
        self.checked, self.logged = time.monotonic(), -LOG_SECONDS
        self.announced = False  # that the server ends
        self.idle: dict[Any, tuple[Any, float]] = {}  # connection -> its last request, and since when it is answered

    def handle_hangup(self, sig: int, frame: FrameType | None) -> None:
        """Replace the models, or end with the terminal."""
        if self.has_terminal and not has_terminal():
            leave_terminal()
            self.handle_exit(sig, frame)
        else:
            self.reloader.reload()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        if self.application.draining:
            self.force_exit = self.should_exit = True
            self.second_signal = sig
        else:
            self.application.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; whether to stop."""
        if self.application.draining and not self.announced:  # not in the handler, which may interrupt another message
            self.announced = True
            log.info("finishing %d requests; a second signal ends at once", self.application.active)
        now = time.monotonic()
        self._close_idle(now)
        if now - self.checked > CHECK_SECONDS:
            self.checked = now
            self.reloader.check_files()
        self.reloader.work()
        for model in self.application.unused():
            asyncio.get_running_loop().run_in_executor(None, model.batcher.close)
        if self.application.draining and not self.application.active:
            self.should_exit = True
        return bool(await super().on_tick(counter))

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen."""
        asyncio.get_running_loop().set_exception_handler(self._handle_loop_error)
        await super().startup(sockets)

    def _handle_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error of the event loop; one of them, that no more connections can be opened, once a minute."""
        error = context.get("exception")
        if not (
            isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
        ):
            loop.default_exception_handler(context)
        elif time.monotonic() - self.logged > LOG_SECONDS:
            self.logged = time.monotonic()
            log.error("no more connections can be opened (%s): clients have to wait", error.strerror)

    def _close_idle(self, now: float) -> None:
        """Close connections on which no request has begun for long, such as one whose headers come byte by byte."""
        before, self.idle = self.idle, {}
        connections: Any = self.server_state.connections
        for connection in connections:
            cycle = connection.cycle  # of the last request
            if cycle is None or cycle.response_complete:
                last, since = before.get(connection, (cycle, now))
                self.idle[connection] = cycle, since if last is cycle else now
                idle = now - self.idle[connection][1]
                if idle > 2 * IDLE_SECONDS:
                    connection.transport.abort()  # its client does not read the answer
                elif idle > IDLE_SECONDS:
                    connection.transport.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address; port 0: any free one. Raises ConfigError if it cannot be used."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no name of a host"
        raise ConfigError(f"--host {host} --port {port} cannot be listened on: {reason}") from error
    # for its connections too: the second packet of an answer would otherwise wait 40 ms for an acknowledgement
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def address_of(listening: socket.socket) -> str:
    """http://127.0.0.1:5000"""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(app: Any, server: Server, reloader: Reloader) -> GracefulServer:
    """What runs the application."""
    config = uvicorn.Config(
        app,
        http="h11",  # whatever else is installed
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=END_SECONDS,
    )
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # a warning for every request that is no HTTP
    for name in ("python_multipart", "multipart"):  # which log the bytes that they did not expect
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return GracefulServer(config, server, reloader)


def run(app: Any, server: Server, listening: socket.socket, reloader: Reloader) -> None:
    """Answer requests until a signal. Raises Interrupted if a second one came before all had their answers."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names a limit that it does not allow
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a file for each connection
    running = make_server(app, server, reloader)
    before = signal.signal(signal.SIGHUP, running.handle_hangup)  # also under nohup, which ignores it
    try:
        running.run(sockets=[listening])
    finally:
        signal.signal(signal.SIGHUP, before)
        reloader.close()
    if running.second_signal:
        raise Interrupted(running.second_signal)
