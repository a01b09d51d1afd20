"""Compares an imported model with a reference: scores and translations that the original toolkit wrote beside it.

A reference is a JSON file, as scripts/convert_opennmt.py and scripts/reference_transformers.py write it:

    {"library": "OpenNMT-py 3.5.1", "pairs": [[source, target, log-probability], ...],
     "beam": 4, "max_length": 100, "translations": [[source, translation], ...]}

Log-probabilities are sums over the target's tokens and its end; translations are those of a beam search without
length penalty, in which tools agree on when a search may stop.
"""

from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.errors import RunError
from seq2seq.runtime.untrusted import MIB, NUMBER, TEXT, WHOLE, fits, read_json
from seq2seq.translator import Translator

MOST_BYTES, MOST_PAIRS = 16 * MIB, 10_000
TOLERANCE = 0.01  # of the log-probability of a target: rounding makes far smaller differences
SHAPE = {
    "library": TEXT,
    "pairs": [(TEXT, TEXT, NUMBER)],
    "beam": WHOLE,
    "max_length": WHOLE,
    "translations": [(TEXT, TEXT)],
}


class Reference(NamedTuple):
    """What the original toolkit computed."""

    library: str
    pairs: list[tuple[str, str, float]]
    beam: int
    max_length: int
    translations: list[tuple[str, str]]


class Parity(NamedTuple):
    """How an imported model compares with its original."""

    library: str
    pairs: int
    difference: float  # the largest, of the log-probabilities of given targets
    translations: int
    same: int  # translations that are the same text

    def check(self) -> None:
        """Raise RunError if the model computes something else than its original."""
        if not self.difference <= TOLERANCE:
            raise RunError(
                f"the imported model is not the original: log-probabilities differ by {self.difference:.2g} from those"
                f" of {self.library}"
            )

    def as_dict(self) -> dict[str, Any]:
        """The content of parity.json."""
        return self._asdict()

    def __str__(self) -> str:
        return (
            f"parity with {self.library}: log-probabilities of {self.pairs} targets differ by at most"
            f" {self.difference:.2g}; {self.same} of {self.translations} translations are the same"
        )


def read_reference(path: Path) -> Reference:
    """Read a reference. Raises RunError if it is damaged."""
    found = read_json(path, MOST_BYTES)
    if not fits(found, SHAPE) or not found["pairs"] or len(found["pairs"]) + len(found["translations"]) > MOST_PAIRS:
        raise RunError(f"{path} is damaged: not a reference with pairs and translations")
    pairs = [(source, target, float(score)) for source, target, score in found["pairs"]]
    return Reference(
        found["library"], pairs, found["beam"], found["max_length"], [(s, t) for s, t in found["translations"]]
    )


def compare_with_reference(run: Path, reference: Reference) -> Parity:
    """Score and translate with the run what the reference has."""
    limits: dict[str, Any] = {"beam": reference.beam, "max_length": reference.max_length, "max_ratio": 1000.0}
    translator = Translator.open(run, length_penalty="none", alpha=1.0, n_best=1, **limits)
    sources, targets, wanted = zip(*reference.pairs, strict=True)
    scores = translator.score(sources, targets)
    difference = max(abs(a - b) for a, b in zip(scores, wanted, strict=True))
    lines = [source for source, _ in reference.translations]
    found = translator.translate(lines)
    same = sum(text == wanted for text, (_, wanted) in zip(found, reference.translations, strict=True))
    return Parity(reference.library, len(wanted), difference, len(lines), same)
