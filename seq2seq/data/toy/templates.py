"""Which kinds of sentence are in the toy corpus, in which shares, and how is each composed?"""

import random
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from itertools import permutations, product
from math import prod
from typing import Any, NamedTuple

from seq2seq.data.toy import lexicon as lex
from seq2seq.data.toy.grammar import (
    COMMA,
    Clause,
    Couple,
    Modified,
    Name,
    Nominal,
    NounPhrase,
    Phrase,
    Pronoun,
    Tense,
    Word,
    clause,
    copula,
    modal,
    past,
    perfect,
    phrase,
    prepositional,
    present,
)
from seq2seq.data.toy.lexicon import ACCUSATIVE, DATIVE, MANY, VERBS, Adjective, Determiner, Noun, Verb

Choices = list[Any]


def sample(rng: random.Random, slot: Choices) -> Any:
    item = slot[int(rng.random() * len(slot))]
    return sample(rng, item) if isinstance(item, list) else item


def count_choices(slot: Choices) -> int:
    """The number of different alternatives."""
    different = {id(item): item for item in slot}.values()
    return sum(count_choices(item) if isinstance(item, list) else 1 for item in different)


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

RELATIVE = (
    ("der", "den", "dem"),
    ("die", "die", "der"),
    ("das", "das", "dem"),
    ("die", "die", "denen"),
)  # by gender, then plural


def without_adjective(noun: Noun, determiners: tuple[Determiner, ...], plural: bool) -> Choices:
    return [NounPhrase(determiner, None, noun, plural) for determiner in determiners]


def with_adjectives(noun: Noun, determiners: tuple[Determiner, ...], plural: bool) -> Choices:
    """Without adjective twice as often as with one."""
    plain, fitting = without_adjective(noun, determiners, plural), lex.FITTING.get(noun.kind, lex.THING_ADJECTIVES)
    return [plain, plain, [built._replace(adjective=adjective) for built, adjective in product(plain, fitting)]]


def noun_phrases(noun: Noun, determiners: tuple[Determiner, ...] = (lex.THE, lex.A, lex.MY, lex.THIS)) -> Choices:
    """In the singular twice as often as in the plural."""
    singular, plural = (with_adjectives(noun, determiners, number) for number in (False, True))
    return [singular, singular, plural]


def nouns_of(*kinds: str, build: Callable[[Noun], Choices] = noun_phrases) -> Choices:
    """`build` of each noun of these kinds, plain nouns twice as often as compounds."""
    nouns = {
        kind: [[build(noun) for noun in table.values() if noun.kind == kind] for table in (lex.NOUNS, lex.COMPOUNDS)]
        for kind in kinds
    }
    return [[simple, simple, compound] if compound else simple for simple, compound in nouns.values()]


def map_choices(function: Callable[[Any], Any], slot: Choices) -> Choices:
    """`function` of every alternative, at any depth; what stands there twice still does."""
    made = {id(item): map_choices(function, item) if isinstance(item, list) else function(item) for item in slot}
    return [made[id(item)] for item in slot]


def timed_settings(tense: Tense, times: tuple[str, ...], fronted: tuple[bool, ...] = (False, True)) -> Choices:
    return [[Setting(tense)], [Setting(tense, time, front) for time, front in product(times, fronted)]]


def tensed_settings(modals: list[Tense], fronted: tuple[bool, ...] = (False, True)) -> Choices:
    """Tenses with times that suit them."""
    future = [timed_settings(tense, lex.FUTURE_TIMES, fronted) for tense in modals]
    return [timed_settings(present, lex.PRESENT_TIMES, fronted), timed_settings(past, lex.PAST_TIMES, fronted), future]


def name_choices(common: tuple[str, ...], rare: tuple[str, ...]) -> Choices:
    """One name in six is a rare one, which few training sentences have: it has to be copied."""
    known = [Name(name) for name in common]
    return [known] * 5 + [[Name(name) for name in rare]]


def actions_of(verb: Verb) -> Choices:
    things = nouns_of(*verb.kinds)
    return map_choices(
        partial(Action, verb), [things, [HE, SHE, THEY], PEOPLE] if verb.kinds[0] == "person" else things
    )


def verbs_named(*bases: str) -> Choices:
    return [VERBS[base] for base in bases]


def verbs_of(kind: str) -> Choices:
    return [verb for verb in VERBS.values() if kind in verb.kinds]


POLAR = [modal(forms) for forms in (lex.CAN, lex.SHOULD, lex.WILL)]  # modals with a plain negation and question

MODALS = [*POLAR, modal(lex.MUST), modal(lex.WANT)]

TENSES = [present, present, past, MODALS]

SETTINGS = [*tensed_settings(MODALS), [Setting(perfect)]]

PEOPLE, TOWNS = name_choices(lex.PEOPLE, lex.RARE_PEOPLE), name_choices(lex.TOWNS, lex.RARE_TOWNS)

PERSONS = nouns_of("person", build=partial(noun_phrases, determiners=(lex.THE, lex.MY, lex.OUR)))

COUPLES = [Couple(*pair) for pair in permutations(lex.PEOPLE, 2)]

SUBJECTS = [PEOPLE, PEOPLE, PERSONS, [HE, SHE], [ME, YOU, WE, THEY], COUPLES]

SHORT = [PEOPLE, PEOPLE, [HE, SHE, WE, THEY]]

ACTIONS = [
    actions_of(verb)
    for verb in VERBS.values()
    if verb.kinds[0] in ("ware", "furniture", "opening", "text", "food", "person")
]

DEFINITE = (lex.THE, lex.MY, lex.THIS)

OBJECTS = nouns_of("ware", "text", "furniture", build=partial(noun_phrases, determiners=DEFINITE))

GIFTS = nouns_of("ware", "text", "food")

THINGS = nouns_of(
    "ware",
    "opening",
    "furniture",
    build=lambda noun: [without_adjective(noun, DEFINITE, False), without_adjective(noun, DEFINITE, True)],
)

COUNTABLE = nouns_of("ware", "text", "furniture", build=partial(with_adjectives, determiners=(lex.A,), plural=True))

NUMBERS = [list(lex.SMALL_NUMBERS), list(lex.DIGITS)]

PLACES = nouns_of("inside", build=partial(with_adjectives, determiners=(lex.THE, lex.OUR), plural=False))

GOALS = [map_choices(lambda town: ("to=nach", town), TOWNS), map_choices(lambda host: ("to=zu", host), PERSONS)]


class TranslationExample(NamedTuple):
    """Raw text in both languages and the links between their white-space words, from 0, sorted."""

    source: str
    target: str
    alignment: tuple[tuple[int, int], ...]


def sentence(built: Phrase, stop: str = ".") -> TranslationExample:
    """Write a phrase down: punctuation joins the word before it, a becomes an before a vowel, the first letter is capital."""
    source, target = _punctuate(built.source, stop), _punctuate(built.target, stop)
    for i, word in enumerate(source):
        if word.text == "a" and source[i + 1].text.startswith(("a", "e", "i", "o", "u")):
            source[i] = word._replace(text="an")
    positions: dict[object, list[int]] = {}
    for j, word in enumerate(target):
        for unit in word.units:
            positions.setdefault(unit, []).append(j)
    links = {(i, j) for i, word in enumerate(source) for unit in word.units for j in positions.get(unit, ())}
    return TranslationExample(_text(source), _text(target), tuple(sorted(links)))


def _punctuate(side: Iterable[Word], stop: str) -> list[Word]:
    written: list[Word] = []
    for word in side:
        if word is not COMMA:
            written.append(word)
        elif not written[-1].text.endswith(","):
            written[-1] = written[-1]._replace(text=written[-1].text + ",")
    written[-1] = written[-1]._replace(text=written[-1].text.removesuffix(",") + stop)
    return written


def _text(side: list[Word]) -> str:
    text = " ".join(word.text for word in side)
    return text[0].upper() + text[1:]


class SentenceTemplate:
    """A kind of sentence: its share of the corpus, how it is composed, and of what."""

    def __init__(self, share: float, compose: Callable[..., TranslationExample], *slots: Choices) -> None:
        self.share, self.compose, self.slots = share, compose, slots

    @cached_property
    def size(self) -> int:
        """The number of its derivations."""
        return prod(map(count_choices, self.slots))

    def draw(self, rng: random.Random) -> TranslationExample:
        return self.compose(*(sample(rng, slot) for slot in self.slots))


def statement(subject: Nominal, action: Action, setting: Setting) -> TranslationExample:
    return sentence(setting.main(partial(action.clause, subject)))


def negative(subject: Nominal, action: Action, setting: Setting) -> TranslationExample:
    return sentence(setting.main(partial(action.clause, subject, negated=True)))


def numbered(subject: Nominal, verb: Verb, things: NounPhrase, number: str, setting: Setting) -> TranslationExample:
    return statement(subject, Action(verb, things._replace(number=number)), setting)


def giving(subject: Nominal, verb: Verb, recipient: Nominal, gift: NounPhrase, setting: Setting) -> TranslationExample:
    return sentence(setting.main(partial(clause, subject, verb, objects=((recipient, DATIVE), (gift, ACCUSATIVE)))))


def question(subject: Nominal, action: Action, setting: Setting) -> TranslationExample:
    return sentence(action.clause(subject, setting.tense, time=phrase(setting.time), inverted=True).question(), "?")


def question_of(opener: str, subject: Nominal, action: Action, tense: Tense) -> TranslationExample:
    return sentence(action.clause(subject, tense, inverted=True).question(phrase(opener)), "?")


def question_who(action: Action, setting: Setting) -> TranslationExample:
    return sentence(action.clause(WHO, setting.tense, time=phrase(setting.time)).main(), "?")


def located(subject: Nominal, verb: Verb, preposition: str, place: NounPhrase, setting: Setting) -> TranslationExample:
    return sentence(setting.main(partial(clause, subject, verb, place=prepositional(preposition, place))))


def place_first(
    subject: Nominal, action: Action, preposition: str, place: NounPhrase, tense: Tense
) -> TranslationExample:
    return sentence(action.clause(subject, tense).main(prepositional(preposition, place)))


def motion(
    subject: Nominal, verb: Verb, goal: tuple[str, Nominal], companion: Nominal, setting: Setting
) -> TranslationExample:
    goal_phrase, company = prepositional(*goal), prepositional("with=mit", companion)
    return sentence(setting.main(partial(clause, subject, verb, place=company, complement=goal_phrase)))


def no_motion(subject: Nominal, verb: Verb, goal: tuple[str, Nominal], setting: Setting) -> TranslationExample:
    return sentence(setting.main(partial(clause, subject, verb, complement=prepositional(*goal), negated=True)))


def because(
    subject: Nominal, action: Action, setting: Setting, other: Nominal, reason: Action, later: Tense
) -> TranslationExample:
    return sentence(
        join(
            setting.main(partial(action.clause, subject)),
            reason.clause(other, later).subordinate(phrase("because=weil")),
        )
    )


def because_it(subject: Nominal, verb: Verb, thing: NounPhrase, other: Nominal, reason: Verb) -> TranslationExample:
    """`it` has the German gender of the thing."""
    later = Action(reason, pronoun_of(thing)).clause(other, present)
    return sentence(
        join(Action(verb, thing).clause(subject, present).main(), later.subordinate(phrase("because=weil")))
    )


def described(thing: NounPhrase, adjectives: tuple[Adjective, Adjective]) -> TranslationExample:
    first, second = adjectives
    return sentence(
        be(thing, first, negated=True).main() + BOTH_COMMA + phrase("but=aber") + be(pronoun_of(thing), second).main()
    )


def reported(
    subject: Nominal, verb: Verb, tense: Tense, other: Nominal, action: Action, setting: Setting
) -> TranslationExample:
    content = action.clause(other, setting.tense, time=phrase(setting.time)).subordinate(phrase("that=dass"))
    return sentence(join(clause(subject, verb, tense).main(), content))


def conditional(
    subject: Nominal, condition: Action, other: Nominal, action: Action, tense: Tense
) -> TranslationExample:
    """The fronted clause takes the first place, so that the verb follows at once."""
    front = condition.clause(subject, present).subordinate(phrase("if=wenn")) + BOTH_COMMA
    return sentence(action.clause(other, tense).main(front))


def coordinated(
    subject: Nominal, action: Action, setting: Setting, other: Nominal, second: Action
) -> TranslationExample:
    return sentence(
        setting.main(partial(action.clause, subject)) + phrase("and=und") + second.clause(other, setting.tense).main()
    )


def relative_subject(head: NounPhrase, inner: Action, outer: Action, tense: Tense) -> TranslationExample:
    who = Pronoun(("who", "whom"), RELATIVE[head.form], head.person)
    return sentence(outer.clause(Modified(head, bracketed(inner.clause(who, tense).subordinate())), present).main())


def relative_object(
    subject: Nominal, verb: Verb, thing: NounPhrase, owner: Nominal, inner: Verb, tense: Tense
) -> TranslationExample:
    that = phrase(f"that={RELATIVE[thing.form][ACCUSATIVE]}")
    known = Modified(thing, bracketed(clause(owner, inner, tense).subordinate(that)))
    return sentence(Action(verb, known).clause(subject, present).main())


BOTH_COMMA = Phrase((COMMA,), (COMMA,))


def be(subject: Nominal, adjective: Adjective, negated: bool = False) -> Clause:
    complement = phrase(f"{adjective.english}={adjective.german}")
    return clause(subject, VERBS["see"], copula, complement=complement, negated=negated)


def join(first: Phrase, second: Phrase) -> Phrase:
    """German alone has a comma before a subordinate clause."""
    return first + Phrase((), (COMMA,)) + second


def bracketed(inner: Phrase) -> Phrase:
    return Phrase(inner.source, (COMMA, *inner.target, COMMA))


def pronoun_of(thing: NounPhrase) -> Pronoun:
    return THEY if thing.plural else IT[thing.noun.gender]


TEMPLATES = {
    "statement": SentenceTemplate(0.13, statement, SUBJECTS, ACTIONS, SETTINGS),
    "negative": SentenceTemplate(0.08, negative, SUBJECTS, ACTIONS, tensed_settings(POLAR)),
    "numbered": SentenceTemplate(
        0.07, numbered, SUBJECTS, verbs_named("buy", "sell", "find", "need", "see"), COUNTABLE, NUMBERS, SETTINGS
    ),
    "giving": SentenceTemplate(0.05, giving, SUBJECTS, verbs_of("giving"), [PEOPLE, PERSONS], GIFTS, SETTINGS),
    "question": SentenceTemplate(0.06, question, SUBJECTS, ACTIONS, tensed_settings(POLAR, fronted=(False,))),
    "question of": SentenceTemplate(
        0.03, question_of, ["when=wann", "why=warum", "where=wo"], SUBJECTS, ACTIONS, [present, past, POLAR]
    ),
    "question who": SentenceTemplate(0.03, question_who, ACTIONS, tensed_settings(MODALS, fronted=(False,))),
    "located": SentenceTemplate(0.04, located, SUBJECTS, verbs_of("rest"), list(lex.PREPOSITIONS), PLACES, SETTINGS),
    "place first": SentenceTemplate(0.04, place_first, SUBJECTS, ACTIONS, list(lex.PREPOSITIONS), PLACES, TENSES),
    "motion": SentenceTemplate(0.07, motion, SUBJECTS, verbs_of("motion"), GOALS, [PEOPLE, PERSONS], SETTINGS),
    "no motion": SentenceTemplate(0.02, no_motion, SUBJECTS, verbs_of("motion"), GOALS, tensed_settings(POLAR)),
    "because": SentenceTemplate(0.08, because, SUBJECTS, ACTIONS, SETTINGS, SHORT, ACTIONS, TENSES),
    "because it": SentenceTemplate(
        0.05,
        because_it,
        PEOPLE,
        verbs_named("buy", "find", "bring_along"),
        OBJECTS,
        [HE, SHE],
        verbs_named("need", "look_for"),
    ),
    "described": SentenceTemplate(0.03, described, THINGS, list(permutations(lex.THING_ADJECTIVES, 2))),
    "reported": SentenceTemplate(
        0.05,
        reported,
        SHORT,
        verbs_of("saying"),
        [present, past],
        SHORT,
        ACTIONS,
        tensed_settings(MODALS, fronted=(False,)),
    ),
    "conditional": SentenceTemplate(0.06, conditional, SHORT, ACTIONS, SHORT, ACTIONS, [present, MODALS]),
    "coordinated": SentenceTemplate(0.03, coordinated, SHORT, ACTIONS, SETTINGS, SHORT, ACTIONS),
    "relative subject": SentenceTemplate(0.05, relative_subject, PERSONS, ACTIONS, ACTIONS, TENSES),
    "relative object": SentenceTemplate(
        0.03,
        relative_object,
        SHORT,
        verbs_named("sell", "find", "need"),
        OBJECTS,
        SHORT,
        verbs_named("buy", "forget"),
        [past, perfect, MODALS],
    ),
}
