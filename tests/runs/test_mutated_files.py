"""Whatever the files of a run directory hold, using the run works or is refused in one sentence, within seconds."""

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from seq2seq import Translator, cli
from seq2seq.errors import Seq2SeqError
from seq2seq.runs.directory import Run
from seq2seq.training.resume import check_resumable

SECONDS = 20  # for one use, on a busy machine; a file of 20 GiB takes longer, and a pipe forever
Change = Callable[[Path, random.Random], object]


def flip_bit(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def zeros(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    start = rng.randrange(len(content))
    path.write_bytes(content[:start].ljust(len(content), b"\0"))


def junk(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(1000))


def replaced(make: Callable[[Path], object]) -> Change:
    """Removes the file and calls `make` with its path."""

    def change(path: Path, rng: random.Random) -> None:
        path.unlink()
        make(path)

    return change


def giant(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


DAMAGE: dict[str, Change] = {
    "a bit is flipped": flip_bit,
    "it is truncated": truncate,
    "it ends in zeros": zeros,
    "it is junk": junk,
    "it is missing": replaced(lambda path: None),
    "it is empty": replaced(lambda path: path.write_bytes(b"")),
    "it is a folder": replaced(lambda path: path.mkdir()),
    "it is a pipe": replaced(os.mkfifo),
    "it is a device": replaced(lambda path: path.symlink_to("/dev/zero")),
    "it is memory": replaced(lambda path: path.symlink_to("/proc/self/mem")),
    "it is 20 GiB long": replaced(giant),
}
VALUES: list[Any] = [
    [], {}, None, "x", "", -1, 0, 2**70, 1e300, float("nan"), float("inf"), True, [[[]]], {"a": {}}, ["x"] * 1000,
    "\x1b[31m", "\0", "a\nb", "${", "${oc.env:HOME}", "../..", "9" * 5000, "é" * 500,
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in nested dicts and lists."""
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(entry, (*path, key))


def replace_value(text: str, load: Callable[[str], Any], dump: Callable[[Any], str], rng: random.Random) -> str:
    """The text with one of its values replaced by one of VALUES, or removed."""
    value = load(text)
    *above, last = rng.choice(list(places(value)))
    owner = value
    for key in above:
        owner = owner[key]
    if rng.random() < 0.1:
        del owner[last]
    else:
        owner[last] = rng.choice(VALUES)
    return dump(value)


FORMATS: dict[str, tuple[Callable[[str], Any], Callable[[Any], str]]] = {
    ".json": (json.loads, json.dumps),
    ".yaml": (yaml.safe_load, yaml.safe_dump),
}


def change_value(path: Path, rng: random.Random) -> None:
    """Replace a value of a JSON or YAML file."""
    path.write_text(replace_value(path.read_text(), *FORMATS[path.suffix], rng))


def translate(run: Path) -> object:
    return Translator.open(run).translate(["the cat sleeps"])


def checkpoint(run: Path) -> object:
    opened = Run.open(run)
    return check_resumable(opened, opened.config.training)


def works_or_is_refused(use: Callable[[Path], object], run: Path) -> str:
    """The message of the error that `use` raises; "" if it works."""
    start = time.monotonic()
    try:
        use(run)
        message = ""
    except Seq2SeqError as error:
        message = str(error)
    assert time.monotonic() - start < SECONDS
    assert message.isprintable()
    assert len(message) < 2000
    return message


@pytest.fixture
def damaged(run_copy: Path) -> Callable[[str, Change, int], Path]:
    """`damaged(name, change, seed)`: the run, with one file changed; the change before it is undone."""
    before: dict[Path, bytes] = {}

    def damage(name: str, change: Change, seed: int) -> Path:
        for path, content in before.items():
            if path.is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
            path.write_bytes(content)
        before.clear()
        before[run_copy / name] = (run_copy / name).read_bytes()
        change(run_copy / name, random.Random(seed))
        return run_copy

    return damage


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("config.yaml", translate),
        ("run.json", translate),
        ("joint.spm", translate),
        ("weights.safetensors", translate),
        ("checkpoints/last.ckpt", checkpoint),
    ],
)
def test_damaged_file_is_refused(name: str, use: Callable[[Path], object], damaged: Callable[..., Path]) -> None:
    """What has a hash or a checksum is refused whichever bit is flipped; of text some bits may be."""
    for kind, change in DAMAGE.items():
        run = damaged(name, change, 1)
        message = works_or_is_refused(use, run)
        text = name in ("config.yaml", "run.json") and kind in ("a bit is flipped", "it is truncated")
        absent = name == "checkpoints/last.ckpt" and kind == "it is missing"
        assert message or text or absent, kind
        assert not message or run.name in message


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", ["config.yaml", "run.json"])
def test_any_value_in_place_of_another_works_or_is_refused(name: str, damaged: Callable[..., Path]) -> None:
    for seed in range(12):
        works_or_is_refused(translate, damaged(name, change_value, seed))


def command(*words: object) -> Callable[[Path], object]:
    """Runs a command; raises Seq2SeqError with its message if it is refused."""

    def use(run: Path) -> None:
        code = cli.main([str(word).replace("RUN", str(run)) for word in words])
        assert code in (0, 2)

    return use


USES: dict[str, Callable[[Path], object]] = {
    "translate": translate,
    "resume": command("train", "resume=RUN", "training.max_updates=7", "training.patience=9"),
    "compare": command("compare", "RUN", "--bootstrap", 0, "--trials", 20, "--metrics", "chrf", "--output", "RUN/out"),
    "init_from": lambda run: Translator.open(run, weights="checkpoints/update-6.safetensors").translate(["the cat"]),
}


@pytest.mark.slow
@pytest.mark.timeout(2000)
@pytest.mark.parametrize("use", USES)
def test_run_with_any_damaged_file_works_or_is_refused(use: str, tiny_run: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(tiny_run, tmp_path / "whole" / tiny_run.name))
    USES["compare"](whole)
    (whole / "out").unlink()  # its output, which may be a pipe
    files = [path.relative_to(whole) for path in sorted(whole.rglob("*")) if path.is_file() and path.stat().st_size]
    for name in files:
        changes = [*DAMAGE.values(), *[flip_bit] * 3, *[change_value] * 12 * (name.suffix in FORMATS)]
        for seed, change in enumerate(changes):
            run = Path(shutil.copytree(whole, tmp_path / "runs" / tiny_run.name))
            change(run / name, random.Random(seed))
            works_or_is_refused(USES[use], run)
            shutil.rmtree(tmp_path / "runs")
