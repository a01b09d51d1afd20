"""Bundles: what is written is read again, and what someone else wrote is refused in one sentence, without an effect."""

import errno
import io
import json
import os
import random
import socket
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seq2seq.data.tokenizer import train_tokenizer
from seq2seq.errors import ConfigError, RunError
from seq2seq.runtime import bundle as module
from seq2seq.runtime import graph_files
from seq2seq.runtime.bundle import CONFIG, Bundle, is_bundle, write_bundle
from seq2seq.runtime.graph_files import check_graph
from seq2seq.runtime.translator import open_vocabularies
from seq2seq.runtime.zip_files import write_archive
from tests.runtime.bundles import GRAPH, config, listed
from tests.runtime.fuzz import mutated

TOKENIZER = train_tokenizer(["the cat sleeps"] * 9, kind="char", size=40)
SIZE = TOKENIZER.size
FILES = {"tokenizer.spm": TOKENIZER.serialized, "encoder.onnx": GRAPH, "step.onnx": GRAPH, "card.md": b"# A card\n"}
CONTENT = config(SIZE, SIZE, True)


def folder_and_file(tmp_path: Path) -> list[Path]:
    """A bundle as a folder and as a file."""
    paths = [tmp_path / "bundle", tmp_path / "bundle.s2s"]
    for path in paths:
        write_bundle(path, CONTENT, FILES)
    return paths


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for path in folder_and_file(tmp_path):
        assert is_bundle(path)
        bundle = Bundle.open(str(path))
        bundle.verify()
        assert {name: bundle.read(name) for name in bundle.config.files} == FILES
        assert bundle.config.languages == ("en", "de")
        assert bundle.config.search.beam == 3
        assert bundle.config.values["seq2seq"] == "0.1.0"
        assert bundle.config.graphs == [("encoder.onnx", "step.onnx")]
        assert open_vocabularies(bundle).encode_source("cat").ids == [*TOKENIZER.encode("cat"), 3]
        assert not bundle.has(CONFIG)
        with pytest.raises(RunError, match=r"lists no config\.json"):
            bundle.read(CONFIG)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "bundle.s2s"]


def test_a_file_is_a_zip_of_stored_entries_and_always_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "a.s2s", tmp_path / "b.s2s"
    for path in (first, second):
        write_bundle(path, CONTENT, FILES)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("card.md") == FILES["card.md"]


def test_a_file_that_zip_stored_again_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.s2s"
    write_bundle(path, CONTENT, FILES)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "b.s2s", "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    Bundle.open(tmp_path / "b.s2s").verify()


def test_an_ensemble_and_separate_tokenizers(tmp_path: Path) -> None:
    files = {f"{part}{n}.onnx": GRAPH for part in ("encoder", "step") for n in (1, 2)}
    files |= {"source.spm": b"s", "target.spm": b"t"}
    write_bundle(tmp_path / "a", config(5, 6, False, members=2), files)
    read = Bundle.open(tmp_path / "a").config
    assert read.graphs == [("encoder1.onnx", "step1.onnx"), ("encoder2.onnx", "step2.onnx")]
    assert read.tokenizers == ["source.spm", "target.spm"]
    with pytest.raises(ValueError, match=r"it lists no encoder3\.onnx"):
        write_bundle(tmp_path / "b", config(5, 6, False, members=3), files)
    assert not (tmp_path / "b").exists()


def replaced(content: bytes | None) -> Callable[[Path], object]:
    """Replace the config by this content, or remove it."""
    return lambda path: (path / CONFIG).unlink() if content is None else (path / CONFIG).write_bytes(content)


def with_values(**values: Any) -> Callable[[Path], object]:
    """Replace values in the config; `...` removes one."""
    new = {name: value for name, value in (CONTENT | {"files": listed(FILES)} | values).items() if value is not ...}
    return replaced(json.dumps(new).encode())


def with_files(**files: Any) -> Callable[[Path], object]:
    """List more files in the config: name, with _ for each dot -> value."""
    more = {name.replace("_", "."): value for name, value in files.items()}
    return with_values(files=listed(FILES) | more)


def as_other(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Put something else in the place of a file."""

    def change(path: Path) -> None:
        (path / name).unlink()
        make(path / name)

    return change


def giant(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


def socket_file(path: Path) -> None:
    socket.socket(socket.AF_UNIX).bind(str(path))


ENTRY = {"bytes": 1, "sha256": "0" * 64}
FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    # the config
    "no config": (replaced(None), r"is no bundle: it has no config\.json$"),
    "an empty config": (replaced(b""), "not JSON at line 1"),
    "no JSON": (replaced(b"\x80\x04\x95."), "not UTF-8 at byte 0"),
    "a list": (replaced(b"[]"), "it is not the config of a bundle"),
    "deep JSON": (replaced(b"[" * 10**6), "nested too deeply"),
    "a number of many digits": (replaced(b'{"schema": ' + b"9" * 5000 + b"}"), "a number is too long"),
    "JSON of 100 MB": (replaced(b" " * 100_000_000), r"is too large: 100,000,000 bytes, where at most 1,048,576 are"),
    "a giant config": (as_other(CONFIG, giant), "is too large: 21,474,836,480 bytes"),
    "a config that is a pipe": (as_other(CONFIG, os.mkfifo), "is a named pipe, not a regular file"),
    "a config that is a link": (as_other(CONFIG, lambda p: p.symlink_to("card.md")), "is a link, not a regular file"),
    "no schema": (with_values(schema=...), "it has no schema"),
    "a newer schema": (
        with_values(schema=2, seq2seq="9.1"), r"schema 2 was written by seq2seq 9\.1, which is newer than this version"
    ),
    "a schema that never was": (with_values(schema=0), "schema 0 is unknown"),
    "half a schema": (with_values(schema=0.5), "it has no schema"),
    "true as schema": (with_values(schema=True), "it has no schema"),
    "no files": (with_values(files=...), "it has no files$"),
    "another kind": (with_values(kind="pickle"), "kind='pickle' is none of onnx, weights"),
    "weights without weights": (with_values(kind="weights"), r"it lists no model\.safetensors"),
    "no members": (with_values(members=0), "members=0 is not between 1 and 32"),
    "many members": (with_values(members=10**9), "members=1000000000 is not between 1 and 32"),
    "more members than files": (with_values(members=2), r"it lists no encoder1\.onnx"),
    "a text as a size": (with_values(vocabulary={"source": "9", "target": 9, "joint": True}), "vocabulary is not what"),
    "a vocabulary of one side": (with_values(vocabulary={"source": 9}), "vocabulary is not what it should be"),
    "one vocabulary of two sizes": (
        with_values(vocabulary={"source": 9, "target": 10, "joint": True}), "one vocabulary has 9 and 10 entries"
    ),
    "two tokenizers of one": (
        with_values(vocabulary={"source": 9, "target": 9, "joint": False}), r"it lists no source\.spm"
    ),
    "a negative limit": (with_values(max_source=-1), "max_source is neither null nor an integer above 1"),
    "a limit of 1": (with_values(max_target=1), "max_target is neither null"),
    "an unknown search setting": (with_values(search={"beem": 5}), r"search setting='beem' is unknown \(did you mean"),
    "a giant beam": (with_values(search={"beam": 10**9}), r"search\.beam=1000000000 is too large: at most 1000"),
    "a text as beam": (with_values(search={"beam": "5"}), r"search\.beam='5' must be of type int"),
    "settings at odds": (with_values(search={"beam": 2, "n_best": 3}), r"search\.n_best=3 is more than"),
    "a setting that is no name": (with_values(search={"__class__": 1}), "search setting='__class__' is unknown"),
    "an endless alpha": (with_values(search={"alpha": float("inf")}), "alpha=inf is not a finite number"),
    # what it lists
    "a path that leads out": (with_values(files={"../x.spm": ENTRY}), r"it lists '\.\./x\.spm', which is not the name"),
    "an absolute path": (with_values(files={"/etc/x.spm": ENTRY}), "which is not the name of a file of a bundle"),
    "a folder in a name": (with_values(files={"a/x.spm": ENTRY}), "which is not the name of a file of a bundle"),
    "a name with a NUL": (with_values(files={"a\0.spm": ENTRY}), r"'a\\x00\.spm', which is not the name of a file"),
    "a hidden name": (with_values(files={".spm": ENTRY}), "which is not the name of a file of a bundle"),
    "a long name": (with_values(files={"a" * 300 + ".spm": ENTRY}), "which is not the name of a file of a bundle"),
    "a program": (with_values(files={"run.py": ENTRY}), r"'run\.py', which is not the name of a file of a bundle"),
    "itself": (with_values(files={CONFIG: ENTRY}), r"'config\.json', which is not the name of a file of a bundle"),
    "many files": (with_values(files={f"{n}.md": ENTRY for n in range(999)}), "it lists 999 files, more than 100"),
    "a giant tokenizer": (with_files(tokenizer_spm=ENTRY | {"bytes": 10**12}), r"tokenizer\.spm is too large: 1,000,"),
    "a size of -1": (with_files(card_md=ENTRY | {"bytes": -1}), "files is not what it should be"),
    "a hash that is none": (with_files(card_md=ENTRY | {"sha256": "f" * 63}), r"the SHA-256 of card\.md is not one"),
    "a file that is not there": (with_files(more_md=ENTRY), r"more\.md is missing$"),
    "a file of another size": (with_files(card_md=ENTRY), r"card\.md in .* has 9 bytes, where config\.json says 1$"),
    "a file of another hash": (
        with_files(card_md=ENTRY | {"bytes": 9}), r"card\.md in .* is damaged, or was changed: its SHA-256 is not"
    ),
    "a graph of another hash": (
        with_files(step_onnx=ENTRY | {"bytes": 2}), r"step\.onnx in .* is damaged, or was changed"
    ),
    # what lies there
    "a link": (as_other("card.md", lambda path: path.symlink_to("/etc/passwd")), r"card\.md is a link, not a regular"),
    "a link inside": (as_other("card.md", lambda path: path.symlink_to("step.onnx")), r"card\.md is a link, not a"),
    "a pipe": (as_other("step.onnx", os.mkfifo), r"step\.onnx is a named pipe, not a regular file"),
    "a folder": (as_other("step.onnx", lambda path: path.mkdir()), r"step\.onnx is a folder, not a regular file"),
    "a socket": (as_other("step.onnx", socket_file), r"step\.onnx is a socket, not a regular file"),
    "a giant": (as_other("card.md", giant), r"card\.md is too large|has 21,474,836,480 bytes"),
    "a shorter file": (as_other("card.md", lambda path: path.write_text("#")), r"card\.md in .* has 1 bytes, where"),
    "a changed file": (as_other("card.md", lambda path: path.write_text("# A cord\n")), r"card\.md in .* is damaged"),
}  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", FOLDERS)
def test_hostile_folders_are_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, why = FOLDERS[kind]
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    path = Path("b")
    write_bundle(path, CONTENT, FILES)
    make(path)
    start = time.process_time()
    with pytest.raises(RunError, match=why) as caught:
        Bundle.open(path).verify()
    assert time.process_time() - start < 2
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert str(path) in str(caught.value)


PATHS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, "is missing"),
    "an empty folder": (lambda path: path.mkdir(), r"is no bundle: it has no config\.json"),
    "a run": (
        lambda path: (path.mkdir(), (path / "config.yaml").write_text("")),
        "is a run directory, not a bundle: `seq2seq export` makes one of it",
    ),
    "a pipe": (os.mkfifo, "is a named pipe, not a regular file"),
    "a socket": (socket_file, "is a socket, not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a regular file"),
    "a giant": (giant, "is too large: 21,474,836,480 bytes"),
    "a text": (lambda path: path.write_text("the cat sleeps"), "is no bundle: neither a folder nor a zip file"),
    "a pickle": (lambda path: path.write_bytes(b"\x80\x04\x95."), "is no bundle: neither a folder nor a zip file"),
    "an empty file": (lambda path: path.write_text(""), "is no bundle"),
    "two letters": (lambda path: path.write_text("PK"), "is damaged, or no zip file of stored entries"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "is missing"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "cannot be read"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", PATHS)
def test_paths_that_are_no_bundle_are_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, why = PATHS[kind]
    monkeypatch.chdir(tmp_path)
    make(Path("b.s2s"))
    with pytest.raises(RunError, match=f"^b.s2s {why}"):
        Bundle.open("b.s2s")
    with pytest.raises(RunError, match="it is no name of a file"):
        Bundle.open("b\0.s2s")


def test_a_bundle_may_be_reached_by_a_link(tmp_path: Path) -> None:
    for number, path in enumerate(folder_and_file(tmp_path)):
        (tmp_path / f"link{number}").symlink_to(path)
        Bundle.open(tmp_path / f"link{number}").verify()


def archive(path: Path, *, compression: int = zipfile.ZIP_STORED, **more: bytes) -> list[zipfile.ZipInfo]:
    """Write an archive of a bundle with Python's own zipfile, with more entries: name, with _ for each dot."""
    with zipfile.ZipFile(path, "w", compression) as file:
        content = CONTENT | {"files": listed(FILES)}
        for name, text in {CONFIG: json.dumps(content).encode(), **FILES}.items():
            file.writestr(name, text)
        for name, text in more.items():
            file.writestr(name.replace("_", "."), text)
        return file.infolist()


def with_entry(name: str, mode: int = 0, content: bytes = b"x") -> Callable[[Path], None]:
    """Add an entry of a name and mode."""

    def add(path: Path) -> None:
        archive(path)
        info = zipfile.ZipInfo(name)
        info.external_attr, info.create_system = mode << 16, 3
        with zipfile.ZipFile(path, "a") as file:
            file.writestr(info, content)

    return add


def patched(change: Callable[[bytearray], object]) -> Callable[[Path], None]:
    """Change the bytes of an archive."""

    def patch(path: Path) -> None:
        write_bundle(path, CONTENT, FILES)
        content = bytearray(path.read_bytes())
        result = change(content)
        path.write_bytes(result if isinstance(result, bytes) else content)

    return patch


def set_field(at: Callable[[bytes], int], form: str, value: int) -> Callable[[Path], None]:
    return patched(lambda content: struct.pack_into(form, content, at(content), value))


def central(content: bytes, skip: int = 0) -> int:
    """Where an entry of the central directory begins."""
    at = content.index(b"PK\1\2")
    for _ in range(skip):
        at = content.index(b"PK\1\2", at + 4)
    return at


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(CONFIG, b" " * 10_000_000)


def streamed(path: Path) -> None:
    """An archive whose sizes follow the data."""
    with path.open("wb") as file:
        pipe: Any = SimpleNamespace(write=file.write, flush=file.flush)
        with zipfile.ZipFile(pipe, "w") as stream:
            stream.writestr(CONFIG, b"{}")


def doubled(path: Path) -> None:
    archive(path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as file:
        file.writestr("card.md", b"another")


LINK, PIPE, FOLDER = 0o120777, 0o010644, 0o040755
ARCHIVES: dict[str, tuple[Callable[[Path], object], str]] = {
    "compressed entries": (lambda path: archive(path, compression=zipfile.ZIP_DEFLATED), "config.json in .* is comp"),
    "a zip bomb": (bomb, r"config\.json in .* is compressed: a bundle is read in place"),
    "a duplicate": (doubled, r"holds card\.md twice"),
    "a path that leads out": (with_entry("../../x.md"), r"holds '\.\./\.\./x\.md', which is not the name of a file"),
    "an absolute path": (with_entry("/etc/x.md"), "which is not the name of a file of a bundle"),
    "a path of Windows": (with_entry("..\\x.md"), "which is not the name of a file of a bundle"),
    "a drive": (with_entry("C:x.md"), "which is not the name of a file of a bundle"),
    "a folder": (with_entry("a/"), "which is not the name of a file of a bundle"),
    "a name of another script": (with_entry("ü.md"), r"'\\xc3\\xbc\.md', which is not the name of a file"),
    "a link": (with_entry("x.md", LINK, b"/etc/passwd"), r"x\.md in .* is a link, not a regular file"),
    "a pipe": (with_entry("x.md", PIPE), r"x\.md in .* is a named pipe, not a regular file"),
    "a folder by its mode": (with_entry("x.md", FOLDER), r"x\.md in .* is a folder, not a regular file"),
    "an entry that is not listed": (with_entry("x.md"), r"holds 'x\.md', which its config\.json does not list"),
    "many entries": (
        lambda path: archive(path, **{f"{n}_md": b"" for n in range(200)}), "holds 205 files, where a bundle has at"
    ),
    "no config": (lambda path: zipfile.ZipFile(path, "w").close(), r"is no bundle|is damaged|has no config\.json"),
    "encrypted": (patched(lambda c: [struct.pack_into("<H", c, at, 1) for at in (6, central(c) + 8)]), "is encrypted"),
    "sizes after the data": (streamed, r"config\.json in .* is damaged|is compressed"),
    "other flags": (set_field(lambda c: 6, "<H", 8), "its two headers differ"),
    "another name inside": (patched(lambda c: c.__setitem__(30, 66)), "its two headers differ"),
    "another size": (set_field(lambda c: central(c) + 24, "<L", 5), r"config\.json in .* is compressed"),
    "a large size": (
        patched(lambda c: [struct.pack_into("<L", c, central(c) + at, 2**32 - 1) for at in (20, 24)]), "headers differ"
    ),
    "an offset behind the end": (set_field(lambda c: central(c) + 42, "<L", 2**32 - 2), "its two headers differ"),
    "another entry's content": (set_field(lambda c: central(c, 1) + 42, "<L", 0), "its two headers differ"),
    "a comment": (set_field(lambda c: len(c) - 2, "<H", 9), "is damaged, or no zip file of stored entries"),
    "something behind it": (patched(lambda c: bytes(c) + b"x" * 99), "not complete, or something follows"),
    "something before it": (patched(lambda c: b"#!/bin/sh\n" + bytes(c)), "is no bundle: neither a folder nor a zip"),
    "parts": (set_field(lambda c: len(c) - 18, "<H", 1), "is damaged, or no zip file of stored entries"),
    "fewer entries": (patched(lambda c: [struct.pack_into("<H", c, len(c) - at, 2) for at in (14, 12)]), "is damaged"),
    "more entries": (patched(lambda c: [struct.pack_into("<H", c, len(c) - at, 9) for at in (14, 12)]), "is damaged"),
    "a giant directory": (set_field(lambda c: len(c) - 10, "<L", 2**31), "is damaged, or no zip file of stored"),
    "a flipped byte": (patched(lambda c: c.__setitem__(c.index(b"# A card"), 36)), r"card\.md in .* is damaged"),
}  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ARCHIVES)
def test_hostile_archives_are_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, why = ARCHIVES[kind]
    monkeypatch.chdir(tmp_path)
    make(Path("b.s2s"))
    with pytest.raises(RunError, match=why) as caught:
        Bundle.open("b.s2s").verify()
    assert "b.s2s" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["b.s2s"]


def inside_another(path: Path) -> None:
    """An archive whose last entry lies in the content of another one: the same bytes are listed many times."""
    inner = io.BytesIO()
    write_archive(inner, {"inner.md": b"the same bytes again"})
    header = inner.getvalue()[: inner.getvalue().index(b"PK\1\2")]
    directory = bytearray(inner.getvalue()[len(header) : -22])
    write_bundle(path, CONTENT, FILES | {"card.md": header})
    content = path.read_bytes()
    struct.pack_into("<L", directory, 42, content.index(header))
    end = bytearray(content[-22:])
    count, length = struct.unpack_from("<H2x", end, 10)[0] + 1, struct.unpack_from("<L", end, 12)[0] + len(directory)
    struct.pack_into("<2HL", end, 8, count, count, length)
    path.write_bytes(content[:-22] + bytes(directory) + bytes(end))


def test_entries_that_overlap_are_refused(tmp_path: Path) -> None:
    inside_another(tmp_path / "b.s2s")
    with pytest.raises(RunError, match=r"^inner\.md in .*b\.s2s is damaged: it overlaps with another file$"):
        Bundle.open(tmp_path / "b.s2s")


def test_mutated_graphs_are_read_or_refused() -> None:
    """Of a graph with tensors wherever there may be one; those of translators are mutated in test_fuzz.py."""
    chance, refused, count = random.Random(400), 0, 400
    graph = b"".join(inside(field(8, b"name") + field(9, bytes(8)), *numbers) for numbers in TENSORS.values())
    for _ in range(count):
        try:
            check_graph(mutated(graph, chance), "a.onnx")
        except RunError:
            refused += 1
    assert 0.3 * count < refused < count


def field(number: int, content: bytes | int) -> bytes:
    """A field of a message of protocol buffers."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def inside(content: bytes, *numbers: int) -> bytes:
    """A message in others, the innermost last."""
    for number in reversed(numbers):
        content = field(number, content)
    return content


ELSEWHERE = field(13, field(1, b"location") + field(2, b"../../etc/passwd")) + field(14, 1)
TENSORS = {  # where a tensor may be: numbers of the fields in each other
    "initializer": (7, 5),
    "attribute": (7, 1, 5, 5),
    "list of an attribute": (7, 1, 5, 10),
}
OTHER_PARTS = {  # that no graph of a translator has
    "graph of an attribute": ((7, 1, 5, 6), "a graph in another"),
    "graphs of an attribute": ((7, 1, 5, 11), "a graph in another"),
    "deep in each other": ((7, *(1, 5, 6) * 500), "a graph in another"),
    "sparse initializer": ((7, 15), "a sparse tensor"),
    "sparse attribute": ((7, 1, 5, 22), "a sparse tensor"),
    "sparse attributes": ((7, 1, 5, 23), "a sparse tensor"),
    "function": ((25,), "a function"),
    "training": ((20,), "training"),
}


@pytest.mark.parametrize("place", TENSORS)
def test_graphs_that_refer_to_other_files_are_refused(place: str) -> None:
    plain = field(8, b"name") + field(9, b"\0" * 8) + field(14, 0)
    check_graph(GRAPH + inside(plain, *TENSORS[place]), "a.onnx")
    for tensor in (ELSEWHERE, field(14, 1), field(13, b""), plain + field(14, 1)):
        with pytest.raises(RunError, match=r"^a\.onnx refers to another file for a tensor, which is not read$"):
            check_graph(GRAPH + inside(tensor, *TENSORS[place]), "a.onnx")


@pytest.mark.parametrize("part", OTHER_PARTS)
def test_graphs_with_parts_that_no_translator_has_are_refused(part: str) -> None:
    """A few functions that call each other abort ONNX Runtime; a sparse tensor becomes as large as it says."""
    numbers, what = OTHER_PARTS[part]
    for content in (b"", field(1, b"name")):
        with pytest.raises(RunError, match=f"^a.onnx has {what}, which no graph of a translator has$"):
            check_graph(GRAPH + inside(content, *numbers), "a.onnx")


def test_a_graph_of_too_many_parts_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read, fields = [0], graph_files._fields

    def counted(content: memoryview) -> Any:
        for one in fields(content):
            read[0] += 1
            yield one

    monkeypatch.setattr(graph_files, "MAX_FIELDS", 50)
    monkeypatch.setattr(graph_files, "_fields", counted)
    with pytest.raises(RunError, match="has more parts than a graph of a translator"):
        check_graph(field(7, b"\x18\0" * 5000), "a.onnx")
    assert read[0] < 60


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it holds no graph"),
        (b"\x80\x04\x95.", "it holds no graph"),
        (b"\x18\0\0\0ORTM" + bytes(99), "it is no ONNX file"),
        (GRAPH + b"\xff" * 20, "it is no ONNX file"),
        (field(7, b"abc")[:-1], "it is no ONNX file"),
        (field(7, 5), "it is no ONNX file"),
        (GRAPH + field(99, b"x") + b"\x0b", "it is no ONNX file"),
        (field(7, field(5, b"\x0d\0\0\0\0" * 2001)), "has more parts than a graph"),
    ],
)
def test_damaged_graphs_are_refused(content: bytes, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_files, "MAX_FIELDS", 2000)
    with pytest.raises(RunError, match=why):
        check_graph(content, "a.onnx")


def test_graphs_of_the_onnx_library_are_read() -> None:
    onnx = pytest.importorskip("onnx")
    weights = onnx.numpy_helper.from_array(__import__("numpy").ones((30, 40), "float32"), "w")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node], "g", [value("x", 1, ["B", 30])], [value("y", 1, ["B", 40])], initializer=[weights]
    )
    model = onnx.helper.make_model(graph)
    check_graph(model.SerializeToString(), "a.onnx")
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "../secret")
    with pytest.raises(RunError, match="refers to another file"):
        check_graph(model.SerializeToString(), "a.onnx")


@pytest.mark.parametrize("name", ["b", "b.s2s"])
def test_a_bundle_appears_complete_or_not_at_all(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    write_bundle(path, CONTENT, FILES)
    before = {one: Bundle.open(path).read(one) for one in FILES}

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(module, "write_archive", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    for target in (path, tmp_path / f"new{name}"):
        with pytest.raises(OSError, match="No space left"):
            write_bundle(target, CONTENT, FILES, overwrite=True)
    assert {one: Bundle.open(path).read(one) for one in FILES} == before
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["b", "b.s2s"])
def test_only_bundles_are_overwritten_and_only_if_asked(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_bundle(path, CONTENT, FILES)
    with pytest.raises(ConfigError, match=f"{name} exists already, and is not overwritten unless that is asked for"):
        write_bundle(path, CONTENT, FILES)
    write_bundle(path, CONTENT, FILES | {"card.md": b"new"}, overwrite=True)
    assert Bundle.open(path).read("card.md") == b"new"
    assert [one.name for one in tmp_path.iterdir()] == [name]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "folder.s2s").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / CONFIG).write_text("{}")  # many programs have such a file
    write_bundle(tmp_path / "with_notes", CONTENT, FILES)
    (tmp_path / "with_notes" / "notes.txt").write_text("mine")
    for other in ("mine", "link", "folder.s2s", "theirs", "with_notes"):
        before = sorted((tmp_path / other).glob("*"))
        with pytest.raises(ConfigError, match=f"{other} is not a bundle, and is not overwritten"):
            write_bundle(tmp_path / other, CONTENT, FILES, overwrite=True)
        assert sorted((tmp_path / other).glob("*")) == before
    with pytest.raises(ConfigError, match="cannot be written: its folder does not exist"):
        write_bundle(tmp_path / "no" / name, CONTENT, FILES)


@pytest.mark.parametrize("name", ["b", "b.s2s"])
def test_error_of_a_full_disk_names_the_bundle(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*inputs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("seq2seq.runtime.bundle.write_archive", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_bundle(tmp_path / name, CONTENT, FILES)
    assert caught.value.filename == str(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_may_be_larger_than_a_file_can_be(tmp_path: Path) -> None:
    path, size = tmp_path / "b", 5 << 30
    files = {"tokenizer.spm": TOKENIZER.serialized, "config.yaml": b"", "model.safetensors": b""}
    write_bundle(path, CONTENT | {"kind": "weights"}, files)
    os.truncate(path / "model.safetensors", size)  # takes no room on the disk
    values = json.loads((path / CONFIG).read_text())
    values["files"]["model.safetensors"]["bytes"] = size
    replaced(json.dumps(values).encode())(path)
    assert Bundle.open(path).config.files["model.safetensors"].size == size


def test_what_would_not_be_read_is_not_written(tmp_path: Path) -> None:
    for content, files, why in (
        (CONTENT | {"kind": "pickle"}, FILES, "kind='pickle'"),
        (CONTENT, FILES | {"a/b.md": b""}, "not the name of a file"),
        (CONTENT, FILES | {"run.py": b""}, "not the name of a file"),
        (CONTENT, {"card.md": b""}, r"it lists no tokenizer\.spm"),
    ):
        with pytest.raises(ValueError, match=why):
            write_bundle(tmp_path / "b", content, files)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(("operator", "domain"), [("Loop", ""), ("If", ""), ("Scan", ""), ("MatMul", "com.else")])
def test_graph_with_another_operator_is_refused(operator: str, domain: str) -> None:
    """Graphs inside of others are those of such operators."""
    onnx = pytest.importorskip("onnx")
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["y"]),
        onnx.helper.make_node(operator, ["y"], ["z"], domain=domain),
    ]
    content = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [])).SerializeToString()
    with pytest.raises(RunError, match=r"^a\.onnx has an operator that no graph of a translator has$"):
        check_graph(content, "a.onnx")
