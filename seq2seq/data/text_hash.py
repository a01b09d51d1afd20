"""Hashes of text as it is read, and the check that it is still the same when it is read again."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from seq2seq.data.readers import AnyPair, LinkedPair
from seq2seq.errors import DataError


class Stamp(NamedTuple):
    """The state of a file: while it is the same, so is the content."""

    inode: int
    size: int  # bytes
    modified: int  # nanoseconds; anyone may set it
    status: int  # time of the last change of content or attributes, which nobody can set


class TextChangedError(DataError):
    """Text that was not the same when it was read again."""


class TextHash:
    """SHA-256 of pairs, and apart from it of their word links, both of which grow with `add`."""

    def __init__(self) -> None:
        self._text, self._links, self._linked = hashlib.sha256(), hashlib.sha256(), False

    def add(self, pair: AnyPair) -> None:
        """Append a pair."""
        self._text.update(f"{pair.source}\n{pair.target}\n".encode())
        if isinstance(pair, LinkedPair):
            self._linked = True
            self._links.update(f"{pair.links}\n".encode())

    def end_part(self) -> None:
        """Append the end of one set of pairs: hashes of the same pairs, split differently, differ."""
        self._text.update(b"\0")

    @property
    def text(self) -> str:
        """Hexadecimal digits for the pairs so far."""
        return self._text.hexdigest()

    @property
    def links(self) -> str:
        """Hexadecimal digits for the word links so far; "" if no pair had any."""
        return self._links.hexdigest() if self._linked else ""


def hash_pairs(pairs: Iterable[AnyPair]) -> str:
    """The hash of pairs and of their links, if they have some."""
    digest = TextHash()
    for pair in pairs:
        digest.add(pair)
    return digest.text + digest.links


def file_stamps(paths: Iterable[Path]) -> dict[Path, Stamp | None]:
    """The state of each file; None for one that cannot be found."""
    return {path: _stamp(path) for path in paths}


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def unchanged(
    pairs: Iterable[AnyPair], *, text: str, links: str, stamps: Mapping[Path, Stamp | None], names: Sequence[str]
) -> Iterator[AnyPair]:
    """The same pairs, read once more.

    Raises TextChangedError if they can no longer be read, or at their end if their hash is not `text`, or that of their
    links, if they have some, not `links`. The message names the files of `stamps` that were written to meanwhile, or
    else `names`."""
    digest, cause = TextHash(), None
    try:
        for pair in pairs:
            digest.add(pair)
            yield pair
    except DataError as error:
        cause = error
    if cause or digest.text != text or digest.links not in ("", links):
        changed = [str(path) for path, before in stamps.items() if _stamp(path) != before]
        raise TextChangedError(
            f"{', '.join(changed or names)} changed while it was read: nothing was stored;"
            " start again when the text is complete"
        ) from cause
