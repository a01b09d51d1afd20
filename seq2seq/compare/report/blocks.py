"""How do 10,000 sentences with their attention get into a page that opens at once? Packed in blocks, unpacked when they are asked for.

A block is a script element of a type that no browser runs: base64 of deflated bytes. T target and S source pieces.
"""

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from seq2seq.compare.result import Comparison
from seq2seq.evaluation.attention_records import AttentionRecord

WEIGHTS_CHUNK = (
    100  # sentences in a block: some 100 kB unpacked, so that one more sentence is there within milliseconds
)
MAPS_CHUNK = 10  # a sentence has some 50 times as many weights in a large Transformer
LARGEST = 50_000_000  # bytes of attention: a browser takes about a second to read them, and mail or a repository still take the file
WEIGHTS_AT_MOST = 40_000_000  # of these, so that some are left for layers and heads

Chunk = Sequence[AttentionRecord]


def block(name: str, content: bytes) -> str:
    """The element with that id."""
    packed = base64.b64encode(zlib.compress(content)).decode()
    return f'<script type="application/octet-stream" id="{name}">{packed}</script>\n'


def encoded(value: Any) -> bytes:
    """JSON; half of a surrogate pair, which UTF-8 cannot write, becomes JSON's own escape."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(
        "utf-8", "backslashreplace"
    )


def texts(comparison: Comparison) -> Iterator[str]:
    """What is searched and read: sources, references, hypotheses, and the quality of each sentence."""
    yield block("sources", encoded(list(comparison.sources)))
    for number, lines in enumerate(comparison.references):
        yield block(f"references-{number}", encoded(list(lines)))
    for number, row in enumerate(comparison.rows):
        if row.variant in comparison.hypotheses:
            yield block(f"hypotheses-{number}", encoded(list(comparison.hypotheses[row.variant])))
        if row.variant in comparison.qualities:
            yield block(
                f"qualities-{number}", encoded([round(float(value), 2) for value in comparison.qualities[row.variant]])
            )


def framed(head: Any, body: Sequence[bytes]) -> bytes:
    """Bytes of the JSON that says what follows, as four bytes, lowest first; the JSON; what follows."""
    text = encoded(head)
    return b"".join([len(text).to_bytes(4, "little"), text, *body])


def weights(sentences: Chunk) -> bytes:
    """[source, target, centres or null, [[alternative, score], ...]] of each sentence, then all weights (T, S)."""
    for sentence in sentences:
        assert sentence.weights.shape == (len(sentence.target), len(sentence.source))
    return framed(
        [described(sentence) for sentence in sentences], [sentence.weights.tobytes() for sentence in sentences]
    )


def described(sentence: AttentionRecord) -> list[Any]:
    """All of a sentence but its weights."""
    centers = None if sentence.centers is None else [round(float(center), 3) for center in sentence.centers]
    return [
        sentence.source,
        sentence.target,
        centers,
        [[text, round(float(score), 4)] for text, score in sentence.alternatives],
    ]


def maps(sentences: Chunk) -> bytes:
    """The shape (layers, heads, T, S) of each sentence, or null, then all maps."""
    kept = [sentence.maps for sentence in sentences]
    return framed([None if m is None else m.shape for m in kept], [m.tobytes() for m in kept if m is not None])


def limit(kind: str) -> int:
    """Bytes of attention from which on no more of a kind is kept."""
    return WEIGHTS_AT_MOST if kind == "weights" else LARGEST


class AttentionBlock:
    """The blocks of all variants, side by side, so that what is left out is left out for all of them."""

    def __init__(self, variants: Sequence[Sequence[AttentionRecord]], sentences: int) -> None:
        """variants: what each looked at, sentence by sentence, read one chunk at a time; sentences: how many the test set has."""
        self.variants, self.sentences = variants, sentences
        self.spent = 0
        self.kept: dict[str, int] = {}  # "weights", "maps" -> sentences that are in the page
        self.mapped: set[int] = set()  # variants with maps of layers and heads

    def blocks(self) -> Iterator[str]:
        """Weights of all sentences first, then maps."""
        yield from self._kind("weights", weights, WEIGHTS_CHUNK, set(range(len(self.variants))))
        yield from self._kind("maps", maps, MAPS_CHUNK, self.mapped)

    def _kind(self, kind: str, encode: Callable[[Chunk], bytes], size: int, numbers: set[int]) -> Iterator[str]:
        self.kept[kind] = self.sentences
        if not numbers:
            return
        for start in range(0, self.sentences, size):
            made = [block(f"{kind}-{n}-{start // size}", encode(self._read(n, start, size))) for n in sorted(numbers)]
            if self.spent + sum(map(len, made)) > limit(kind):
                self.kept[kind] = start
                return
            self.spent += sum(map(len, made))
            yield from made

    def _read(self, number: int, start: int, size: int) -> Chunk:
        explained = self.variants[number]
        sentences = [explained[i] for i in range(start, min(start + size, len(explained)))]
        if any(sentence.maps is not None for sentence in sentences):
            self.mapped.add(number)
        return sentences

    def notices(self) -> list[str]:
        """What was left out; known once the blocks are written."""
        named = {"weights": "Attention weights", "maps": "Maps of layers and heads"}
        return [
            f"{named[kind]} are kept for the first {kept:,} of {self.sentences:,} sentences: "
            f"the page would hold more than {limit(kind) // 1_000_000} MB of {'them' if kind == 'weights' else 'attention'}."
            for kind, kept in self.kept.items()
            if kept < self.sentences
        ]
