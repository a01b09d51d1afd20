"""A server of stand-ins on a port of this machine, in a thread, which can go and come back."""

import threading
from typing import Any

from tests.serve.served import Served


class Live:
    """Answers over HTTP until `stop`, and after `start` again on the same port."""

    def __init__(self, *specs: str, **options: Any) -> None:
        from seq2seq.serve.server import address_of, listen

        self.served = Served(*specs, **options)
        self.translators = self.served.translators
        listening = listen("127.0.0.1", 0)
        self.port, self.url = listening.getsockname()[1], f"{address_of(listening)}/"
        self._run(listening)

    def start(self) -> None:
        from seq2seq.serve.server import listen

        self._run(listen("127.0.0.1", self.port))

    def _run(self, listening: Any) -> None:
        import uvicorn

        config = uvicorn.Config(self.served.app, log_config=None, access_log=False, lifespan="off", ws="none")
        self.running = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.running.run, kwargs={"sockets": [listening]}, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.running.should_exit = self.running.force_exit = True
        self.thread.join(20)

    def close(self) -> None:
        for translator in self.translators.values():
            translator.gate.set()
        self.stop()
        self.served.close()
