"""`seq2seq serve`: answers requests for translations and summaries over HTTP, as LibreTranslate does, and more."""

import argparse
import logging
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.commands.options import add_device_options, add_search_options, open_translator, search_options
from seq2seq.data.files import read_lines
from seq2seq.errors import ConfigError, quoted
from seq2seq.runtime.arguments import Parser, add_number, add_threads
from seq2seq.runtime.bounds import SEARCH_BOUNDS, Bounds

if TYPE_CHECKING:
    from seq2seq.serve.metrics import Metrics
    from seq2seq.serve.models import ModelInfo, ServedModel

log = logging.getLogger("seq2seq")

PACKAGES = ("fastapi", "prometheus_client", "py3langid", "python_multipart", "sentencex", "uvicorn")
PORT = Bounds(0, 65535)
CHARACTERS = Bounds(1, 10_000_000, "a request is in memory as a whole")
TEXTS, WAITING = Bounds(1, 10_000), Bounds(1, 100_000, "requests that wait are in memory")
TOKENS, MILLISECONDS = Bounds(1, 10_000_000), Bounds(0.0, 1000.0)


def main(argv: list[str]) -> None:
    """`seq2seq serve [NAME=]MODEL ...`."""
    options = _parse(argv)
    if missing := [name for name in PACKAGES if not find_spec(name)]:
        raise ConfigError(f"serving needs more packages, {', '.join(missing)}: pip install 'seq2seq[serve]'")
    search = search_options(options)
    keys = _read_keys(options.api_keys) if options.api_keys else []

    from seq2seq.serve.app import RequestLimits, Server, make_app
    from seq2seq.serve.metrics import Metrics
    from seq2seq.serve.models import Models, read_model
    from seq2seq.serve.reload import Reloader
    from seq2seq.serve.server import address_of, listen, run
    from seq2seq.utils.process import keep_freed_memory

    keep_freed_memory()
    listening = listen(options.host, options.port)  # before the models are opened, which takes longer
    metrics = Metrics()

    def open_model(info: "ModelInfo") -> "ServedModel":
        return _open_model(read_model(str(info.path), info.name), options, search, metrics)

    models = Models([_open_model(read_model(word), options, search, metrics) for word in options.models])
    limits = RequestLimits(options.max_characters, options.max_texts, options.max_beam)
    server = Server(models, metrics, limits, keys)
    for model in models.models.values():
        info = model.info
        languages = f"{info.source or '?'}-{info.target or '?'}" if info.task == "translation" else info.task
        log.info("%s: %s", info.name, languages)
    log.info("listening on %s", address_of(listening))
    finished = False
    try:
        run(make_app(server, options.cors), server, listening, Reloader(server, open_model, options.watch))
        finished = True
    finally:
        server.close(finished)


def _open_model(
    info: "ModelInfo", options: argparse.Namespace, search: dict[str, Any], metrics: "Metrics"
) -> "ServedModel":
    """A model, ready to translate."""
    from seq2seq.serve.batching import Batcher, Limits
    from seq2seq.serve.models import ServedModel

    device = {"device": options.device, "precision": options.precision, "threads": options.threads}
    limits = Limits(options.batch_tokens, options.batch_wait / 1000, options.max_waiting)
    batcher = Batcher(lambda: open_translator(info.path, **device, **search), limits, metrics.observer(info.name))
    metrics.watch(info.name, batcher.waiting)
    return ServedModel(info, batcher)


def _read_keys(path: Path) -> list[str]:
    """The API keys in a file, one a line; empty lines and those that begin with # are none."""
    keys = [line.strip() for line in read_lines(path) if line.strip() and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"{path} holds no API key: one a line is expected")
    if wrong := [key for key in keys if not re.fullmatch("[!-~]+", key)]:
        raise ConfigError(f"{path}: {quoted(wrong[0])} cannot be a key: letters, digits and punctuation of ASCII can")
    return keys


def _origin(text: str) -> str:
    """An origin as browsers write it."""
    if text != "*" and not re.fullmatch(r"https?://[^/\s]+", text):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no origin, such as https://example.org or *")
    return text


def _parse(argv: list[str]) -> argparse.Namespace:
    """The options, unchecked."""
    parser = Parser(
        "serve",
        "Answer requests for translations and summaries over HTTP, with the interface of LibreTranslate and one of our"
        " own, until SIGTERM or Ctrl-C; what was accepted is finished then. SIGHUP reloads all models. Sentences of"
        " all requests that wait are translated together. Needs pip install 'seq2seq[serve]'.",
        usage="seq2seq serve [OPTIONS] [NAME=]MODEL ...",
        example="runs/toy-demo-s1-bc617b45 fast=export.s2s",
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="run directory or bundle; of several for the same languages the first answers, unless a request has the"
        " NAME of another one (default: that of the folder or file)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine)")
    add_number(parser, "--port", PORT, default=5000, help="port to listen on; 0: any free one (default: 5000)")
    parser.add_argument(
        "--api-keys", type=Path, metavar="FILE", help="requests need one of the keys in this file, one a line"
    )
    parser.add_argument(
        "--cors",
        action="append",
        default=[],
        type=_origin,
        metavar="ORIGIN",
        help="pages of this origin, such as https://example.org, may send requests from a browser; *: of all; may be"
        " repeated",
    )
    parser.add_argument(
        "--watch", action="store_true", help="reload a model when its weights change, as all are at SIGHUP"
    )
    limits = parser.add_argument_group("limits", "what goes beyond is refused, with status 413, 429 or 400")
    add_number(limits, "--max-characters", CHARACTERS, default=20_000, help="characters of a request (default: 20000)")
    add_number(limits, "--max-texts", TEXTS, default=100, help="texts in the list of a request (default: 100)")
    add_number(limits, "--max-waiting", WAITING, default=100, help="requests that wait for a model (default: 100)")
    add_number(
        limits,
        "--max-beam",
        SEARCH_BOUNDS["beam"],
        default=20,
        help="beam and number of hypotheses that a request may choose (default: 20)",
    )
    batches = parser.add_argument_group("batches")
    add_number(
        batches,
        "--batch-tokens",
        TOKENS,
        default=4096,
        help="source tokens that are translated together, padding included (default: 4096)",
    )
    add_number(
        batches,
        "--batch-wait",
        MILLISECONDS,
        default=5.0,
        help="milliseconds without a request, after which a model waits no longer for those whose clients it has just"
        " answered (default: 5)",
    )
    add_device_options(parser)
    add_threads(parser)
    add_search_options(parser)
    return parser.parse_args(argv)
