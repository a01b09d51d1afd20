"""Zip files whose entries are stored, not compressed: reading them in place, and writing them.

Of the format (PKWARE's APPNOTE.TXT) only what `write_archive` writes is read, besides extra fields, which are skipped:
no compression, no encryption, no sizes after the data, no comment, no parts, no sizes of 4 GiB and more. So nothing is
larger than the file itself, and what is allocated is bounded by what is there.
"""

import io
import os
import stat
import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

from .errors import RunError, quoted
from .untrusted import FILE_NAME, kind_of_file

MAX_ARCHIVE_BYTES = 2**32 - 2  # sizes have 32 bits, and the largest value means a size elsewhere
MAX_DIRECTORY_BYTES = 1 << 16

END = struct.Struct("<4s4H2LH")  # end of central directory, section 4.3.16
CENTRAL = struct.Struct("<4s6H3L5H2L")  # entry of the central directory, section 4.3.12
LOCAL = struct.Struct("<4s5H3L2H")  # header before the content of an entry, section 4.3.7
END_MARK, CENTRAL_MARK, LOCAL_MARK = b"PK\5\6", b"PK\1\2", b"PK\3\4"
ENCRYPTED = 1  # a flag
STORED = 0  # a method
VERSION, UNIX = 20, 3 << 8  # of the format; the system whose permissions are stored
DATE = 0x21  # 1 January 1980: the same contents give the same bytes


class Entry(NamedTuple):
    """A file in the archive."""

    name: str
    header: int  # where its header begins
    start: int  # where its content begins
    size: int  # bytes
    crc: int

    def read(self, file: io.BufferedReader, path: str) -> bytes:
        """The content. Raises RunError if it is damaged."""
        file.seek(self.start)
        content = file.read(self.size)
        if len(content) != self.size or zlib.crc32(content) != self.crc:
            raise RunError(f"{self.name} in {path} is damaged: its checksum differs")
        return content


def read_directory(file: io.BufferedReader, path: str, most: int) -> dict[str, Entry]:
    """The entries of an archive of at most `most` files, by name.

    Raises RunError, which names `path`, for what is no such archive, and for what `write_archive` does not write."""
    size = os.fstat(file.fileno()).st_size
    if file.read(2) != b"PK":
        raise RunError(f"{path} is no bundle: neither a folder nor a zip file")
    damaged = RunError(f"{path} is damaged, or no zip file of stored entries: it is not complete, or something follows")
    if size < END.size:
        raise damaged
    file.seek(size - END.size)
    mark, *parts, count, length, begin, comment = END.unpack(file.read(END.size))
    if mark != END_MARK or comment or parts != [0, 0, count] or begin + length + END.size != size:
        raise damaged
    if count > most:
        raise RunError(f"{path} holds {count:,} files, where a bundle has at most {most}")
    if length > MAX_DIRECTORY_BYTES:
        raise damaged
    file.seek(begin)
    directory, at, entries = file.read(length), 0, dict[str, Entry]()
    for _ in range(count):
        if at + CENTRAL.size > length or directory[at : at + 4] != CENTRAL_MARK:
            raise damaged
        fields = CENTRAL.unpack_from(directory, at)
        name = directory[at + CENTRAL.size : at + CENTRAL.size + fields[10]]
        entry = _entry(file, path, name, fields)
        if entry.name in entries:
            raise RunError(f"{path} holds {entry.name} twice")
        entries[entry.name] = entry
        at += CENTRAL.size + sum(fields[10:13])  # its name, extra fields and comment
    ends = 0
    for entry in sorted(entries.values(), key=lambda entry: entry.header):
        if entry.header < ends:
            raise RunError(f"{entry.name} in {path} is damaged: it overlaps with another file")
        ends = entry.start + entry.size
    if ends > begin or at != length:
        raise damaged
    return entries


def _entry(file: io.BufferedReader, path: str, name: bytes, fields: tuple[int, ...]) -> Entry:
    """The entry of these fields of the central directory. Raises RunError if it is not a stored, regular file."""
    _, made, _, flags, method, _, _, crc, packed, size, *_, attributes, header = fields
    text = name.decode("ascii", "backslashreplace")
    if not FILE_NAME.fullmatch(text):
        raise RunError(f"{path} holds {quoted(text)}, which is not the name of a file of a bundle")
    if flags & ENCRYPTED:
        raise RunError(f"{text} in {path} is encrypted")
    if method != STORED or packed != size:
        raise RunError(f"{text} in {path} is compressed: a bundle is read in place, so its files are stored")
    mode = attributes >> 16 if made >> 8 == UNIX >> 8 else 0
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        raise RunError(f"{text} in {path} is {kind_of_file(mode)}, not a regular file")
    file.seek(header)
    head = file.read(LOCAL.size + len(name))
    if len(head) == LOCAL.size + len(name):
        mark, _, *own, name_length, extra_length = LOCAL.unpack_from(head)
        known = [flags, method, *fields[5:7], crc, size, size]
        if mark == LOCAL_MARK and own == known and head[LOCAL.size :] == name and name_length == len(name):
            return Entry(text, header, header + len(head) + extra_length, size, crc)
    raise RunError(f"{text} in {path} is damaged: its two headers differ")


def write_archive(file: BinaryIO, contents: Mapping[str, bytes]) -> None:
    """Write an archive of stored files: name -> content."""
    directory, at = b"", 0
    for title, content in contents.items():
        name, size = title.encode("ascii"), len(content)
        common = (VERSION, 0, STORED, 0, DATE, zlib.crc32(content), size, size, len(name), 0)
        header = LOCAL.pack(LOCAL_MARK, *common) + name
        attributes = (stat.S_IFREG | 0o644) << 16
        directory += CENTRAL.pack(CENTRAL_MARK, UNIX | VERSION, *common, 0, 0, 0, attributes, at) + name
        file.write(header)
        file.write(content)
        at += len(header) + size
    file.write(directory)
    file.write(END.pack(END_MARK, 0, 0, len(contents), len(contents), len(directory), at, 0))
