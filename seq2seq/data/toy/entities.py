"""An embedded corpus of named entities: generated sentences with a BIO tag for each word.

Names of people, places and firms are made from the same syllables, and most occur once, so that only the words around a
name tell what it is.
"""

import random

from seq2seq.data.toy.labelled import LabelledCorpus, LabelledExample, draw_corpus
from seq2seq.data.toy.sentiment import DAYS
from seq2seq.data.toy.summarization import SYLLABLES, choose_one

TEMPLATES = (
    "{PER} was born in {LOC} .",
    "{PER} works for {ORG} in {LOC} .",
    "the head of {ORG} , {PER} , lives near {LOC} .",
    "shares of {ORG} fell on {day} .",
    "{ORG} will open an office in {LOC} next {day} .",
    "on {day} {PER} met {PER} in {LOC} .",
    "the road from {LOC} to {LOC} is closed .",
    "{PER} , a painter from {LOC} , left {ORG} in {year} .",
    "it was {PER} who sold {ORG} to {ORG} .",
    "people in {LOC} like {PER} more than {PER} .",
    "{ORG} hired {PER} and {number} others .",
    "the mayor of {LOC} , {PER} , spoke to staff of {ORG} .",
    "in {LOC} it rained for {number} days .",
    "{PER} told {ORG} that the trip to {LOC} was too long .",
    "nobody knows why {PER} bought {number} shares of {ORG} .",
)
FIRST, VOWELS, MIDDLE = SYLLABLES
ENDINGS = ("n", "r", "s", "na", "ton", "berg", "li", "do")  # the same for people, places and firms


def generate_entities(pairs: int = 24000, seed: int = 1, *, dev: int = 500, test: int = 500) -> LabelledCorpus:
    """A corpus of sentences with names, as `draw_corpus`."""
    return draw_corpus(draw_sentence, pairs, seed, dev=dev, test=test)


def draw_sentence(rng: random.Random) -> LabelledExample:
    """A sentence with a tag for each word."""
    words: list[str] = []
    tags: list[str] = []
    for word in choose_one(TEMPLATES, rng).split():
        kind = word.strip("{}")
        if kind in ("PER", "LOC", "ORG"):
            name = [draw_name(rng) for _ in range(1 + int(rng.random() * 3))]
            words += name
            tags += [f"{'I' if i else 'B'}-{kind}" for i in range(len(name))]
        else:
            facts = {"day": choose_one(DAYS, rng), "year": 1900 + int(rng.random() * 120)}
            words.append(word.format(number=2 + int(rng.random() * 98), **facts))
            tags.append("O")
    return LabelledExample(" ".join(words), " ".join(tags))


def draw_name(rng: random.Random) -> str:
    """A word of a name, which tells nothing of what it names."""
    return "".join(choose_one(part, rng) for part in (FIRST, VOWELS, MIDDLE, ENDINGS))
