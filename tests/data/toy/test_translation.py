"""The embedded parallel corpus is reproducible and correct in both languages, and its links are gold."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable

import pytest

from seq2seq.data.toy import lexicon as lex
from seq2seq.data.toy import templates
from seq2seq.data.toy.grammar import Name, TranslationExample, past, present
from seq2seq.data.toy.lexicon import VERBS
from seq2seq.data.toy.templates import (
    TEMPLATES,
    Action,
    SentenceTemplate,
    Setting,
    count_choices,
    draw_choice,
)
from seq2seq.data.toy.translation import ToyCorpus, generate_translations, max_sentences
from seq2seq.errors import ConfigError

PRESENT = """
kauft kaufen verkauft verkaufen sucht suchen findet finden braucht brauchen sieht sehen zeichnet zeichnen repariert
reparieren putzt putzen aufmacht aufmachen zumacht zumachen schreibt schreiben übersetzt übersetzen ausdruckt
ausdrucken isst essen einpackt einpacken wegwirft wegwerfen mitbringt mitbringen vergisst vergessen besucht
besuchen anruft anrufen einlädt einladen abholt abholen hilft helfen dankt danken folgt folgen
"""
AUXILIARIES = "hat haben ist sind kann können muss müssen sollte sollten will wollen wird werden"
PREFIXES = {
    "macht": ("auf", "zu"), "ruft": ("an",), "lädt": ("ein",), "holt": ("ab",), "druckt": ("aus",), "packt": ("ein",),
    "wirft": ("weg",), "bringt": ("mit",), "kehrt": ("zurück",), "zieht": ("um",),
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus() -> ToyCorpus:
    return generate_translations(6000, dev=200, test=200)


def all_examples(corpus: ToyCorpus) -> list[TranslationExample]:
    return [example for part in corpus for example in part]


def tokens(text: str) -> list[str]:
    return [word.strip(".,?") for word in text.split()]


def draw(kind: str, count: int = 300) -> list[TranslationExample]:
    rng = random.Random(7)
    return [TEMPLATES[kind].draw(rng) for _ in range(count)]


def test_corpus_depends_on_the_seed_alone(digest: Callable[..., str]) -> None:
    here = hashlib.sha256(repr(tuple(generate_translations(300, seed=3, dev=20, test=20))).encode()).hexdigest()
    assert digest("seq2seq.data.toy.translation", "tuple(generate_translations(300, seed=3, dev=20, test=20))") == here
    assert generate_translations(300, seed=4).train != generate_translations(300, seed=3).train


def test_sizes_are_exact_and_sources_unique(corpus: ToyCorpus) -> None:
    assert [len(part) for part in corpus] == [6000, 200, 200]
    sources = [example.source for example in all_examples(corpus)]
    assert len(set(sources)) == len(sources)


def test_each_source_has_one_translation(corpus: ToyCorpus) -> None:
    """Also across templates, and in any order of drawing."""
    seen: dict[str, str] = {example.source: example.target for example in all_examples(corpus)}
    for name in TEMPLATES:
        for example in draw(name, 200):
            assert seen.setdefault(example.source, example.target) == example.target


def test_links_are_valid_and_cover_all_but_do_support(corpus: ToyCorpus) -> None:
    for source, target, alignment in all_examples(corpus):
        english, german = tokens(source), tokens(target)
        assert list(alignment) == sorted(set(alignment))
        assert all(0 <= i < len(english) and 0 <= j < len(german) for i, j in alignment)
        assert {english[i].lower() for i in set(range(len(english))) - {i for i, _ in alignment}} <= {"do", "does"}
        assert {j for _, j in alignment} == set(range(len(german)))


def test_names_and_digits_are_copied_and_linked_to_themselves(corpus: ToyCorpus) -> None:
    names = {*lex.PEOPLE, *lex.TOWNS, *lex.RARE_PEOPLE, *lex.RARE_TOWNS}
    found = Counter[str]()
    for source, target, alignment in all_examples(corpus):
        german = tokens(target)
        for i, word in enumerate(tokens(source)):
            if word in names or word.isdigit():
                found[word] += 1
                assert [german[j] for k, j in alignment if k == i] == [word]
    rare = {name for name in found if name in {*lex.RARE_PEOPLE, *lex.RARE_TOWNS}}
    assert len(rare) > 200
    assert {*lex.PEOPLE, *lex.TOWNS} <= set(found)
    trained = {word for example in corpus.train for word in tokens(example.source)}
    assert {
        word for example in corpus.test for word in tokens(example.source) if word in names
    } - trained  # some names of the test set are not in the training text


def test_sentences_are_well_formed_and_of_moderate_length(corpus: ToyCorpus) -> None:
    lengths = []
    for source, target, _ in all_examples(corpus):
        lengths += [len(source.split()), len(target.split())]
        for side in (source, target):
            assert side[0].isupper()
            assert side[-1] in ".?"
            assert side == " ".join(side.split())
            assert " ," not in side
            assert ",." not in side
            assert ",," not in side
            assert " a a" not in side
            assert " a e" not in side
            assert " an b" not in side
    assert min(lengths) >= 3
    assert max(lengths) <= 18
    assert 8 <= sum(lengths) / len(lengths) <= 9


@pytest.mark.parametrize(
    ("gender", "nouns"),
    [
        (
            "der den dem",
            "Tisch Stuhl Schrank Brief Apfel Mantel Ring Mann Arzt Freund Gast Küchentisch Büroschrank Garten Park",
        ),
        ("die der", "Lampe Uhr Tür Kiste Zeitung Kartoffel Tasche Frau Schwester Tante Schullampe Hoteltür Bibliothek"),
        ("das dem", "Buch Gedicht Ei Hemd Fahrrad Auto Bild Kind Bett Haus Hotel"),
        ("die den", "Tische Lampen Bücher Briefe Äpfel Männer Frauen Kinder Ringe Hemden Gedichte Küchentische"),
    ],
)
def test_articles_and_adjectives_agree_with_the_gender_of_their_noun(
    corpus: ToyCorpus, gender: str, nouns: str
) -> None:
    """Weak adjectives have -e in the singular of der, die (nominative, accusative) and das, else -en."""
    stems = {
        adjective.stem + ending
        for adjective in (*lex.THING_ADJECTIVES, *lex.PERSON_ADJECTIVES)
        for ending in ("e", "en")
    }
    wanted, seen = set(nouns.split()), Counter[str]()
    for example in all_examples(corpus):
        for number, part in enumerate(example.target.strip(".?").split(", ")):
            words = part.split()[number > 0 :]  # the first word after a comma may be a relative pronoun
            for article, adjective, noun in zip(words, words[1:], [*words[2:], ""], strict=False):
                article = article.lower()
                if article not in ("der", "die", "das", "den", "dem"):
                    continue
                if adjective in wanted:
                    seen[adjective] += 1
                    assert article in gender.split(), example
                elif noun in wanted and adjective in stems:
                    seen[noun] += 1
                    ending_en = (
                        article in ("den", "dem") or gender == "die den" or (gender, article) == ("die der", "der")
                    )
                    assert article in gender.split(), example
                    assert adjective.endswith("en") == ending_en, example
    assert len(seen) > len(wanted) / 2


def test_verb_is_last_in_subordinate_clauses() -> None:
    for kind in ("because", "because it", "reported", "conditional"):
        for example in draw(kind):
            clauses = [part.strip(" .") for part in example.target.split(",")]
            opened = [part for part in clauses if part.lower().split()[0] in ("weil", "dass", "wenn")]
            assert [clause.split()[-1] in f"{PRESENT} {AUXILIARIES}".split() for clause in opened] == [True], example


@pytest.mark.parametrize("kind", ["statement", "negative", "located", "motion"])
def test_verb_is_second_whatever_is_fronted(kind: str) -> None:
    fronted = 0
    for source, target, alignment in draw(kind, 1500):
        english, german = tokens(source), tokens(target)
        for opening in (["Today", "Heute"], ["Tomorrow", "Morgen"], ["Yesterday", "Gestern"]):
            if [english[0], german[0]] == opening and english[1] in lex.PEOPLE and english[2] != "and":
                fronted += 1
                assert german[2] == english[1], target
                assert (1, 2) in alignment, target
    assert fronted > 10


def test_separable_verbs_are_split_in_main_clauses_only(corpus: ToyCorpus) -> None:
    joined = {prefix + verb for verb, prefixes in PREFIXES.items() for prefix in prefixes}
    split = 0
    for example in all_examples(corpus):
        words = tokens(example.target)
        if joined & set(words):
            assert {word.lower() for word in words} & {"weil", "dass", "wenn", "der", "die", "das"}, example
    for example in draw("statement", 1500):
        words = tokens(example.target)
        finite = next((word for word in words if word in PREFIXES), None)
        if finite:
            split += 1
            assert words[-1] in PREFIXES[finite], example
    assert split > 50


def test_bracket_closes_with_participle_or_infinitive() -> None:
    for example in draw("statement", 1000):
        words = tokens(example.target)
        if {"hat", "haben", "habe", "hast"} & set(words[:4]):
            assert words[-1] in {verb.participle for verb in VERBS.values()}, example
        if {"kann", "muss", "wird", "sollte", "können", "werden"} & set(words[:4]):
            assert words[-1].endswith("en"), example


PHENOMENA = {
    "nicht": " nicht ",
    "kein": " kein",
    "question": "?",
    "separated prefix": " auf.",
    "participle": " gekauft.",
    "perfect with sein": " ist ",
    "modal": " kann ",
    "because": ", weil ",
    "that": ", dass ",
    "if": "Wenn ",
    "relative": ", der ",
    "accusative relative": ", den ",
    "contraction": "m Garten",
    "compound": "Küchentisch",
    "dative plural": "Kindern",
    "weak noun": "Studenten",
    "he": " er ",
    "him": " ihn ",
    "coordination": " und ",
    "written number": " drei ",
    "digits": " 37 ",
    "contrast": ", aber ",
}


@pytest.mark.parametrize("phenomenon", PHENOMENA)
def test_every_phenomenon_occurs(corpus: ToyCorpus, phenomenon: str) -> None:
    assert sum(PHENOMENA[phenomenon] in example.target for example in corpus.train) >= 5


def test_too_many_pairs_are_refused_with_the_maximum() -> None:
    with pytest.raises(ConfigError, match=rf"^data\.pairs=1000000000 .* at most {max_sentences() - 1000}$"):
        generate_translations(10**9)
    assert max_sentences() > 100_000


def test_maximum_can_be_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {
        "who": SentenceTemplate(
            1.0,
            templates.question_who,
            [Action(VERBS[verb], Name("Anna")) for verb in ("see", "help", "call", "visit")],
            [Setting(present), Setting(past)],
        )
    }
    monkeypatch.setattr("seq2seq.data.toy.translation.TEMPLATES", small)
    assert max_sentences() == 4
    assert len(generate_translations(4, dev=0, test=0).train) == 4
    with pytest.raises(ConfigError, match="at most 2"):
        generate_translations(3, dev=1, test=1)


def test_choices_are_counted_and_sampled() -> None:
    inner = ["a", "b"]
    choices = [inner, inner, ["c", ["d"]], "e"]
    assert count_choices(choices) == 5
    rng = random.Random(0)
    counts = Counter(draw_choice(rng, choices) for _ in range(4000))
    assert set(counts) == set("abcde")
    assert counts["a"] == pytest.approx(1000, rel=0.2)
    assert counts["d"] == pytest.approx(500, rel=0.2)


def test_shares_sum_to_one_and_are_kept(corpus: ToyCorpus) -> None:
    assert sum(kind.share for kind in TEMPLATES.values()) == pytest.approx(1)
    described = sum(", aber " in example.target for example in all_examples(corpus))
    assert described == round(len(all_examples(corpus)) * TEMPLATES["described"].share)
