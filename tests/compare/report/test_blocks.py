"""Does a page say by which limit something was left out?"""

import numpy as np
import pytest

from seq2seq.compare.report import blocks
from seq2seq.evaluation.attention_records import AttentionRecord


def test_each_notice_names_the_limit_that_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three sentences the weights of two fit, and then the maps of one; weights and maps take 0.9 MB each."""
    for name, value in {
        "WEIGHTS_CHUNK": 1,
        "MAPS_CHUNK": 1,
        "WEIGHTS_AT_MOST": 2_000_000,
        "LARGEST": 3_000_000,
    }.items():
        monkeypatch.setattr(blocks, name, value)
    weights = np.random.default_rng(1).integers(256, size=(700, 1000), dtype=np.uint8)
    sentence = AttentionRecord(("a",) * 1000, ("b",) * 700, weights, weights[None, None])
    attention = blocks.AttentionBlock([[sentence] * 3], 3)
    for _ in attention.blocks():
        pass
    assert attention.notices() == [
        "Attention weights are kept for the first 2 of 3 sentences: the page would hold more than 2 MB of them.",
        "Maps of layers and heads are kept for the first 1 of 3 sentences: the page would hold more than 3 MB of attention.",
    ]
