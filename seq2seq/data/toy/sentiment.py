"""An embedded corpus of opinions: generated reviews, each with its label and the words that decide it.

A review has one opinion of its writer at most, among opinions of others, expectations and facts. The label is
`positive` or `negative` by that opinion, which may be negated, and `neutral` without one. So no word decides by itself:
a model has to find the clause that counts.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

from seq2seq.data.toy.labelled import LabelledCorpus, LabelledExample, draw_corpus
from seq2seq.data.toy.summarization import choose_one

GOOD = (
    "good", "great", "lovely", "excellent", "wonderful", "delicious", "fresh", "friendly", "helpful", "clean",
    "quick", "charming", "superb", "perfect", "brilliant", "tasty", "pleasant", "cosy", "generous", "splendid",
    "fine", "warm", "clever", "reliable", "honest",
)  # fmt: skip
BAD = (
    "bad", "awful", "terrible", "horrible", "poor", "rude", "slow", "dirty", "stale", "bland", "boring", "dull",
    "nasty", "cold", "noisy", "broken", "careless", "greasy", "messy", "dreadful", "sour", "rotten", "weak",
    "useless", "unfair",
)  # fmt: skip
NOUNS = (
    "food", "service", "soup", "bread", "coffee", "tea", "room", "bed", "view", "film", "plot", "music", "staff",
    "waiter", "driver", "guide", "bus", "hotel", "garden", "pool", "menu", "wine", "cake", "fish", "salad", "lamp",
    "phone", "screen", "battery", "book", "story", "ending", "museum", "tour", "price", "map", "shop", "lunch",
    "dinner",
)  # fmt: skip
OTHERS = (
    "my mother", "my brother", "a friend", "our guide", "the paper", "my neighbour", "everybody", "the owner",
    "a colleague", "my wife", "her husband", "an old man", "the radio", "my teacher",
)  # fmt: skip
FACTS = (
    "we went there on {day}",
    "it is near the {place}",
    "there were {number} of us",
    "the {noun} comes from the {place}",
    "i had a seat by the {place}",
    "we stayed for {number} days",
    "they open at {number}",
    "we came by train",
    "the {noun} is on the first floor",
    "i ordered the {noun} on {day}",
    "it rained on {day}",
    "there is a {noun} as well",
)
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PLACES = (
    "station", "river", "church", "harbour", "market", "bridge", "castle", "park", "school", "theatre", "lake",
    "window",
)  # fmt: skip
DEGREES = ("", "very", "really", "rather", "quite", "so", "truly")


class Opinion(NamedTuple):
    """A clause with the opinion of the writer. `*` precedes the words that decide."""

    clause: str
    positive: bool


def generate_sentiment(pairs: int = 24000, seed: int = 1, *, dev: int = 500, test: int = 500) -> LabelledCorpus:
    """A corpus of opinions, as `draw_corpus`."""
    return draw_corpus(draw_review, pairs, seed, dev=dev, test=test)


def draw_review(rng: random.Random) -> LabelledExample:
    """A review with zero to two clauses that do not count, before or after the one that does."""
    opinion = None if rng.random() < 0.25 else draw_opinion(rng)
    others = [draw_distractor(rng) for _ in range(int(rng.random() * 3) + (opinion is None))]
    clauses = [*others, opinion.clause] if opinion else others
    rng.shuffle(clauses)
    marked = " . ".join(clauses).split()
    label = "neutral" if opinion is None else "positive" if opinion.positive else "negative"
    links = tuple((i, 0) for i, word in enumerate(marked) if word.startswith("*"))
    return LabelledExample(" ".join([*(word.removeprefix("*") for word in marked), "."]), label, links)


def draw_opinion(rng: random.Random) -> Opinion:
    """A clause of one of six kinds; in all but the first another opinion is there that does not count."""
    good, kind = rng.random() < 0.5, int(rng.random() * 6)
    judged, noun, other = deciding_words(good, rng), choose_one(NOUNS, rng), choose_one(NOUNS, rng)
    against = phrase(choose_one(BAD if good else GOOD, rng), rng)
    either = phrase(choose_one(GOOD + BAD, rng), rng)
    clause = (
        f"the {noun} was {judged}",
        f"the {other} was {against} , but the {noun} was {judged}",
        f"although the {other} was {against} , the {noun} was {judged}",
        f"{choose_one(OTHERS, rng)} called the {noun} {either} , but i found it {judged}",
        f"i expected the {noun} to be {against} , and it was {judged}",
        f"the {noun} was {judged} , whatever {choose_one(OTHERS, rng)} says of the {against} {other}",
    )[kind]
    return Opinion(clause, good)


def deciding_words(good: bool, rng: random.Random) -> str:
    """Words that decide: an adjective, or the opposite one after `not` or `never`."""
    if rng.random() < 0.3:
        return f"*{choose_one(('not', 'never', 'hardly'), rng)} *{choose_one(BAD if good else GOOD, rng)}"
    degree = choose_one(DEGREES, rng)
    return f"{degree} *{choose_one(GOOD if good else BAD, rng)}".strip()


def draw_distractor(rng: random.Random) -> str:
    """A clause that does not count: a fact, or the opinion of another."""
    if rng.random() < 0.5:
        return choose_one(FACTS, rng).format(
            day=choose_one(DAYS, rng),
            place=choose_one(PLACES, rng),
            number=2 + int(rng.random() * 8),
            noun=choose_one(NOUNS, rng),
        )
    verb = choose_one(("says the {0} is {1}", "found the {0} {1}", "hoped for a {1} {0}"), rng)
    return f"{choose_one(OTHERS, rng)} {verb.format(choose_one(NOUNS, rng), phrase(choose_one(GOOD + BAD, rng), rng))}"


def phrase(adjective: str, rng: random.Random) -> str:
    """An adjective, maybe with a degree or a negation."""
    words: Sequence[str] = (*DEGREES, "not")
    return f"{choose_one(words, rng)} {adjective}".strip()
