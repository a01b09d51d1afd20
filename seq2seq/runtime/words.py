"""Words of text in any script, for limits, ratios and statistics: where a script has no spaces, its characters count.

Chinese, Japanese, Thai, Lao, Khmer, Burmese and others write no spaces between words, so that a whole text would be one
word. In such text each Chinese character and each kana counts as one word, as word processors count them, every
LETTERS_PER_WORD letters of a Southeast Asian script as one, and every syllable of Tibetan as one; other words in it,
and punctuation, stand between those. Text of the same scripts whose words have been separated by spaces already is
counted by its spaces, like text of any other script.
"""

import re
import unicodedata
from functools import cache
from itertools import islice

LETTERS_PER_WORD = 4  # of Thai and its neighbours, about the mean of running text
MAX_PER_SPACE = 3  # words between two spaces, on average, up to which text counts as separated already
IDEOGRAPHS = (  # kana and Bopomofo; ideographs of Chinese, Yi, Tangut and Nushu
    "\u3005-\u3007\u3021-\u3029\u303b\u3041-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua000-\ua48f\uf900-\ufaff\uff66-\uff9f\U00016fe0-\U00018dff\U0001aff0-\U0001b2ff\U00020000-\U0003ffff"
)
LETTERS = (  # Unicode's line break class SA, which needs a dictionary to find words; then Balinese, Javanese and Ahom
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"
    "\u1b00-\u1b7f\ua980-\ua9df\U00011700-\U0001174f"
)
TIBETAN, TSHEG = "\u0f00\u0f18-\u0fff", "\u0f0b-\u0f14"  # letters; the dot after a syllable, and strokes after clauses
JOINED = "\u0300-\u036f\u200b-\u200d\u2060\u3099\u309a\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"  # part of what precedes
UNSPACED = re.compile(f"[{IDEOGRAPHS}{LETTERS}{TIBETAN}]")
UNSEEN = {"Cc", "Cf", "Mn", "Mc", "Me"}  # categories of controls, joiners and zero-width spaces, and marks
INVISIBLE = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols without a mark on paper


def is_unspaced(text: str) -> bool:
    """Whether the text has hardly any spaces between its words, because its script needs none."""
    if text.isascii() or not UNSPACED.search(text):
        return False
    parts = sum(UNSPACED.search(part) is not None for part in text.split())
    words = sum(UNSPACED.match(word) is not None for word in _counted().findall(text))
    return words > (MAX_PER_SPACE if parts > 1 else 1) * parts


def count_words(text: str) -> int:
    """The number of words: between spaces, or as the module describes in text without spaces."""
    return len(_counted().findall(text)) if is_unspaced(text) else len(text.split())


def truncate_words(text: str, words: int) -> str:
    """`text` up to the end of its first `words` words; all of it if it has no more, or if `words` is 0."""
    if not words or len(text) <= words:  # too short to have more words
        return text
    if is_unspaced(text):
        last_and_next = list(islice(_counted().finditer(text), words - 1, words + 1))
        return text[: last_and_next[0].end()] if len(last_and_next) == 2 else text
    found = _first_words(words).match(text)
    return found[0] if found else text


def split_words(text: str) -> list[str]:
    """The words between spaces, of which each character of a script without spaces is a word of its own.

    Unlike `count_words` this looks at nothing but the word itself, so that two texts are split in the same way."""
    return text.split() if text.isascii() else _separate().findall(text)


def single_spaces(text: str) -> str:
    """A text whose words, which are what is between its spaces, have one space between them."""
    return re.sub(" +", " ", text.replace("\u2581", "_")).strip(" ")  # SentencePiece writes U+2581 for a space


def is_blank(text: str) -> bool:
    """Whether nothing of the text can be seen: spaces, zero-width and control characters, marks without a letter."""
    return all(c.isspace() or c in INVISIBLE or unicodedata.category(c) in UNSEEN for c in text)


@cache
def _first_words(words: int) -> re.Pattern[str]:
    """Matches so many words between spaces, if another one follows."""
    return re.compile(rf"\s*\S+(?:\s+\S+){{{words - 1}}}(?=\s+\S)")


@cache
def _counted() -> re.Pattern[str]:
    """Matches a word of text without spaces, as it is counted."""
    letter, ideograph, rest = _parts()
    return re.compile(f"{ideograph}|(?:{letter}){{1,{LETTERS_PER_WORD}}}|{rest}")


@cache
def _separate() -> re.Pattern[str]:
    """Matches a word of `split_words`."""
    return re.compile("|".join(_parts()))


def _parts() -> tuple[str, str, str]:
    """Patterns of a letter and of an ideograph, each with its marks, and of a word of any other script."""
    marks = "".join(c for c in _members(LETTERS) if unicodedata.category(c).startswith("M"))
    letter = f"[{''.join(c for c in _members(LETTERS) if c not in marks)}][{marks}{JOINED}]*"
    rest = rf"[{TIBETAN}]+[{TSHEG}]*|[^\s{IDEOGRAPHS}{LETTERS}{TIBETAN}]+|\S"
    return letter, f"[{IDEOGRAPHS}][{JOINED}]*", rest


def _members(ranges: str) -> list[str]:
    """The characters in ranges such as "a-z"."""
    return [chr(i) for first, last in re.findall("(.)-(.)", ranges) for i in range(ord(first), ord(last) + 1)]
