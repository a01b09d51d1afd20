"""A made-up comparison with every kind of attention, script and missing value that a report has to show."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np
import pytest

from seq2seq.compare.result import Column, Comparison, Figure, HealthWarning, Point, VariantRow
from seq2seq.evaluation.attention_records import Alternative, AttentionRecord

COLUMNS = (
    Column(
        "bleu", "BLEU", "higher", 2, "nrefs:1|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"
    ),
    Column(
        "chrf", "chrF", "higher", 2, "nrefs:1|bs:1000|seed:12345|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0"
    ),
    Column("aer", "AER", "lower", 2, "bs:1000|seed:12345|links:sure+possible"),
    Column("length_ratio", "Length", "", 3),
    Column("parameters", "Parameters", "lower", 0),
    Column("training_tokens_per_second", "Training", "higher", 0, "", "tokens/s"),
    Column("decoding_sentences_per_second", "Decoding", "higher", 1, "", "sentences/s"),
)
VARIANTS = ("additive", "general", "local_p", "transformer", "none")
BUCKETS = ("1-5", "6-10", "11-20", "21-")
PAIRS = [
    ("The old teacher opens the window .", "Der alte Lehrer macht das Fenster auf ."),
    ("Peter buys a new kitchen table .", "Peter kauft einen neuen Küchentisch ."),
    (
        "A small child sleeps in the garden behind our house .",
        "Ein kleines Kind schläft im Garten hinter unserem Haus .",
    ),
    ("Two women are waiting for the train to the airport .", "Zwei Frauen warten auf den Zug zum Flughafen ."),
    (
        "Yesterday the doctor gave her friend an expensive book .",
        "Gestern gab die Ärztin ihrem Freund ein teures Buch .",
    ),
    ("Does your brother like the red bicycle ?", "Mag dein Bruder das rote Fahrrad ?"),
    ("I know that the singer has lost his key .", "Ich weiß , dass der Sänger seinen Schlüssel verloren hat ."),
]
ODD = {  # sentence number -> source, hypothesis
    3: ("الأستاذ القديم يفتح النافذة .", "المعلم العجوز يفتح الشباك ."),
    4: ("我们昨天在花园里看见了一只小猫。", "昨日、庭で小さな猫を見ました。"),
    5: ('</script><img src=x onerror=alert(1)> & "quotes" <!--', "</script><script>document.title='broken'</script>"),
    6: ("The box is empty .", ""),
    7: (" ".join(source for source, _ in PAIRS * 2), " ".join(target for _, target in PAIRS * 2)),
    8: ("नमस्ते 👋 e\u0301tude \u202eturned ffl", "cafe\u0301 👩‍👩‍👧 Straße"),
}


def pieces(text: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Subwords as SentencePiece writes them, longer words in two, and an empty piece for the end of the sentence."""
    found: list[str] = []
    for word in text.split():
        at = int(rng.integers(2, max(3, len(word)))) if len(word) > 6 else len(word)
        found.append("\u2581" + word[:at])
        if word[at:]:
            found.append(word[at:])
    return (*found, "")


def line(number: int) -> tuple[str, str]:
    """Source and target of a sentence; those beyond PAIRS are two pairs joined."""
    if number in ODD:
        return ODD[number]
    one, other = PAIRS[number % len(PAIRS)], PAIRS[number // len(PAIRS) % len(PAIRS)]
    return one if number < len(PAIRS) else (f"{one[0]} {other[0]}", f"{one[1]} {other[1]}")


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def as_bytes(weights: np.ndarray) -> np.ndarray:
    return np.round(weights * 255).astype(np.uint8)


def record_of(variant: str, number: int, heads: tuple[int, int] = (2, 4)) -> AttentionRecord:
    """The attention of a variant in a sentence: along the diagonal with noise, different for each variant."""
    rng = np.random.default_rng([number, VARIANTS.index(variant)])
    source_text, target_text = line(number)
    source = pieces(source_text, np.random.default_rng(number))
    target = pieces(target_text, np.random.default_rng(number)) if target_text else ()
    shape = (len(target), len(source))
    centers = np.linspace(0, len(source) - 1, len(target)) + rng.normal(0, 0.6, len(target))
    distance = np.arange(len(source)) - centers[:, None]
    scores = -0.5 * (distance / 0.8) ** 2 + rng.normal(0, 0.5, shape)
    beam = [Alternative(f"{target_text} ({n})", -0.3 - 0.1 * n) for n in range(3)] if variant == "additive" else []
    if variant == "none":
        return AttentionRecord(source, target, as_bytes(np.full(shape, 1 / len(source))))
    if variant == "local_p":
        weights = softmax(np.where(np.abs(distance) <= 3, scores, -np.inf)) * np.exp(-2 * (distance / 3) ** 2)
        return AttentionRecord(source, target, as_bytes(np.nan_to_num(weights)), None, centers.astype(np.float32))
    if variant == "transformer":
        maps = softmax(scores * rng.uniform(0.1, 1, (*heads, 1, 1)) + rng.normal(0, 0.3, (*heads, *shape)))
        return AttentionRecord(source, target, as_bytes(maps.mean((0, 1))), as_bytes(maps))
    return AttentionRecord(source, target, as_bytes(softmax(scores)), alternatives=tuple(beam))


class LazyRecords(Sequence[AttentionRecord]):
    """Records made on access, as those in a file are read on access; `reads` counts accesses."""

    def __init__(self, variant: str, sentences: int) -> None:
        self.variant, self.sentences, self.reads = variant, sentences, 0

    def __len__(self) -> int:
        return self.sentences

    @overload
    def __getitem__(self, number: int) -> AttentionRecord: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[AttentionRecord]: ...
    def __getitem__(self, number: Any) -> Any:
        if number >= self.sentences:
            raise IndexError(number)
        self.reads += 1
        return record_of(self.variant, number)


def row(variant: str, place: int) -> VariantRow:
    """A variant with three seeds: figures, learning curves, and scores by length."""
    rng = np.random.default_rng(place)
    bleu = [38.1, 38.9, 37.2, 39.6, 21.3][place % 5] + place // 5
    means = (
        bleu,
        bleu + 21,
        31 - bleu / 4,
        0.98 + place / 200,
        1.7e6 * (1 + place),
        9400 / (1 + 0.3 * place),
        41.5 - 4.2 * place,
    )
    tested = {"bleu", "chrf", "aer", "length_ratio"} if place else set()
    figures = {}
    for column, mean in zip(COLUMNS, means, strict=True):
        values = tuple(float(mean * (1 + 0.005 * rng.normal())) for _ in range(3))
        p = {"bootstrap": 0.0005, "randomisation": 0.0004} if place > 2 else {"bootstrap": 0.21, "randomisation": 0.19}
        interval = (mean * 0.97, mean * 1.03) if column.key in {"bleu", "chrf", "aer"} else None
        if column.key == "aer" and variant == "none":
            continue
        figure = Figure(float(np.mean(values)), values, float(np.std(values, ddof=1)), interval)
        if column.key in tested:
            corrected = {test: min(1.0, 4 * value) for test, value in p.items()}
            word = {"higher": "better", "lower": "worse here"}.get(column.better, "differs")
            figure = figure._replace(p=p, corrected=corrected, verdict=word if place > 2 else "")
        figures[column.key] = figure
    curves = tuple(curve(bleu, 1 + 0.3 * place, seed, rng) for seed in range(3))
    buckets = {
        key: tuple(float(b - 1.5 * n + rng.normal()) for n in range(4))
        for key, b in (("bleu", bleu), ("chrf", bleu + 21))
    }
    settings = {"model": "transformer" if variant == "transformer" else "rnn", "model.attention.scorer": "additive"}
    return VariantRow(
        variant,
        settings["model"],
        (1, 2, 3),
        tuple(f"runs/{variant}-s{s}" for s in (1, 2, 3)),
        settings,
        figures,
        curves,
        buckets,
    )


def curve(bleu: float, slowness: float, seed: int, rng: np.random.Generator) -> tuple[Point, ...]:
    """Training loss every 100 updates, dev figures every 500; the first seed trains longest."""
    points = []
    for update in range(100, 6001 - 500 * seed, 100):
        reached, nan = 1 - np.exp(-update / 1200), float("nan")
        loss = 6.5 - 5 * reached + 0.1 * rng.normal()
        dev = (loss + 0.2, bleu * reached + 0.4 * rng.normal()) if update % 500 == 0 else (nan, nan)
        seconds = update * 0.05 * slowness * (1 + 0.03 * seed)
        points.append(Point(update, seconds, 1.9 * seconds, float(loss), float(dev[0]), float(dev[1])))
    return tuple(points)


def make_comparison(sentences: int = 250, variants: Sequence[str] = VARIANTS, **changes: Any) -> Comparison:
    """A comparison of these variants, with some fields replaced."""
    lines = [line(number) for number in range(sentences)]
    rng = np.random.default_rng(1)
    made = Comparison(
        title="Attention on Multi30k, en-de",
        test="test_2016_flickr",
        sources=[source for source, _ in lines],
        references=[[target or "Die Schachtel ist leer ." for _, target in lines]],
        columns=COLUMNS,
        rows=[row(variant, place) for place, variant in enumerate(variants)],
        baseline=variants[0],
        header=[
            "All runs had 5,000 updates of 4,096 target tokens.",
            "The runs of local_p were made with another version: 0.3.0.",
        ],
        footnotes=[
            "p: paired bootstrap / approximate randomisation, 1,000 each, Holm-corrected over the rows of the column."
        ],
        skipped=[("runs/dot-s1", "its training was not finished"), ("runs/dot-s2", "weights.safetensors is missing")],
        buckets=BUCKETS,
        health=[
            HealthWarning(
                "local_p",
                "The window never moves: its centre has a standard deviation of 0.3 positions over a sentence.",
            ),
            HealthWarning(
                "local_p",
                "The local window is mostly outside the sentence: 63% of its 2D + 1 positions lie beyond the ends.",
            ),
        ],
        hypotheses={variant: [target for _, target in lines] for variant in variants},
        attention={variant: LazyRecords(variant, sentences) for variant in variants},
        quality="sentence chrF2",
        qualities={variant: [float(value) for value in rng.uniform(20, 90, sentences)] for variant in variants},
        windows={"local_p": 3} if "local_p" in variants else {},
        versions={"seq2seq": "0.3.0", "torch": "2.6.0", "sacrebleu": "2.6.0"},
    )
    return replace(made, **changes)


@pytest.fixture(scope="session")
def comparison() -> Callable[..., Comparison]:
    """`comparison(sentences=250, variants=VARIANTS, **fields)`."""
    return make_comparison
