"""A synchronous grammar: one derivation yields an English sentence, its German translation and their word links.

Each constituent is built once and yields words in both languages; a rule of German word order (verb second, verb first,
verb final) and one of English then arrange the same constituents. Words that come from the same unit are linked, so
that links follow the words wherever the rules put them. Unlinked are the English `do`/`does` of questions and negation;
commas are written onto the word before them.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple, Protocol

from seq2seq.data.toy import lexicon as lex
from seq2seq.data.toy.lexicon import Adjective, Determiner, Modal, Noun, Verb


class Word(NamedTuple):
    """A written word and the units it comes from: words of the two languages are linked if they share a unit."""

    text: str
    units: tuple[object, ...] = ()


class Phrase(NamedTuple):
    """A constituent: its words in both languages, each in its own order."""

    source: tuple[Word, ...] = ()
    target: tuple[Word, ...] = ()

    def __add__(self, other: "Phrase") -> "Phrase":  # type: ignore[override]
        """The words of both phrases, one phrase after the other in each language."""
        return Phrase(self.source + other.source, self.target + other.target)


EMPTY = Phrase()


def _words(text: Iterable[str], *units: object) -> tuple[Word, ...]:
    return tuple(Word(word, units) for word in text)


def phrase(notation: str) -> Phrase:
    """A phrase from units written English=German, where _ joins the words of one unit: `in_the=am evening=Abend`."""
    units = [(object(), *sides) for sides in _parse_notation(notation)]
    source = tuple(Word(word, (unit,)) for unit, english, _ in units for word in english)
    return Phrase(source, tuple(Word(word, (unit,)) for unit, _, german in units for word in german))


@cache
def _parse_notation(notation: str) -> tuple[tuple[list[str], list[str]], ...]:
    pairs = (pair.split("=") for pair in notation.split())
    return tuple((source.split("_"), target.split("_")) for source, target in pairs)


COMMA = Word(",")


class Nominal(Protocol):
    """What can be a subject or an object."""

    @property
    def person(self) -> int:
        """The person that a verb agrees with: a column of the conjugations in `lexicon`."""
        ...

    def phrase(self, case: int, negation: object = None) -> Phrase:
        """The words in `case`; an indefinite noun phrase absorbs the unit `negation` (not a = kein)."""
        ...


class Name(NamedTuple):
    """The name of a person or a town: the same in both languages and in every case."""

    text: str
    person: int = lex.THIRD

    def phrase(self, case: int, negation: object = None) -> Phrase:
        return phrase(f"{self.text}={self.text}")


class Couple(NamedTuple):
    """Two names joined by `and`; plural."""

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
    """Determiner or number, adjective, noun.

    The plural of `lex.A` has no determiner; a number is written English=German."""

    determiner: Determiner
    adjective: Adjective | None
    noun: Noun
    plural: bool = False
    number: str = ""

    @property
    def person(self) -> int:
        """MANY in the plural, else THIRD."""
        return lex.MANY if self.plural else lex.THIRD

    @property
    def form(self) -> int:
        """The column of the tables of endings: the gender, or PLURAL."""
        return lex.PLURAL if self.plural else self.noun.gender

    def phrase(self, case: int, negation: object = None) -> Phrase:
        indefinite = self.determiner is lex.A
        absorbed = negation if indefinite else None
        endings = lex.STRONG if indefinite and self.plural and not absorbed else self.determiner.adjective
        built = phrase(self.number) if self.number else self._article(case, absorbed)
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
        """That of the head."""
        return self.head.person

    def phrase(self, case: int, negation: object = None) -> Phrase:
        return self.head.phrase(case) + self.clause


def prepositional(preposition: str, nominal: Nominal, case: int = lex.DATIVE) -> Phrase:
    """A prepositional phrase. in + dem contracts to im, which is linked with both English words."""
    first, rest = phrase(preposition), nominal.phrase(case)
    pair = (first.target[-1].text, rest.target[0].text)
    if pair not in lex.CONTRACTIONS:
        return first + rest
    merged = Word(lex.CONTRACTIONS[pair], first.target[-1].units + rest.target[0].units)
    return Phrase(first.source + rest.source, (merged, *rest.target[1:]))


class VerbGroup(NamedTuple):
    """The words of a verb.

    In German the finite verb and, closing the sentence bracket, `closing` and the separable prefix."""

    auxiliary: tuple[Word, ...]
    main: tuple[Word, ...]
    finite: Word
    closing: tuple[Word, ...] = ()
    particle: tuple[Word, ...] = ()


Tense = Callable[[Verb, int, bool], VerbGroup]  # verb, person of the subject, whether English needs an auxiliary


def present(verb: Verb, person: int, support: bool) -> VerbGroup:
    """opens - macht ... auf; does open - macht ... auf, where `does` has no link."""
    unit = object()
    head = verb.base.split("_")[0] if support else verb.english_present(person)
    auxiliary = _words([lex.DO[person]]) if support else ()
    finite = Word(verb.german_present(person), (unit,))
    return VerbGroup(auxiliary, _words(verb.english(head), unit), finite, (), _words(verb.particle.split(), unit))


def past(verb: Verb, person: int, support: bool) -> VerbGroup:
    """opened - hat ... aufgemacht, both linked with the English word; did open - hat ... aufgemacht, one link each."""
    helper, unit = object(), object()
    auxiliary = _words(["did"], helper) if support else ()
    main = _words(verb.english(verb.base.split("_")[0] if support else verb.past), unit)
    finite = Word(verb.auxiliary[person], (helper,) if support else (unit,))
    return VerbGroup(auxiliary, main, finite, _words([verb.participle], unit))


def perfect(verb: Verb, person: int, support: bool) -> VerbGroup:
    """has opened - hat ... aufgemacht."""
    helper, unit = object(), object()
    auxiliary, main = _words([lex.HAVE[person]], helper), _words(verb.english(verb.perfect), unit)
    return VerbGroup(auxiliary, main, Word(verb.auxiliary[person], (helper,)), _words([verb.participle], unit))


def modal(forms: Modal) -> Tense:
    """can open - kann ... aufmachen: the tense of a modal verb."""

    def tense(verb: Verb, person: int, support: bool) -> VerbGroup:
        helper, unit = object(), object()
        auxiliary = _words(forms.english[person].split(), helper)
        main = _words(verb.english(verb.base.split("_")[0]), unit)
        closing = _words([verb.particle + verb.infinitive], unit)
        return VerbGroup(auxiliary, main, Word(forms.german[person], (helper,)), closing)

    return tense


def copula(verb: Verb, person: int, support: bool) -> VerbGroup:
    """is - ist, whatever the verb."""
    unit = object()
    return VerbGroup(_words([lex.BE[person]], unit), (), Word(lex.SEIN[person], (unit,)))


class Clause(NamedTuple):
    """The constituents of one clause, before they are put in order."""

    subject: Phrase
    verb: VerbGroup
    objects: Phrase = EMPTY
    pronoun: Phrase = EMPTY  # an object that German puts in front of all but the subject
    time: Phrase = EMPTY
    place: Phrase = EMPTY
    complement: Phrase = EMPTY  # goal of a motion or predicative adjective: last inside the German sentence bracket
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
        """A statement. German has the verb second, so that the subject follows it when something else is fronted."""
        first, after = (front, self.subject) if front.target else (self.subject, EMPTY)
        end = (*self._middle(), *self.verb.closing, *self.verb.particle)
        return Phrase(front.source + self._english(), (*first.target, self.verb.finite, *after.target, *end))

    def question(self, front: Phrase = EMPTY) -> Phrase:
        """A question: both languages invert, after the question word `front` if there is one.

        The verb needs its auxiliary."""
        source = front.source + self.verb.auxiliary + self.subject.source + self.verb.main + self._tail()
        end = (*self._middle(), *self.verb.closing, *self.verb.particle)
        return Phrase(source, (*front.target, self.verb.finite, *self.subject.target, *end))

    def subordinate(self, opener: Phrase = EMPTY) -> Phrase:
        """A subordinate clause. German has the finite verb last, written together with its prefix."""
        prefix = "".join(word.text for word in self.verb.particle)
        finite = self.verb.finite._replace(text=prefix + self.verb.finite.text)
        target = (*opener.target, *self.subject.target, *self._middle(), *self.verb.closing, finite)
        return Phrase(opener.source + self._english(), target)


def clause(
    subject: Nominal,
    verb: Verb,
    tense: Tense,
    objects: tuple[tuple[Nominal, int], ...] = (),
    *,
    time: Phrase = EMPTY,
    place: Phrase = EMPTY,
    complement: Phrase = EMPTY,
    negated: bool = False,
    inverted: bool = False,
) -> Clause:
    """Build the constituents of a clause. `objects` are nominals with their cases; `inverted` if it will be a question.

    Negation is nicht, unless an object is indefinite: then it is kein in that object."""
    unit = object() if negated else None
    indefinite = any(isinstance(nominal, NounPhrase) and nominal.determiner is lex.A for nominal, _ in objects)
    negation = EMPTY
    if negated:
        negation = Phrase(_words(["not"], unit), () if indefinite else _words(["nicht"], unit))
    group = tense(verb, subject.person, negated or inverted)
    full, light = EMPTY, EMPTY
    for nominal, case in objects:
        if isinstance(nominal, Pronoun):
            light += nominal.phrase(case)
        else:
            full += nominal.phrase(case, unit)
    return Clause(subject.phrase(lex.NOMINATIVE), group, full, light, time, place, complement, negation)


class TranslationExample(NamedTuple):
    """Raw text in both languages and the word links between them."""

    source: str
    target: str
    alignment: tuple[tuple[int, int], ...]  # (source word, target word), white-space words counted from 0, sorted


def sentence(built: Phrase, stop: str = ".") -> TranslationExample:
    """Write a phrase as a sentence.

    Commas and `stop` join the word before them, `a` becomes `an` before a vowel, the first letter is a capital."""
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
