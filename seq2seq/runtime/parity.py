"""The parity gate: an artifact has to translate as the checkpoint does that it was exported from.

parity.json, which every artifact holds, has the sentences that were translated at the export and what the checkpoint
and the artifact gave, so that the gate can be repeated anywhere.
"""

import json
import math
from collections.abc import Sequence
from itertools import starmap
from typing import Any, NamedTuple

from .bundle import PARITY, Bundle
from .errors import RunError, counted
from .translation import LineTranslator, Translation
from .untrusted import NUMBER, TEXT, WHOLE, WORD, fits, parse_json

SCHEMA = 1
LEAST_SAME = 0.995  # share of the outputs that have to be the same where they are compared one by one
TIE = 1e-4  # the scores of different outputs of as good as equal rank differ by at most this
DRIFT = 1e-3  # and those of the same outputs, which add the rounding of up to hundreds of tokens

OUTPUT = {"text": TEXT}
SHAPE = {
    "schema": WHOLE, "format": WORD, "dtype": WORD,
    "sentences": [{"source": TEXT, "checkpoint": OUTPUT, "artifact": OUTPUT}],
}  # fmt: skip
METRIC = {"name": WORD, "language": TEXT, "rouge_tokenizer": TEXT}
SETTINGS: dict[str, Any] = {"n_best": 1, "sampling": False}  # of the search, besides those of the run


class Output(NamedTuple):
    """What was given for a sentence."""

    text: str
    score: float | None = None  # None: not known
    ids: Sequence[int] | None = None  # of its tokens; None: not known

    def is_same(self, other: "Output") -> bool:
        """Whether the other output has the same tokens; where they are not known, the same text but for spaces at its
        ends, which some libraries remove."""
        if self.ids is None or other.ids is None:
            return self.text.strip() == other.text.strip()
        return list(self.ids) == list(other.ids)

    def distance(self, other: "Output") -> float | None:
        """The difference of the scores, infinite for what is no number; None if one is not known."""
        if self.score is None or other.score is None:
            return None
        distance = abs(self.score - other.score)
        return math.inf if math.isnan(distance) else distance


class Sentence(NamedTuple):
    """A sentence of the gate."""

    source: str
    reference: str | None  # None: it has none, and does not count in scores of quality
    checkpoint: Output
    artifact: Output  # at the time of the export


class ParityRecord(NamedTuple):
    """The content of parity.json."""

    format: str
    dtype: str
    allow_loss: float | None  # points of the metric; None: outputs are compared one by one
    metric: dict[str, Any] | None  # of quality: its name and options, and both scores at the time of the export
    sentences: Sequence[Sentence]

    def as_json(self) -> bytes:
        """The content of the file, with the comparison at the time of the export."""
        found = compare([one.checkpoint for one in self.sentences], [one.artifact for one in self.sentences])
        head = {
            "schema": SCHEMA,
            **{name: value for name, value in self._asdict().items() if name != "sentences"},
            "same": found.same,
            "of": found.total,
            "largest_difference": found.distance,
        }
        rows = [
            {name: part._asdict() if isinstance(part, Output) else part for name, part in one._asdict().items()}
            for one in self.sentences
        ]
        sentences = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        return f'{json.dumps(head, indent=1, ensure_ascii=False)[:-2]},\n "sentences": [\n{sentences}\n]}}\n'.encode()


class Comparison(NamedTuple):
    """How two lists of outputs of the same sentences compare."""

    total: int
    same: int
    distance: float | None  # the largest difference of scores; None: none is known
    drift: float  # the largest of outputs that are the same
    no_ties: Sequence[int]  # sentences, from 0, whose outputs differ and are no tie

    @property
    def same_share(self) -> str:
        """`199 of 200`."""
        return f"{self.same:,} of {self.total:,}"

    def failure(self) -> str:
        """Why the outputs are not the same one by one, within rounding; '' if they are."""
        if self.same < LEAST_SAME * self.total:
            return f"only {self.same_share} outputs are the same, fewer than {LEAST_SAME:.1%}"
        if self.no_ties:
            others = f" and {counted(len(self.no_ties) - 1, 'other')}" if len(self.no_ties) > 1 else ""
            return f"sentence {self.no_ties[0] + 1}{others} got another output, whose score is no tie within {TIE:g}"
        if self.drift > DRIFT:
            return f"the scores of outputs that are the same differ by up to {self.drift:.2g}, more than {DRIFT:g}"
        return ""


def compare(expected: Sequence[Output], found: Sequence[Output]) -> Comparison:
    """Compare the outputs of sentences one by one."""
    pairs = list(zip(expected, found, strict=True))
    same = list(starmap(Output.is_same, pairs))
    distances = list(starmap(Output.distance, pairs))
    known = [one for one in distances if one is not None]
    drift = max((d for d, equal in zip(distances, same, strict=True) if equal and d is not None), default=0.0)
    no_ties = [
        i
        for i, (d, equal) in enumerate(zip(distances, same, strict=True))
        if not equal and not (d is not None and d <= TIE)
    ]
    return Comparison(len(pairs), sum(same), max(known, default=None), drift, no_ties)


def outputs(translator: LineTranslator, lines: Sequence[str]) -> list[Output]:
    """The best output of each line."""
    return [_output(found[0]) for found in translator.hypotheses(lines)]


def _output(found: Translation) -> Output:
    return Output(found.text, found.score, [int(i) for i in found.ids])


def read_record(content: bytes, name: str) -> ParityRecord:
    """The record in a parity.json. Raises RunError, which calls the file `name`, for anything else."""
    try:
        values = parse_json(content)
    except ValueError as error:
        raise RunError(f"{name} is damaged: {error}") from error
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise RunError(f"{name} is not the record of a parity gate that this version reads, of schema {SCHEMA}")
    metric = values.get("metric")
    allowed = values.get("allow_loss")
    if not fits(values, SHAPE) or not all(
        value is None or fits(value, shape) for value, shape in ((metric, METRIC), (allowed, NUMBER))
    ):
        raise RunError(f"{name} is damaged: it is not the record of a parity gate")
    try:
        sentences = [
            Sentence(
                one["source"],
                _text(one.get("reference")),
                _read_output(one["checkpoint"]),
                _read_output(one["artifact"]),
            )
            for one in values["sentences"]
        ]
    except ValueError as error:
        raise RunError(f"{name} is damaged: {error}") from error
    if not sentences:
        raise RunError(f"{name} is damaged: it has no sentences")
    return ParityRecord(values["format"], values["dtype"], allowed, metric, sentences)


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError("a reference is not text")
    return value


def _read_output(values: dict[str, Any]) -> Output:
    """An output of the file. Raises ValueError for a score or ids of another type."""
    score, ids = values.get("score"), values.get("ids")
    if not (score is None or fits(score, NUMBER)) or not (ids is None or fits(ids, [WHOLE])):
        raise ValueError("a score or ids of an output are no numbers")
    return Output(values["text"], score, ids)


def bundle_record(bundle: Bundle) -> ParityRecord:
    """The record of a bundle, whose other files are checked too. Raises RunError if a file is damaged or missing."""
    bundle.verify()
    if not bundle.has(PARITY):
        raise RunError(f"{bundle.path} has no {PARITY}: it was not written by `seq2seq export`, and cannot be verified")
    return read_record(bundle.read(PARITY), f"{PARITY} in {bundle.path}")


def verify_lines(
    record: ParityRecord, found: Sequence[Output], metric: dict[str, Any] | None = None
) -> tuple[list[str], str]:
    """The lines of the report of a gate that is repeated, and why it fails, '' if it does not.

    found: what the artifact gave now
    metric: as in the record, of `found`; None: not computed, and the outputs have to be those of the export"""
    checkpoint = compare([one.checkpoint for one in record.sentences], found)
    exported = compare([one.artifact for one in record.sentences], found)
    lines = [
        f"{label}: {one.same_share} outputs the same{_distance(one)}"
        for label, one in (("as the checkpoint", checkpoint), ("as at the export", exported))
    ]
    if metric is not None:
        lines.append(f"{metric['name']}: {metric['artifact']:.2f}, of the checkpoint {metric['checkpoint']:.2f}")
    if record.allow_loss is None:
        return lines, checkpoint.failure()
    return lines, exported.failure() if metric is None else loss_failure(metric, record.allow_loss)


def loss_failure(metric: dict[str, Any], allowed: float) -> str:
    """Why scores of quality fail the gate, '' if they do not: the artifact loses less than is allowed, or nothing."""
    loss = metric["checkpoint"] - metric["artifact"]
    if loss < allowed or loss <= 0:
        return ""
    return f"it loses {loss:.2f} points of {metric['name']}, and has to lose less than {allowed:g}"


def _distance(found: Comparison) -> str:
    return "" if found.distance is None else f", scores differ by up to {found.distance:.2g}"
