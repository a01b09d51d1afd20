"""The vocabularies of a run directory or a prepared corpus: one file for both sides, or one for each."""

import hashlib
import os
from pathlib import Path

from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import RunError
from seq2seq.runtime.untrusted import read_bytes
from seq2seq.runtime.vocabulary import MAX_MODEL_BYTES, VocabularyPair, hash_of_both

JOINT, SOURCE, TARGET = "joint.spm", "source.spm", "target.spm"


class Vocabularies(VocabularyPair):
    """The tokenizers of the two sides, which can be saved in a folder and opened from it."""

    source: Tokenizer
    target: Tokenizer

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
