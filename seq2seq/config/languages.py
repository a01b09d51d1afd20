"""Languages by ISO 639 code, BCP 47 tag or name: `zh`, `cmn`, `zh_Hant`, `chinese` and `中文`. Only this module imports
langcodes, on first use."""

import logging
from contextlib import suppress
from functools import cache
from typing import NamedTuple

from seq2seq.errors import ConfigError, quoted

log = logging.getLogger("seq2seq")

SHORTEST, LONGEST = 2, 100  # characters of a tag or a name
RIGHT_TO_LEFT = {"Adlm", "Arab", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa", "Yezi"}  # scripts in use


class Language(NamedTuple):
    """What scores depend on."""

    tag: str  # BCP 47, the shortest code: zh-Hant
    script: str  # ISO 15924, the likely one if the tag has none: Hant
    known: bool  # whether its parts are registered


def find_language(name: str) -> Language | None:
    """The language with this code, tag, locale or name in any language; None if it is none of these.

    A code that is well-formed but not registered gives a Language that is not `known`."""
    import langcodes

    plain = name.strip().split(".")[0].split("@")[0]  # de_DE.UTF-8@euro is a locale
    # langcodes reads beyond its tables if a name holds a NUL
    if not SHORTEST <= len(plain) <= LONGEST or not plain.isprintable():
        return None
    found = None
    with suppress(ValueError):
        found = langcodes.Language.get(plain)
    if found is None or not found.is_valid():  # maybe a name: Thai could be a code
        with suppress(LookupError):
            found = langcodes.find(plain)
    return None if found is None else Language(found.to_tag(), found.maximize().script or "", found.is_valid())


def language_name(name: str) -> str:
    """The English name of a language, such as Chinese (Traditional); `name` itself if it is no language."""
    import langcodes

    language = find_language(name)
    return langcodes.Language.get(language.tag).display_name() if language else name


def text_direction(name: str) -> str:
    """How a language is written, as HTML's `dir`: ltr, rtl, or auto if that is not known."""
    language = find_language(name)
    if language is None or not language.known:
        return "auto"
    return "rtl" if language.script in RIGHT_TO_LEFT else "ltr"


def check_language(name: str, label: str) -> None:
    """Raise ConfigError if `name` is no language; warn, once, of a code that is not registered. "" is allowed."""
    if not name:
        return
    language = find_language(name)
    if language is None:
        raise ConfigError(
            f"{label}={quoted(name)} is no language: give an ISO 639 code, a BCP 47 tag or a name, such as zh, zho, "
            "zh-Hant or Chinese"
        )
    if not language.known:
        _warn_unknown(name, label)


def language_of_side(side: str) -> str:
    """The end of `side`, a file ending or a field such as zh or tok.zh, if it is a known language; else ""."""
    ending = side.rsplit(".", 1)[-1]
    language = find_language(ending)
    return ending if language and language.known else ""


@cache
def _warn_unknown(name: str, label: str) -> None:
    log.warning("%s=%s is a language code that nobody has registered: BLEU splits its words at spaces", label, name)
