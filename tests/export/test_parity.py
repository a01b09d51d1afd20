"""The parity gate: which sentences are translated, and what counts as the same output."""

from collections.abc import Callable
from pathlib import Path

import pytest

from seq2seq import Translator
from seq2seq.data.readers import Pair
from seq2seq.errors import ConfigError
from seq2seq.export.parity import LONGEST, choose_sentences, dev_set, hard_lines, open_gate, source_limit
from seq2seq.ids import UNK
from seq2seq.runs.directory import Run
from seq2seq.runtime.parity import LEAST_SAME, Output, compare, loss_failure
from tests.config.built import built


def test_sentences_have_all_lengths_and_are_hard(random_run: Callable[..., Path], corpus: Path) -> None:
    translator = Translator.open(random_run())
    pairs = dev_set(Run.open(random_run()).config)
    chosen = choose_sentences(pairs, 10, translator)
    assert len(chosen) == 10
    hard, usual = chosen[:5], chosen[5:]
    assert all(one.reference is None for one in hard)
    assert all(Pair(one.source, str(one.reference)) in pairs for one in usual)
    lengths = sorted(len(translator.encode_source(pair.source).ids) for pair in pairs)
    found = [len(translator.encode_source(one.source).ids) for one in usual]
    assert {min(found), max(found)} == {lengths[0], lengths[-1]}
    everything = choose_sentences(pairs, 1000, translator)
    assert len(everything) == len(pairs) + 5
    assert choose_sentences(pairs, 10, translator) == chosen


@pytest.mark.parametrize("limit", [3, 12, 5000])
def test_hard_lines_are_hard(limit: int, random_run: Callable[..., Path], lines: list[str]) -> None:
    """Also where a longer source is refused."""
    translator = Translator.open(random_run(), max_source=limit, long_source="refuse")
    encode = translator.vocabularies.encode_source
    empty, short, long, unknown, mixed = (encode(line).ids for line in hard_lines(lines, translator))
    assert len(empty) == 1
    assert len(short) == min(len(encode(word).ids) for line in lines for word in line.split())
    assert source_limit(translator) == min(limit, LONGEST)
    assert source_limit(translator) - 8 <= len(long) <= source_limit(translator)
    assert UNK in unknown
    assert UNK in mixed
    chosen = choose_sentences([Pair(line, line) for line in lines], 20, translator)
    assert len(list(translator.hypotheses([one.source for one in chosen]))) > (1 if limit == 3 else 5)


def test_a_missing_development_set_is_explained(random_run: Callable[..., Path]) -> None:
    config = Run.open(random_run()).config
    config.data.dev = ["nowhere"]
    with pytest.raises(ConfigError, match="name others with --source and --reference"):
        dev_set(config)


@pytest.mark.parametrize(("chosen", "kept"), [("chars", "chars"), ("/my/pieces.spm", "unicode")])
def test_gate_needs_no_file_to_repeat_it(chosen: str, kept: str) -> None:
    config = built(f"training.rouge_tokenizer={chosen}", "task=summarization")
    assert open_gate([], config, []).metric["rouge_tokenizer"] == kept


SAME = [Output("a", -1.0, [5])] * 400


@pytest.mark.parametrize(
    ("found", "failure"),
    [
        (SAME, ""),
        ([Output("a", -1.0005, [5])] * 400, ""),
        ([*SAME[1:], Output("a", -1.01, [5])], "the scores of outputs that are the same differ by up to 0.01"),
        ([*SAME[1:], Output("b", -1.00005, [6])], ""),
        ([*SAME[1:], Output("b", -1.0005, [6])], "sentence 400 got another output, whose score is no tie"),
        ([*SAME[1:], Output("a", -1.0005, [6, 7])], "sentence 400 got another output"),
        ([*SAME[1:], Output("a")], ""),
        ([*SAME[1:], Output("b")], "sentence 400 got another output"),
        ([*SAME[3:], *[Output("b", -1.0, [6])] * 3], "only 397 of 400 outputs are the same, fewer than 99.5%"),
        ([*SAME[1:], Output("a", float("nan"), [5])], "the scores of outputs that are the same differ"),
    ],
)
def test_outputs_are_compared_one_by_one(found: list[Output], failure: str) -> None:
    assert LEAST_SAME == 0.995
    compared = compare(SAME, found)
    assert compared.failure().startswith(failure)
    assert bool(compared.failure()) == bool(failure)


@pytest.mark.parametrize(
    ("artifact", "allowed", "fails"),
    [(30.0, 0.3, False), (29.71, 0.3, False), (29.7, 0.3, True), (31.0, 0.0, False), (29.9, 0, True)],
)
def test_quality_may_be_lost_up_to_a_limit(artifact: float, allowed: float, fails: bool) -> None:
    assert bool(loss_failure({"name": "bleu", "checkpoint": 30.0, "artifact": artifact}, allowed)) == fails
