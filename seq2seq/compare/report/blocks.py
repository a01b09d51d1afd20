"""Texts and attention of a report as compressed blocks, unpacked on demand, so that a large report opens fast.

A block is a script element of a type that browsers do not execute: base64 of deflated bytes. T target and S source
pieces.
"""

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from seq2seq.compare.result import Comparison
from seq2seq.evaluation.attention_records import AttentionRecord

WEIGHTS_CHUNK = 100  # sentences per block: some 100 kB unpacked, which takes milliseconds
MAPS_CHUNK = 10  # the maps of a large Transformer have some 50 times as many weights
# Bytes of attention in a page: a browser reads 50 MB in about a second, and mail and repositories accept the file.
ATTENTION_LIMIT = 50_000_000
WEIGHTS_LIMIT = 40_000_000  # of these, which leaves some for layers and heads

Chunk = Sequence[AttentionRecord]


def block(name: str, content: bytes) -> str:
    """The script element with the id `name`."""
    packed = base64.b64encode(zlib.compress(content)).decode()
    return f'<script type="application/octet-stream" id="{name}">{packed}</script>\n'


def encode_json(value: Any) -> bytes:
    """Compact JSON in UTF-8; a lone surrogate, which UTF-8 cannot encode, becomes a JSON escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "backslashreplace")


def text_blocks(comparison: Comparison) -> Iterator[str]:
    """Blocks of sources, references, hypotheses, and the quality of each sentence."""
    yield block("sources", encode_json(list(comparison.sources)))
    for number, lines in enumerate(comparison.references):
        yield block(f"references-{number}", encode_json(list(lines)))
    for number, row in enumerate(comparison.rows):
        if row.variant in comparison.hypotheses:
            yield block(f"hypotheses-{number}", encode_json(list(comparison.hypotheses[row.variant])))
        if row.variant in comparison.qualities:
            rounded = [round(float(value), 2) for value in comparison.qualities[row.variant]]
            yield block(f"qualities-{number}", encode_json(rounded))


class AttentionBlocks:
    """The attention blocks of all variants. Sentences beyond the size limits are left out for all variants alike.

    variants: the attention records of each variant, read one chunk at a time. sentences: their number.
    """

    def __init__(self, variants: Sequence[Sequence[AttentionRecord]], sentences: int) -> None:
        self.variants, self.sentences = variants, sentences
        self.size = 0  # of the blocks so far
        self.included: dict[str, int] = {}  # "weights", "maps" -> number of sentences in the page
        self.with_maps: set[int] = set()  # variants that have maps of single layers and heads

    def blocks(self) -> Iterator[str]:
        """The weights of all sentences, then the maps of single layers and heads."""
        yield from self._blocks("weights", encode_weights, WEIGHTS_CHUNK, set(range(len(self.variants))))
        yield from self._blocks("maps", encode_maps, MAPS_CHUNK, self.with_maps)

    def _blocks(self, kind: str, encode: Callable[[Chunk], bytes], size: int, variants: set[int]) -> Iterator[str]:
        self.included[kind] = self.sentences
        if not variants:
            return
        for start in range(0, self.sentences, size):
            chunk = [block(f"{kind}-{n}-{start // size}", encode(self._read(n, start, size))) for n in sorted(variants)]
            if self.size + sum(map(len, chunk)) > size_limit(kind):
                self.included[kind] = start
                return
            self.size += sum(map(len, chunk))
            yield from chunk

    def _read(self, variant: int, start: int, size: int) -> Chunk:
        records = self.variants[variant]
        chunk = [records[i] for i in range(start, min(start + size, len(records)))]
        if any(record.maps is not None for record in chunk):
            self.with_maps.add(variant)
        return chunk

    def notices(self) -> list[str]:
        """Sentences about what was left out; complete once `blocks` is exhausted."""
        names = {"weights": "Attention weights", "maps": "Maps of layers and heads"}
        limits = {"weights": "of attention weights", "maps": "of attention"}
        return [
            f"{names[kind]} are included for the first {included:,} of {self.sentences:,} sentences only: "
            f"the page is limited to {size_limit(kind) // 1_000_000} MB {limits[kind]}."
            for kind, included in self.included.items()
            if included < self.sentences
        ]


def size_limit(kind: str) -> int:
    """Bytes of attention after which no more weights or maps are included."""
    return WEIGHTS_LIMIT if kind == "weights" else ATTENTION_LIMIT


def encode_weights(records: Chunk) -> bytes:
    """[source, target, centres or null, [[alternative, score], ...]] per sentence, framed with all weights (T, S)."""
    for record in records:
        assert record.weights.shape == (len(record.target), len(record.source))
    return framed([record_head(record) for record in records], [record.weights.tobytes() for record in records])


def record_head(record: AttentionRecord) -> list[Any]:
    """All of a record but its weights and maps."""
    centers = None if record.centers is None else [round(float(center), 3) for center in record.centers]
    alternatives = [[text, round(float(score), 4)] for text, score in record.alternatives]
    return [record.source, record.target, centers, alternatives]


def encode_maps(records: Chunk) -> bytes:
    """The shape (layers, heads, T, S) of each sentence's maps, or null, framed with all maps."""
    maps = [record.maps for record in records]
    return framed([None if m is None else m.shape for m in maps], [m.tobytes() for m in maps if m is not None])


def framed(head: Any, body: Sequence[bytes]) -> bytes:
    """The length of the JSON of `head` as four bytes, little-endian; the JSON; the body."""
    text = encode_json(head)
    return b"".join([len(text).to_bytes(4, "little"), text, *body])
