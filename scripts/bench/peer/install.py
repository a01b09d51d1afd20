"""The peers: their environments, installed from the package registry, and the text in the formats that they read."""

import subprocess
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch

from seq2seq.config import Config
from seq2seq.data.corpora import dev_pairs, test_pairs, train_pairs
from seq2seq.data.prepare import prepare

SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
BASE = [
    [f"torch=={torch.__version__.split('+')[0]}", "numpy"],
    ["sentencepiece", "sacrebleu", "pyyaml", "setuptools", "packaging", "tensorboard", "tqdm"],
]


class Peer(NamedTuple):
    """A toolkit to compare with."""

    name: str
    script: str  # peer/run_{script}.py
    environment: str
    packages: list[list[str]]  # arguments of each pip install
    train: tuple[str, ...] = ()  # workloads that it can train
    decode: tuple[str, ...] = ()  # workloads that it can translate with
    makes: str = ""  # script of the peer that makes the model to translate with; "": its own


PEERS = [
    Peer(
        "OpenNMT-py 3.5.1", "onmt", "onmt",
        [["--no-deps", "OpenNMT-py==3.5.1"],  # it requires torch < 2.3, but runs with newer versions
         ["configargparse", "flask", "waitress", "rapidfuzz", "pyahocorasick", "six", "pyonmttok<2,>=1.37",
          "ctranslate2==4.8.5"]],
        train=("A1", "A2", "A3"), decode=("A1", "A2", "A3"), makes="onmt",
    ),
    Peer(
        "fairseq 0.12.2", "fairseq", "fairseq",
        [["--no-deps", "fairseq==0.12.2"],
         ["hydra-core==1.0.7", "omegaconf==2.0.6", "bitarray", "cffi", "cython", "regex", "scikit-learn"]],
        train=("A1", "A3"), decode=("A1", "A3"), makes="fairseq",
    ),
    Peer(
        "Joey NMT 2.3.0", "joeynmt", "joeynmt",
        [["--no-deps", "joeynmt==2.3.0"],
         ["datasets", "pandas", "sacremoses", "subword-nmt", "matplotlib", "seaborn", "wrapt", "plotly", "pylint",
          "importlib_metadata"],
         ["--no-deps", "sentencepiece==0.2.0"]],  # 0.2.3 has no SetVocabulary
        train=("A1", "A2", "A3"), decode=("A1", "A2", "A3"), makes="joeynmt",
    ),
    Peer(
        "Marian in transformers", "marian", "hf", [["transformers", "sacremoses", "accelerate"]],
        train=("A3",), decode=("A3",),
    ),
    Peer("CTranslate2 4.8.5 float32", "ctranslate2", "onmt", [], decode=("A3",), makes="onmt"),
    Peer("CTranslate2 4.8.5 int8", "ctranslate2", "onmt", [], decode=("A3",), makes="onmt"),
]  # fmt: skip


def environment(home: Path, peer: Peer) -> Path:
    """The Python of a peer's environment, made if missing. CalledProcessError if a package cannot be installed."""
    base = make_environment(home / "base", BASE, [])
    return make_environment(
        home / peer.environment, peer.packages, [next(base.parents[1].glob("lib/python*/site-packages"))]
    )


def make_environment(folder: Path, packages: list[list[str]], parents: list[Path]) -> Path:
    """The Python of an environment with `packages`, and those of the `parents` folders; a file marks complete ones."""
    python, mark = folder / "bin" / "python", folder / "complete"
    if not mark.exists() and packages:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        for site in folder.glob("lib/python*/site-packages"):
            (site / "base.pth").write_text("".join(f"{path}\n" for path in parents), encoding="utf-8")
        for words in packages:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *words], check=True)
        mark.touch()
    return python


def write_text(folder: Path, config: Config, test: str) -> Path:
    """Write the subwords of all splits, and the vocabulary in three formats, to `folder`, which is returned."""
    data, tokenizer = config.data, prepare(config.data, config.tokenizer).vocabularies.source
    splits = {
        "train": train_pairs(data),
        "valid": dev_pairs(data),
        "few": islice(dev_pairs(data), 4),
        "test": test_pairs(data, test),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, pairs in splits.items():
        kept = [pair for pair in pairs if pair.source and pair.target]
        for language, side in (("en", "source"), ("de", "target")):
            write_lines(
                folder / f"{name}.{language}",
                (" ".join(plain(tokenizer.segment(getattr(pair, side)))) for pair in kept),
            )
    pieces = plain(tokenizer.pieces(range(len(SPECIAL), tokenizer.size)))
    write_lines(folder / "vocabulary.txt", [*SPECIAL, *pieces])
    write_lines(folder / "counts.txt", (f"{piece}\t1" for piece in pieces))
    write_lines(folder / "fairseq.txt", (f"{piece} 1" for piece in pieces))
    return folder


def plain(pieces: list[str]) -> list[str]:
    """The pieces without white space inside of them, such as a no-break space: some peers split there."""
    return ["".join(f"<{ord(letter):x}>" if letter.isspace() else letter for letter in piece) for piece in pieces]


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
