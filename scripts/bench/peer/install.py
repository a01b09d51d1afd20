"""How does a peer get here? Its environment, from the package registry, and the text in the form that it reads."""

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
    """A toolkit to be measured beside ours."""

    name: str
    script: str  # peer/run_{script}.py
    environment: str
    packages: list[list[str]]  # words of each pip install
    train: tuple[str, ...] = ()  # works
    decode: tuple[str, ...] = ()
    makes: str = ""  # whose model it translates with: its own, another's, or none


PEERS = [
    Peer(
        "OpenNMT-py 3.5.1", "onmt", "onmt",
        [["--no-deps", "OpenNMT-py==3.5.1"],  # it asks for a torch before 2.3, and does without
         ["configargparse", "flask", "waitress", "rapidfuzz", "pyahocorasick", "six", "pyonmttok<2,>=1.37", "ctranslate2==4.8.5"]],
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
         ["datasets", "pandas", "sacremoses", "subword-nmt", "matplotlib", "seaborn", "wrapt", "plotly", "pylint", "importlib_metadata"],
         ["--no-deps", "sentencepiece==0.2.0"]],  # 0.2.3 has no SetVocabulary
        train=("A1", "A2", "A3"), decode=("A1", "A2", "A3"), makes="joeynmt",
    ),
    Peer("Marian in transformers", "marian", "hf", [["transformers", "sacremoses", "accelerate"]], train=("A3",), decode=("A3",)),
    Peer("CTranslate2 4.8.5 float32", "ctranslate2", "onmt", [], decode=("A3",), makes="onmt"),
    Peer("CTranslate2 4.8.5 int8", "ctranslate2", "onmt", [], decode=("A3",), makes="onmt"),
]  # fmt: skip


def environment(home: Path, peer: Peer) -> Path:
    """The Python of a peer's environment, made if it is missing. CalledProcessError if a package cannot be had."""
    base = virtual(home / "base", BASE, [])
    return virtual(home / peer.environment, peer.packages, [next(base.parents[1].glob("lib/python*/site-packages"))])


def virtual(folder: Path, packages: list[list[str]], see: list[Path]) -> Path:
    """An environment with `packages` that also sees those of `see`; finished ones have a mark."""
    python, mark = folder / "bin" / "python", folder / "complete"
    if not mark.exists() and packages:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        for site in folder.glob("lib/python*/site-packages"):
            (site / "base.pth").write_text("".join(f"{path}\n" for path in see), encoding="utf-8")
        for words in packages:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *words], check=True)
        mark.touch()
    return python


def text(folder: Path, config: Config, test: str) -> Path:
    """Subwords of all splits, between spaces, and the vocabulary in three ways of writing it."""
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
            write(
                folder / f"{name}.{language}",
                (" ".join(plain(tokenizer.segment(getattr(pair, side)))) for pair in kept),
            )
    pieces = plain(tokenizer.pieces(range(len(SPECIAL), tokenizer.size)))
    write(folder / "vocabulary.txt", [*SPECIAL, *pieces])
    write(folder / "counts.txt", (f"{piece}\t1" for piece in pieces))
    write(folder / "fairseq.txt", (f"{piece} 1" for piece in pieces))
    return folder


def plain(pieces: list[str]) -> list[str]:
    """No white space inside of a piece, such as a no-break space: some peers split there."""
    return ["".join(f"<{ord(letter):x}>" if letter.isspace() else letter for letter in piece) for piece in pieces]


def write(path: Path, lines: Iterable[str]) -> None:
    """A file of lines."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
