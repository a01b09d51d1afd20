"""Words of text in every script: counted, truncated and split, with and without spaces between them."""

import sys
import unicodedata
from collections.abc import Callable, Iterator

import pytest

from seq2seq.runtime.words import UNSPACED, count_words, is_blank, is_unspaced, split_words, truncate_words

SPACED = {
    "Latin": "Der Mann kauft ein Buch",
    "Cyrillic": "Он купил новую книгу сегодня",
    "Arabic": "ذهبت اليوم إلى الجامعة صباحا",
    "Devanagari": "मैं आज विश्वविद्यालय जा रहा",
    "Hangul": "나는 오늘 대학에 가요 친구와",
    "Amharic": "ዛሬ ወደ ዩኒቨርሲቲ እሄዳለሁ እኔ",
    "segmented Chinese": "我们 今天 去 北京大学 学习",
    "segmented Thai": "วันนี้ เรา ไป มหาวิทยาลัย กัน",
    "emoji": "so 😀😀😀😀😀 good 👍🏽 yes",
}  # five words each
UNSPACED_TEXT = {  # script -> text, words as they are counted
    "Chinese": ("我们今天去北京大学看朋友", 12),
    "Chinese with Latin": ("我用Python写程序。", 7),
    "Japanese": ("私は本を読みます", 8),
    "Japanese, voiced sounds composed": ("か\u3099く\u3099", 2),
    "Thai": ("วันนี้เราไปมหาวิทยาลัยกัน", 5),
    "Lao": ("ມື້ນີ້ພວກເຮົາໄປມະຫາວິທະຍາໄລ", 6),
    "Khmer": ("ថ្ងៃនេះយើងទៅសាកលវិទ្យាល័យ", 4),
    "Burmese": ("ယနေ့ကျွန်ုပ်တို့တက္ကသိုလ်သို့သွားသည်", 4),
    "Tibetan": ("དེ་རིང་ང་ཚོ་སློབ་གྲྭར་འགྲོ།", 7),
    "a sentence between clauses": ("今天天气很好 我们去公园散步", 13),
}


@pytest.mark.parametrize("script", SPACED)
def test_words_between_spaces_are_counted(script: str) -> None:
    text = SPACED[script]
    assert not is_unspaced(text)
    assert count_words(text) == count_words(f"  {text}\n") == 5
    assert truncate_words(text, 3) == " ".join(text.split()[:3])


@pytest.mark.parametrize("script", UNSPACED_TEXT)
def test_text_without_spaces_is_counted_by_its_characters(script: str) -> None:
    text, words = UNSPACED_TEXT[script]
    assert is_unspaced(text)
    assert count_words(text) == words
    assert count_words(text * 3) == pytest.approx(3 * words, abs=2)
    assert truncate_words(text, words) == text
    for n in range(1, words):
        assert text.startswith(truncate_words(text, n))
        assert count_words(truncate_words(text, n)) <= n


def test_laws_of_any_text(random_texts: Callable[..., Iterator[str]]) -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    alphabets = ("我们", "ก็ข", "ab", "་བ", " \u200b\u0301", "".join(characters), "".join(characters[:0x300]))
    for number, text in enumerate(random_texts(*alphabets, count=1000)):
        n = number % 9 + 1
        cut = truncate_words(text, n)
        assert text.startswith(cut)
        assert count_words(cut) <= n or is_unspaced(cut) != is_unspaced(text)
        assert cut == text or count_words(text) > n
        assert "".join(split_words(text)) == "".join(text.split())
        assert is_blank(text) or count_words(text)


def test_split_words_looks_at_the_word_alone() -> None:
    assert split_words("go to 北京 มาก now") == ["go", "to", "北", "京", "ม", "า", "ก", "now"]


def test_every_script_that_needs_a_dictionary_is_known() -> None:
    """Unicode's line break class SA: no spaces between words, and any break needs a dictionary."""
    regex = pytest.importorskip("regex")
    found = regex.findall(r"\p{Line_Break=SA}|\p{Script=Han}", "".join(map(chr, range(sys.maxunicode + 1))))
    letters = [c for c in found if unicodedata.category(c).startswith("L")]
    assert letters
    assert not [c for c in letters if not UNSPACED.match(c)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\u00a0\u3000",
        "\u200b",
        "\ufeff\u2060",
        "\u00ad",
        "\u200d\u200c \u200e",
        "\u0301",
        "\ufe0f",
        "\x00",
        "\u2800",
    ],
)
def test_text_that_shows_nothing_is_blank(text: str) -> None:
    assert is_blank(text)
    assert not is_blank(f"{text}a")


@pytest.mark.parametrize("text", [".", "a\u200b", "\u00ad-", "😀", "ก็", "\ue000", "e\u0301", "０"])
def test_text_that_shows_something_is_not_blank(text: str) -> None:
    assert not is_blank(text)


def test_many_characters_are_counted_in_linear_time() -> None:
    for text in ("我" * 200_000, "я" * 200_000 + "我", "ก็" * 100_000):
        assert count_words(text) >= 1
        assert len(truncate_words(text, 10)) <= len(text)
