"""Statistics of translated text: repetition, copied source words and unknown subwords.

Each function returns two numbers for a sentence, a count and out of how many, as in attention_stats.
"""

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache

from seq2seq.evaluation.attention_stats import Sums
from seq2seq.runtime.words import split_words

JOINERS = "\u200c\u200d"  # inside words of Persian and of Indic scripts


@cache
def _word_pattern() -> re.Pattern[str]:
    """Letters and digits with their combining marks.

    Half the letters of Hindi are vowel signs, which are not in \\w."""
    marks = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c).startswith("M"))
    return re.compile(rf"[\w{marks}{JOINERS}]+")


def tokens(line: str) -> list[str]:
    """The words of a line in any script, case kept, without punctuation; of a script without spaces, the characters."""
    return [token for word in split_words(line) for token in _word_pattern().findall(word)]


def repetition(line: str, n: int = 2) -> Sums:
    """Repeated n-grams of the line out of all: 1 - |set| / |all|, seq-rep-n of Welleck et al. 2020."""
    words = tokens(line)
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return len(grams) - len(set(grams)), len(grams)


def copied(source: str, line: str) -> Sums:
    """Words of the line that occur in the source, out of all words of the line."""
    words, source_words = tokens(line), set(tokens(source))
    return sum(word in source_words for word in words), len(words)


def unknown(ids: Sequence[int], unk: int) -> Sums:
    """Unknown subwords, those with the id `unk`, out of all subwords of a hypothesis."""
    return sum(i == unk for i in ids), len(ids)
