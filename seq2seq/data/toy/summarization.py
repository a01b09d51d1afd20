"""An embedded summarization corpus: generated news reports, each with one right one-line summary.

A report has one, two or four sentences that matter, in one of several wordings each, among others that do not; the
summary states what matters in words of its own. Names and numbers come from large sets: most of them are rare, and can
only be copied.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from typing import NamedTuple

from seq2seq.errors import ConfigError

FIRST_SYLLABLES = (
    "Al Ar Bal Ban Bel Ber Bor Bran Cal Cam Car Cor Dal Dar Del Dor Dun El Er Fal Far Fen Gal Gar Gor Hal Han Har "
    "Hel Hol Is Jan Jor Kal Kar Kel Kor Lan Lar Lin Lor Mal Mar Mel Mor Nal Nor Ol Or Pal Par Pel Per Ral Ran Ris "
    "Ros Sal San Sel Sol Tal Tar Tol Tor Ul Val Var Ven Vor Wal Wen Wil Yar Zan"
)
MIDDLE_SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnrstv" for vowel in "aeiou")
SYLLABLES = (FIRST_SYLLABLES.split(), ("a", "e", "i", "o"), MIDDLE_SYLLABLES)
MAX_PAIRS = 1_000_000  # of about 10^20 possible reports: duplicates stay rare, and all pairs fit in memory


class NameGenerator(NamedTuple):
    """Generates names of one kind: one of each of SYLLABLES, then one of `endings`, which no other kind has."""

    endings: tuple[str, ...]

    @property
    def size(self) -> int:
        """The number of different names."""
        return prod(map(len, (*SYLLABLES, self.endings)))

    def draw(self, rng: random.Random) -> str:
        """A name, drawn uniformly."""
        return "".join(choose_one(part, rng) for part in (*SYLLABLES, self.endings))


PEOPLE = NameGenerator(("nd", "nsen", "nz", "sk", "tz", "rini", "llo", "kov"))
TOWNS = NameGenerator(("burg", "dale", "field", "ford", "ham", "port", "stead", "ville"))
FIRMS = NameGenerator(("corp", "mex", "tech", "trans", "works", "line", "soft", "plan"))


class NewsExample(NamedTuple):
    """A report and its summary, with white space around every punctuation mark."""

    source: str
    target: str


class NewsCorpus(NamedTuple):
    """Three lists of examples; no source occurs twice in all of them."""

    train: list[NewsExample]
    dev: list[NewsExample]
    test: list[NewsExample]


Fact = Callable[[random.Random], str]  # draws a value


class NewsTemplate(NamedTuple):
    """A kind of news. In its sentences, {name} is a fact, with the same value throughout a report."""

    facts: Mapping[str, Fact]
    events: tuple[tuple[str, ...], ...]  # wordings of each sentence that matters
    summary: str
    distractors: tuple[str, ...]  # sentences that resemble an event but do not matter


def number_between(low: int, high: int) -> Fact:
    """A whole number from `low` to `high`, in digits."""
    return lambda rng: str(low + int(rng.random() * (high - low + 1)))


def one_of(words: str) -> Fact:
    """One of the words of a string."""
    return partial(choose_one, words.split())


def several_names(names: NameGenerator, rng: random.Random) -> str:
    """Two to four names: `A , B and C`."""
    *first, last = (names.draw(rng) for _ in range(2 + int(rng.random() * 3)))
    return f"{' , '.join(first)} and {last}"


def choose_one(choices: Sequence[str], rng: random.Random) -> str:
    """One of the choices, drawn uniformly."""
    return choices[int(rng.random() * len(choices))]


PERSON, TOWN, FIRM = PEOPLE.draw, TOWNS.draw, FIRMS.draw
DAY = one_of("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
FACTS = {  # of distractors
    "person_": PERSON,
    "other_": PERSON,
    "town_": TOWN,
    "place_": TOWN,
    "firm_": FIRM,
    "day_": DAY,
    "number_": number_between(20, 9999),
    "year_": number_between(1900, 2020),
    "few_": number_between(2, 19),
    "high_": number_between(20, 99),
    "thing_": one_of("roof road bridge station market garden hall school"),
    "quality_": one_of("old new small quiet busy cold warm dark"),
    "weather_": one_of("cold warm windy dry wet cloudy sunny grey"),
}
DISTRACTORS = (  # of any kind of news
    "It was a {weather_} day in {town_} .",
    "The weather stayed {weather_} until {day_} .",
    '" The {thing_} was {quality_} , " said {person_} .',
    "{person_} , who lives in {town_} , saw it all .",
    "About {number_} people watched .",
    "In {year_} the {thing_} was {quality_} .",
    "{firm_} , a firm from {town_} , did not comment .",
    "{other_} and {person_} will meet in {place_} on {day_} .",
    "The {thing_} of {town_} is {few_} years old .",
    "A spokesman for {firm_} asked for {few_} more days .",
    "Trains between {town_} and {place_} were on time .",
    "{person_} had said so in {year_} .",
)

TEMPLATES = {
    "match": NewsTemplate(
        facts={
            "winner": TOWN,
            "loser": TOWN,
            "high": number_between(20, 99),
            "low": number_between(2, 19),
            "scorer": PERSON,
            "day": DAY,
        },
        events=(
            (
                "{winner} beat {loser} {high} to {low} on {day} .",
                "{loser} lost {low} to {high} against {winner} on {day} .",
                "On {day} the match between {loser} and {winner} ended {low} to {high} .",
            ),
            ("{scorer} was the best player on the field .", "Nobody on the field was better than {scorer} ."),
        ),
        summary="{winner} defeats {loser} {high} : {low} , {scorer} shines",
        distractors=("Last year {town_} beat {place_} {high_} to {few_} .", "{town_} lost to {place_} in {year_} ."),
    ),
    "succession": NewsTemplate(
        facts={"new": PERSON, "old": PERSON, "firm": FIRM},
        events=(
            (
                "{firm} has chosen {new} as its next president .",
                "{new} was named president of {firm} .",
                "The next president of {firm} will be {new} .",
            ),
            ("The president until now , {old} , retires .", "{old} , who led it so far , steps down ."),
        ),
        summary="{new} replaces {old} as head of {firm}",
        distractors=("{person_} has been a manager at {firm_} since {year_} .", "{other_} was not chosen ."),
    ),
    "accident": NewsTemplate(
        facts={
            "hurt": partial(several_names, PEOPLE),
            "vehicle": one_of("bus train truck car tram ferry"),
            "town": TOWN,
            "day": DAY,
        },
        events=(
            (
                "{hurt} were injured when a {vehicle} left its way near {town} on {day} .",
                "A {vehicle} accident near {town} on {day} left {hurt} injured .",
                "On {day} {hurt} had to be taken to hospital after a {vehicle} turned over in {town} .",
            ),
        ),
        summary="{vehicle} crash in {town} hurts {hurt}",
        distractors=(
            "The road was closed for {few_} hours .",
            "{person_} called the police .",
            "An accident in {place_} in {year_} was worse .",
        ),
    ),
    "flood": NewsTemplate(
        facts={
            "towns": partial(several_names, TOWNS),
            "level": number_between(100, 999),
            "water": one_of("river lake sea"),
            "day": DAY,
        },
        events=(
            (
                "Heavy rain on {day} put the streets of {towns} under water .",
                "The streets of {towns} were under water on {day} .",
                "In {towns} the water stood in the streets on {day} .",
            ),
            ("The {water} rose by {level} centimetres .", "By {level} centimetres the {water} went up ."),
        ),
        summary="{water} rises {level} cm , floods hit {towns}",
        distractors=(
            "{place_} stayed dry .",
            "Only in {year_} was the rain as heavy .",
            "{firm_} sent {few_} pumps to {place_} .",
        ),
    ),
    "sale": NewsTemplate(
        facts={"buyer": FIRM, "seller": FIRM, "price": number_between(100, 9999)},
        events=(
            (
                "{buyer} will pay {price} million for {seller} .",
                "{seller} goes to {buyer} for {price} million .",
                "For {price} million {seller} becomes a part of {buyer} .",
                "The owners of {seller} accept {price} million from {buyer} .",
            ),
        ),
        summary="{buyer} buys {seller} for {price} million",
        distractors=(
            "{firm_} had offered {number_} million .",
            "Shares of {firm_} did not move .",
            "{firm_} has {number_} workers .",
        ),
    ),
    "race": NewsTemplate(
        facts={
            "first": PERSON,
            "second": PERSON,
            "third": PERSON,
            "race": one_of("marathon rowing skiing cycling swimming sailing"),
            "town": TOWN,
        },
        events=(
            (
                "In the {race} at {town} {second} and {third} came in behind {first} .",
                "{first} was faster than {second} and {third} in the {race} at {town} .",
                "{third} was third in the {race} at {town} , {second} second and {first} first .",
            ),
        ),
        summary="{first} wins {race} gold ahead of {second} and {third}",
        distractors=(
            "{person_} gave up after {few_} kilometres .",
            "{person_} won in {year_} .",
            "{other_} and {person_} did not start .",
        ),
    ),
    "opening": NewsTemplate(
        facts={
            "building": one_of("museum library theatre hospital stadium airport zoo"),
            "town": TOWN,
            "cost": number_between(100, 9999),
            "day": DAY,
        },
        events=(
            (
                "The new {building} of {town} opened its doors on {day} .",
                "On {day} the first visitors came to the new {building} in {town} .",
            ),
            ("It had cost {cost} million .", "{cost} million were spent on it ."),
        ),
        summary="{town} opens {building} for {cost} million",
        distractors=(
            "{place_} closed its {thing_} in {year_} .",
            "{person_} drew the plans .",
            "About {number_} people stood in line .",
        ),
    ),
    "election": NewsTemplate(
        facts={
            f"{what}{n}": draw
            for n in range(4)
            for what, draw in (("who", PERSON), ("votes", number_between(100, 9999)))
        },
        events=tuple(
            (f"{{who{n}}} got {{votes{n}}} votes .", f"{{votes{n}}} people voted for {{who{n}}} .") for n in range(4)
        ),
        summary="votes : " + " , ".join(f"{{who{n}}} {{votes{n}}}" for n in range(4)),
        distractors=(
            "In {year_} {person_} got {number_} votes .",
            "{person_} did not take part .",
            "{number_} votes were not counted .",
        ),
    ),
    "verdict": NewsTemplate(
        facts={
            "guilty": PERSON,
            "judge": PERSON,
            "years": number_between(2, 99),
            "crime": one_of("theft fraud arson smuggling robbery forgery"),
        },
        events=(
            (
                "{judge} , the judge , sent {guilty} to prison for {years} years .",
                "{guilty} must go to prison for {years} years , said judge {judge} .",
                "Judge {judge} gave {guilty} {years} years in prison .",
            ),
            ("The charge was {crime} .", "It was a case of {crime} ."),
        ),
        summary="{guilty} gets {years} years for {crime}",
        distractors=(
            "{person_} was not guilty .",
            "{other_} , a lawyer , had asked for {few_} years .",
            "{person_} told the court about {town_} .",
        ),
    ),
}


def generate_summaries(pairs: int = 24000, seed: int = 1, *, dev: int = 500, test: int = 500) -> NewsCorpus:
    """A corpus of `pairs` training examples, the same for the same arguments on every machine.

    All kinds of news are equally likely. Raises ConfigError for more than MAX_PAIRS."""
    if pairs > MAX_PAIRS:
        raise ConfigError(f"data.pairs={pairs} is more than the generator of reports supports: at most {MAX_PAIRS}")
    rng = random.Random(seed)
    summaries: dict[str, str] = {}  # by report
    templates = tuple(TEMPLATES.values())
    while len(summaries) < pairs + dev + test:
        example = generate_report(templates[int(rng.random() * len(templates))], rng)
        summaries.setdefault(example.source, example.target)
    examples = [NewsExample(*both) for both in summaries.items()]
    return NewsCorpus(examples[dev + test :], examples[:dev], examples[dev : dev + test])


def generate_report(template: NewsTemplate, rng: random.Random) -> NewsExample:
    """A report of the sentences that matter, in their order, among two or three distractors; and its summary."""
    facts = draw_facts(template.facts, rng)
    sentences = [choose_one(wordings, rng).format(**facts) for wordings in template.events]
    used: set[str] = set()
    for count in range(2 + int(rng.random() * 2)):
        while len(used) == count:  # until one is drawn that the report does not have yet
            distractor = choose_one(template.distractors if rng.random() < 0.5 else DISTRACTORS, rng)
            used.add(distractor)
        sentences.insert(int(rng.random() * (len(sentences) + 1)), distractor.format(**draw_facts(FACTS, rng)))
    return NewsExample(" ".join(sentences), template.summary.format(**facts))


def draw_facts(facts: Mapping[str, Fact], rng: random.Random) -> dict[str, str]:
    """A value of each fact, all different."""
    while True:
        values = {name: draw(rng) for name, draw in facts.items()}
        if len(set(values.values())) == len(values):
            return values
