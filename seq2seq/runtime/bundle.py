"""Bundles: a translator in one folder, or in one .s2s file, a zip whose entries are stored and read in place.

`config.json` lists every other file with its size and SHA-256, which are checked before the file is used; nothing else
in a bundle is read. A bundle may come from anyone: only regular files of a bounded size are opened, no link is
followed, no entry is unpacked, and no graph may refer to another file.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

from .errors import ConfigError, RunError, check_path, os_errors_named, quoted
from .fields import refuse_given
from .graph_files import check_graph
from .search_config import IGNORED_WITH_MODEL, SearchConfig
from .untrusted import FILE_NAME, FLAG, MIB, TEXT, WHOLE, WORD, fits, open_file, parse_json, read_bytes
from .zip_files import MAX_ARCHIVE_BYTES, Entry, read_directory, write_archive

SCHEMA = 1  # raised whenever the config of a bundle would be read differently
# schema -> makes a config of it one of the next; bundles of each schema are kept in tests/runtime/schemas
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
ENDING = ".s2s"  # of a bundle that is one file
CONFIG, CARD, PARITY, SHORTLIST_FILE = "config.json", "card.md", "parity.json", "shortlist.npy"
JOINT, SOURCE, TARGET = "tokenizer.spm", "source.spm", "target.spm"
KINDS = ("onnx", "weights", "pt2")
START, NEXT = "start_", "next_"  # prefixes of the states that the graphs of an encoder and of a step return
MAX_FILES, MAX_MEMBERS = 100, 32
MAX_CONFIG_BYTES = MIB
MAX_BYTES = {  # ending of a file's name -> its largest size; files with other endings are not read
    ".onnx": 2048 * MIB,  # the limit of its format, protobuf
    ".safetensors": 16384 * MIB, ".pt2": 16384 * MIB,
    ".npy": 1024 * MIB, ".spm": 64 * MIB, ".json": 64 * MIB, ".md": 4 * MIB, ".yaml": MIB,
}  # fmt: skip

SHAPE = {  # of config.json
    "schema": WHOLE, "kind": WORD, "seq2seq": TEXT, "created": TEXT, "dtype": WORD, "members": WHOLE, "model": {},
    "search": {}, "languages": {"source": TEXT, "target": TEXT}, "task": WORD, "truncate_source": WHOLE,
    "vocabulary": {"source": WHOLE, "target": WHOLE, "joint": FLAG}, "copies": FLAG,
    "files": {...: {"bytes": WHOLE, "sha256": TEXT}},
}  # fmt: skip
LIMITS = ("max_source", "max_target")  # in config.json, an integer or null


class BundleFile(NamedTuple):
    """What config.json says of another file."""

    size: int  # bytes
    sha256: str


class VocabularySizes(NamedTuple):
    """The entries of both vocabularies."""

    source: int
    target: int
    joint: bool  # whether one vocabulary serves both sides


@dataclass(frozen=True)
class BundleConfig:
    """The checked content of config.json."""

    kind: str  # one of KINDS
    dtype: str  # of weights and activations
    members: int  # models of an ensemble
    search: SearchConfig
    languages: tuple[str, str]
    task: str
    truncate_source: int  # source words that are read; 0: all
    vocabulary: VocabularySizes
    copies: bool  # whether ids >= V are copied source words
    max_source: int | None  # source tokens, EOS included; None: no limit
    max_target: int | None  # target steps, EOS included; None: no limit
    files: Mapping[str, BundleFile]
    values: Mapping[str, Any]  # all of config.json

    @property
    def graphs(self) -> list[tuple[str, str]]:
        """The files of encoder and step of each member of a bundle of graphs."""
        numbers = [""] if self.members == 1 else range(1, self.members + 1)
        return [(f"encoder{number}.{self.kind}", f"step{number}.{self.kind}") for number in numbers]

    @property
    def tokenizers(self) -> list[str]:
        """The file of the joint tokenizer, or those of source and target."""
        return [JOINT] if self.vocabulary.joint else [SOURCE, TARGET]

    @property
    def source_end(self) -> bool:
        """Whether the model reads the EOS of a source; otherwise it masks it like padding."""
        return self.values["model"].get("source_end") is not False

    @property
    def needed(self) -> list[str]:
        """The files that the bundle cannot be used without."""
        weights = [name for pair in self.graphs for name in pair]
        return [*self.tokenizers, *(["model.safetensors", "config.yaml"] if self.kind == "weights" else weights)]

    def check_given(self, search: SearchConfig, given: Collection[str]) -> None:
        """Raise ConfigError for the first of the search settings `given` that has no effect with this model."""
        attention = self.values["model"].get("attention")
        known = {"window": "", "scorer": "", **(attention if isinstance(attention, dict) else {})}
        output = self.values["model"].get("output", "text")
        model = SimpleNamespace(attention=SimpleNamespace(**known), output=output)
        names = {f"search.{name}" for name in given}
        refuse_given(IGNORED_WITH_MODEL, SimpleNamespace(model=model, search=search), names)


class _Files(Protocol):
    """Where the files of a bundle are."""

    def size(self, name: str) -> int:
        """Bytes of a file. Raises RunError if it is missing, or not a regular file."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """The content of a file of at most `limit` bytes. Raises RunError if it cannot be read."""
        ...


class _Folder:
    """The files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def size(self, name: str) -> int:
        with open_file(self._path(name), max(MAX_BYTES.values())) as file:
            return os.fstat(file.fileno()).st_size

    def read(self, name: str, limit: int) -> bytes:
        return read_bytes(self._path(name), limit)

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if path.is_symlink():
            raise RunError(f"{path} is a link, not a regular file")
        return path


class _Archive:
    """The stored entries of a zip file, which stays open: all that is read is of one and the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = open_file(path, MAX_ARCHIVE_BYTES, root=Path("/"))  # wherever links lead that the user names
        self.entries: dict[str, Entry] = read_directory(self.file, str(path), MAX_FILES + 1)

    def size(self, name: str) -> int:
        if name not in self.entries:
            raise RunError(f"{self.path} has no {name}")
        return self.entries[name].size

    def read(self, name: str, limit: int) -> bytes:
        if self.size(name) > limit:
            raise RunError(
                f"{name} in {self.path} is too large: {self.size(name):,} bytes, where at most {limit:,} are expected"
            )
        return self.entries[name].read(self.file, str(self.path))


class Bundle:
    """An opened bundle: its config, and its files as they are asked for."""

    def __init__(self, path: Path, files: _Files, config: BundleConfig) -> None:
        self.path, self.config, self._files = path, config, files

    @classmethod
    def open(cls, path: str | Path, trusted: bool = False) -> "Bundle":
        """Open a bundle and check its config, and the sizes of its files.

        trusted: also if it holds programs of torch.export, whose loading can run any code

        Raises RunError, in one sentence that names the file, for anything but a complete bundle that this version
        reads."""
        check_path("bundle", path)
        path = Path(path)
        if "\0" in str(path):
            raise RunError(f"{path} cannot be read: it is no name of a file")
        files: _Files = _Folder(path) if path.is_dir() else _Archive(path)
        if isinstance(files, _Folder) and not os.path.lexists(path / CONFIG):
            raise RunError(run_sentence(path) or f"{path} is no bundle: it has no {CONFIG}")
        try:
            config = parse_config(parse_json(files.read(CONFIG, MAX_CONFIG_BYTES)))
        except ValueError as error:
            raise RunError(f"{CONFIG} in {path}: {error}") from error
        if config.kind == "pt2" and not trusted:
            raise RunError(
                f"{path} holds programs of torch.export, which are not opened here: loading one can run any code"
            )
        for name, listed in config.files.items():
            if (size := files.size(name)) != listed.size:
                raise RunError(f"{name} in {path} has {size:,} bytes, where {CONFIG} says {listed.size:,}")
        if isinstance(files, _Archive) and (more := sorted({*files.entries} - {CONFIG, *config.files})):
            raise RunError(f"{path} holds {quoted(more[0])}, which its {CONFIG} does not list")
        return cls(path, files, config)

    def has(self, name: str) -> bool:
        """Whether config.json lists a file of this name."""
        return name in self.config.files

    def read(self, name: str) -> bytes:
        """The content of a file. Raises RunError unless it is the one that config.json describes."""
        if not self.has(name):
            raise RunError(f"{CONFIG} in {self.path} lists no {name}")
        listed = self.config.files[name]
        content = self._files.read(name, listed.size)
        if len(content) != listed.size or hashlib.sha256(content).hexdigest() != listed.sha256:
            raise RunError(f"{name} in {self.path} is damaged, or was changed: its SHA-256 is not that of {CONFIG}")
        return content

    def read_graph(self, name: str) -> bytes:
        """The content of an ONNX file. Raises RunError also if it refers to other files, or is damaged."""
        content = self.read(name)
        check_graph(content, f"{name} in {self.path}")
        return content

    def verify(self) -> None:
        """Check all files. Raises RunError for the first that is not the one that config.json describes."""
        for name in self.config.files:
            self.read_graph(name) if name.endswith(".onnx") else self.read(name)


def parse_config(values: Any) -> BundleConfig:
    """The config of a bundle from the value of its config.json.

    Raises ValueError, which completes "config.json in BUNDLE: ...", for what is no config, or one of a newer schema."""
    if not isinstance(values, dict) or not fits(values.get("schema"), WHOLE):
        raise ValueError("it is not the config of a bundle: it has no schema")
    _check_schema(values)
    values = _upgraded(values)
    _check_shape(values)
    files = {name: BundleFile(file["bytes"], file["sha256"]) for name, file in values["files"].items()}
    _check_files(files)
    try:
        search = SearchConfig.from_values(values["search"])
    except ConfigError as error:
        raise ValueError(str(error)) from error
    config = BundleConfig(
        search=search,
        languages=(values["languages"]["source"], values["languages"]["target"]),
        vocabulary=VocabularySizes(**{name: values["vocabulary"][name] for name in VocabularySizes._fields}),
        files=files,
        values=values,
        **{name: values[name] for name in ("kind", "dtype", "members", "task", "truncate_source", "copies")},
        **{name: values.get(name) for name in LIMITS},
    )
    if missing := [name for name in config.needed if name not in files]:
        raise ValueError(f"it lists no {missing[0]}")
    return config


def _check_schema(values: dict[str, Any]) -> None:
    """ValueError for a config of a newer schema, or of one that never was."""
    if (schema := values["schema"]) > SCHEMA:
        version = values.get("seq2seq")
        by = f" by seq2seq {quoted(version)[1:-1]}" if fits(version, WORD) else ""
        raise ValueError(f"schema {schema} was written{by}, which is newer than this version, which reads {SCHEMA}")
    if schema != SCHEMA and schema not in UPGRADES:
        raise ValueError(f"schema {schema} is unknown: this version reads {SCHEMA}")


def _upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """The config as one of the current schema. ValueError for one that is not what its own schema says."""
    for schema in range(values["schema"], SCHEMA):
        try:
            values = {**UPGRADES[schema](values), "schema": schema + 1}
        except Exception as error:  # of any kind: nothing has checked what an upgrade reads
            raise ValueError(f"it is not one of schema {schema}") from error
    return values


def _check_shape(values: dict[str, Any]) -> None:
    """ValueError for a value that is missing, of another type, or out of bounds."""
    for name, shape in SHAPE.items():
        if name not in values:
            raise ValueError(f"it has no {name}")
        if not fits(values[name], shape):
            raise ValueError(f"{name} is not what it should be")
    for name in LIMITS:
        if values.get(name) is not None and not (fits(values[name], WHOLE) and values[name] > 1):
            raise ValueError(f"{name} is neither null nor an integer above 1")
    sizes = values["vocabulary"]
    if sizes["joint"] and sizes["source"] != sizes["target"]:
        raise ValueError(f"one vocabulary has {sizes['source']:,} and {sizes['target']:,} entries")
    if values["kind"] not in KINDS:
        raise ValueError(f"kind={quoted(values['kind'])} is none of {', '.join(KINDS)}")
    if not 1 <= values["members"] <= MAX_MEMBERS:
        raise ValueError(f"members={values['members']} is not between 1 and {MAX_MEMBERS}")


def _check_files(files: Mapping[str, BundleFile]) -> None:
    """ValueError for more files than a bundle has, or for a file that could not be one of a bundle."""
    if len(files) > MAX_FILES:
        raise ValueError(f"it lists {len(files):,} files, more than {MAX_FILES}")
    for name, file in files.items():
        ending = os.path.splitext(name)[1]
        if not FILE_NAME.fullmatch(name) or name == CONFIG or ending not in MAX_BYTES:
            raise ValueError(f"it lists {quoted(name)}, which is not the name of a file of a bundle")
        if file.size > MAX_BYTES[ending]:
            raise ValueError(f"{name} is too large: {file.size:,} bytes, where at most {MAX_BYTES[ending]:,} are read")
        if not re.fullmatch("[0-9a-f]{64}", file.sha256):
            raise ValueError(f"the SHA-256 of {name} is not one")


def write_bundle(path: Path, config: Mapping[str, Any], files: Mapping[str, bytes], *, overwrite: bool = False) -> None:
    """Write a bundle at `path`, one file if its name ends in .s2s, else a folder; it appears complete, or not at all.

    config: the content of config.json without "files", which is added here
    files: name -> content of every other file
    overwrite: replace a bundle that is there

    Raises ConfigError if something is there that may not be replaced, and if the result would be larger than a .s2s
    file can be; ValueError if it would not be read; OSError, which names the file, if it cannot be written."""
    listed = {name: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for name, c in files.items()}
    values = {**config, "files": listed}
    parse_config(values)
    check_target(path, overwrite)
    contents = {CONFIG: (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode(), **files}
    with os_errors_named(path):
        if path.suffix == ENDING:
            _write_file(path, contents)
        else:
            _write_folder(path, contents)


def check_target(path: Path, overwrite: bool) -> None:
    """Raise ConfigError unless a bundle can be written at `path`, or replace one that is there."""
    if not path.name:
        raise ConfigError(f"{path} cannot be written: it has to end in a name")
    if not path.parent.is_dir():
        raise ConfigError(f"{path} cannot be written: its folder does not exist")
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise ConfigError(f"{path} exists already, and is not overwritten unless that is asked for")
    if path.is_symlink() or not (path.is_file() if path.suffix == ENDING else _holds_bundle(path)):
        raise ConfigError(f"{path} is not a bundle, and is not overwritten")


def _holds_bundle(folder: Path) -> bool:
    """Whether a folder has the config of a bundle, and no files besides those that it lists."""
    try:
        config = parse_config(parse_json(_Folder(folder).read(CONFIG, MAX_CONFIG_BYTES)))
    except (ValueError, RunError):
        return False
    return {path.name for path in folder.iterdir()} <= {CONFIG, *config.files}


def _write_file(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write a .s2s file, which replaces one that is there."""
    if sum(map(len, contents.values())) > MAX_ARCHIVE_BYTES - MIB:
        raise ConfigError(f"{path} would be larger than a {ENDING} file can be: write a folder instead")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:60]}-")
    try:
        with os.fdopen(handle, "wb") as file:
            write_archive(file, contents)
            os.fchmod(file.fileno(), 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write a folder, which replaces one that is there."""
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:60]}-"))
    try:
        new = temporary / "new"
        new.mkdir()
        for name, content in contents.items():
            (new / name).write_bytes(content)
        replace_folder(new, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, path: Path) -> None:
    """Move the folder `new` to `path`; one that is there is moved beside where `new` was, or stays if that fails."""
    old = new.with_name(f"{new.name}-old")
    if path.is_dir():
        path.rename(old)
    try:
        new.rename(path)
    except OSError:
        if old.is_dir():
            old.rename(path)
        raise


def run_sentence(path: Path) -> str:
    """The error sentence for a run directory in place of a bundle; '' for what is none."""
    if not (path / "config.yaml").exists():
        return ""
    inside = path / f"export{ENDING}"
    advice = f"name the one in it, {inside}" if inside.exists() else "`seq2seq export` makes one of it"
    return f"{path} is a run directory, not a bundle: {advice}"


def is_bundle(path: Path) -> bool:
    """Whether there is something at `path` that should be opened as a bundle, and not as a run directory."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return Path(path).suffix == ENDING
    return not stat.S_ISDIR(mode) or os.path.lexists(Path(path) / CONFIG)
