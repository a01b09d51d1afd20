"""Vocabularies of source and target: ids of both sides, and the target ids that copying source tokens yields.

V is the size of the target vocabulary; id V + k stands for the k-th distinct piece of a source that the target
vocabulary lacks.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from seq2seq.data.tokenizer import MAX_MODEL_BYTES, Tokenizer
from seq2seq.errors import RunError
from seq2seq.ids import EOS, UNK
from seq2seq.utils.untrusted import read_bytes

JOINT, SOURCE, TARGET = "joint.spm", "source.spm", "target.spm"
Segment = Callable[[Tokenizer, str], list[str]]


class EncodedSource(NamedTuple):
    """A source sentence as ids, EOS at the end."""

    ids: list[int]
    copy: list[int]  # the target id that copying each token yields, V + k for unknown[k]
    unknown: list[str]  # the pieces that the target vocabulary lacks, each once


class Vocabularies:
    """The tokenizers of the two sides; one object for both if they are joint."""

    def __init__(self, source: Tokenizer, target: Tokenizer) -> None:
        self.source, self.target = source, target

    @property
    def joint(self) -> bool:
        """Whether one vocabulary serves both sides."""
        return self.source is self.target

    @property
    def larger(self) -> int:
        """Entries of the larger vocabulary."""
        return max(self.source.size, self.target.size)

    @property
    def sha256(self) -> str:
        """SHA-256 of both models: ids mean the same in all runs in which it is equal."""
        return hash_of_both(self.source.sha256, self.target.sha256)

    @classmethod
    def open(cls, folder: Path, sha256: str = "") -> "Vocabularies":
        """Load what `save` wrote; `sha256`: of both models, if it is known.

        Raises RunError if it is missing, damaged, or has another hash."""
        folder = Path(folder)
        names = [JOINT] if os.path.lexists(folder / JOINT) else [SOURCE, TARGET]
        if not os.path.lexists(folder / names[0]):
            raise RunError(f"{folder} has neither {JOINT} nor {SOURCE}")
        models = [read_bytes(folder / name, MAX_MODEL_BYTES) for name in names]
        hashes = [hashlib.sha256(model).hexdigest() for model in models]
        if sha256 and hash_of_both(hashes[0], hashes[-1]) != sha256:  # before they are parsed
            files = " and ".join(names)
            raise RunError(
                f"{folder}: the tokenizer there is not the one that was trained, its SHA-256 differs; "
                f"{files} {'is' if len(names) == 1 else 'are'} damaged or replaced"
            )
        both = [Tokenizer(model, str(folder / name)) for model, name in zip(models, names, strict=True)]
        return cls(both[0], both[-1])

    def save(self, folder: Path) -> None:
        """Write joint.spm, or source.spm and target.spm."""
        files = {JOINT: self.source} if self.joint else {SOURCE: self.source, TARGET: self.target}
        for name, tokenizer in files.items():
            tokenizer.save(Path(folder) / name)

    def encode_source(self, text: str, segment: Segment = Tokenizer.segment) -> EncodedSource:
        """Ids of a source sentence, and the target ids that copying them yields. `segment` cuts text into pieces."""
        pieces = segment(self.source, text)
        ids = self.source.ids_of(pieces)
        copy, unknown = number_unknown(ids if self.joint else self.target.ids_of(pieces), pieces, self.target.size)
        return EncodedSource([*ids, EOS], [*copy, EOS], unknown)

    def encode_target(self, text: str, unknown: Sequence[str] = (), segment: Segment = Tokenizer.segment) -> list[int]:
        """Ids of a target sentence, EOS at the end.

        A piece that the vocabulary lacks is V + k if it is unknown[k], else UNK. `segment` cuts text into pieces."""
        pieces = segment(self.target, text)
        ids = self.target.ids_of(pieces)
        if unknown and UNK in ids:
            extended = {piece: self.target.size + k for k, piece in enumerate(unknown)}
            ids = [extended.get(piece, UNK) if i == UNK else i for i, piece in zip(ids, pieces, strict=True)]
        return [*ids, EOS]

    def decode_target(self, ids: Iterable[int], unknown: Sequence[str] = ()) -> str:
        """Text of target ids; V + k is unknown[k]."""
        return self.target.decode(ids, unknown)


def hash_of_both(source: str, target: str) -> str:
    """SHA-256 of a pair of vocabularies, from the hashes of their models."""
    return hashlib.sha256(f"{source} {target}".encode()).hexdigest()


def number_unknown(ids: list[int], pieces: Sequence[str], size: int) -> tuple[list[int], list[str]]:
    """Replace each UNK by `size` + k, where k is the index of its piece among the distinct unknown pieces.

    Returns the ids and those pieces."""
    if UNK not in ids:
        return ids, []
    numbers: dict[str, int] = {}
    numbered = [
        size + numbers.setdefault(piece, len(numbers)) if i == UNK else i for i, piece in zip(ids, pieces, strict=True)
    ]
    return numbered, list(numbers)
