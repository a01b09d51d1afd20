"""Translator: the same results for any batches, and those that its models alone would give."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seq2seq import Translator, translator
from seq2seq.config import SearchConfig
from seq2seq.errors import DataError, RunError
from seq2seq.ids import EOS, UNK
from seq2seq.nn.ops import devices
from seq2seq.runtime.glossary import Term, find_terms
from seq2seq.runtime.hypothesis import Hypothesis
from seq2seq.runtime.translation import PlacedTerm, batches, with_terms
from seq2seq.runtime.vocabulary import EncodedSource, join_pieces
from seq2seq.search.forced import score_targets
from seq2seq.translator import Translation

RandomRun = Callable[..., Path]
TRANSFORMER = (
    "model=transformer", "model.size=8", "model.heads=2", "model.feedforward=16", "model.encoder_layers=1",
    "model.decoder_layers=2",
)  # fmt: skip
WORDS = ("tokenizer=word", "tokenizer.size=40", "tokenizer.joint=false")
VARIANTS = {
    "rnn": (),
    "rnn copy": (*WORDS, "model.head=copy"),
    "local_p": ("model/attention=local_p", "model.attention.width=3"),
    "coverage": ("model.attention.scorer=additive", "model.attention.coverage=true"),
    "transformer": TRANSFORMER,
}
EACH = [pytest.param(name, marks=pytest.mark.slow if name == "local_p" else ()) for name in VARIANTS]


def double(run: Path, **search: object) -> Translator:
    return Translator.open(run, precision="64", **search)


def test_ensemble_has_the_tightest_limits_of_its_models() -> None:
    def limits(*models: tuple[int | None, int | None]) -> tuple[int | None, int | None]:
        head = SimpleNamespace(reads_weights=False)
        parts = [SimpleNamespace(max_source=source, max_target=target, head=head) for source, target in models]
        ensemble = Translator(parts, None, SearchConfig())  # type: ignore[arg-type]
        return ensemble.max_source, ensemble.max_target

    assert limits((90, 70), (80, None), (None, 75)) == (80, 70)
    assert limits((None, None)) == (SearchConfig().max_source, None)


@pytest.mark.parametrize("variant", EACH)
@pytest.mark.fast("rnn copy")
def test_batch_and_window_change_no_translation(variant: str, random_run: RandomRun, lines: list[str]) -> None:
    """In float64 to the last letter, for several sizes of batch and window, with two hypotheses each."""
    run = random_run(*VARIANTS[variant])
    expected = list(double(run, batch=1, n_best=2, min_length=4).hypotheses(lines))
    assert len({found[0].text for found in expected}) > 3
    for batch, window in ((64, 2048), (3, 4)):
        found = list(double(run, batch=batch, window=window, n_best=2, min_length=4).hypotheses(iter(lines)))
        assert [[h.text for h in row] for row in found] == [[h.text for h in row] for row in expected]
        assert [h.score for row in found for h in row] == pytest.approx(
            [h.score for row in expected for h in row], abs=1e-9
        )


def test_one_long_line_does_not_pad_many_others() -> None:
    """Batches have no more padded tokens than those of sentences of 128 tokens; one sentence is always taken."""
    lengths = dict(enumerate([5, 300, 20, 70_000, 128, 9, 129, 4]))
    assert list(batches(lengths, 4)) == [[3], [1], [6, 4, 2], [5, 0, 7]]
    assert list(batches(dict.fromkeys(range(10), 30), 4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(batches({}, 4)) == []


def test_empty_lines_give_empty_lines(random_run: RandomRun, lines: list[str]) -> None:
    found = double(random_run()).translate(lines)
    assert (
        [i for i, text in enumerate(found) if not text]
        == [i for i, line in enumerate(lines) if not line.strip()]
        == [5, 10]
    )
    assert double(random_run()).translate([]) == []
    assert double(random_run()).translate([""]) == [""]
    assert double(random_run()).translate(["\u200b", "\ufeff \u2060", "\u00ad", "\u0301"]) == [""] * 4


def test_input_is_read_one_window_at_a_time(random_run: RandomRun, lines: list[str]) -> None:
    read = []

    def coming() -> object:
        for number, line in enumerate(lines):
            read.append(number)
            yield line

    found = double(random_run(), window=3).hypotheses(coming())  # type: ignore[arg-type]
    next(found)
    assert len(read) == 3


def test_n_best_hypotheses_are_distinct_and_ordered_by_score(random_run: RandomRun, lines: list[str]) -> None:
    for found in double(random_run(), beam=4, n_best=4).hypotheses([line for line in lines if line.strip()]):
        assert len({tuple(h.target) for h in found}) == 4
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


@pytest.mark.parametrize("variant", ["rnn", "rnn copy"])
def test_forced_decoding_gives_the_log_probability_of_the_search(
    variant: str, random_run: RandomRun, lines: list[str]
) -> None:
    """Ids are forced as they were found, since text may be segmented otherwise."""
    translator = double(random_run(*VARIANTS[variant]), length_penalty="none", max_length=60, min_length=4)
    with torch.no_grad():
        translator.models[0].head.output.bias[EOS] = 8.0  # type: ignore[attr-defined]
    checked = 0
    for line in (line for line in lines if line.strip()):
        source = translator.encode_source(line)
        found = translator._search([source], [[]], [[]], True)[0][0]
        if found.finished:
            memories = translator._encode(*translator._tensors([source]))
            (again,) = score_targets(translator.models, memories, [found.tokens], attention=True)
            assert again.log_prob == pytest.approx(found.log_prob, abs=1e-9) == pytest.approx(found.score, abs=1e-9)
            torch.testing.assert_close(again.attention, found.attention)
            checked += 1
    assert checked > 2


def test_scores_do_not_depend_on_the_batch(random_run: RandomRun, lines: list[str]) -> None:
    targets = [line[::-1] for line in reversed(lines)]
    alone = double(random_run())
    one = [s for pair in zip(lines, targets, strict=True) for s in alone.score([pair[0]], [pair[1]])]
    for batch, window in ((7, 2048), (2, 3)):
        assert double(random_run(), batch=batch, window=window).score(lines, targets) == pytest.approx(one, abs=1e-9)
    assert all(math.isfinite(s) and s < 0 for s in one)


def test_ensemble_of_a_run_with_itself_is_the_run(random_run: RandomRun, lines: list[str]) -> None:
    run = random_run()
    one, three = double(run), Translator.open(run, run, run, precision="64")
    for left, right in zip(one.hypotheses(lines, attention=True), three.hypotheses(lines, attention=True), strict=True):
        assert left[0].text == right[0].text
        assert left[0].log_prob == pytest.approx(right[0].log_prob, abs=1e-9)
        if left[0].attention is not None:
            np.testing.assert_allclose(left[0].attention, right[0].attention, atol=1e-6)


def test_ensemble_of_different_tokenizers_or_heads_is_refused(random_run: RandomRun) -> None:
    with pytest.raises(RunError, match=r"cannot join .* their tokenizers differ"):
        Translator.open(random_run(), random_run(*WORDS))
    with pytest.raises(RunError, match=r"cannot join .* only one of them copies"):
        Translator.open(random_run(*WORDS), random_run(*WORDS, "model.head=copy"))


LIMITED = [("model.attention.scorer=location",), (*TRANSFORMER, "model.positions=learned")]


@pytest.mark.parametrize("kind", LIMITED, ids=["location", "learned"])
def test_a_long_source_is_cut_with_one_warning_or_refused(
    kind: tuple[str, ...], random_run: RandomRun, caplog: pytest.LogCaptureFixture
) -> None:
    settings = (*kind, "model.max_length=80", "data.max_tokens=79")
    translator = double(random_run(*settings))
    assert translator.max_source == 80
    long = "the cat sleeps . " * 40
    caplog.clear()
    with caplog.at_level(logging.WARNING, "seq2seq"):
        found = list(translator.hypotheses([long, long, "the cat sleeps ."]))
    assert len(caplog.messages) == 1
    assert "cut to the 80 tokens of model.max_length" in caplog.text
    assert len(found[0][0].source) == 80
    with pytest.raises(
        DataError, match=r"a source line has \d+ tokens, more than the 80 tokens of model\.max_length: the cat"
    ):
        double(random_run(*settings), long_source="refuse").translate([long])
    if "learned" in str(settings):
        with pytest.raises(DataError, match=r"a target line has \d+ tokens, more than the 80 tokens of model"):
            translator.score(["the cat"], [long])
        with pytest.raises(DataError, match="the terms of a line, with its prefix and EOS, have more than the 80"):
            translator.translate(["the cat"], terms=[["a"] * 80])


LONG = {
    "words": "the cat sleeps . " * 200_000,
    "one word": "x" * 3_000_000,
    "a script without spaces": "我们" * 1_000_000,
}


@pytest.mark.parametrize("kind", LONG)
def test_a_line_of_megabytes_is_cut_before_it_is_split_into_subwords(
    kind: str, random_run: RandomRun, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a recurrent model too. SentencePiece takes minutes for a word of a million letters."""
    from seq2seq.data.tokenizer import Tokenizer
    from seq2seq.runtime.vocabulary import LONGEST_PIECE

    run, split, longest = random_run(), Tokenizer._split_unknown, 0

    def measured(self: Tokenizer, pieces: list[str]) -> list[str]:
        nonlocal longest
        longest = max(longest, len("".join(pieces).removeprefix("▁")))
        return split(self, pieces)

    monkeypatch.setattr(Tokenizer, "_split_unknown", measured)
    translator = double(run, max_source=30, max_length=3)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "seq2seq"):
        found = [alternatives[0] for alternatives in translator.hypotheses([LONG[kind], "the cat", LONG[kind]])]
    assert longest == 30 * LONGEST_PIECE
    assert len(found[0].source) <= 30
    assert found[0].source[-1] == "" not in found[0].source[:-1]
    assert [message.split(" was cut to ")[1] for message in caplog.messages] == [
        "the 30 tokens of search.max_source; others may be too"
    ]
    for refused in (
        lambda: double(run, max_source=30, long_source="refuse").translate([LONG[kind]]),
        lambda: translator.score(["the cat"], [LONG[kind]]),
    ):
        with pytest.raises(
            DataError,
            match=r"line has [\d,]+ characters, more than fit into 30 tokens, search\.max_source: .{60}",
        ):
            refused()
    assert longest == 30 * LONGEST_PIECE


def test_recurrent_model_takes_long_sources(random_run: RandomRun) -> None:
    assert double(random_run()).max_source == 5000
    assert len(double(random_run()).attention("the cat sleeps . " * 100).source) > 400


def test_unknown_word_is_replaced_by_the_source_word_with_the_most_attention(random_run: RandomRun) -> None:
    """Also a word that only the target vocabulary knows."""
    translator = Translator.open(random_run(*WORDS), replace_unknown=True)
    vocabularies, size = translator.vocabularies, translator.vocabularies.target.size
    only_target = next(p for p in vocabularies.target.pieces(range(4, size)) if UNK in vocabularies.source.ids_of([p]))
    text = vocabularies.target.decode(vocabularies.target.ids_of([only_target]), [])
    source = translator.encode_source(f"{text} Zxqyvia .")
    weights = torch.tensor([[0.1, 0.7, 0.1, 0.1], [0.6, 0.2, 0.1, 0.1], [0.0, 0.3, 0.1, 0.6], [0.1, 0.1, 0.1, 0.7]])
    hypothesis = Hypothesis([UNK, UNK, UNK], -1.0, -1.0, [-1.0] * 3, True, weights)
    found = translator._translation(source, hypothesis, True, replace_unknown=True)
    assert found.text == f"Zxqyvia {text} Zxqyvia"  # the end of the sentence, attended to most by the third, is no word
    assert len(found.source) == 4
    assert "Zxqyvia" not in translator._translation(source, hypothesis, True, replace_unknown=False).text


def test_forced_decoding_keeps_unknown_words(random_run: RandomRun) -> None:
    """Else it would have other words than those that gold links count."""
    pair = ("Zxqyvia Zxqyvia Zxqyvia", "Qwmnor Qwmnor")
    plain, replaced = (
        next(Translator.open(random_run(*WORDS), replace_unknown=way).forced_decode([pair], attention=True))
        for way in (False, True)
    )
    assert UNK in plain.ids
    assert replaced.target == plain.target


def test_copying_model_produces_unknown_source_words(random_run: RandomRun) -> None:
    translator = double(
        random_run(*WORDS, "model.head=copy"), min_length=3
    )  # the end of the sentence can be copied as well
    for model in translator.models:
        torch.nn.init.zeros_(model.head.gate.weight)  # type: ignore[attr-defined]
        torch.nn.init.constant_(model.head.gate.bias, -20.0)  # type: ignore[attr-defined]
    found = translator.hypotheses(["Zxqyvia Qwmnor Zxqyvia"], attention=True)
    words = set(next(iter(found))[0].text.split())
    assert words <= {"Zxqyvia", "Qwmnor"}
    assert words


def test_translation_begins_with_its_prefix(random_run: RandomRun, lines: list[str]) -> None:
    translator = double(random_run(*WORDS), max_length=12)
    known = translator.vocabularies.target.decode([10, 11], [])
    prefixes = [known if number % 2 else "" for number in range(len(lines))]
    found = list(translator.hypotheses(lines, prefix=prefixes))
    free = translator.translate(lines)
    for line, start, best, text in zip(lines, prefixes, found, free, strict=True):
        assert not line.strip() or best[0].text.startswith(start)
        assert start or best[0].text == text


def test_samples_depend_only_on_seed_and_sentence(random_run: RandomRun, lines: list[str]) -> None:
    options = {"sampling": True, "beam": 5, "length_penalty": "average", "n_best": 3}

    def drawn(some: list[str], **more: object) -> list[list[str]]:
        return [
            [h.text for h in found]
            for found in double(random_run("search.beam=5"), **{**options, **more}).hypotheses(some)
        ]

    first = drawn(lines)
    assert drawn(lines) == first
    assert drawn(lines, batch=3, window=4) == first
    assert drawn(lines[::-1])[::-1] == first
    other = drawn(lines, seed=2)
    assert sum(a != b for a, b in zip(other, first, strict=True)) >= len([line for line in lines if line.strip()]) - 1
    assert len({text for found in first for text in found}) > len(lines)


@pytest.mark.parametrize("variant", EACH)
def test_attention_has_one_row_per_target_subword(variant: str, random_run: RandomRun, lines: list[str]) -> None:
    translator = double(random_run(*VARIANTS[variant]), n_best=2)
    for line, found in zip(lines, translator.hypotheses(lines, attention=True), strict=True):
        for h in found if line.strip() else []:
            assert h.attention is not None
            assert h.attention.shape == (len(h.target), len(h.source))
            assert (h.attention >= 0).all()
            assert (h.attention.sum(1) <= 1 + 1e-5).all()
            assert variant == "local_p" or np.allclose(h.attention.sum(1), 1, atol=1e-5)
            assert h.source[-1] == ""  # EOS
            assert (h.target[-1] == "") == h.finished


def test_attention_of_one_sentence(random_run: RandomRun) -> None:
    translator = double(random_run())
    best = translator.attention("the cat sleeps .")
    given = translator.attention("the cat sleeps .", "die Katze")
    assert isinstance(best, Translation)
    assert given.text == "die Katze"
    assert given.attention is not None
    assert given.attention.shape == (len(given.target), len(given.source))


def test_encoded_source_has_ids_for_copying(random_run: RandomRun) -> None:
    encoded = double(random_run(*WORDS)).encode_source("Zxqyvia . Zxqyvia")
    assert isinstance(encoded, EncodedSource)
    assert encoded.unknown[0] == "▁Zxqyvia"
    assert encoded.copy[0] == encoded.copy[2] >= 40


@pytest.mark.parametrize("variant", EACH)
@pytest.mark.fast("rnn copy", "transformer")
def test_cuda_graphs_change_no_translation(
    variant: str, random_run: RandomRun, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an ensemble, with a stand-in for CUDA graphs that runs the step again."""
    run = random_run(*VARIANTS[variant])
    expected = double(run).translate(lines)
    monkeypatch.setattr(devices, "asynchronous", lambda x: True)
    monkeypatch.setattr(translator, "CUDAGraphRecorder", lambda: lambda work: work)
    monkeypatch.setattr(translator, "_check_device", lambda device, graphs: None)
    recorded = Translator.open(run, run, precision="64", graphs=True)
    assert recorded.translate(lines) == expected
    assert all(model.steps for model in recorded.models)  # type: ignore[attr-defined]


TERMS = [["Katze", "Hund Hund"], [], ["№ 7️⃣ ▁ §", "die", "die"], ["a"], ["https://a.example/x?y=1&z"]]


PREFIXES = {  # prefix, terms -> what the translation begins with
    ("ein ☃ Kat", ()): "ein ☃ Kat",
    ("die Katze ", ()): "die Katze",
    (" № 7", ("Katze",)): "№ 7",
    ("die  Katze", ("Katze",)): "die  Katze",  # the term is in the prefix
    ("☃ Katze", ("☂",)): "☂ Katze",  # the vocabulary has neither, so that the term is met in the prefix
}


@pytest.mark.parametrize("case", PREFIXES)
def test_prefix_is_written_as_it_was_given(case: tuple[str, tuple[str, ...]], random_run: RandomRun) -> None:
    prefix, terms = case
    translator = double(random_run(), n_best=2, max_length=12)
    for one in next(translator.hypotheses(["the cat sleeps ."], prefix=[prefix], terms=[terms])):
        assert one.text.startswith(PREFIXES[case])
        assert all(term in one.text for term in terms)
        assert "  " not in one.text.removeprefix(PREFIXES[case])
        assert join_pieces(one.target) == one.text


def test_protected_number_is_joined_to_what_it_follows_in_the_source(random_run: RandomRun) -> None:
    translator = double(random_run(), max_length=1)
    for line, text in (("the (4711)", "(4711"), ("the 4711", "( 4711")):
        terms = find_terms(line, None, ["numbers"]).terms
        assert translator.translate([line], prefix=["("], terms=[terms]) == [text]


@pytest.mark.parametrize("variant", EACH)
@pytest.mark.fast("rnn copy", "transformer")
def test_terms_are_in_every_translation_as_they_were_given(
    variant: str, random_run: RandomRun, lines: list[str]
) -> None:
    """Whatever the vocabulary lacks; with a prefix; and lines without terms are translated as alone."""
    translator = double(random_run(*VARIANTS[variant]), n_best=3, beam=3, max_ratio=1, max_length=15)
    lines = [line for line in lines if line.strip()][:10]
    terms, prefix = [TERMS[i % len(TERMS)] for i in range(len(lines))], ["", "die Katze", "ein"] * len(lines)
    found = list(translator.hypotheses(lines, terms=terms, prefix=prefix[: len(lines)], attention=True))
    plain = list(translator.hypotheses(lines, prefix=prefix[: len(lines)], attention=True))
    for translations, each, start, without in zip(found, terms, prefix, plain, strict=False):
        for one in translations:
            words = f" {one.text} "
            assert all(words.count(term) >= each.count(term) for term in each), (one.text, each)
            assert one.encoded is not None
            ids = translator.encode_target(start, one.encoded)
            assert [*one.ids[: len(ids)]] == ids
            assert one.attention is not None
            assert one.attention.shape == (len(one.target), len(one.source))
            assert "▁" in one.text or join_pieces(one.target).replace(" ", "") == one.text.replace(" ", "")
        if not each:
            assert [one.text for one in translations] == [one.text for one in without]
            assert [one.score for one in translations] == pytest.approx([one.score for one in without])
    assert translator.translate(lines, terms=terms, prefix=prefix[: len(lines)]) == [one[0].text for one in found]


def test_sentences_with_many_terms_are_decoded_in_smaller_batches(
    random_run: RandomRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator, sizes = double(random_run(), max_length=3), []
    monkeypatch.setattr(translator, "_search", lambda sources, *_: sizes.append(len(sources)) or [[]] * len(sources))
    term = "Katze " * 150
    tokens = len(translator.vocabularies.encode_term(term))
    assert tokens > 128
    list(translator.hypotheses(["the cat"] * 70, terms=[[term] if i < 10 else [] for i in range(70)]))
    assert sizes[0] == translator.search.batch * 128 // tokens
    assert sum(sizes) == 70


def test_length_limits_count_the_tokens_outside_of_terms(random_run: RandomRun) -> None:
    translator = double(random_run(), max_length=4)
    with torch.no_grad():
        translator.models[0].head.output.bias[EOS] = -100.0  # type: ignore[attr-defined]
    for terms in ([], ["Katze"], ["Katze", "x y", "x y"]):
        tokens = sum(len(translator.vocabularies.encode_term(term)) for term in terms)
        (found,) = next(translator.hypotheses(["the cat"], terms=[terms]))
        assert (len(found.ids), found.finished) == (4 + tokens, False)


def test_terms_are_written_where_they_are_and_spaced_as_in_the_source() -> None:
    def text(pieces: list[str], *placed: tuple[int, int, Term]) -> tuple[str, list[str]]:
        return with_terms(pieces, [PlacedTerm(*one) for one in placed]), pieces

    assert text(["▁Ein", "▁Hu", "nd", "."], (1, 3, Term("Hund"))) == ("Ein Hund.", ["▁Ein", "▁Hu", "nd", "."])
    assert text(["▁⁇", "▁x"], (0, 1, Term("a ▁b"))) == ("a ▁b x", ["▁a▁▁b", "▁x"])
    assert text(["▁(", "▁5", "0", ")"], (1, 3, Term("50", "("))) == ("(50)", ["▁(", "50", "", ")"])
    assert text(["▁[", "▁5"], (1, 2, Term("5", "("))) == ("[ 5", ["▁[", "▁5"])
    assert text(["▁a", "▁5"], (1, 2, Term("5"))) == ("a 5", ["▁a", "▁5"])  # which follows nothing, not anything
    assert text(["▁(", "▁5", "▁)"], (1, 2, Term("5"))) == ("( 5 )", ["▁(", "▁5", "▁)"])
    assert text(["▁", "▁5"], (1, 2, Term("5"))) == ("5", ["▁", "5"])
    assert text(["▁5", "▁5"], (0, 1, Term("1")), (1, 2, Term("2", "1"))) == ("12", ["▁1", "2"])
