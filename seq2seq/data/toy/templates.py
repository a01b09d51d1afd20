"""Sentence templates of the toy corpus: what fills them, how each is composed, and its share of the corpus."""

import random
from collections.abc import Callable
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
    TranslationExample,
    clause,
    copula,
    modal,
    past,
    perfect,
    phrase,
    prepositional,
    present,
    sentence,
)
from seq2seq.data.toy.lexicon import ACCUSATIVE, DATIVE, MANY, VERBS, Adjective, Determiner, Noun, Verb

Choices = list[Any]  # alternatives of equal probability; a list among them is in turn a choice of its alternatives


def draw_choice(rng: random.Random, choices: Choices) -> Any:
    """One of the alternatives, drawn level by level."""
    item = choices[int(rng.random() * len(choices))]
    return draw_choice(rng, item) if isinstance(item, list) else item


def count_choices(choices: Choices) -> int:
    """The number of distinct alternatives; an object that is listed twice, to be drawn more often, counts once."""
    distinct = {id(item): item for item in choices}.values()
    return sum(count_choices(item) if isinstance(item, list) else 1 for item in distinct)


def map_choices(function: Callable[[Any], Any], choices: Choices) -> Choices:
    """`function` of every alternative, at any depth; what is listed twice is listed twice in the result."""
    mapped = {id(item): map_choices(function, item) if isinstance(item, list) else function(item) for item in choices}
    return [mapped[id(item)] for item in choices]


class Action(NamedTuple):
    """A verb and its object."""

    verb: Verb
    object: Nominal

    def clause(self, subject: Nominal, tense: Tense, **more: Any) -> Clause:
        """The clause of a subject that does this; `more` as for `grammar.clause`."""
        return clause(subject, self.verb, tense, ((self.object, self.verb.case),), **more)


class Setting(NamedTuple):
    """A tense, an expression of time that suits it (English=German, or empty), and whether that is fronted."""

    tense: Tense
    time: str = ""
    fronted: bool = False

    def main(self, build: Callable[..., Clause]) -> Phrase:
        """The main clause of the constituents that `build(tense=, time=)` returns, in this setting."""
        time = phrase(self.time)
        return build(tense=self.tense).main(time) if self.fronted else build(tense=self.tense, time=time).main()


def pronoun(english: str, german: str, person: int) -> Pronoun:
    """A pronoun from its cases, separated by spaces."""
    subject, obj = english.split()
    nominative, accusative, dative = german.split()
    return Pronoun((subject, obj), (nominative, accusative, dative), person)


HE, SHE = pronoun("he him", "er ihn ihm", lex.THIRD), pronoun("she her", "sie sie ihr", lex.THIRD)
ME, YOU = pronoun("I me", "ich mich mir", lex.FIRST), pronoun("you you", "du dich dir", lex.SECOND)
WE, THEY = pronoun("we us", "wir uns uns", MANY), pronoun("they them", "sie sie ihnen", MANY)
WHO = pronoun("who whom", "wer wen wem", lex.THIRD)
IT = tuple(pronoun("it it", german, lex.THIRD) for german in ("er ihn ihm", "sie sie ihr", "es es ihm"))  # by gender
RELATIVE = (  # by gender, then plural; in three cases
    ("der", "den", "dem"),
    ("die", "die", "der"),
    ("das", "das", "dem"),
    ("die", "die", "denen"),
)


def without_adjective(noun: Noun, determiners: tuple[Determiner, ...], plural: bool) -> Choices:
    """The noun with each determiner."""
    return [NounPhrase(determiner, None, noun, plural) for determiner in determiners]


def with_adjectives(noun: Noun, determiners: tuple[Determiner, ...], plural: bool) -> Choices:
    """The noun with each determiner, without an adjective twice as often as with one that fits."""
    plain, fitting = without_adjective(noun, determiners, plural), lex.FITTING.get(noun.kind, lex.THING_ADJECTIVES)
    return [plain, plain, [built._replace(adjective=adjective) for built, adjective in product(plain, fitting)]]


def noun_phrases(noun: Noun, determiners: tuple[Determiner, ...] = (lex.THE, lex.A, lex.MY, lex.THIS)) -> Choices:
    """`with_adjectives`, in the singular twice as often as in the plural."""
    singular, plural = (with_adjectives(noun, determiners, number) for number in (False, True))
    return [singular, singular, plural]


def nouns_of(*kinds: str, build: Callable[[Noun], Choices] = noun_phrases) -> Choices:
    """`build` of each noun of these kinds; simple nouns are drawn twice as often as compounds."""
    choices = []
    for kind in kinds:
        simple, compound = (
            [build(noun) for noun in table.values() if noun.kind == kind] for table in (lex.NOUNS, lex.COMPOUNDS)
        )
        choices.append([simple, simple, compound] if compound else simple)
    return choices


def timed_settings(tense: Tense, times: tuple[str, ...], fronted: tuple[bool, ...] = (False, True)) -> Choices:
    """The tense without an expression of time as often as with one."""
    return [[Setting(tense)], [Setting(tense, time, front) for time, front in product(times, fronted)]]


def tensed_settings(modals: list[Tense], fronted: tuple[bool, ...] = (False, True)) -> Choices:
    """Present, past and the `modals`, each with expressions of time that suit it."""
    future = [timed_settings(tense, lex.FUTURE_TIMES, fronted) for tense in modals]
    return [timed_settings(present, lex.PRESENT_TIMES, fronted), timed_settings(past, lex.PAST_TIMES, fronted), future]


def name_choices(common: tuple[str, ...], rare: tuple[str, ...]) -> Choices:
    """Names, one in six of them rare: it occurs in few training sentences, so that a model has to copy it."""
    known = [Name(name) for name in common]
    return [known] * 5 + [[Name(name) for name in rare]]


def actions_of(verb: Verb) -> Choices:
    """The verb with each object that it takes."""
    things = nouns_of(*verb.kinds)
    objects = [things, [HE, SHE, THEY], PEOPLE] if verb.kinds[0] == "person" else things
    return map_choices(partial(Action, verb), objects)


def verbs_named(*bases: str) -> Choices:
    """The verbs with these English base forms."""
    return [VERBS[base] for base in bases]


def verbs_of(kind: str) -> Choices:
    """The verbs that take this kind of object."""
    return [verb for verb in VERBS.values() if kind in verb.kinds]


POLAR = [
    modal(forms) for forms in (lex.CAN, lex.SHOULD, lex.WILL)
]  # "must not" is not "muss nicht", "want to" needs `do`
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


class SentenceTemplate:
    """A kind of sentence: its share of the corpus, the function that composes it, and the choices for each argument."""

    def __init__(self, share: float, compose: Callable[..., TranslationExample], *arguments: Choices) -> None:
        self.share, self.compose, self.arguments = share, compose, arguments

    @cached_property
    def size(self) -> int:
        """The number of derivations."""
        return prod(map(count_choices, self.arguments))

    def draw(self, rng: random.Random) -> TranslationExample:
        """A random derivation."""
        return self.compose(*(draw_choice(rng, choices) for choices in self.arguments))


BOTH_COMMA = Phrase((COMMA,), (COMMA,))


def _be(subject: Nominal, adjective: Adjective, negated: bool = False) -> Clause:
    complement = phrase(f"{adjective.english}={adjective.german}")
    return clause(subject, VERBS["see"], copula, complement=complement, negated=negated)  # `copula` ignores the verb


def _join(first: Phrase, second: Phrase) -> Phrase:
    """Only German has a comma before a subordinate clause."""
    return first + Phrase((), (COMMA,)) + second


def _bracketed(inner: Phrase) -> Phrase:
    """Only German has commas around a relative clause."""
    return Phrase(inner.source, (COMMA, *inner.target, COMMA))


def _pronoun_of(thing: NounPhrase) -> Pronoun:
    """`they`, or `it` with the German gender of the noun."""
    return THEY if thing.plural else IT[thing.noun.gender]


def statement(subject: Nominal, action: Action, setting: Setting) -> TranslationExample:
    """Anna opens the door. - Anna macht die Tür auf."""
    return sentence(setting.main(partial(action.clause, subject)))


def negative(subject: Nominal, action: Action, setting: Setting) -> TranslationExample:
    """Anna does not buy a car. - Anna kauft kein Auto."""
    return sentence(setting.main(partial(action.clause, subject, negated=True)))


def numbered(subject: Nominal, verb: Verb, things: NounPhrase, number: str, setting: Setting) -> TranslationExample:
    """She will buy 25 new lamps. - Sie wird 25 neue Lampen kaufen."""
    return statement(subject, Action(verb, things._replace(number=number)), setting)


def giving(subject: Nominal, verb: Verb, recipient: Nominal, gift: NounPhrase, setting: Setting) -> TranslationExample:
    """Paul gives our student an apple. - Paul gibt unserem Studenten einen Apfel."""
    return sentence(setting.main(partial(clause, subject, verb, objects=((recipient, DATIVE), (gift, ACCUSATIVE)))))


def question(subject: Nominal, action: Action, setting: Setting) -> TranslationExample:
    """Does Anna throw away the letters? - Wirft Anna die Briefe weg?"""
    return sentence(action.clause(subject, setting.tense, time=phrase(setting.time), inverted=True).question(), "?")


def question_of(opener: str, subject: Nominal, action: Action, tense: Tense) -> TranslationExample:
    """Where did Paul see Anna? - Wo hat Paul Anna gesehen?"""
    return sentence(action.clause(subject, tense, inverted=True).question(phrase(opener)), "?")


def question_who(action: Action, setting: Setting) -> TranslationExample:
    """Who closes the red hotel door? - Wer macht die rote Hoteltür zu?"""
    return sentence(action.clause(WHO, setting.tense, time=phrase(setting.time)).main(), "?")


def located(subject: Nominal, verb: Verb, preposition: str, place: NounPhrase, setting: Setting) -> TranslationExample:
    """Paul works in the garden. - Paul arbeitet im Garten."""
    return sentence(setting.main(partial(clause, subject, verb, place=prepositional(preposition, place))))


def place_first(
    subject: Nominal, action: Action, preposition: str, place: NounPhrase, tense: Tense
) -> TranslationExample:
    """In the garden Paul eats an egg. - Im Garten isst Paul ein Ei."""
    return sentence(action.clause(subject, tense).main(prepositional(preposition, place)))


def motion(
    subject: Nominal, verb: Verb, goal: tuple[str, Nominal], companion: Nominal, setting: Setting
) -> TranslationExample:
    """Paul returns to Kalenburg with the teacher. - Paul kehrt mit dem Lehrer nach Kalenburg zurück."""
    goal_phrase, company = prepositional(*goal), prepositional("with=mit", companion)
    return sentence(setting.main(partial(clause, subject, verb, place=company, complement=goal_phrase)))


def no_motion(subject: Nominal, verb: Verb, goal: tuple[str, Nominal], setting: Setting) -> TranslationExample:
    """He did not fly to the sister. - Er ist nicht zur Schwester geflogen."""
    return sentence(setting.main(partial(clause, subject, verb, complement=prepositional(*goal), negated=True)))


def because(
    subject: Nominal, action: Action, setting: Setting, other: Nominal, reason: Action, later: Tense
) -> TranslationExample:
    """Anna needs the key because she opens a box. - Anna braucht den Schlüssel, weil sie eine Kiste aufmacht."""
    effect = setting.main(partial(action.clause, subject))
    return sentence(_join(effect, reason.clause(other, later).subordinate(phrase("because=weil"))))


def because_it(subject: Nominal, verb: Verb, thing: NounPhrase, other: Nominal, reason: Verb) -> TranslationExample:
    """Anna buys this coat because she needs it. - Anna kauft diesen Mantel, weil sie ihn braucht.

    The German pronoun has the gender of the thing."""
    effect = Action(verb, thing).clause(subject, present).main()
    cause = Action(reason, _pronoun_of(thing)).clause(other, present).subordinate(phrase("because=weil"))
    return sentence(_join(effect, cause))


def described(thing: NounPhrase, adjectives: tuple[Adjective, Adjective]) -> TranslationExample:
    """The camera is not new, but it is cheap. - Die Kamera ist nicht neu, aber sie ist billig."""
    first, second = adjectives
    contrast = BOTH_COMMA + phrase("but=aber") + _be(_pronoun_of(thing), second).main()
    return sentence(_be(thing, first, negated=True).main() + contrast)


def reported(
    subject: Nominal, verb: Verb, tense: Tense, other: Nominal, action: Action, setting: Setting
) -> TranslationExample:
    """Paul said that Anna invited my aunt. - Paul hat gesagt, dass Anna meine Tante eingeladen hat."""
    content = action.clause(other, setting.tense, time=phrase(setting.time)).subordinate(phrase("that=dass"))
    return sentence(_join(clause(subject, verb, tense).main(), content))


def conditional(
    subject: Nominal, condition: Action, other: Nominal, action: Action, tense: Tense
) -> TranslationExample:
    """If Paul opens the window, Anna closes the door. - Wenn Paul das Fenster aufmacht, macht Anna die Tür zu.

    The fronted clause takes the first place, so that the German verb follows it."""
    front = condition.clause(subject, present).subordinate(phrase("if=wenn")) + BOTH_COMMA
    return sentence(action.clause(other, tense).main(front))


def coordinated(
    subject: Nominal, action: Action, setting: Setting, other: Nominal, second: Action
) -> TranslationExample:
    """Anna opens the door and Paul closes the window. - Anna macht die Tür auf und Paul macht das Fenster zu."""
    addition = phrase("and=und") + second.clause(other, setting.tense).main()
    return sentence(setting.main(partial(action.clause, subject)) + addition)


def relative_subject(head: NounPhrase, inner: Action, outer: Action, tense: Tense) -> TranslationExample:
    """The man who writes poems thanks Anna. - Der Mann, der Gedichte schreibt, dankt Anna."""
    who = Pronoun(("who", "whom"), RELATIVE[head.form], head.person)
    return sentence(outer.clause(Modified(head, _bracketed(inner.clause(who, tense).subordinate())), present).main())


def relative_object(
    subject: Nominal, verb: Verb, thing: NounPhrase, owner: Nominal, inner: Verb, tense: Tense
) -> TranslationExample:
    """Paul sells the red ring that Anna has bought. - Paul verkauft den roten Ring, den Anna gekauft hat."""
    that = phrase(f"that={RELATIVE[thing.form][ACCUSATIVE]}")
    known = Modified(thing, _bracketed(clause(owner, inner, tense).subordinate(that)))
    return sentence(Action(verb, known).clause(subject, present).main())


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
