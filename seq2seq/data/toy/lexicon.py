"""The lexicon of the toy corpus: English words, their German translations and how both inflect."""

from itertools import product
from typing import NamedTuple

MASCULINE, FEMININE, NEUTER, PLURAL = range(4)  # columns of every table of endings
NOMINATIVE, ACCUSATIVE, DATIVE = range(3)  # rows of every table of endings
FIRST, SECOND, THIRD, MANY = range(4)  # I, you, he/she/it, we/they: columns of every conjugation
Endings = tuple[tuple[str, ...], ...]  # [case][gender or PLURAL]


class Noun(NamedTuple):
    """A noun in both languages; its `kind` decides which verbs take it."""

    singular: str
    plural: str
    german: str
    german_plural: str
    gender: int
    kind: str
    weak: bool = False  # the n-declension: der Junge, den Jungen

    def inflect(self, case: int, form: int) -> str:
        """The German form in `case`; `form` is the gender, or PLURAL.

        A dative plural ends in n, unless the plural ends in s."""
        if form != PLURAL:
            return self.german_plural if self.weak and case != NOMINATIVE else self.german
        if case == DATIVE and self.german_plural[-1] not in "ns":
            return self.german_plural + "n"
        return self.german_plural


class Verb(NamedTuple):
    """A verb in both languages. English phrasal verbs are written with _; a separable German prefix is kept apart."""

    base: str
    past: str
    perfect: str  # English participle
    infinitive: str
    third: str  # German third person singular, without the prefix
    participle: str
    auxiliary: tuple[str, ...]  # of the German perfect, in four persons
    particle: str  # the separable prefix
    case: int  # of the object
    kinds: tuple[str, ...] = ()  # of nouns that can be the object, or the role of the verb

    def english(self, head: str) -> list[str]:
        """`head`, a form of the first word, and the words that follow it: looks -> looks for."""
        return [head, *self.base.split("_")[1:]]

    def english_present(self, person: int) -> str:
        """The first word of the simple present."""
        head = self.base.split("_")[0]
        if person != THIRD:
            return head
        if head[-1] == "y" and head[-2] not in "aeiou":
            return head[:-1] + "ies"
        return head + ("es" if head.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")

    def german_present(self, person: int) -> str:
        """The finite form without prefix; the second person is derived from the third (gibt, gibst; isst, isst)."""
        stem = self.third[:-1]
        second = self.third if stem[-1] in "sßz" else stem + "st"
        return (self.infinitive[:-2] + "e", second, self.third, self.infinitive)[person]


class Adjective(NamedTuple):
    """An adjective in both languages."""

    english: str
    german: str

    @property
    def stem(self) -> str:
        """The German stem, which takes the endings: müd- of müde."""
        return self.german.removesuffix("e")


class Determiner(NamedTuple):
    """A determiner in both languages."""

    singular: str
    plural: str
    stem: str
    endings: Endings  # of the determiner itself
    adjective: Endings  # of an adjective after it


class Modal(NamedTuple):
    """An auxiliary that takes an infinitive, in four persons of each language."""

    english: tuple[str, ...]
    german: tuple[str, ...]


def _endings(*rows: str) -> Endings:
    return tuple(tuple(ending.strip("-") for ending in row.split()) for row in rows)


_DER = _endings("er ie as ie", "en ie as ie", "em er em en")
_DIESER = _endings("er e es e", "en e es e", "em er em en")
_EIN = _endings("- e - e", "en e - e", "em er em en")
_WEAK = _endings("e e e en", "en e e en", "en en en en")
_MIXED = _endings("er e es en", "en e es en", "en en en en")
STRONG = _endings("er e es e", "en e es e", "em er em en")

THE = Determiner("the", "the", "d", _DER, _WEAK)
THIS = Determiner("this", "these", "dies", _DIESER, _WEAK)
MY = Determiner("my", "my", "mein", _EIN, _MIXED)
OUR = Determiner("our", "our", "unser", _EIN, _MIXED)
A = Determiner("a", "", "ein", _EIN, _MIXED)  # the plural has no determiner
NO = Determiner("", "", "kein", _EIN, _MIXED)  # replaces A under negation

_NOUNS = """
table tables Tisch Tische m furniture             | chair chairs Stuhl Stühle m furniture
lamp lamps Lampe Lampen f furniture               | clock clocks Uhr Uhren f furniture
bed beds Bett Betten n furniture                  | mirror mirrors Spiegel Spiegel m furniture
door doors Tür Türen f opening                    | window windows Fenster Fenster n opening
cupboard cupboards Schrank Schränke m opening     | suitcase suitcases Koffer Koffer m opening
box boxes Kiste Kisten f opening                  | book books Buch Bücher n text
letter letters Brief Briefe m text                | newspaper newspapers Zeitung Zeitungen f text
report reports Bericht Berichte m text            | poem poems Gedicht Gedichte n text
story stories Geschichte Geschichten f text       | apple apples Apfel Äpfel m food
egg eggs Ei Eier n food                           | potato potatoes Kartoffel Kartoffeln f food
banana bananas Banane Bananen f food              | roll rolls Brötchen Brötchen n food
cake cakes Kuchen Kuchen m food                   | coat coats Mantel Mäntel m ware
shirt shirts Hemd Hemden n ware                   | jacket jackets Jacke Jacken f ware
bag bags Tasche Taschen f ware                    | ring rings Ring Ringe m ware
bicycle bicycles Fahrrad Fahrräder n ware         | car cars Auto Autos n ware
camera cameras Kamera Kameras f ware              | picture pictures Bild Bilder n ware
key keys Schlüssel Schlüssel m ware               | man men Mann Männer m person
woman women Frau Frauen f person                  | child children Kind Kinder n person
girl girls Mädchen Mädchen n person               | boy boys Junge Jungen m person weak
teacher teachers Lehrer Lehrer m person           | doctor doctors Arzt Ärzte m person
neighbour neighbours Nachbar Nachbarn m person weak| student students Student Studenten m person weak
friend friends Freund Freunde m person            | sister sisters Schwester Schwestern f person
brother brothers Bruder Brüder m person           | aunt aunts Tante Tanten f person
daughter daughters Tochter Töchter f person       | son sons Sohn Söhne m person
guest guests Gast Gäste m person                  | garden gardens Garten Gärten m inside
kitchen kitchens Küche Küchen f inside            | school schools Schule Schulen f inside
house houses Haus Häuser n inside                 | park parks Park Parks m inside
restaurant restaurants Restaurant Restaurants n inside| library libraries Bibliothek Bibliotheken f inside
office offices Büro Büros n inside                | hotel hotels Hotel Hotels n inside
"""
_MODIFIERS = {"kitchen": "Küchen", "garden": "Garten", "office": "Büro", "school": "Schul", "hotel": "Hotel"}
_HEADS = ("table", "chair", "lamp", "clock", "door", "window", "cupboard")

_VERBS = """
buy bought bought kaufen kauft gekauft haben - acc ware furniture text food
sell sold sold verkaufen verkauft verkauft haben - acc ware furniture text food
look_for looked looked suchen sucht gesucht haben - acc ware text person
find found found finden findet gefunden haben - acc ware text person
need needed needed brauchen braucht gebraucht haben - acc ware furniture text
see saw seen sehen sieht gesehen haben - acc ware furniture person
draw drew drawn zeichnen zeichnet gezeichnet haben - acc ware furniture person
repair repaired repaired reparieren repariert repariert haben - acc furniture opening
clean cleaned cleaned putzen putzt geputzt haben - acc furniture opening
open opened opened machen macht aufgemacht haben auf acc opening
close closed closed machen macht zugemacht haben zu acc opening
write wrote written schreiben schreibt geschrieben haben - acc text
translate translated translated übersetzen übersetzt übersetzt haben - acc text
print printed printed drucken druckt ausgedruckt haben aus acc text
eat ate eaten essen isst gegessen haben - acc food
pack packed packed packen packt eingepackt haben ein acc ware food text
throw_away threw thrown werfen wirft weggeworfen haben weg acc ware food text
bring_along brought brought bringen bringt mitgebracht haben mit acc ware food text
forget forgot forgotten vergessen vergisst vergessen haben - acc ware text
visit visited visited besuchen besucht besucht haben - acc person
call called called rufen ruft angerufen haben an acc person
invite invited invited laden lädt eingeladen haben ein acc person
fetch fetched fetched holen holt abgeholt haben ab acc person
help helped helped helfen hilft geholfen haben - dat person
thank thanked thanked danken dankt gedankt haben - dat person
follow followed followed folgen folgt gefolgt sein - dat person
give gave given geben gibt gegeben haben - acc giving
show showed shown zeigen zeigt gezeigt haben - acc giving
send sent sent schicken schickt geschickt haben - acc giving
lend lent lent leihen leiht geliehen haben - acc giving
travel travelled travelled reisen reist gereist sein - acc motion
fly flew flown fliegen fliegt geflogen sein - acc motion
return returned returned kehren kehrt zurückgekehrt sein zurück acc motion
move moved moved ziehen zieht umgezogen sein um acc motion
sleep slept slept schlafen schläft geschlafen haben - acc rest
work worked worked arbeiten arbeitet gearbeitet haben - acc rest
dance danced danced tanzen tanzt getanzt haben - acc rest
sing sang sung singen singt gesungen haben - acc rest
laugh laughed laughed lachen lacht gelacht haben - acc rest
say said said sagen sagt gesagt haben - acc saying
think thought thought glauben glaubt geglaubt haben - acc saying
hope hoped hoped hoffen hofft gehofft haben - acc saying
"""

HABEN, SEIN = ("habe", "hast", "hat", "haben"), ("bin", "bist", "ist", "sind")


def _noun(english: str, plural: str, german: str, german_plural: str, gender: str, kind: str, weak: str = "") -> Noun:
    return Noun(english, plural, german, german_plural, "mfn".index(gender), kind, bool(weak))


def _compound(modifier: str, head: Noun) -> Noun:
    german = _MODIFIERS[modifier]
    return head._replace(
        singular=f"{modifier} {head.singular}",
        plural=f"{modifier} {head.plural}",
        german=german + head.german.lower(),
        german_plural=german + head.german_plural.lower(),
    )


def _verb(row: str) -> Verb:
    base, past, perfect, infinitive, third, participle, auxiliary, particle, case, kinds = row.split(maxsplit=9)
    taken = {"acc": ACCUSATIVE, "dat": DATIVE}[case]
    helper = {"haben": HABEN, "sein": SEIN}[auxiliary]
    return Verb(
        base, past, perfect, infinitive, third, participle, helper, particle.strip("-"), taken, tuple(kinds.split())
    )


def _adjectives(text: str) -> tuple[Adjective, ...]:
    return tuple(Adjective(*pair.split("=")) for pair in text.split())


def _names(*syllables: str) -> tuple[str, ...]:
    return tuple(map("".join, product(*(choices.split() for choices in syllables))))


NOUNS = {row.split()[0]: _noun(*row.split()) for line in _NOUNS.strip().splitlines() for row in line.split("|")}
COMPOUNDS = {noun.singular: noun for noun in (_compound(m, NOUNS[head]) for m, head in product(_MODIFIERS, _HEADS))}
VERBS = {verb.base: verb for verb in map(_verb, _VERBS.strip().splitlines())}
THING_ADJECTIVES = _adjectives(
    "new=neu old=alt big=groß small=klein red=rot green=grün blue=blau beautiful=schön cheap=billig heavy=schwer"
)
PERSON_ADJECTIVES = _adjectives(
    "young=jung old=alt friendly=freundlich famous=berühmt tired=müde clever=klug poor=arm rich=reich"
)
FITTING = {"person": PERSON_ADJECTIVES, "inside": THING_ADJECTIVES[:8]}  # a kitchen is neither cheap nor heavy

HAVE, BE, DO = ("have", "have", "has", "have"), ("am", "are", "is", "are"), ("do", "do", "does", "do")
CAN = Modal(("can",) * 4, ("kann", "kannst", "kann", "können"))
MUST = Modal(("must",) * 4, ("muss", "musst", "muss", "müssen"))
SHOULD = Modal(("should",) * 4, ("sollte", "solltest", "sollte", "sollten"))
WILL = Modal(("will",) * 4, ("werde", "wirst", "wird", "werden"))
WANT = Modal(("want to", "want to", "wants to", "want to"), ("will", "willst", "will", "wollen"))

# Each unit is written English=German, where _ joins the words of one unit.
PRESENT_TIMES = (
    "today=heute",
    "every=jeden day=Tag",
    "in_the=am evening=Abend",
    "at_the=am weekend=Wochenende",
    "in=im summer=Sommer",
    "in=im winter=Winter",
    "on=am Monday=Montag",
    "on=am Friday=Freitag",
    "on=am Sunday=Sonntag",
)
PAST_TIMES = (
    "yesterday=gestern",
    "last=letzte week=Woche",
    "last=letztes year=Jahr",
    "last=letzten month=Monat",
    "on=am Monday=Montag",
)
FUTURE_TIMES = (
    "tomorrow=morgen",
    "next=nächste week=Woche",
    "next=nächstes year=Jahr",
    "today=heute",
    "on=am Sunday=Sonntag",
)
SMALL_NUMBERS = (
    "two=zwei",
    "three=drei",
    "four=vier",
    "five=fünf",
    "six=sechs",
    "seven=sieben",
    "eight=acht",
    "nine=neun",
    "ten=zehn",
    "eleven=elf",
    "twelve=zwölf",
)
DIGITS = tuple(f"{number}={number}" for number in range(13, 100))
PREPOSITIONS = ("in=in", "behind=hinter", "next_to=neben", "in_front_of=vor")  # of place: with the dative
CONTRACTIONS = {("in", "dem"): "im", ("zu", "dem"): "zum", ("zu", "der"): "zur"}

PEOPLE = _names(
    "Anna Paul Maria Peter Lena Thomas Julia David Sarah Martin Laura Felix Emma Oskar Nina Simon Clara Jonas Eva "
    "Robert Hanna Daniel Sofia Lukas Helga Anton Marta Georg Ida Walter Rosa Erik Vera Hugo Tina Bruno Olga Karl "
    "Greta Moritz"
)
TOWNS = _names(
    "Berlin Hamburg Bremen Dresden Leipzig Frankfurt Stuttgart London Paris Madrid Oslo Boston Chicago Toronto "
    "Dublin Bern Basel Salzburg Graz Bonn Kiel Rostock Potsdam Weimar Jena Amsterdam Budapest Helsinki Denver "
    "Sydney"
)
_ONSETS = "Bal Cor Del Fen Gar Hol Jor Kal Lim Mor Nel Pol Ros Sil Tal Ulm Vin Wes Yol Zan"
RARE_PEOPLE = _names(_ONSETS, "a e i o u", "bin dor fas gan lan mir nas rik ston tek vel wen")
RARE_TOWNS = _names(_ONSETS, "a en er or", "bach burg dal feld ford hafen mont see stad wick")
