"""Statistics of translated text: repetition, copied source words and unknown subwords."""

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache

from seq2seq.evaluation.attention_stats import Sums

JOINERS = "\u200c\u200d"  # inside words of Persian and of Indic scripts


@cache
def word() -> re.Pattern[str]:
    """Letters and digits, with the marks that belong to them: half the letters of Hindi are vowel signs, which \\w leaves out."""
    marks = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c).startswith("M"))
    return re.compile(rf"[\w{marks}{JOINERS}]+")


def tokens(line: str) -> list[str]:
    """The words of a line, case kept, without punctuation."""
    return word().findall(line)


def repetition(line: str, n: int = 2) -> Sums:
    """n-grams of the line that came before in it, and n-grams: 1 - |set| / |all|, seq-rep-n of Welleck et al. 2020."""
    words = tokens(line)
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return len(grams) - len(set(grams)), len(grams)


def copied(source: str, line: str) -> Sums:
    """Words of the line that stand in the source as well, and words."""
    words, there = tokens(line), set(tokens(source))
    return sum(word in there for word in words), len(words)


def unknown(ids: Sequence[int], unk: int) -> Sums:
    """Subwords of a hypothesis that are the unknown one, and subwords."""
    return sum(i == unk for i in ids), len(ids)
