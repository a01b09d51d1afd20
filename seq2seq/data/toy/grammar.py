"""How does one derivation become an English sentence, its German translation and the links between their words?

A synchronous grammar: each constituent is built once and yields words in both languages; a rule of German word order
(verb second, verb first, verb final) and one of English then arrange the same constituents. Words that come from the
same unit are linked, so that links follow the words wherever the rules put them. Unlinked are the English
`do`/`does` of questions and negation, and the commas, which are written onto the word before them.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple, Protocol

from seq2seq.data.toy import lexicon as lex
from seq2seq.data.toy.lexicon import Adjective, Determiner, Modal, Noun, Verb


class Word(NamedTuple):
    """A written word and the units it stems from: two words of two languages are linked if they share one."""

    text: str
    units: tuple[object, ...] = ()


class Phrase(NamedTuple):
    """A constituent: its words in both languages, each in its own order."""

    source: tuple[Word, ...] = ()
    target: tuple[Word, ...] = ()

    def __add__(self, other: "Phrase") -> "Phrase":  # type: ignore[override]
        return Phrase(self.source + other.source, self.target + other.target)


EMPTY = Phrase()


def _words(text: Iterable[str], *units: object) -> tuple[Word, ...]:
    return tuple(Word(word, units) for word in text)


def phrase(notation: str) -> Phrase:
    """Units written English=German; _ joins the words of one: `in_the=am evening=Abend`."""
    units = [(object(), *sides) for sides in _parse_notation(notation)]
    source = tuple(Word(word, (unit,)) for unit, english, _ in units for word in english)
    return Phrase(source, tuple(Word(word, (unit,)) for unit, _, german in units for word in german))


@cache
def _parse_notation(notation: str) -> tuple[tuple[list[str], list[str]], ...]:
    pairs = (pair.split("=") for pair in notation.split())
    return tuple((source.split("_"), target.split("_")) for source, target in pairs)


COMMA = Word(",")


class Nominal(Protocol):
    """Whatever can be subject or object."""

    @property
    def person(self) -> int: ...

    def phrase(self, case: int, negation: object = None) -> Phrase:
        """The words in `case`; an indefinite takes the unit `negation` up in its kein."""
        ...


class Name(NamedTuple):
    """A person or a town: the same in both languages and in every case."""

    text: str
    person: int = lex.THIRD

    def phrase(self, case: int, negation: object = None) -> Phrase:
        return phrase(f"{self.text}={self.text}")


class Couple(NamedTuple):
    """Two names joined by and; plural."""

    first: str
    second: str
    person: int = lex.MANY

    def phrase(self, case: int, negation: object = None) -> Phrase:
        return phrase(f"{self.first}={self.first} and=und {self.second}={self.second}")


class Pronoun(NamedTuple):
    """A pronoun: English subject and object form, German nominative, accusative and dative."""

    english: tuple[str, str]
    german: tuple[str, str, str]
    person: int

    def phrase(self, case: int, negation: object = None) -> Phrase:
        return phrase(f"{self.english[case != lex.NOMINATIVE]}={self.german[case]}")


class NounPhrase(NamedTuple):
    """Determiner or number, adjective, noun. A plural of `lex.A` without a number has neither; a number is English=German."""

    determiner: Determiner
    adjective: Adjective | None
    noun: Noun
    plural: bool = False
    number: str = ""

    @property
    def person(self) -> int:
        return lex.MANY if self.plural else lex.THIRD

    @property
    def form(self) -> int:
        return lex.PLURAL if self.plural else self.noun.gender

    def phrase(self, case: int, negation: object = None) -> Phrase:
        taken = negation if self.determiner is lex.A else None
        endings = lex.STRONG if self.determiner is lex.A and self.plural and not taken else self.determiner.adjective
        built = phrase(self.number) if self.number else self._article(case, taken)
        if self.adjective:
            built += phrase(f"{self.adjective.english}={self.adjective.stem}{endings[case][self.form]}")
        english = self.noun.plural if self.plural else self.noun.singular
        return built + phrase(f"{english.replace(' ', '_')}={self.noun.inflect(case, self.form)}")

    def _article(self, case: int, negation: object) -> Phrase:
        if self.determiner is lex.A and self.plural and not negation:
            return EMPTY
        unit, german = object(), lex.NO if negation else self.determiner
        english = self.determiner.plural if self.plural else self.determiner.singular
        units = (unit, negation) if negation else (unit,)
        return Phrase(_words(english.split(), unit), _words([german.stem + german.endings[case][self.form]], *units))


class Modified(NamedTuple):
    """A noun phrase with a relative clause."""

    head: NounPhrase
    clause: Phrase

    @property
    def person(self) -> int:
        return self.head.person

    def phrase(self, case: int, negation: object = None) -> Phrase:
        return self.head.phrase(case) + self.clause


def prepositional(preposition: str, nominal: Nominal, case: int = lex.DATIVE) -> Phrase:
    """A prepositional phrase; in + dem becomes im, linked to both English words."""
    first, rest = phrase(preposition), nominal.phrase(case)
    pair = (first.target[-1].text, rest.target[0].text)
    if pair not in lex.CONTRACTIONS:
        return first + rest
    merged = Word(lex.CONTRACTIONS[pair], first.target[-1].units + rest.target[0].units)
    return Phrase(first.source + rest.source, (merged, *rest.target[1:]))


class VerbGroup(NamedTuple):
    """The verbal words: in German the finite verb and, at the other end of the bracket, `closing` and prefix."""

    auxiliary: tuple[Word, ...]
    main: tuple[Word, ...]
    finite: Word
    closing: tuple[Word, ...] = ()
    particle: tuple[Word, ...] = ()


Tense = Callable[[Verb, int, bool], VerbGroup]  # verb, person of the subject, does English need an auxiliary?


def present(verb: Verb, person: int, support: bool) -> VerbGroup:
    """opens - macht ... auf; `do` is linked to nothing."""
    unit = object()
    head = verb.base.split("_")[0] if support else verb.english_present(person)
    finite = Word(verb.german_present(person), (unit,))
    return VerbGroup(
        _words([lex.DO[person]] * support),
        _words(verb.english(head), unit),
        finite,
        (),
        _words(verb.particle.split(), unit),
    )


def past(verb: Verb, person: int, support: bool) -> VerbGroup:
    """opened - hat ... aufgemacht; both are linked to the one English word, to `did` the auxiliary alone."""
    helper, unit = object(), object()
    finite = Word(verb.auxiliary[person], (helper,) if support else (unit,))
    main = _words(verb.english(verb.base.split("_")[0] if support else verb.past), unit)
    return VerbGroup(_words(["did"] * support, helper), main, finite, _words([verb.participle], unit))


def perfect(verb: Verb, person: int, support: bool) -> VerbGroup:
    """has opened - hat ... aufgemacht."""
    helper, unit = object(), object()
    finite = Word(verb.auxiliary[person], (helper,))
    return VerbGroup(
        _words([lex.HAVE[person]], helper),
        _words(verb.english(verb.perfect), unit),
        finite,
        _words([verb.participle], unit),
    )


def modal(forms: Modal) -> Tense:
    """can open - kann ... aufmachen."""

    def tense(verb: Verb, person: int, support: bool) -> VerbGroup:
        helper, unit = object(), object()
        main = _words(verb.english(verb.base.split("_")[0]), unit)
        closing = _words([verb.particle + verb.infinitive], unit)
        return VerbGroup(
            _words(forms.english[person].split(), helper), main, Word(forms.german[person], (helper,)), closing
        )

    return tense


def copula(verb: Verb, person: int, support: bool) -> VerbGroup:
    """is - ist; the verb is not asked."""
    unit = object()
    return VerbGroup(_words([lex.BE[person]], unit), (), Word(lex.SEIN[person], (unit,)))


class Clause(NamedTuple):
    """The constituents of one clause, not yet in any order."""

    subject: Phrase
    verb: VerbGroup
    objects: Phrase = EMPTY
    pronoun: Phrase = EMPTY  # an object that German moves in front of all but the subject
    time: Phrase = EMPTY
    place: Phrase = EMPTY
    complement: Phrase = EMPTY  # goal of a motion, predicative adjective: last before the end of the bracket
    negation: Phrase = EMPTY

    def _tail(self) -> tuple[Word, ...]:
        return self.pronoun.source + self.objects.source + self.complement.source + self.place.source + self.time.source

    def _middle(self) -> tuple[Word, ...]:
        fields = (self.pronoun, self.time, self.place, self.objects, self.negation, self.complement)
        return tuple(word for field in fields for word in field.target)

    def _english(self) -> tuple[Word, ...]:
        auxiliary = self.verb.auxiliary + self.negation.source
        if [word.text for word in auxiliary] == ["can", "not"]:
            auxiliary = (Word("cannot", auxiliary[0].units + auxiliary[1].units),)
        return self.subject.source + auxiliary + self.verb.main + self._tail()

    def main(self, front: Phrase = EMPTY) -> Phrase:
        """A statement: German has the verb second, so that the subject gives way to whatever is fronted."""
        first, after = (front, self.subject) if front.target else (self.subject, EMPTY)
        target = (
            *first.target,
            self.verb.finite,
            *after.target,
            *self._middle(),
            *self.verb.closing,
            *self.verb.particle,
        )
        return Phrase(front.source + self._english(), target)

    def question(self, front: Phrase = EMPTY) -> Phrase:
        """Both languages invert, after a question word if there is one; the verb group must have its auxiliary."""
        source = front.source + self.verb.auxiliary + self.subject.source + self.verb.main + self._tail()
        end = (*self._middle(), *self.verb.closing, *self.verb.particle)
        return Phrase(source, (*front.target, self.verb.finite, *self.subject.target, *end))

    def subordinate(self, opener: Phrase = EMPTY) -> Phrase:
        """A German subordinate clause has the finite verb last, written as one with its prefix."""
        finite = self.verb.finite._replace(
            text="".join(word.text for word in self.verb.particle) + self.verb.finite.text
        )
        target = (*opener.target, *self.subject.target, *self._middle(), *self.verb.closing, finite)
        return Phrase(opener.source + self._english(), target)


def clause(subject: Nominal, verb: Verb, tense: Tense, objects: tuple[tuple[Nominal, int], ...] = (), time: Phrase = EMPTY,
           place: Phrase = EMPTY, complement: Phrase = EMPTY, negated: bool = False, inverted: bool = False) -> Clause:  # fmt: skip
    """Build the constituents. `objects` are nominals and their cases; `inverted` if it is to be a question. Negated, an
    indefinite object says kein, and nothing says nicht."""
    unit = object() if negated else None
    indefinite = any(isinstance(nominal, NounPhrase) and nominal.determiner is lex.A for nominal, _ in objects)
    negation = Phrase(_words(["not"] * negated, unit), _words(["nicht"] * (negated and not indefinite), unit))
    group = tense(verb, subject.person, negated or inverted)
    full, light = EMPTY, EMPTY
    for nominal, case in objects:
        if isinstance(nominal, Pronoun):
            light += nominal.phrase(case)
        else:
            full += nominal.phrase(case, unit)
    return Clause(subject.phrase(lex.NOMINATIVE), group, full, light, time, place, complement, negation)
