"""The HTTP interface: LibreTranslate's, and requests of our own under /v1. Only this module imports FastAPI.

Errors are answered as {"error": ...}. Neither texts nor translations are logged.
"""

import asyncio
import hashlib
import logging
import math
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

import seq2seq
from seq2seq.config import LABEL_TASKS
from seq2seq.config.languages import language_name
from seq2seq.errors import RunError, Seq2SeqError
from seq2seq.evaluation.alignment import word_links
from seq2seq.runtime.lines import check_line
from seq2seq.runtime.search_config import SearchConfig
from seq2seq.runtime.translation import Translation, as_values
from seq2seq.runtime.untrusted import parse_json
from seq2seq.serve import page, schemas
from seq2seq.serve.heads import HeadChoice, check_choice
from seq2seq.serve.languages import Detected, Detector
from seq2seq.serve.markup import read_document
from seq2seq.serve.metrics import Metrics
from seq2seq.serve.models import Models, ServedModel
from seq2seq.serve.refusals import DrainingError, KeyRefusedError, RefusedError, TooLargeError, TooSlowError
from seq2seq.serve.text import Document, read_labelled, read_whole

log = logging.getLogger("seq2seq")

T = TypeVar("T")
Receive = Callable[[], Awaitable[Any]]
BODY_SECONDS = 30.0  # in which the body of a request has to be complete
BYTES_PER_CHARACTER, OTHER_BYTES = 12, 1 << 16  # of a body: an emoji as two \uXXXX escapes, and all other fields
WEIGHTS = 3_000_000  # of attention in an answer, which are 25 MB of JSON
SHORT = 1_000  # characters, which take less than a millisecond
DIGITS = 5  # of attention weights, as `translate --attention` writes them
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
AUTO = "auto"


class RequestLimits(NamedTuple):
    """What a request may ask for."""

    characters: int = 20_000  # of all its texts
    texts: int = 100
    beam: int = 20


class DisconnectedError(Exception):
    """The client closed the connection before it had its answer."""


class Server:
    """Answers requests with the models. Each handler takes a request and returns its response.

    keys: API keys, one of which a request needs; none: anyone may ask"""

    def __init__(
        self,
        models: Models,
        metrics: Metrics,
        limits: RequestLimits = RequestLimits(),  # noqa: B008
        keys: Collection[str] = (),
    ) -> None:
        self.models, self.metrics, self.limits = models, metrics, limits
        self.keys = {_digest(key) for key in keys}  # hashes: how long a look-up takes says nothing of the key
        self.detector = Detector(models.sources)
        self.detector.known  # noqa: B018  # loaded now, and not by the first requests at the same time
        self.html, self.html_headers = page.html(), page.headers()
        self.draining = False
        self.generation = 0  # how often a model was replaced
        self.begun: Counter[int] = Counter()  # requests without an answer yet, by the generation that they began in
        self.replaced: list[tuple[int, ServedModel]] = []  # with the last generation whose requests may use the model

    @property
    def active(self) -> int:
        """How many requests have no answer yet."""
        return self.begun.total()

    def replace(self, model: ServedModel) -> None:
        """Have a model answer the requests that come from now on, in place of the one of its name."""
        old = self.models.models[model.info.name]
        self.models = Models([model if one is old else one for one in self.models.models.values()])
        if self.detector.languages != self.models.sources:
            self.detector = Detector(self.models.sources)
        self.replaced.append((self.generation, old))
        self.generation += 1

    def unused(self) -> list[ServedModel]:
        """Models that were replaced and that no request uses any more; each is returned once."""
        oldest = min((generation for generation, count in self.begun.items() if count), default=self.generation)
        found = [entry for entry in self.replaced if entry[0] < oldest]
        for entry in found:
            self.replaced.remove(entry)  # another thread may append meanwhile
        return [model for _, model in found]

    def close(self, finish: bool) -> None:
        """Finish what was accepted, or only the present batches, and end the threads of all models."""
        for model in [*self.models.models.values(), *(model for _, model in self.replaced)]:
            model.batcher.close(finish)

    # LibreTranslate

    async def translate(self, request: Request) -> Response:
        """A translation, or those of a list of texts."""
        body = await self._body(request, schemas.TranslateBody)
        self._check_key(request, body.api_key)
        texts = self._texts(body.q)
        detected = await self._detected(texts) if body.source == AUTO else []
        sources = [one.language for one in detected] or [body.source] * len(texts)
        answers = await self._of_pairs(request, body, texts, sources)
        found: dict[str, Any] = {"translatedText": [best for best, _ in answers]}
        if body.alternatives:
            found["alternatives"] = [others for _, others in answers]
        if detected:
            found["detectedLanguage"] = [one._asdict() for one in detected]
        if isinstance(body.q, str):
            found = {name: values[0] for name, values in found.items()}
        return JSONResponse(found)

    async def _of_pairs(
        self, request: Request, body: schemas.TranslateBody, texts: Sequence[str], sources: Sequence[str]
    ) -> list[tuple[str, list[str]]]:
        """Each text's best translation and its alternatives."""
        answers: dict[int, tuple[str, list[str]]] = {}
        for source in dict.fromkeys(sources):  # of a list of texts that were detected there may be several
            model = self.models.of_pair(source, body.target)
            options = {}
            if body.alternatives:
                n_best = body.alternatives + 1
                if n_best > self.limits.beam:
                    most = self.limits.beam - 1
                    raise RefusedError(
                        f"alternatives={body.alternatives} is more than this server gives: at most {most}"
                    )
                options = {"n_best": n_best}
                if not model.batcher.translator.search.sampling:
                    options["beam"] = max(n_best, model.batcher.translator.search.beam)
            rows = [i for i, each in enumerate(sources) if each == source]
            read = [(texts[i], body.format, model.info.source) for i in rows]
            size = sum(len(text) for text, *_ in read)
            documents = await _computed(size, _read, read)
            found = await self._hypotheses(request, model, documents, model.search(options, self.limits.beam))
            ranked = await _computed(size * (1 + body.alternatives), _ranked, documents, found, body.alternatives)
            answers |= zip(rows, ranked, strict=True)
        return [answers[i] for i in range(len(texts))]

    async def detect(self, request: Request) -> Response:
        """The languages that a text may be in, the likeliest first."""
        body = await self._body(request, schemas.DetectBody)
        self._check_key(request, body.api_key)
        [text] = self._texts(body.q)
        found = await _computed(len(text), self._detector().detect, text)
        return JSONResponse([one._asdict() for one in found])

    async def languages(self, request: Request) -> Response:
        """The languages, and what each is translated to."""
        return JSONResponse(await run_in_threadpool(self.models.languages))

    async def settings(self, request: Request) -> Response:
        """What LibreTranslate tells its web page."""
        source, target = next(iter(self.models.pairs), ("", ""))
        return JSONResponse(
            {
                "apiKeys": bool(self.keys),
                "charLimit": self.limits.characters,
                "filesTranslation": False,
                "frontendTimeout": 500,
                "keyRequired": bool(self.keys),
                "language": {
                    "source": {"code": source, "name": language_name(source)},
                    "target": {"code": target, "name": language_name(target)},
                },
                "suggestions": False,
                "supportedFilesFormat": [],
            }
        )

    async def health(self, request: Request) -> Response:
        """Whether requests are answered: status 503 if not."""
        if not all(model.batcher.alive() for model in self.models.models.values()):
            return _error("a model has stopped: start the server anew", 503)
        if self.draining:
            return _error("the server is shutting down", 503)
        return JSONResponse({"status": "ok"})

    # Our own

    async def page(self, request: Request) -> Response:
        """The web page."""
        return Response(self.html, headers=self.html_headers, media_type="text/html")

    async def list_models(self, request: Request) -> Response:
        """The models, and what a request may choose."""
        models = self.models.models.values()
        found = await run_in_threadpool(lambda: [model.description(self.limits.beam) for model in models])
        return JSONResponse({"models": found, "characters": self.limits.characters, "key_required": bool(self.keys)})

    async def translate_details(self, request: Request) -> Response:
        """Translations with all that is known of them: n-best lists, scores, word alignment, attention."""
        body = await self._body(request, schemas.TranslateDetailsBody)
        self._check_key(request, body.api_key)
        texts = self._texts(body.text)
        model = await self._chosen(body, texts)
        read = [(text, body.format, model.info.source) for text in texts]
        documents = await _computed(sum(map(len, texts)), _read, read)
        languages = {"source": model.info.source, "target": model.info.target}
        return await self._details(request, body, model, documents, languages, "translations")

    async def summarize(self, request: Request) -> Response:
        """Summaries with all that is known of them. A text is summarized as a whole."""
        body = await self._body(request, schemas.SummarizeBody)
        self._check_key(request, body.api_key)
        texts = self._texts(body.text)
        model = self.models.named(body.model, "summarization")
        documents = [read_whole(text) for text in texts]
        return await self._details(request, body, model, documents, {}, "summaries")

    async def classify(self, request: Request) -> Response:
        """Labels of texts, or of their words, with all that is known of them. A text is labelled as a whole."""
        body = await self._body(request, schemas.ClassifyBody)
        self._check_key(request, body.api_key)
        texts = self._texts(body.text)
        model = self.models.named(body.model, *LABEL_TASKS)
        return await self._details(request, body, model, [read_labelled(text) for text in texts], {}, "labels")

    async def figures(self, request: Request) -> Response:
        """Figures for Prometheus."""
        self._check_key(request)
        return Response(self.metrics.text(), media_type=self.metrics.content_type)

    # What they share

    async def _chosen(self, body: schemas.TranslateDetailsBody, texts: Sequence[str]) -> ServedModel:
        """The model that a request names or needs."""
        if not body.source and not body.target:
            return self.models.named(body.model, "translation")
        if not body.source or not body.target:
            raise RefusedError("source and target must be given together, or neither of them")
        source = (await self._detected(["\n".join(texts)]))[0].language if body.source == AUTO else body.source
        model = self.models.of_pair(source, body.target)
        if not body.model:
            return model
        named = self.models.named(body.model, "translation")
        if (named.info.source, named.info.target) != (model.info.source, model.info.target):
            languages = f"{named.info.source}-{named.info.target}"
            raise RefusedError(f"model={body.model} translates {languages}: leave out source and target, or model")
        return named

    async def _details(
        self,
        request: Request,
        body: schemas.DetailedBody,
        model: ServedModel,
        documents: Sequence[Document],
        about: dict[str, Any],
        name: str,
    ) -> Response:
        """The response, with the answer for each text as its field `name`, after the model's name and what else there
        is about it."""
        search = model.search(body.search, self.limits.beam)
        choice = HeadChoice(body.layer, body.head)
        if any(choice) and not body.attention:
            raise RefusedError("layer and head choose the attention that is given: they need attention=true")
        check_choice(choice, model.info.name, model.info.layers, model.info.heads)
        attention = body.alignment or body.attention
        found = await self._hypotheses(request, model, documents, search, attention, choice if any(choice) else None)

        hypotheses = [one for sentences in found for ranked in sentences for one in ranked]
        weights = sum(len(one.source) * len(one.target) for one in hypotheses) if body.attention else 0
        if weights > WEIGHTS:
            raise TooLargeError(
                f"the attention of all hypotheses has {weights:,} weights, and an answer at most {WEIGHTS:,}: ask for"
                " fewer hypotheses, or send fewer sentences"
            )

        def as_json() -> Response:
            texts = [
                {
                    "text": _joined(document, sentences, 0),
                    "sentences": [
                        {"sentence": line, "hypotheses": [_hypothesis(one, body) for one in ranked]}
                        for line, ranked in zip(document.sentences, sentences, strict=True)
                    ],
                }
                for document, sentences in zip(documents, found, strict=True)
            ]
            return JSONResponse({"model": model.info.name, **about, name: texts})

        return await _computed(sum(len(one.text) for one in hypotheses) + weights, as_json)

    async def _hypotheses(
        self,
        request: Request,
        model: ServedModel,
        documents: Sequence[Document],
        search: SearchConfig,
        attention: bool = False,
        choice: HeadChoice | None = None,
    ) -> list[list[list[Translation]]]:
        """The hypotheses of each sentence of each text. Raises DisconnectedError if the client goes meanwhile."""
        lines = [line for document in documents for line in document.sentences]
        attention = attention or any(document.tagged for document in documents)
        job = await _computed(sum(map(len, lines)), model.batcher.job, lines, search, attention, choice)
        accepted = model.batcher.submit(job)
        answer: Any = asyncio.wrap_future(accepted)
        gone: Any = asyncio.ensure_future(_disconnection(request))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise DisconnectedError
            found = iter(answer.result())
        finally:
            accepted.cancel()  # has no effect if it is done; else the batcher drops the job
            gone.cancel()
        return [[next(found) for _ in document.sentences] for document in documents]

    async def _detected(self, texts: Sequence[str]) -> list[Detected]:
        """The likeliest language of each text."""
        detector = self._detector()
        return await _computed(sum(map(len, texts)), lambda: [detector.detect(text)[0] for text in texts])

    def _detector(self) -> Detector:
        if not self.models.sources:
            raise RefusedError("no model of this server translates between languages that it knows")
        return self.detector

    def _texts(self, given: str | Sequence[str]) -> list[str]:
        """The texts of a request. Raises TooLargeError for too many of them, or too many characters, and DataError for
        what is no text."""
        texts = [check_line(text, "the text") for text in ([given] if isinstance(given, str) else given)]
        if not texts:
            raise RefusedError("the list of texts is empty")
        if len(texts) > self.limits.texts:
            raise TooLargeError(
                f"a request may have at most {self.limits.texts:,} texts, and this one has {len(texts):,}: send several"
            )
        if (size := sum(map(len, texts))) > self.limits.characters:
            raise TooLargeError(
                f"a request may have at most {self.limits.characters:,} characters, and this one has {size:,}:"
                " send several"
            )
        return texts

    def _check_key(self, request: Request, given: str = "") -> None:
        """Raise KeyRefusedError unless the request has a key of this server, if it needs one."""
        if not self.keys:
            return
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        key = given or (token.strip() if kind.lower() == "bearer" else "")
        if not key:
            raise KeyRefusedError("this server needs an API key, as `api_key` or as `Authorization: Bearer KEY`")
        if _digest(key) not in self.keys:
            raise KeyRefusedError("the API key is unknown")

    async def _body(self, request: Request, kind: type[schemas.B]) -> schemas.B:
        """The request, sent as JSON or as a form."""
        if self.draining:
            raise DrainingError
        if request.headers.get("content-type", "").lower().startswith(FORMS):
            try:
                form = await request.form(max_files=1, max_fields=1000 + self.limits.texts)
            except HTTPException as error:
                raise RefusedError(f"the form cannot be read: {error.detail}") from None
            return schemas.parsed(kind, _form_values(form))
        try:
            values = parse_json(await request.body())
        except ValueError as error:
            raise RefusedError(f"the request is neither JSON nor a form: {error}") from None
        return schemas.parsed(kind, values)


def make_app(server: Server, origins: Sequence[str] = ()) -> FastAPI:
    """The application. origins: whose pages may use it from a browser; "*": all."""
    app = FastAPI(
        title="seq2seq",
        version=seq2seq.__version__,
        description="Translation and summarization. /translate, /detect and /languages are those of LibreTranslate.",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
    )
    answers = {code: {"model": schemas.ErrorAnswer} for code in (400, 403, 413, 429, 500, 503)}
    routes: list[tuple[str, str, Any, Any, Any]] = [
        ("POST", "/translate", server.translate, schemas.TranslateBody, schemas.TranslateAnswer),
        ("POST", "/detect", server.detect, schemas.DetectBody, list[schemas.DetectedLanguage]),
        ("GET", "/languages", server.languages, None, list[schemas.LanguageAnswer]),
        ("GET", "/frontend/settings", server.settings, None, dict[str, Any]),
        ("GET", "/health", server.health, None, dict[str, str]),
        ("POST", "/v1/translate", server.translate_details, schemas.TranslateDetailsBody,
         schemas.TranslateDetailsAnswer),
        ("POST", "/v1/summarize", server.summarize, schemas.SummarizeBody, schemas.SummarizeAnswer),
        ("POST", "/v1/classify", server.classify, schemas.ClassifyBody, schemas.ClassifyAnswer),
        ("GET", "/v1/models", server.list_models, None, schemas.ModelsAnswer),
        ("GET", "/metrics", server.figures, None, None),
        ("GET", "/", server.page, None, None),
    ]  # fmt: skip
    for method, path, handler, body, answer in routes:
        extra = {"requestBody": _described(body)} if body else None
        app.add_api_route(
            path,
            handler,
            methods=[method],
            responses=answers,  # type: ignore[arg-type]
            response_model=answer,
            openapi_extra=extra,
            summary=handler.__doc__.partition("\n")[0],
        )
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Guard, server=server, paths={path for _, path, *_ in routes})
    if origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(origins), allow_methods=["GET", "POST"], allow_headers=["*"]
        )
    return app


class Guard:
    """Limits the size of bodies, counts requests, and answers errors, none of which is logged with its text."""

    def __init__(self, app: Any, server: Server, paths: Collection[str]) -> None:
        self.app, self.server, self.paths = app, server, paths
        self.most = server.limits.characters * BYTES_PER_CHARACTER + OTHER_BYTES  # bytes of a body

    async def __call__(self, scope: Any, receive: Receive, send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status, size, complete = time.monotonic(), 0, 0, False

        async def limited() -> Any:
            nonlocal size, complete
            left = None if complete else start + BODY_SECONDS - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), left)
            except TimeoutError:
                raise TooSlowError(f"the request was not complete after {BODY_SECONDS:.0f} seconds") from None
            complete = not message.get("more_body", False)
            size += len(message.get("body", b""))
            if size > self.most:
                raise TooLargeError(f"the body is larger than {self.most:,} bytes: send several requests")
            return message

        async def noted(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        generation = self.server.generation
        self.server.begun[generation] += 1
        try:
            await self.app(scope, limited, noted)
        except (DisconnectedError, ClientDisconnect):
            status = status or 499  # as others call it; nobody reads the answer
        except Exception as error:
            if not status:  # else the answer has begun
                await asyncio.sleep(0)  # so that a connection that was just closed is known to be
                await _answer_to(error)(scope, receive, noted)
        finally:
            self.server.begun[generation] -= 1
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.server.metrics.add_request(path, status, time.monotonic() - start)


def _answer_to(error: Exception) -> Response:
    """The response to a request that ended with an error."""
    if isinstance(error, RefusedError):
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
        return _error(str(error), error.status, headers)
    if isinstance(error, RunError):  # such as weights that give no probabilities
        log.error("%s", error)
        return _error(str(error), 500)
    if isinstance(error, Seq2SeqError):  # text or settings
        return _error(str(error), 400)
    place = traceback.extract_tb(error.__traceback__)[-1]  # without its message, which may hold text
    log.error("%s at %s:%s: a request failed", type(error).__name__, place.filename, place.lineno)
    return _error("the request failed by an error of the server, which is in its log", 500)


async def _http_error(request: Request, error: Exception) -> Response:
    """The response to a path or method that there is not."""
    assert isinstance(error, HTTPException)
    return _error(str(error.detail), error.status_code, error.headers)


def _error(message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers=dict(headers or {}))


async def _disconnection(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _computed(characters: int, function: Callable[..., T], *arguments: Any) -> T:
    """function(*arguments); in another thread if there are so many characters that other requests would wait.

    To hand a short text to another thread takes longer than what is done with it."""
    if characters <= SHORT:
        return function(*arguments)
    return await run_in_threadpool(function, *arguments)


def _form_values(form: FormData) -> dict[str, Any]:
    """The fields of a form; those that occur several times as lists. Raises RefusedError for a file."""
    values: dict[str, Any] = {}
    for name in form:
        found = form.getlist(name)
        if any(isinstance(one, UploadFile) for one in found):
            raise RefusedError(f"{name} is a file, and only text is translated")
        values[name] = found[0] if len(found) == 1 else found
    return values


def _read(texts: Sequence[tuple[str, str, str]]) -> list[Document]:
    """The documents of texts, each given with its format and its language."""
    return [read_document(*one) for one in texts]


def _ranked(
    documents: Sequence[Document], found: Sequence[Sequence[Sequence[Translation]]], alternatives: int
) -> list[tuple[str, list[str]]]:
    """Each text's best translation, and those of its other hypotheses that differ."""
    ranked = []
    for document, sentences in zip(documents, found, strict=True):
        best, *others = (_joined(document, sentences, rank) for rank in range(alternatives + 1))
        ranked.append((best, [one for one in dict.fromkeys(others) if one != best]))
    return ranked


def _joined(document: Document, sentences: Sequence[Sequence[Translation]], rank: int) -> str:
    """The text with this hypothesis of each sentence, or the last that it has."""
    return document.joined([ranked[min(rank, len(ranked) - 1)] for ranked in sentences])


def _hypothesis(found: Translation, body: schemas.DetailedBody) -> dict[str, Any]:
    """A hypothesis as JSON."""
    values = as_values(found) | {"finished": found.finished, "truncated": found.truncated}
    for name in ("score", "log_prob"):
        if not math.isfinite(values[name]):  # which JSON cannot hold
            values[name] = None
    if body.alignment:
        values["alignment"] = word_links(found)
    if body.attention:
        weights: Any = [] if found.attention is None else found.attention
        values["attention"] = [[round(float(weight), DIGITS) for weight in row] for row in weights]
    return values


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


def _described(body: Any) -> dict[str, Any]:
    """The body of a request for OpenAPI: JSON, or a form."""
    schema = body.model_json_schema()
    return {"required": True, "content": {kind: {"schema": schema} for kind in ("application/json", *FORMS)}}
