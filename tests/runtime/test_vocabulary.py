"""Ids of text that may stand anywhere in a sentence, and the pieces that continue a word."""

import random

import pytest

from seq2seq.data.tokenizer import train_tokenizer
from seq2seq.ids import UNK
from seq2seq.runtime.vocabulary import SPACE_MARK, VocabularyPair, join_pieces

WORDS = ["東京", "タワー", "です", "the", "cat", "3,000", "№5", "naïve", "ไทย", "नमस्ते"]
KINDS = {"bpe": 120, "char": 5000, "unigram": 60}


def pair(kind: str) -> VocabularyPair:
    chance = random.Random(1)
    spaced = [" ".join(chance.choices(WORDS, k=5)) for _ in range(200)]
    joined = ["".join(chance.choices(WORDS[:3], k=4)) for _ in range(200)]
    tokenizer = train_tokenizer([*spaced, *joined], kind=kind, size=KINDS[kind])
    return VocabularyPair(tokenizer, tokenizer)


@pytest.mark.parametrize("kind", KINDS)
def test_terms_begin_with_a_space_only_where_the_script_has_spaces(kind: str) -> None:
    vocabulary = pair(kind)
    for text in (*WORDS, "東京 the", "the 東京", "東京タワー"):
        pieces = vocabulary.target.pieces(vocabulary.encode_term(text))
        assert join_pieces(pieces) == text
        spaced = not text.startswith(("東", "タ", "で", "ไ"))
        assert pieces[0].startswith(SPACE_MARK) == spaced, (text, pieces)
    assert vocabulary.encode_term("☃")[-1] == UNK
    assert vocabulary.encode_term("京☃")[-1] == UNK


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_that_continue_a_word(kind: str) -> None:
    target = pair(kind).target
    found = {piece for i, piece in enumerate(target.pieces(range(target.size))) if i in target.continuing}
    assert found
    assert not [piece for piece in found if piece.startswith(SPACE_MARK)]
    letters = {"t", "3", "ï"} if kind == "char" else set()
    assert letters <= found
    others = ["東", "タ", "で", ",", "№", "", SPACE_MARK, "⁇", "ท"]
    assert not found & {*others, "▁t"}
    if kind == "char":
        assert any(piece in found for piece in ("्", "ि", "े"))  # marks of Devanagari
