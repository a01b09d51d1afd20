"""Tokenizers and vocabularies preserve text, are deterministic, and never read text as control symbols."""

import io
import itertools
import random
from contextlib import suppress
from pathlib import Path

import pytest
import sentencepiece

from seq2seq.data.tokenizer import Tokenizer, train_tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.runtime.vocabulary import join_pieces

KINDS = {"unigram": 48, "bpe": 100, "word": 5000, "char": 5000}
WORDS = [
    "the",
    "cat",
    "dog",
    "house",
    "tree",
    "sees",
    "finds",
    "a",
    "small",
    "big",
    "old",
    "red",
    "Übung",
    "straße",
    "isn't",
    "3,000",
    "no\xa0break",
]


def text(lines: int = 300, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, 9))) + rng.choice(".!?") for _ in range(lines)]


TOKENIZERS = {kind: train_tokenizer(text(), kind=kind, size=size) for kind, size in KINDS.items()}
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_text_is_preserved_without_normalization(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    for line in text():
        assert tokenizer.decode(tokenizer.encode(line)) == line
        assert UNK not in tokenizer.encode(line)


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char"])
def test_spaces_are_preserved(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    for line in ("  the  cat ", " ", "", "the   dog"):
        assert tokenizer.decode(tokenizer.encode(line)) == line


@kinds
def test_decoding_equals_sentencepiece(kind: str) -> None:
    original = sentencepiece.SentencePieceProcessor(model_proto=TOKENIZERS[kind].serialized)
    rng = random.Random(3)
    for _ in range(200):
        ids = [rng.randrange(1, original.vocab_size()) for _ in range(rng.randint(1, 12))]
        theirs = original.decode(ids)
        if ids[0] == UNK and kind == "word":
            theirs = theirs.removeprefix(" ")  # SentencePiece leaves the space before an unknown first word
        assert TOKENIZERS[kind].decode(ids) == theirs


@kinds
def test_training_is_deterministic_and_uses_our_special_ids(kind: str, tmp_path: Path) -> None:
    tokenizer = TOKENIZERS[kind]
    assert train_tokenizer(text(), kind=kind, size=KINDS[kind]).sha256 == tokenizer.sha256
    assert tokenizer.size <= KINDS[kind]
    tokenizer.save(tmp_path / "a.spm")
    again = Tokenizer((tmp_path / "a.spm").read_bytes())
    assert again.encode("the cat.") == tokenizer.encode("the cat.")
    assert [p.name for p in tmp_path.iterdir()] == ["a.spm"]
    assert again.pieces([PAD, BOS, EOS]) == [""] * 3


@kinds
def test_text_never_becomes_control_symbols(kind: str) -> None:
    for line in ("<s>", "</s> <pad> <unk>", "the <s> cat", "<s></s>", "▁<s>", "<unk>"):
        assert not {PAD, BOS, EOS} & set(TOKENIZERS[kind].encode(line))
    without = train_tokenizer(["abc bca cab"] * 9, kind=kind, size=8)  # here "<s>" is one unknown piece
    assert not {PAD, BOS, EOS} & set(without.encode("abc <s> abc<s>"))


@kinds
def test_each_unknown_word_is_a_piece(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode("the жук щука cat")
    assert ids.count(UNK) == 2
    assert join_pieces(tokenizer.segment("the жук щука cat")) == "the жук щука cat"
    assert tokenizer.decode(ids) == "the ⁇ ⁇ cat"


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_sampling_is_a_function_of_the_seed(kind: str) -> None:
    tokenizer, line = TOKENIZERS[kind], text(1, seed=9)[0] * 3
    drawn = {seed: tokenizer.segment_sampled(line, 0.3, seed) for seed in range(20)}
    for seed in (7, 3, 3, 19):
        tokenizer.segment_sampled("other text in between", 0.5, seed)
        assert tokenizer.segment_sampled(line, 0.3, seed) == drawn[seed]
    assert len({tuple(pieces) for pieces in drawn.values()}) > 10
    assert {tokenizer.decode(tokenizer.ids_of(pieces)) for pieces in drawn.values()} == {line}


@kinds
@pytest.mark.parametrize("text", ["\ud800", "the \udcff cat"])
def test_lone_surrogates_are_refused(kind: str, text: str) -> None:
    with pytest.raises(DataError, match=r"holds .ud(800|cff), half a character"):
        TOKENIZERS[kind].encode(text)


def test_normalizer_is_applied() -> None:
    folded = train_tokenizer(text(), kind="bpe", size=90, normalizer="nfkc_cf")
    assert folded.decode(folded.encode("The  no\u00a0break CAT")) == "the no break cat"


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        ("unigram", 9000, r"tokenizer\.size=9000 is more than the training text supports: at most (\d+)"),
        ("bpe", 9000, r"tokenizer\.size=9000 is more than the training text supports: at most (\d+)"),
        ("unigram", 10, r"tokenizer\.size=10 is less than the characters .*: at least (\d+)"),
    ],
)
def test_impossible_size_is_refused_with_the_limit(kind: str, size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        train_tokenizer(text(), kind=kind, size=size)
    if size == 9000:
        possible = int(str(caught.value).split()[-1])
        assert train_tokenizer(text(), kind=kind, size=possible).size == possible


def test_empty_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="no training text"):
        train_tokenizer([], kind="char", size=100)


@pytest.mark.parametrize("content", [b"", b"junk junk junk", TOKENIZERS["bpe"].serialized[:500]])
def test_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "source.spm").write_bytes(content)
    with pytest.raises(RunError, match=r"target\.spm is missing"):
        Vocabularies.open(tmp_path)
    (tmp_path / "target.spm").write_bytes(content)
    with pytest.raises(RunError, match=r"source\.spm: not a complete SentencePiece model"):
        Vocabularies.open(tmp_path)


def test_every_flipped_bit_of_a_file_whose_hash_is_known_is_refused(tmp_path: Path) -> None:
    """Before the file is parsed: a bit in a piece makes text that is not UTF-8."""
    both = Vocabularies(TOKENIZERS["bpe"], TOKENIZERS["bpe"])
    content, piece = both.source.serialized, both.source.serialized.index("▁".encode())
    for at in (0, piece, piece + 1, len(content) - 1):
        (tmp_path / "joint.spm").write_bytes(content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :])
        with pytest.raises(RunError, match=r"not the one .* joint\.spm is damaged or replaced"):
            Vocabularies.open(tmp_path, both.sha256)
        with suppress(RunError):  # without the hash it may be another model
            Vocabularies.open(tmp_path)


def test_other_special_ids_are_refused() -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text()), model_writer=model, model_type="char", vocab_size=20, hard_vocab_limit=False
    )
    with pytest.raises(RunError, match="pad_id=-1, but this package needs 0"):
        Tokenizer(model.getvalue())


def vocabularies(joint: bool, kind: str = "word") -> Vocabularies:
    source = train_tokenizer(["the cat sees a dog in Bonn"] * 9, kind=kind, size=60)
    return Vocabularies(source, source if joint else train_tokenizer(["die Katze sieht Bonn"] * 9, kind=kind, size=60))


def test_copy_ids_worked_out_by_hand() -> None:
    """Separate word vocabularies: only Bonn is known to both."""
    both = vocabularies(joint=False)
    v, bonn = both.target.size, both.target.encode("Bonn")[0]
    encoded = both.encode_source("the Yeti sees Bonn the Yeti")
    assert encoded.unknown == ["▁the", "▁Yeti", "▁sees"]
    assert encoded.copy == [v, v + 1, v + 2, bonn, v, v + 1, EOS]
    assert encoded.ids[1] == encoded.ids[5] == UNK != encoded.ids[0]
    target = both.encode_target("Yeti sieht Nessi", encoded.unknown)
    assert target == [v + 1, both.target.encode("sieht")[0], UNK, EOS]
    assert both.decode_target(target, encoded.unknown) == "Yeti sieht ⁇"
    assert both.decode_target(target) == "⁇ sieht ⁇"


@pytest.mark.parametrize(("joint", "kind"), [*itertools.product([True, False], KINDS)])
def test_copying_every_token_gives_the_source(joint: bool, kind: str) -> None:
    both = Vocabularies(
        TOKENIZERS[kind], TOKENIZERS[kind] if joint else train_tokenizer(["abc the cat"] * 9, kind=kind, size=12)
    )
    for line in ["the жук cat жук", *text(20, seed=5)]:
        encoded = both.encode_source(line)
        assert both.decode_target(encoded.copy, encoded.unknown) == line
        assert len(encoded.ids) == len(encoded.copy)
        assert set(encoded.copy) <= set(range(EOS, both.target.size + len(encoded.unknown)))
        if joint and not encoded.unknown:
            assert encoded.copy == encoded.ids


@pytest.mark.parametrize("joint", [True, False])
def test_vocabularies_are_saved_and_opened(tmp_path: Path, joint: bool) -> None:
    both = vocabularies(joint)
    both.save(tmp_path)
    again = Vocabularies.open(tmp_path)
    assert again.joint == joint
    assert again.encode_source("the Yeti") == both.encode_source("the Yeti")
    with pytest.raises(RunError, match=r"neither joint\.spm nor source\.spm"):
        Vocabularies.open(tmp_path / "none")
