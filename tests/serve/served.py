"""A server in this process, with stand-ins for translators. FastAPI is imported when one is made."""

import asyncio
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

from tests.serve.stand_in import StandIn


class Client:
    """Sends a request to an application, and waits for the answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def request(self, method: str, path: str, **options: Any) -> Any:
        import httpx2

        async def send() -> Any:
            transport = httpx2.ASGITransport(app=self.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    get, post = partialmethod(request, "GET"), partialmethod(request, "POST")


class Served:
    """A server of stand-ins, and a client of it. heads: layers and heads that each of its models is said to have"""

    def __init__(
        self,
        *specs: str,
        keys: tuple[str, ...] = (),
        origins: tuple[str, ...] = (),
        heads: tuple[int, int] = (0, 0),
        **limits: Any,
    ) -> None:
        from seq2seq.serve.app import RequestLimits, Server, make_app
        from seq2seq.serve.batching import Batcher, Limits
        from seq2seq.serve.metrics import Metrics
        from seq2seq.serve.models import ModelInfo, Models, ServedModel

        metrics, waiting, models = Metrics(), limits.pop("waiting", 10), []
        self.translators: dict[str, StandIn] = {}
        for spec in specs or ("en-de",):
            name, _, languages = spec.rpartition("=")
            task = languages if languages in ("summarization", "classification") else "translation"
            source, target = ("en", "en") if task != "translation" else languages.split("-")
            info = ModelInfo(Path(spec), name or languages, task, source, target, layers=heads[0], heads=heads[1])
            translator = self.translators[info.name] = StandIn(mark=f"{name}:" if name else "")
            translator.gate.set()
            opened: Any = partial(self.translators.__getitem__, info.name)
            batcher = Batcher(opened, Limits(jobs=waiting, wait=0), metrics.observer(info.name))
            metrics.watch(info.name, batcher.waiting)
            models.append(ServedModel(info, batcher))
        self.models = Models(models)
        self.server = Server(self.models, metrics, RequestLimits(**limits), keys)
        self.app = make_app(self.server, origins)
        self.client = Client(self.app)

    def post(self, path: str, **values: Any) -> tuple[int, Any]:
        """The status and the answer of a request sent as JSON."""
        answer = self.client.post(path, json=values)
        return answer.status_code, answer.json()

    def translate(self, q: Any, source: str = "en", target: str = "de", **values: Any) -> tuple[int, Any]:
        return self.post("/translate", q=q, source=source, target=target, **values)

    def close(self) -> None:
        for translator in self.translators.values():
            translator.gate.set()
        self.server.close(True)
