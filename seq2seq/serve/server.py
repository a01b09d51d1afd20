"""Runs the application until a signal: what was accepted is then finished, and the rest refused. Only this module
imports uvicorn."""

import logging
import signal
import socket
from types import FrameType
from typing import Any

import uvicorn

from seq2seq.errors import ConfigError
from seq2seq.runtime.signals import Interrupted, handling, leave_terminal
from seq2seq.serve.app import Server

log = logging.getLogger("seq2seq")


class GracefulServer(uvicorn.Server):
    """Uvicorn's server, which at SIGTERM, SIGINT and SIGHUP answers what it has accepted, and then ends.

    Meanwhile it answers other requests with status 503, so that a load balancer sends them elsewhere. A second signal
    ends it at once."""

    def __init__(self, config: Any, server: Server) -> None:
        super().__init__(config)
        self.application = server
        self.second_signal = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        if sig == signal.SIGHUP:
            leave_terminal()
        if self.application.draining:
            self.force_exit = self.should_exit = True
            self.second_signal = sig
        else:
            self.application.draining = True
            log.info("finishing %d requests; a second signal ends at once", self.application.active)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; whether to stop."""
        if self.application.draining and not self.application.active:
            self.should_exit = True
        return bool(await super().on_tick(counter))


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address; port 0: any free one. Raises ConfigError if it cannot be used."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no name of a host"
        raise ConfigError(f"--host {host} --port {port} cannot be listened on: {reason}") from error


def address_of(listening: socket.socket) -> str:
    """http://127.0.0.1:5000"""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: Any, server: Server, listening: socket.socket) -> None:
    """Answer requests until a signal. Raises Interrupted if a second one came before all had their answers."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False, proxy_headers=False
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    for name in ("python_multipart", "multipart"):  # which log the bytes that they did not expect
        logging.getLogger(name).setLevel(logging.CRITICAL)
    running = GracefulServer(config, server)
    with handling(running.handle_exit, [signal.SIGHUP]):
        running.run(sockets=[listening])
    if running.second_signal:
        raise Interrupted(running.second_signal)
