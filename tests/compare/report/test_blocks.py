"""Size limits of the attention blocks."""

import numpy as np
import pytest

from seq2seq.compare.report import blocks
from seq2seq.evaluation.attention_records import AttentionRecord


def test_notices_name_the_limit_that_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of two of three sentences fit, and then the maps of one; both take 0.9 MB per sentence."""
    monkeypatch.setattr(blocks, "WEIGHTS_CHUNK", 1)
    monkeypatch.setattr(blocks, "MAPS_CHUNK", 1)
    monkeypatch.setattr(blocks, "WEIGHTS_LIMIT", 2_000_000)
    monkeypatch.setattr(blocks, "ATTENTION_LIMIT", 3_000_000)
    weights = np.random.default_rng(1).integers(256, size=(700, 1000), dtype=np.uint8)
    sentence = AttentionRecord(("a",) * 1000, ("b",) * 700, weights, weights[None, None])
    attention = blocks.AttentionBlocks([[sentence] * 3], 3)
    for _ in attention.blocks():
        pass
    assert attention.notices() == [
        "Attention weights are included for the first 2 of 3 sentences only: "
        "the page is limited to 2 MB of attention weights.",
        "Maps of layers and heads are included for the first 1 of 3 sentences only: "
        "the page is limited to 3 MB of attention.",
    ]
