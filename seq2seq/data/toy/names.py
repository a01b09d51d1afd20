"""Of which names is there no end? Made of syllables, so that most of those in a text are met there once or twice."""

import random
from math import prod
from typing import NamedTuple

FIRST = (
    "Al Ar Bal Ban Bel Ber Bor Bran Cal Cam Car Cor Dal Dar Del Dor Dun El Er Fal Far Fen Gal Gar Gor Hal Han Har Hel Hol Is Jan Jor "
    "Kal Kar Kel Kor Lan Lar Lin Lor Mal Mar Mel Mor Nal Nor Ol Or Pal Par Pel Per Ral Ran Ris Ros Sal San Sel Sol Tal Tar Tol Tor "
    "Ul Val Var Ven Vor Wal Wen Wil Yar Zan"
)
MIDDLES = tuple(consonant + vowel for consonant in "bdfgklmnrstv" for vowel in "aeiou")
PARTS = (FIRST.split(), ("a", "e", "i", "o"), MIDDLES)


class Names(NamedTuple):
    """Names of one kind: one of each of PARTS, and one of `endings`, which no other kind has."""

    endings: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many there are."""
        return prod(map(len, (*PARTS, self.endings)))

    def draw(self, rng: random.Random) -> str:
        """One of them, all alike."""
        return "".join(part[int(rng.random() * len(part))] for part in (*PARTS, self.endings))


PEOPLE = Names(("nd", "nsen", "nz", "sk", "tz", "rini", "llo", "kov"))
TOWNS = Names(("burg", "dale", "field", "ford", "ham", "port", "stead", "ville"))
FIRMS = Names(("corp", "mex", "tech", "trans", "works", "line", "soft", "plan"))
