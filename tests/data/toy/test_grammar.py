"""Each rule of the toy grammar gives the sentences and links worked out by hand."""

from collections.abc import Callable

import pytest

from seq2seq.data.toy import lexicon as lex
from seq2seq.data.toy import templates
from seq2seq.data.toy.grammar import (
    Couple,
    Name,
    Nominal,
    NounPhrase,
    TranslationExample,
    modal,
    past,
    perfect,
    present,
)
from seq2seq.data.toy.lexicon import COMPOUNDS, NOUNS, VERBS
from seq2seq.data.toy.templates import HE, ME, SHE, YOU, Action, Setting
from seq2seq.data.word_links import format_links
from tests.each import each


def the(
    noun: str, adjective: str = "", determiner: lex.Determiner = lex.THE, plural: bool = False, number: str = ""
) -> NounPhrase:
    found = next((a for a in (*lex.THING_ADJECTIVES, *lex.PERSON_ADJECTIVES) if a.english == adjective), None)
    return NounPhrase(determiner, found, (NOUNS | COMPOUNDS)[noun], plural, number)


def do(verb: str, thing: Nominal) -> Action:
    return Action(VERBS[verb], thing)


ANNA, PAUL = Name("Anna"), Name("Paul")
NOW = Setting(present)
DERIVATIONS: list[tuple[Callable[[], TranslationExample], str, str, str]] = [
    (
        lambda: templates.statement(ANNA, do("open", the("door")), NOW),
        "Anna opens the door.",
        "Anna macht die Tür auf.",
        "0-0 1-1 1-4 2-2 3-3",
    ),
    (
        lambda: templates.statement(
            ANNA, do("buy", the("kitchen table", "old", lex.A)), Setting(past, "yesterday=gestern", True)
        ),
        "Yesterday Anna bought an old kitchen table.",
        "Gestern hat Anna einen alten Küchentisch gekauft.",
        "0-0 1-2 2-1 2-6 3-3 4-4 5-5 6-5",
    ),
    (
        lambda: templates.statement(
            Couple("Anna", "Paul"), do("look_for", the("boy", "tired", lex.MY)), Setting(modal(lex.WANT))
        ),
        "Anna and Paul want to look for my tired boy.",
        "Anna und Paul wollen meinen müden Jungen suchen.",
        "0-0 1-1 2-2 3-3 4-3 5-7 6-7 7-4 8-5 9-6",
    ),
    (
        lambda: templates.negative(ANNA, do("buy", the("car", determiner=lex.A)), NOW),
        "Anna does not buy a car.",
        "Anna kauft kein Auto.",
        "0-0 2-2 3-1 4-2 5-3",
    ),
    (
        lambda: templates.negative(ME, do("call", HE), Setting(modal(lex.CAN), "today=heute", True)),
        "Today I cannot call him.",
        "Heute kann ich ihn nicht anrufen.",
        "0-0 1-2 2-1 2-4 3-5 4-3",
    ),
    (
        lambda: templates.negative(YOU, do("help", the("child", determiner=lex.A, plural=True)), Setting(past)),
        "You did not help children.",
        "Du hast keinen Kindern geholfen.",
        "0-0 1-1 2-2 3-4 4-3",
    ),
    (
        lambda: templates.numbered(
            SHE, VERBS["buy"], the("lamp", "new", lex.A, True), "25=25", Setting(modal(lex.WILL), "tomorrow=morgen")
        ),
        "She will buy 25 new lamps tomorrow.",
        "Sie wird morgen 25 neue Lampen kaufen.",
        "0-0 1-1 2-6 3-3 4-4 5-5 6-2",
    ),
    (
        lambda: templates.giving(
            PAUL, VERBS["give"], the("student", determiner=lex.OUR), the("apple", determiner=lex.A), NOW
        ),
        "Paul gives our student an apple.",
        "Paul gibt unserem Studenten einen Apfel.",
        "0-0 1-1 2-2 3-3 4-4 5-5",
    ),
    (
        lambda: templates.question(
            ANNA, do("throw_away", the("letter", plural=True)), Setting(present, "in_the=am evening=Abend")
        ),
        "Does Anna throw away the letters in the evening?",
        "Wirft Anna am Abend die Briefe weg?",
        "1-1 2-0 2-6 3-0 3-6 4-4 5-5 6-2 7-2 8-3",
    ),
    (
        lambda: templates.question_of("where=wo", PAUL, do("see", ANNA), past),
        "Where did Paul see Anna?",
        "Wo hat Paul Anna gesehen?",
        "0-0 1-1 2-2 3-4 4-3",
    ),
    (
        lambda: templates.question_who(do("close", the("hotel door", "red")), NOW),
        "Who closes the red hotel door?",
        "Wer macht die rote Hoteltür zu?",
        "0-0 1-1 1-5 2-2 3-3 4-4 5-4",
    ),
    (
        lambda: templates.place_first(PAUL, do("eat", the("egg", determiner=lex.A)), "in=in", the("garden"), present),
        "In the garden Paul eats an egg.",
        "Im Garten isst Paul ein Ei.",
        "0-0 1-0 2-1 3-3 4-2 5-4 6-5",
    ),
    (
        lambda: templates.motion(
            PAUL,
            VERBS["return"],
            ("to=nach", Name("Kalenburg")),
            the("teacher", "old"),
            Setting(present, "on=am Monday=Montag", True),
        ),
        "On Monday Paul returns to Kalenburg with the old teacher.",
        "Am Montag kehrt Paul mit dem alten Lehrer nach Kalenburg zurück.",
        "0-0 1-1 2-3 3-2 3-10 4-8 5-9 6-4 7-5 8-6 9-7",
    ),
    (
        lambda: templates.no_motion(HE, VERBS["fly"], ("to=zu", the("sister")), Setting(past)),
        "He did not fly to the sister.",
        "Er ist nicht zur Schwester geflogen.",
        "0-0 1-1 2-2 3-5 4-3 5-3 6-4",
    ),
    (
        lambda: templates.because(
            ANNA, do("need", the("key")), NOW, SHE, do("open", the("box", determiner=lex.MY)), modal(lex.MUST)
        ),
        "Anna needs the key because she must open my box.",
        "Anna braucht den Schlüssel, weil sie meine Kiste aufmachen muss.",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-9 7-8 8-6 9-7",
    ),
    (
        lambda: templates.because_it(ANNA, VERBS["buy"], the("coat", determiner=lex.THIS), SHE, VERBS["need"]),
        "Anna buys this coat because she needs it.",
        "Anna kauft diesen Mantel, weil sie ihn braucht.",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-7 7-6",
    ),
    (
        lambda: templates.described(the("camera"), (lex.THING_ADJECTIVES[0], lex.THING_ADJECTIVES[8])),
        "The camera is not new, but it is cheap.",
        "Die Kamera ist nicht neu, aber sie ist billig.",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-6 7-7 8-8",
    ),
    (
        lambda: templates.conditional(PAUL, do("open", the("window")), ANNA, do("close", the("door")), present),
        "If Paul opens the window, Anna closes the door.",
        "Wenn Paul das Fenster aufmacht, macht Anna die Tür zu.",
        "0-0 1-1 2-4 3-2 4-3 5-6 6-5 6-9 7-7 8-8",
    ),
    (
        lambda: templates.reported(
            PAUL, VERBS["say"], past, ANNA, do("invite", the("aunt", determiner=lex.MY)), Setting(past)
        ),
        "Paul said that Anna invited my aunt.",
        "Paul hat gesagt, dass Anna meine Tante eingeladen hat.",
        "0-0 1-1 1-2 2-3 3-4 4-7 4-8 5-5 6-6",
    ),
    (
        lambda: templates.relative_subject(
            the("man"), do("write", the("poem", determiner=lex.A, plural=True)), do("thank", ANNA), present
        ),
        "The man who writes poems thanks Anna.",
        "Der Mann, der Gedichte schreibt, dankt Anna.",
        "0-0 1-1 2-2 3-4 4-3 5-5 6-6",
    ),
    (
        lambda: templates.relative_object(PAUL, VERBS["sell"], the("ring", "red"), ANNA, VERBS["buy"], perfect),
        "Paul sells the red ring that Anna has bought.",
        "Paul verkauft den roten Ring, den Anna gekauft hat.",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-6 7-8 8-7",
    ),
]


@each(("make", "source", "target", "links"), DERIVATIONS)
def test_derivations_worked_out_by_hand(
    make: Callable[[], TranslationExample], source: str, target: str, links: str
) -> None:
    example = make()
    assert (example.source, example.target, format_links(example.alignment)) == (source, target, links)


@pytest.mark.parametrize(
    ("case", "masculine", "feminine", "neuter", "plural"),
    [
        (lex.NOMINATIVE, "ein alter Mann", "eine alte Frau", "ein altes Kind", "alte Männer"),
        (lex.ACCUSATIVE, "einen alten Mann", "eine alte Frau", "ein altes Kind", "alte Männer"),
        (lex.DATIVE, "einem alten Mann", "einer alten Frau", "einem alten Kind", "alten Männern"),
    ],
)
def test_indefinite_declension(case: int, masculine: str, feminine: str, neuter: str, plural: str) -> None:
    phrases = [
        the("man", "old", lex.A),
        the("woman", "old", lex.A),
        the("child", "old", lex.A),
        the("man", "old", lex.A, True),
    ]
    assert [" ".join(word.text for word in phrase.phrase(case).target) for phrase in phrases] == [
        masculine,
        feminine,
        neuter,
        plural,
    ]


def test_verbs_agree_with_their_subject() -> None:
    written = {
        "eat": "esse isst isst essen",
        "work": "arbeite arbeitest arbeitet arbeiten",
        "clean": "putze putzt putzt putzen",
        "give": "gebe gibst gibt geben",
        "invite": "lade lädst lädt laden",
        "travel": "reise reist reist reisen",
    }
    for base, forms in written.items():
        assert " ".join(VERBS[base].german_present(person) for person in range(4)) == forms
    third = {"fetch": "fetches", "need": "needs", "fly": "flies", "say": "says", "look_for": "looks"}
    assert {base: VERBS[base].english_present(lex.THIRD) for base in third} == third


def test_pronoun_has_the_gender_of_its_noun() -> None:
    pronouns = {lex.MASCULINE: "ihn", lex.FEMININE: "sie", lex.NEUTER: "es"}
    for noun in (NOUNS["coat"], NOUNS["lamp"], NOUNS["book"], COMPOUNDS["school clock"]):
        example = templates.because_it(PAUL, VERBS["buy"], NounPhrase(lex.THE, None, noun), HE, VERBS["need"])
        assert example.target.endswith(f", weil er {pronouns[noun.gender]} braucht.")
