"""`seq2seq interactive`: translates lines as they are typed, and shows alternatives and their attention."""

import argparse
import dataclasses
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.commands.options import add_device_options, add_search_options, open_translator, search_options
from seq2seq.commands.terms import TermFinder, add_term_options
from seq2seq.errors import ConfigError, Seq2SeqError, quoted, unknown
from seq2seq.runtime.arguments import Parser, add_threads
from seq2seq.runtime.search_config import SearchConfig
from seq2seq.runtime.stdin import stdin_windows
from seq2seq.runtime.words import is_blank

if TYPE_CHECKING:
    from seq2seq.runtime.translation import Translation

log = logging.getLogger("seq2seq")

ALTERNATIVES = 5  # that are shown unless --n-best is given
HELP = """\
TEXT              translate it
NUMBER            show the attention of this alternative
:attention on     show that of the best translation each time; off: not
:prefix TEXT      translations begin with TEXT; without TEXT: with anything
:terms A | B      translations hold A and B; without any: they need not
:n 5              show so many alternatives
:beam 10          and so on with every search setting: :length_penalty none
:help             this list
:quit             end, as Ctrl-D does"""


def main(argv: list[str]) -> None:
    """`seq2seq interactive MODEL [MODEL ...]`."""
    options = _parse(argv)
    search = search_options(options)
    terms = TermFinder(options)
    device = {"device": options.device, "precision": options.precision, "threads": options.threads}
    translator = open_translator(*options.models, **device, **search)
    session = Session(translator, terms)
    if "n_best" not in search:
        session.change({"n_best": min(ALTERNATIVES, translator.search.width)})
    if sys.stdin is not None and sys.stdin.isatty():
        print(":help lists what can be typed, Ctrl-D ends")
    for line in _lines():
        if line.strip() == ":quit":
            break
        try:
            session.answer(line)
        except Seq2SeqError as error:
            log.warning("%s", error)
        print(end="", flush=True)


def _parse(argv: list[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(
        "interactive",
        "Translate each line that is typed, with numbered alternatives; a number shows the attention of that"
        " alternative. Lines from a pipe are answered as well.",
        usage="seq2seq interactive [OPTIONS] MODEL [MODEL ...]",
        example="runs/toy-demo-s1-bc617b45 --beam 10",
    )
    parser.add_argument(
        "models", nargs="+", type=Path, metavar="MODEL", help="run directory or bundle; several are an ensemble"
    )
    add_term_options(parser)
    add_device_options(parser)
    add_threads(parser)
    add_search_options(parser)
    return parser.parse_args(argv)


def _lines() -> Iterator[str]:
    """The lines that are typed, with a prompt and a history; those of a pipe as they come."""
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        for window in stdin_windows(1, lambda line, _: line):
            yield from window
        return
    with suppress(ImportError):  # it is not everywhere
        import readline  # noqa: F401  # gives `input` a history and keys
    while True:
        try:
            yield input("> ")
        except EOFError:
            print()
            return


class Session:
    """What has been set so far, and the alternatives that were found last."""

    def __init__(self, translator: Any, terms: TermFinder) -> None:
        self.translator, self.terms = translator, terms
        self.attention, self.prefix, self.required = False, "", list[str]()
        self.found: list[Translation] = []

    def answer(self, line: str) -> None:
        """Translate a line, or do what it commands. Raises Seq2SeqError for what cannot be done."""
        text = line.strip()
        if text.startswith(":"):
            name, _, value = text[1:].partition(" ")
            self._command(name, value.strip())
        elif (number := _number(text)) and number <= len(self.found):
            self._show_attention(self.found[number - 1])
        elif not is_blank(text):
            self._translate(line)

    def change(self, settings: dict[str, Any]) -> None:
        """Replace settings of the search. ConfigError for those that cannot work."""
        self.translator = self.translator.with_search(**settings)

    def _translate(self, line: str) -> None:
        (text,), given = self.terms.find([line])
        if self.required:
            given["terms"] = [[*given.get("terms", [[]])[0], *self.required]]
        (self.found,) = self.translator.hypotheses([text], attention=True, prefix=[self.prefix], **given)
        from seq2seq.evaluation.heatmap import printable

        if len(self.found) == 1:
            print(printable(self.found[0].text))
        else:
            for number, one in enumerate(self.found, 1):
                print(f"{number:>3}  {one.score:8.4f}  {printable(one.text)}")
        if self.attention:
            self._show_attention(self.found[0])

    def _show_attention(self, found: "Translation") -> None:
        """Print the attention between words as a map, and the pairs of words that it aligns."""
        from seq2seq.evaluation.alignment import word_links, word_weights
        from seq2seq.evaluation.heatmap import cell_style, legend, printable, render_text

        if found.attention is None or not found.attention.size:
            log.warning("this translation has no attention")
            return
        source, target, weights = word_weights(found)
        cell = cell_style(sys.stdout)
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
        print(render_text(weights, source, target, width, cell))
        print(legend(cell))
        pairs = sorted((int(t), int(s)) for s, t in (link.split("-") for link in word_links(found).split()))
        print("aligned:", *(f"{printable(source[s])}={printable(target[t])}" for t, s in pairs))

    def _command(self, name: str, value: str) -> None:
        if name == "help":
            print(HELP)
        elif name == "attention":
            self.attention = _switch(":attention", value)
        elif name == "prefix":
            self.prefix = value
        elif name == "terms":
            self.required = [term.strip() for term in value.split("|") if not is_blank(term)]
        else:
            self._setting({"n": "n_best"}.get(name, name), value)

    def _setting(self, name: str, value: str) -> None:
        """Replace a setting of the search by a value in text."""
        defaults = {field.name: field.default for field in dataclasses.fields(SearchConfig)}
        if name not in defaults:
            commands = [":attention", ":prefix", ":terms", ":n", ":help", ":quit", *(f":{known}" for known in defaults)]
            raise ConfigError(unknown("command", f":{name}", commands))
        default = defaults[name]
        read: Callable[[str], Any] = str
        if isinstance(default, bool):
            self.change({name: _switch(f":{name}", value)})
            return
        if isinstance(default, int | float):
            read = type(default)
        try:
            self.change({name: read(value)})
        except ValueError:
            kind = "an integer" if read is int else "a number"
            raise ConfigError(f"search.{name}={quoted(value)} is not {kind}") from None


def _number(text: str) -> int:
    """The number that is written as it is shown, without zeros before it; else 0."""
    is_number = text.isascii() and text.isdigit() and len(text) < 10  # Python reads no number of thousands of digits
    return int(text) if is_number and text[0] != "0" else 0


def _switch(name: str, value: str) -> bool:
    """Whether the value is on. ConfigError for what is neither on nor off."""
    if value not in ("on", "off"):
        raise ConfigError(f"{name} {quoted(value)} is neither on nor off")
    return value == "on"
