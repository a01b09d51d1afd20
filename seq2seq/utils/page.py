"""Self-contained HTML pages: a template with places, filled with styles and scripts of which some are of several pages.

The folder `page` beside this module has what pages share: how elements are made, and heat maps of attention."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

SHARED = Path(__file__).parent / "page"
PLACE = re.compile(r"\$\{(\w+)\}")


def filled(template: Path, content: Mapping[str, Callable[[], Iterable[str]]]) -> Iterator[str]:
    """The HTML of a template in pieces. content: name of a place, as in ${name} -> function that returns its pieces"""
    for number, piece in enumerate(PLACE.split(template.read_text(encoding="utf-8"))):
        if number % 2:  # the name of a place
            yield from content[piece]()
        else:
            yield piece


def joined(paths: Iterable[Path]) -> str:
    """The content of several files."""
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def content_security_policy(style: str, script: str) -> str:
    """A policy that allows this style and this script, by their hashes, and no requests."""
    return (
        f"default-src 'none'; script-src '{sha256(script)}'; style-src '{sha256(style)}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )


def sha256(text: str) -> str:
    """SHA-256 of a text, in the notation of the policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
