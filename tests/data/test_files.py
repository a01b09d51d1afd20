"""Files as people have them: other encodings, compressed, of other names; each is read, or refused in a sentence."""

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2seq.data import files
from seq2seq.data.files import PACKED, PACKINGS, find_file, read_lines
from seq2seq.data.readers import READERS, FileLayout, Pair
from seq2seq.errors import DataError, MissingError
from seq2seq.runtime import lines as runtime_lines
from seq2seq.runtime.lines import likely_encoding

TEXT = "Das Mädchen trägt\n«Où est la gare?»\n"
COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
MAGIC = {".zst": b"\x28\xb5\x2f\xfd", ".lz4": b"\x04\x22\x4d\x18", ".zip": b"PK\x03\x04", ".7z": b"7z\xbc\xaf\x27\x1c"}


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16le", "utf-16be", "utf-32"])
@pytest.mark.parametrize("text", [TEXT, "only ASCII\nin two lines\n"])
def test_encoding_is_named(encoding: str, text: str, tmp_path: Path) -> None:
    if encoding == "cp1252" and text.isascii():
        return
    (tmp_path / "a").write_bytes(text.encode(encoding))
    message = refusal(tmp_path / "a")
    assert "a:1: " in message
    assert f"probably {encoding}: convert it, as in `iconv -f {encoding} -t utf-8 < FILE > NEW`" in message


@pytest.mark.parametrize(
    ("line", "first", "encoding"),
    [
        ("Где вокзал".encode("cp1251"), True, ""),
        ("駅はどこですか".encode("shift_jis"), True, ""),
        ("ein gutes Bier für".encode() + b"\xe4\n", True, ""),  # the rest is UTF-8
        (b"\x81\x8d\n", True, ""),
        ("Где\n".encode("utf-16le"), True, ""),
        (b"\0" + "Г д\n".encode("utf-16le")[:-1], False, "utf-16le"),
        ("Г д\n".encode("utf-16be"), False, "utf-16be"),
        (b"caf\xe9 au lait\n", False, "cp1252"),
        (b"it\x92s\n", False, "cp1252"),
    ],
)
def test_only_a_plain_encoding_is_named(line: bytes, first: bool, encoding: str) -> None:
    assert likely_encoding(line, first) == encoding


def test_place_of_an_invalid_byte(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("ok\nfür\n".encode() + "grün\n".encode("cp1252"))
    assert "a:3: not UTF-8 (byte 0xfc at place 3); the file is probably cp1252" in refusal(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"ok\na\0b and more\n")
    assert refusal(tmp_path / "b").endswith(
        "b:2: a NUL, which is not text (byte 0x00 at place 2); the line is damaged, or the file is binary"
    )


@pytest.mark.parametrize("content", [TEXT, "", "\n", "last line without its end"])
@pytest.mark.parametrize("ending", PACKED)
def test_compressed_text_is_found_and_read(ending: str, content: str, tmp_path: Path) -> None:
    (tmp_path / f"c.en{ending}").write_bytes(COMPRESS[ending](content.encode()))
    assert list(read_lines(find_file("c.en", tmp_path))) == content.removesuffix("\n").split("\n")[: len(content)]


@pytest.mark.parametrize("ending", PACKED)
def test_damaged_compressed_text_is_refused(ending: str, tmp_path: Path) -> None:
    packed = COMPRESS[ending](os.urandom(9000).hex().encode())
    (tmp_path / f"cut{ending}").write_bytes(packed[:-900])
    (tmp_path / f"spoilt{ending}").write_bytes(packed[:90] + b"spoilt" + packed[96:])
    for name in ("cut", "spoilt"):
        assert f"not a complete {PACKINGS[ending].name} file" in refusal(tmp_path / f"{name}{ending}")


@pytest.mark.parametrize("ending", PACKED)
def test_name_and_content_must_agree(ending: str, tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.en", tmp_path / f"b.en{ending}"
    plain.write_bytes(COMPRESS[ending](TEXT.encode()))
    packed.write_text(TEXT)
    name = PACKINGS[ending].name
    assert refusal(plain).endswith(f"is compressed with {name}: its name has to end in {ending}")
    assert refusal(packed).endswith(f"is not compressed with {name}: its name must not end in {ending}")


@pytest.mark.parametrize("ending", MAGIC)
def test_compressed_text_that_is_not_read_is_named(ending: str, tmp_path: Path) -> None:
    """Never as a suggestion that would then fail."""
    content = MAGIC[ending] + os.urandom(20)
    (tmp_path / f"c.en{ending}").write_bytes(content)
    for name in ("c.en", f"c.en{ending}"):
        with pytest.raises(DataError, match=rf"c\.en\{ending} is compressed with .*, which is not read: unpack it"):
            find_file(name, tmp_path)
    with pytest.raises(MissingError) as caught:
        find_file("d.en", tmp_path)
    assert "did you mean" not in str(caught.value)
    (tmp_path / "plain.csv").write_bytes(content)
    assert "which is not read: unpack it" in refusal(tmp_path / "plain.csv")
    (tmp_path / "book.xlsx").write_bytes(MAGIC[".zip"] + content)
    assert "export the table as CSV" in refusal(tmp_path / "book.xlsx")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("https://example.org/train", "is an address: download the file"),
        ("part*", "wildcards are not expanded: list the files"),
        ("train", "train.en is missing"),
        ("one.csv", "one.csv is one file with both sides: data.format=csv reads it"),
        ("one.tsv.gz", "data.format=tsv reads it"),
        ("full.en", "full.en is a file, but data.format=text needs what is common to the names of two"),
        ("folder", "folder.en is a folder"),
        ("pipe", "is not a file but a pipe or a device"),
        ("a\x1b[2J", "is missing"),
        ("x" * 300, "cannot be read"),
        ("", ".en is missing"),
    ],
)
def test_name_that_is_no_text(name: str, message: str, tmp_path: Path) -> None:
    for file in ("one.csv", "one.tsv.gz", "full.en", "full.de"):
        (tmp_path / file).write_text("")
    (tmp_path / "folder.en").mkdir()
    os.mkfifo(tmp_path / "pipe.en")
    with pytest.raises(DataError) as caught:
        next(READERS["text"]([name], FileLayout(tmp_path, "en", "de")))
    assert message in str(caught.value)


def test_names_as_people_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("my text (1)", "größe", "a,b"):
        for side in ("en", "de"):
            (tmp_path / f"{name}.{side}").write_text(f"{side}\n")
        assert list(READERS["text"]([f"~/{name}"], FileLayout(Path("/nowhere"), "en", "de"))) == [Pair("en", "de")]


def test_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.en"
    path.write_text("a\n")
    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read (Permission denied)" in refusal(path)
    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(DataError, match=r"a\.en' cannot be read \(Permission denied\)"):
        find_file("a.en", tmp_path)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\xef\xbb\xbfa\nb", ["a", "b"]),
        ("a\u2028b\nc\u0085d\ne\x0cf\x0b\x1c\n".encode(), ["a\u2028b", "c\u0085d", "e\x0cf\x0b\x1c"]),
        (b"a\rb\n", ["a\rb"]),
        (b"", []),
        (b"\n\n", ["", ""]),
    ],
)
def test_line_ends(content: bytes, lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    assert list(read_lines(tmp_path / "a")) == lines


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_line_without_an_end_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (files, runtime_lines):
        monkeypatch.setattr(module, "LONGEST_LINE", 50)
    with (gzip.open if name.endswith("gz") else open)(tmp_path / name, "wb") as file:
        file.write(b"x" * 49 + b"\n" + b"x" * 99)
    found = files.read_lines(tmp_path / name)
    assert next(found) == "x" * 49
    with pytest.raises(DataError, match=f"{name}:2: a line of more than 50 bytes"):
        next(found)
