"""The parity gate of an export: sentences of the development set and hard ones, translated with the checkpoint and with
the artifact through its own runtime, compared one by one and by BLEU or ROUGE.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from seq2seq.config import Config
from seq2seq.data.corpora import dev_pairs
from seq2seq.data.readers import Pair
from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.evaluation.metrics import TASKS, score
from seq2seq.evaluation.rouge import TOKENIZERS
from seq2seq.ids import UNK
from seq2seq.runtime.parity import Comparison, Output, ParityRecord, Sentence, compare, loss_failure, outputs
from seq2seq.runtime.translation import LineTranslator
from seq2seq.runtime.vocabulary import LONGEST_PIECE
from seq2seq.runtime.words import truncate_words

DEFAULT_SENTENCES, DEFAULT_LOSS = 200, 0.3  # points of BLEU or ROUGE
LONGEST = 1000  # tokens of the longest source where the model itself has no limit
UNKNOWN = "☃𓀀漢ฐქ\u1d11e"  # characters that most vocabularies lack
ALONE = 10  # sentences that are translated one by one, to measure how long one takes


class GateSentence(NamedTuple):
    """A sentence to translate."""

    source: str
    reference: str | None  # None: it counts in no score of quality


class Speed(NamedTuple):
    """Measured on this machine."""

    batches: float  # sentences a second
    alone: float  # milliseconds for one sentence; the median


class Measured(NamedTuple):
    """What was translated, and how fast."""

    outputs: list[Output]
    speed: Speed | None  # None: not measured


class Gate(NamedTuple):
    """What the outputs of artifacts are compared with."""

    sentences: Sequence[GateSentence]
    checkpoint: Sequence[Output]
    metric: dict[str, Any]  # name and options


def dev_set(config: Config) -> list[Pair]:
    """The pairs of the development set. Raises ConfigError, which names the alternative, if it is not there."""
    try:
        return list(dev_pairs(config.data))
    except DataError as error:
        raise ConfigError(
            f"the development set of data={config.data.name} cannot be read here, and an export translates sentences of"
            f" it; name others with --source and --reference: {error}"
        ) from error


def choose_sentences(pairs: Sequence[Pair], count: int, translator: LineTranslator) -> list[GateSentence]:
    """`count` sentences, fewer if there are not so many: hard ones, and pairs of all lengths, evenly spaced."""
    limit = source_limit(translator)
    hard = [
        GateSentence(line, None)
        for line in hard_lines([pair.source for pair in pairs], translator)
        if _length(translator, line) <= limit
    ]
    lengths = [_length(translator, pair.source) for pair in pairs]
    order = sorted((i for i, length in enumerate(lengths) if length <= limit), key=lambda i: lengths[i])
    wanted = min(count - len(hard), len(order))
    chosen = sorted({order[round(i * (len(order) - 1) / max(1, wanted - 1))] for i in range(wanted)})
    return [*hard, *(GateSentence(*pairs[i]) for i in chosen)]


def hard_lines(lines: Sequence[str], translator: LineTranslator) -> list[str]:
    """Lines that are empty, of one token, as long as the model or the gate allows, or with unknown characters."""
    words = list(dict.fromkeys(word for line in lines for word in line.split()))[:5000] or ["a"]
    words = sorted(words, key=lambda word: _length(translator, word))
    shortest, middle = words[0], words[len(words) // 2]
    unknown = next((c for c in UNKNOWN if UNK in translator.vocabularies.encode_source(c).ids), UNKNOWN[0])
    mixed = f"{middle} {unknown}{shortest} {unknown * 3} {middle}"
    return ["", shortest, longest_line(words, translator), unknown, mixed]


def longest_line(words: Sequence[str], translator: LineTranslator) -> str:
    """A line of as many of these words, in their order and again, as fit into `source_limit` tokens."""
    limit = source_limit(translator)
    text = [words[i % len(words)] for i in range(translator.truncate or limit)]
    low, high = 1, len(text)
    while low < high:  # the most words that fit
        half = (low + high + 1) // 2
        line = " ".join(text[:half])
        if _length(translator, line) <= limit:
            low = half
        else:
            high = half - 1
    return " ".join(text[:low])


def source_limit(translator: LineTranslator) -> int:
    """The most source tokens of a sentence of the gate, EOS included."""
    return min(translator.max_source, LONGEST)


def _length(translator: LineTranslator, line: str) -> int:
    """The tokens of a source line as it is read, EOS included; of a very long line those of its start."""
    start = truncate_words(line, translator.truncate)[: LONGEST_PIECE * LONGEST]
    return len(translator.vocabularies.encode_source(start).ids)


def open_gate(sentences: Sequence[GateSentence], config: Config, checkpoint: Sequence[Output]) -> Gate:
    """The gate for artifacts of a run with these settings."""
    tokenizer = config.training.rouge_tokenizer
    metric = {
        "name": {"summarization": "rougeL"}.get(config.task, TASKS[config.task][0]),
        "language": config.data.languages()[1],
        # the file of a model stays here, and the gate is repeated elsewhere
        "rouge_tokenizer": tokenizer if tokenizer in ("default", *TOKENIZERS) else "unicode",
    }
    return Gate(sentences, checkpoint, metric)


def measure(translator: LineTranslator, sentences: Sequence[GateSentence]) -> Measured:
    """Translate sentences, and measure how long those of the development set take, in batches and one by one."""
    lines = [one.source for one in sentences]
    usual = sorted((one.source for one in sentences if one.reference is not None), key=len) or lines
    found = outputs(translator, lines)  # the first search takes longer
    batches = len(usual) / _seconds(translator, usual)
    middle = usual[len(usual) // 4 : 1 + 3 * len(usual) // 4]
    alone = sorted(_seconds(translator, [line]) for line in middle[:: max(1, len(middle) // ALONE)][:ALONE])
    return Measured(found, Speed(batches, 1000 * alone[len(alone) // 2]))


def _seconds(translator: LineTranslator, lines: Sequence[str]) -> float:
    began = time.perf_counter()
    translator.translate(lines)
    return time.perf_counter() - began


def pass_gate(
    gate: Gate, found: Sequence[Output], *, form: str, dtype: str, allow_loss: float | None
) -> tuple[ParityRecord, str]:
    """The record of an artifact that gave `found`, and why it fails the gate, '' if it does not.

    allow_loss: points of the metric that the artifact has to lose less than; None: outputs are compared one by one"""
    sentences = [Sentence(*one, *both) for one, *both in zip(gate.sentences, gate.checkpoint, found, strict=True)]
    metric = scores(sentences, found, gate.metric, required=allow_loss is not None)
    record = ParityRecord(form, dtype, allow_loss, metric, sentences)
    if allow_loss is None:
        return record, compare(gate.checkpoint, found).failure()
    assert metric is not None
    return record, loss_failure(metric, allow_loss)


def scores(
    sentences: Sequence[Sentence], found: Sequence[Output], metric: dict[str, Any], required: bool
) -> dict[str, Any] | None:
    """The metric with its signature and the scores of the checkpoint and of `found`, over sentences with references.

    None if it cannot score this text; with `required` a DataError then."""
    rows = [(one, output) for one, output in zip(sentences, found, strict=True) if one.reference is not None]
    options = {name: metric[name] for name in ("language", "rouge_tokenizer")}
    references = [[str(one.reference) for one, _ in rows]]
    try:
        both = [
            score(texts, references, [metric["name"]], bootstrap=0, **options)[0]
            for texts in ([one.checkpoint.text for one, _ in rows], [output.text for _, output in rows])
        ]
    except (DataError, RunError):
        if required:
            raise
        return None
    return {
        **{name: metric[name] for name in ("name", "language", "rouge_tokenizer")},
        "signature": both[0].signature,
        "checkpoint": both[0].value,
        "artifact": both[1].value,
    }


def compared(record: ParityRecord) -> Comparison:
    """The comparison of a record's outputs."""
    return compare([one.checkpoint for one in record.sentences], [one.artifact for one in record.sentences])
