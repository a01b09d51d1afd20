"""Mutated bundles: each is opened and used, or refused in one sentence.

    python -m tests.runtime.fuzz [COUNT]     # COUNT mutations of each kind, by default 1,000; prints a table

Files in the archives are listed with the hashes of their mutated content, as someone who means harm would do. Besides
the archive itself and `config.json`, what is mutated is used: graphs by ONNX Runtime, weights by torch.
"""

import functools
import json
import math
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.errors import Seq2SeqError
from seq2seq.runtime.bundle import CONFIG, Bundle
from seq2seq.runtime.parity import bundle_record
from seq2seq.runtime.zip_files import write_archive
from seq2seq.translator import Translator
from tests.runtime.bundles import listed

KEPT = Path(__file__).with_name("schemas")
BUNDLES = ("1-rnn.s2s", "1-transformer.s2s")
WEIGHTS = ("1-weights.s2s",)
LINES = ["the cat sees the dog .", "a ⁇"]
COUNT = 1000

Files = dict[str, bytes]


class Kind(NamedTuple):
    """What is mutated, and how the result is used."""

    bundles: tuple[str, ...]  # of which one is mutated after the other
    mutate: Callable[[Files, random.Random], Files]
    use: Callable[[Path], object]
    whole: bool = False  # the bytes of the archive are mutated, too


class Counts(NamedTuple):
    """What became of the mutations of a kind."""

    refused: int
    opened: int
    longest: float  # seconds of CPU time


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The content with a few bytes changed, removed, repeated or moved."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, size = chance.randrange(len(changed) + 1), chance.choice((1, 1, 2, 4, 30))
        piece = bytes(changed[at : at + size])
        kind = chance.randrange(5)
        if kind == 0:
            changed[at : at + size] = bytes(chance.choice((0, 1, 2, 255, chance.randrange(256))) for _ in piece)
        elif kind == 1:
            del changed[at : at + size]
        elif kind == 2:
            changed[at:at] = piece * chance.choice((1, 9))
        elif kind == 3:
            del changed[at:]
        else:
            other = chance.randrange(len(changed) + 1)
            changed[at : at + size] = changed[other : other + size]
    return bytes(changed)


ODD: list[Any] = [None, True, -1, 0, 2, 10**30, 1.5, math.nan, math.inf, "", "\0", "x" * 999, [], [[]], {}, {"a": 1}]


def with_odd_values(value: Any, chance: random.Random) -> Any:
    """A JSON value in which one or the other is replaced, removed or renamed."""
    if chance.random() < 0.02:
        return chance.choice(ODD)
    if isinstance(value, dict):
        kept = {name: with_odd_values(part, chance) for name, part in value.items() if chance.random() > 0.01}
        return kept | ({chance.choice(["", "a", "../a.md", "beam", "x.md"]): 1} if chance.random() < 0.02 else {})
    return value


def bytes_of(name: str) -> Callable[[Files, random.Random], Files]:
    """Mutates the bytes of a file, and lists it as it is then."""

    def mutate(files: Files, chance: random.Random) -> Files:
        changed = files | {name: mutated(files[name], chance)}
        if name == CONFIG:
            return changed
        others = {name: content for name, content in changed.items() if name != CONFIG}
        return changed | {CONFIG: json.dumps(json.loads(files[CONFIG]) | {"files": listed(others)}).encode()}

    return mutate


def values_of_config(files: Files, chance: random.Random) -> Files:
    """Mutates the values in config.json."""
    return files | {CONFIG: json.dumps(with_odd_values(json.loads(files[CONFIG]), chance)).encode()}


def unchanged(files: Files, chance: random.Random) -> Files:
    """Mutates nothing."""
    return files


def read(path: Path) -> None:
    """Read all files, which are those that were written, as their hashes are."""
    bundle = Bundle.open(path)
    known = [content_of(name) for name in (*BUNDLES, *WEIGHTS)]
    assert any({name: bundle.read(name) for name in bundle.config.files}.items() <= files.items() for files in known)


def translate(path: Path) -> None:
    """Translate and score some lines."""
    translator = Translator.open(path, shortlist=5)
    list(translator.hypotheses(LINES, attention=True))
    translator.score(LINES, LINES)


KINDS = {
    "bytes of a `.s2s` file": Kind(BUNDLES, unchanged, read, whole=True),
    "bytes of `config.json`": Kind(BUNDLES, bytes_of(CONFIG), read),
    "values in `config.json`": Kind(BUNDLES, values_of_config, read),
    "bytes of `encoder.onnx`": Kind(BUNDLES, bytes_of("encoder.onnx"), translate),
    "bytes of `step.onnx`": Kind(BUNDLES, bytes_of("step.onnx"), translate),
    "bytes of `tokenizer.spm`": Kind(BUNDLES, bytes_of("tokenizer.spm"), translate),
    "bytes of `shortlist.npy`": Kind(BUNDLES, bytes_of("shortlist.npy"), translate),
    "bytes of `parity.json`": Kind(BUNDLES, bytes_of("parity.json"), lambda path: bundle_record(Bundle.open(path))),
    "bytes of `model.safetensors`": Kind(WEIGHTS, bytes_of("model.safetensors"), translate),
    "bytes of `config.yaml`": Kind(WEIGHTS, bytes_of("config.yaml"), translate),
}


@functools.cache
def content_of(name: str) -> Files:
    """The files of a bundle that is kept, config.json too."""
    bundle = Bundle.open(KEPT / name)
    config = json.dumps(bundle.config.values).encode()
    return {CONFIG: config} | {name: bundle.read(name) for name in bundle.config.files}


def fuzz(name: str, count: int, folder: Path) -> Counts:
    """Mutate a bundle `count` times. Exceptions other than ours are passed on; `folder` then has the bundle."""
    kind, path, refused, longest = KINDS[name], folder / "mutated.s2s", 0, 0.0
    for number in range(count):
        chance = random.Random(f"{name} {number}")
        files = kind.mutate(content_of(kind.bundles[number % len(kind.bundles)]), chance)
        with path.open("wb") as file:
            write_archive(file, files)
        if kind.whole:
            path.write_bytes(mutated(path.read_bytes(), chance))
        start = time.process_time()
        try:
            kind.use(path)
        except Seq2SeqError:
            refused += 1
        longest = max(longest, time.process_time() - start)
    return Counts(refused, count - refused, longest)


def main() -> None:
    """Print what became of all mutations."""
    count = int(sys.argv[1]) if sys.argv[1:] else COUNT
    print("| mutated | mutations | refused | opened | longest |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        every = []
        for name in KINDS:
            every.append(fuzz(name, count, Path(folder)))
            print(_line(name, count, every[-1]), flush=True)
    total = Counts(sum(one.refused for one in every), sum(one.opened for one in every), max(o.longest for o in every))
    print(_line("all", count * len(KINDS), total))
    print(f"\nother exceptions: none; peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def _line(name: str, count: int, found: Counts) -> str:
    return f"| {name} | {count:,} | {found.refused:,} | {found.opened:,} | {found.longest * 1000:.0f} ms |"


if __name__ == "__main__":
    main()
