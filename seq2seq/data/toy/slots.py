"""With what may each place of a sentence be filled, and how often with which?

A slot is a list of alternatives, equally likely; a list among them is a choice within the choice, and one that stands
there twice is twice as likely.
"""

import random
from collections.abc import Callable
from functools import partial
from itertools import permutations, product
from typing import Any, NamedTuple

from seq2seq.data.toy import lexicon as lex
from seq2seq.data.toy.grammar import (
    Clause,
    Couple,
    Name,
    Nominal,
    NounPhrase,
    Phrase,
    Pronoun,
    Tense,
    clause,
    modal,
    past,
    perfect,
    phrase,
    present,
)
from seq2seq.data.toy.lexicon import MANY, VERBS, Determiner, Noun, Verb

Slot = list[Any]


def pick(rng: random.Random, slot: Slot) -> Any:
    item = slot[int(rng.random() * len(slot))]
    return pick(rng, item) if isinstance(item, list) else item


def size(slot: Slot) -> int:
    """The number of different alternatives."""
    different = {id(item): item for item in slot}.values()
    return sum(size(item) if isinstance(item, list) else 1 for item in different)


class Action(NamedTuple):
    """A verb and its object, waiting for a subject."""

    verb: Verb
    object: Nominal

    def clause(self, subject: Nominal, tense: Tense, **more: Any) -> Clause:
        return clause(subject, self.verb, tense, ((self.object, self.verb.case),), **more)


class Setting(NamedTuple):
    """A tense, a time that goes with it (English=German, may be empty), and whether the time is fronted."""

    tense: Tense
    time: str = ""
    fronted: bool = False

    def main(self, build: Callable[..., Clause]) -> Phrase:
        """The main clause of what `build(tense=, time=)` makes."""
        time = phrase(self.time)
        return build(tense=self.tense).main(time) if self.fronted else build(tense=self.tense, time=time).main()


def pronoun(english: str, german: str, person: int) -> Pronoun:
    subject, obj = english.split()
    nominative, accusative, dative = german.split()
    return Pronoun((subject, obj), (nominative, accusative, dative), person)


HE, SHE = pronoun("he him", "er ihn ihm", lex.THIRD), pronoun("she her", "sie sie ihr", lex.THIRD)
ME, YOU = pronoun("I me", "ich mich mir", lex.FIRST), pronoun("you you", "du dich dir", lex.SECOND)
WE, THEY = pronoun("we us", "wir uns uns", MANY), pronoun("they them", "sie sie ihnen", MANY)
WHO = pronoun("who whom", "wer wen wem", lex.THIRD)
IT = tuple(pronoun("it it", german, lex.THIRD) for german in ("er ihn ihm", "sie sie ihr", "es es ihm"))  # by gender
RELATIVE = (("der", "den", "dem"), ("die", "die", "der"), ("das", "das", "dem"), ("die", "die", "denen"))  # by gender, then plural


def bare(noun: Noun, determiners: tuple[Determiner, ...], plural: bool) -> Slot:
    return [NounPhrase(determiner, None, noun, plural) for determiner in determiners]


def adorned(noun: Noun, determiners: tuple[Determiner, ...], plural: bool) -> Slot:
    """Without adjective twice as often as with one."""
    plain, fitting = bare(noun, determiners, plural), lex.FITTING.get(noun.kind, lex.THING_ADJECTIVES)
    return [plain, plain, [built._replace(adjective=adjective) for built, adjective in product(plain, fitting)]]


def noun_phrases(noun: Noun, determiners: tuple[Determiner, ...] = (lex.THE, lex.A, lex.MY, lex.THIS)) -> Slot:
    """In the singular twice as often as in the plural."""
    singular, plural = (adorned(noun, determiners, number) for number in (False, True))
    return [singular, singular, plural]


def of_kinds(*kinds: str, build: Callable[[Noun], Slot] = noun_phrases) -> Slot:
    """`build` of each noun of these kinds, plain nouns twice as often as compounds."""
    nouns = {
        kind: [[build(noun) for noun in table.values() if noun.kind == kind] for table in (lex.NOUNS, lex.COMPOUNDS)] for kind in kinds
    }
    return [[simple, simple, compound] if compound else simple for simple, compound in nouns.values()]


def mapped(function: Callable[[Any], Any], slot: Slot) -> Slot:
    """`function` of every alternative, at any depth; what stands there twice still does."""
    made = {id(item): mapped(function, item) if isinstance(item, list) else function(item) for item in slot}
    return [made[id(item)] for item in slot]


def settings(tense: Tense, times: tuple[str, ...], fronted: tuple[bool, ...] = (False, True)) -> Slot:
    return [[Setting(tense)], [Setting(tense, time, front) for time, front in product(times, fronted)]]


def tensed(modals: list[Tense], fronted: tuple[bool, ...] = (False, True)) -> Slot:
    """Tenses with times that suit them."""
    future = [settings(tense, lex.FUTURE_TIMES, fronted) for tense in modals]
    return [settings(present, lex.PRESENT_TIMES, fronted), settings(past, lex.PAST_TIMES, fronted), future]


def names(common: tuple[str, ...], rare: tuple[str, ...]) -> Slot:
    """One name in six is a rare one, which few training sentences have: it has to be copied."""
    known = [Name(name) for name in common]
    return [known] * 5 + [[Name(name) for name in rare]]


def actions(verb: Verb) -> Slot:
    things = of_kinds(*verb.kinds)
    return mapped(partial(Action, verb), [things, [HE, SHE, THEY], PEOPLE] if verb.kinds[0] == "person" else things)


def verbs(*bases: str) -> Slot:
    return [VERBS[base] for base in bases]


def verbs_of(kind: str) -> Slot:
    return [verb for verb in VERBS.values() if kind in verb.kinds]


POLAR = [modal(forms) for forms in (lex.CAN, lex.SHOULD, lex.WILL)]  # modals with a plain negation and question
MODALS = [*POLAR, modal(lex.MUST), modal(lex.WANT)]
TENSES = [present, present, past, MODALS]
SETTINGS = [*tensed(MODALS), [Setting(perfect)]]
PEOPLE, TOWNS = names(lex.PEOPLE, lex.RARE_PEOPLE), names(lex.TOWNS, lex.RARE_TOWNS)
PERSONS = of_kinds("person", build=partial(noun_phrases, determiners=(lex.THE, lex.MY, lex.OUR)))
COUPLES = [Couple(*pair) for pair in permutations(lex.PEOPLE, 2)]
SUBJECTS = [PEOPLE, PEOPLE, PERSONS, [HE, SHE], [ME, YOU, WE, THEY], COUPLES]
SHORT = [PEOPLE, PEOPLE, [HE, SHE, WE, THEY]]
ACTIONS = [actions(verb) for verb in VERBS.values() if verb.kinds[0] in ("ware", "furniture", "opening", "text", "food", "person")]
DEFINITE = (lex.THE, lex.MY, lex.THIS)
OBJECTS = of_kinds("ware", "text", "furniture", build=partial(noun_phrases, determiners=DEFINITE))
GIFTS = of_kinds("ware", "text", "food")
THINGS = of_kinds("ware", "opening", "furniture", build=lambda noun: [bare(noun, DEFINITE, False), bare(noun, DEFINITE, True)])
COUNTABLE = of_kinds("ware", "text", "furniture", build=partial(adorned, determiners=(lex.A,), plural=True))
NUMBERS = [list(lex.SMALL_NUMBERS), list(lex.DIGITS)]
PLACES = of_kinds("inside", build=partial(adorned, determiners=(lex.THE, lex.OUR), plural=False))
GOALS = [mapped(lambda town: ("to=nach", town), TOWNS), mapped(lambda host: ("to=zu", host), PERSONS)]
