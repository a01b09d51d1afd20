"""Terms of a glossary and protected spans: where they are in a source line, on paper."""

import pytest

from seq2seq.errors import ConfigError, DataError
from seq2seq.runtime.glossary import Glossary, Term, find_terms
from tests.each import each

GLOSSARY = Glossary({"dog": "Köter", "hot dog": "Würstchen", "C++": "C++", "東京": "Tokyo", "AI": "KI", "Dog": "Wau"})

LINES = {  # line -> target terms
    "a dog and a dog": ["Köter", "Köter"],
    "dogs , hotdog , dog_ , dog2 , édog": [],
    "(dog). dog-like 'dog'": ["Köter"] * 3,
    "the longest: hot dog dog": ["Würstchen", "Köter"],
    "case counts: Dog DOG dog": ["Wau", "Köter"],
    "C++ C+ xC++ C++ .": ["C++", "C++"],
    "東京タワーはAIです": ["Tokyo", "KI"],
    "dog": ["Köter"],
    "": [],
}


@each("line", LINES)
def test_terms_of_a_glossary_are_whole_words(line: str) -> None:
    assert find_terms(line, GLOSSARY) == (line, [Term(text) for text in LINES[line]], len(LINES[line]))


SPANS = {  # kinds, line -> line without marks, spans
    ("marks", "see ⟦X 1⟧, ⟦⟧⟦ ⟧ x⟦y⟧ ⟦a ⟦b⟧"): ("see X 1,   xy ⟦a b", ["X 1", "y", "b"]),
    ("urls", "(www.a-b.org/c?d=e&f), https://x.y/z. ⟦http://⟧ xhttp://a.b"): (
        "(www.a-b.org/c?d=e&f), https://x.y/z. ⟦http://⟧ xhttp://a.b",
        ["www.a-b.org/c?d=e&f", "https://x.y/z"],
    ),
    ("urls", "write to a.b+c@d-e.co.uk, or @me a@b"): ("write to a.b+c@d-e.co.uk, or @me a@b", ["a.b+c@d-e.co.uk"]),
    ("numbers", "3, 4.5 and 1,000.00 on 2016-05-04 at 10:30. 2nd x3 3D"): (
        "3, 4.5 and 1,000.00 on 2016-05-04 at 10:30. 2nd x3 3D",
        ["3", "4.5", "1,000.00", "2016-05-04", "10:30"],
    ),
    ("numbers", "1.5km 3,000m 10:30am v1.2 2.0.1b 5-7x 1/2x No.5 3D-7 ٣.٤km 1.5-2.5"): (
        "1.5km 3,000m 10:30am v1.2 2.0.1b 5-7x 1/2x No.5 3D-7 ٣.٤km 1.5-2.5",
        ["5", "7", "1.5-2.5"],
    ),
    ("urls", "HTTPS://EXAMPLE.ORG Www.example.org Ftp://a +a.b@c.de, -@- a@b. (x@y.z)"): (
        "HTTPS://EXAMPLE.ORG Www.example.org Ftp://a +a.b@c.de, -@- a@b. (x@y.z)",
        ["HTTPS://EXAMPLE.ORG", "Www.example.org", "Ftp://a", "+a.b@c.de", "x@y.z"],
    ),
    ("marks", "a ⟦ Kvik ⟧ b"): ("a  Kvik  b", ["Kvik"]),
    ("numbers", "今年は2016年です"): ("今年は2016年です", ["2016"]),
    ("numbers,urls,marks", "⟦7 of⟧ www.x.de/8 9"): ("7 of www.x.de/8 9", ["7 of", "www.x.de/8", "9"]),
    ("marks,numbers", "⟦a ⟧⟦ b⟧⟦⟧c 7"): ("a  bc 7", ["a", "b", "7"]),
    ("marks", "www.x.de/8 9"): ("www.x.de/8 9", []),
}


@each("kinds, line", SPANS)
def test_protected_spans(kinds: str, line: str) -> None:
    text, spans = SPANS[kinds, line]
    found = find_terms(line, None, kinds.split(","))
    assert (found.line, [term.text for term in found.terms], found.of_glossary) == (text, spans, 0)


def test_glossary_and_spans_are_in_the_order_of_the_line_and_do_not_overlap() -> None:
    line, terms, of_glossary = find_terms("dog ⟦hot dog⟧ (7) dog-7 ⟦x⟧dog", GLOSSARY, ["marks", "numbers"])
    assert line == "dog hot dog (7) dog-7 xdog"
    assert terms == [Term("Köter"), Term("hot dog"), Term("7", "("), Term("Köter"), Term("7", "-"), Term("x")]
    assert of_glossary == 2
    beside = find_terms("⟦x.⟧dog⟦-y⟧", GLOSSARY, ["marks"])
    assert [term.text for term in beside.terms] == ["x.", "Köter", "-y"]
    assert find_terms("⟦dog⟧", GLOSSARY) == ("⟦dog⟧", [Term("Köter")], 1)
    with pytest.raises(ConfigError, match="protect='mark' is unknown"):
        find_terms("a", None, ["mark"])


FOLLOWS = {  # line -> what each span is joined to
    "abc⟦X⟧ 7⟦X⟧ 是⟦X⟧ (⟦X⟧ -⟦X⟧ ⟦X⟧": ["", "", "", "(", "-", ""],
    "⟦ X⟧(⟦ X⟧(⟦\tX⟧": ["", "", ""],
    "a⟦X1⟧⟦Y⟧": ["", "1"],  # a span and the next
}


@each("line", FOLLOWS)
def test_spans_are_joined_to_signs_and_to_each_other_but_not_to_words(line: str) -> None:
    assert [term.follows for term in find_terms(line, None, ["marks"]).terms] == FOLLOWS[line]


ADVERSARIAL = ["-", "a", "1", "1.", "1,1x", "a@", "a.", "@", "www.", "http://", "http://.", "⟦", "⟧", "⟦ ", "a@b", "是"]


def test_time_is_linear_in_the_length_of_a_line() -> None:
    """A line that took minutes with patterns that begin anew within what they have read."""
    for part in ADVERSARIAL:
        for end in ("", "x", "@", "."):
            find_terms(part * (100_000 // len(part)) + end, None, ["marks", "urls", "numbers"])


def test_glossary_is_read_from_lines() -> None:
    lines = ["# a comment", "", "dog\tKöter", " hot dog \t Würstchen ", "dog\tKöter", "  "]
    assert Glossary.parse(lines, "g.tsv").entries == {"dog": "Köter", "hot dog": "Würstchen"}


BAD = {
    "dog Hund": r"g.tsv:2: 'dog Hund' is not a source term, a tab, and a target term",
    "dog\tHund\tKöter": "g.tsv:2: .* is not a source term",
    "dog\t ": "g.tsv:2: .* is not a source term",
    "\tHund": "g.tsv:2: .* is not a source term",
    "cat\tKater": "g.tsv:2: 'cat' is translated as 'Katze' in a line before",
}


@each("line", BAD)
def test_bad_lines_of_a_glossary_are_named(line: str) -> None:
    with pytest.raises(DataError, match=BAD[line]):
        Glossary.parse(["cat\tKatze", line], "g.tsv")
