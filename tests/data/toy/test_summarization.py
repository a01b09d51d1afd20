"""Is the corpus of reports reproducible, has each report one right summary, and must its names be copied?"""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable

import pytest

from seq2seq.data.toy import summarization
from seq2seq.data.toy.summarization import (
    DISTRACTORS,
    FACTS,
    TEMPLATES,
    NewsCorpus,
    NewsExample,
    draw_facts,
    generate_report,
    generate_summaries,
)
from seq2seq.errors import ConfigError

FIELDS, WORD = re.compile(r"\{(\w+)\}"), "[A-Za-z0-9]+"


@pytest.fixture(scope="module")
def corpus() -> NewsCorpus:
    return generate_summaries(2500, dev=250, test=250)


def everything(corpus: NewsCorpus) -> list[NewsExample]:
    return [example for part in corpus for example in part]


def name_like(word: str) -> bool:
    return (
        any(
            word.endswith(ending)
            for kind in (summarization.PEOPLE, summarization.TOWNS, summarization.FIRMS)
            for ending in kind.endings
        )
        and word[0].isupper()
    )


def test_the_same_corpus_for_the_same_seed_whatever_the_hash_seed(digests: Callable[..., list[str]]) -> None:
    here = hashlib.sha256(repr(tuple(generate_summaries(300, seed=3, dev=20, test=20))).encode()).hexdigest()
    assert digests("seq2seq.data.toy.summarization", "tuple(generate_summaries(300, seed=3, dev=20, test=20))") == [
        here,
        here,
    ]
    assert generate_summaries(300, seed=4).train != generate_summaries(300, seed=3).train


def test_as_many_as_asked_and_no_source_twice(corpus: NewsCorpus) -> None:
    assert [len(part) for part in corpus] == [2500, 250, 250]
    assert len({example.source for example in everything(corpus)}) == 3000
    with pytest.raises(ConfigError, match=r"^data\.pairs=1000001 .* at most 1000000$"):
        generate_summaries(1_000_001)


@pytest.mark.parametrize("kind", TEMPLATES.values(), ids=TEMPLATES)
def test_templates_name_facts_that_there_are(kind: summarization.NewsTemplate) -> None:
    """Every fact of the summary stands in each wording of exactly one event, and nowhere beside."""
    matter = set(FIELDS.findall(kind.summary))
    homes = [[set(FIELDS.findall(wording)) for wording in wordings] for wordings in kind.events]
    for event in homes:
        needed = [wording & matter for wording in event]
        assert needed[0]
        assert all(wording == needed[0] for wording in needed), "a wording leaves out what another says"
        assert all(wording <= kind.facts.keys() for wording in event)
    counts = Counter(fact for event in homes for fact in event[0] & matter)
    assert counts == dict.fromkeys(matter, 1)
    for template in (*kind.distractors, *DISTRACTORS):
        assert set(FIELDS.findall(template)) <= FACTS.keys()
        assert not any(template in wordings for wordings in kind.events)


@pytest.mark.parametrize("kind", TEMPLATES.values(), ids=TEMPLATES)
def test_the_summary_is_a_function_of_the_report(kind: summarization.NewsTemplate) -> None:
    """What matters is found again in the report by its templates alone, and gives the summary."""
    rng = random.Random(5)
    for _ in range(60):
        example = generate_report(kind, rng)
        found: dict[str, str] = {}
        text = f" {example.source} "
        for wordings in kind.events:
            matches = sorted(
                (m for wording in wordings if (m := re.search(pattern(wording), text))), key=re.Match.start
            )
            assert matches, example.source
            found |= matches[0].groupdict()
            text = text[matches[0].end() - 2 :]  # events keep their order
        assert kind.summary.format(**found) == example.target


def pattern(wording: str) -> str:
    """A template as a regular expression that matches whole sentences; a fact is a word, or several as `A , B and
    C`."""
    parts = FIELDS.split(wording)
    words = (f"(?P<{part}>{WORD}(?:(?: ,| and) {WORD})*)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    return r"(?:(?<=^ )|(?<=\. ))" + "".join(words) + "(?= )"


def test_facts_of_a_report_differ() -> None:
    rng = random.Random(2)
    few = {name: summarization.one_of("a b c") for name in ("x", "y", "z")}
    assert all(sorted(draw_facts(few, rng).values()) == ["a", "b", "c"] for _ in range(50))


def test_text_is_words_with_white_space_between(corpus: NewsCorpus) -> None:
    lengths = []
    for source, target in everything(corpus):
        lengths.append(len(source.split()))
        assert len(source.split()) > 1.3 * len(target.split())
        for side in (source, target):
            assert side == " ".join(side.split())
            assert re.fullmatch(r"([A-Za-z]+|[0-9]+|[.,:\"])( ([A-Za-z]+|[0-9]+|[.,:\"]))*", side), side
        assert source.endswith(" .")
        assert 3 <= source.count(" .") <= 7
    assert 33 < sum(lengths) / len(lengths) < 41
    assert max(lengths) < 70


def test_names_and_numbers_of_a_summary_stand_in_its_report(corpus: NewsCorpus) -> None:
    for source, target in everything(corpus):
        words = set(source.split())
        for word in target.split():
            assert word in words or not (name_like(word) or word.isdigit()), (word, source)


def test_most_names_of_the_test_set_can_only_be_copied(corpus: NewsCorpus) -> None:
    trained = {word for example in corpus.train for word in f"{example.source} {example.target}".split()}
    tested = [word for example in corpus.test for word in example.target.split() if name_like(word)]
    assert sum(word not in trained for word in tested) / len(tested) > 0.9
    words = [word for example in corpus.test for word in example.target.split()]
    assert sum(word not in trained for word in words) / len(words) > 0.2


def test_a_summary_says_more_than_the_report_does(corpus: NewsCorpus) -> None:
    """Rewording: some words of most summaries are not in the report; selection: what matters has no place of its
    own."""
    reworded = sum(not set(example.target.split()) <= set(example.source.split()) for example in corpus.test)
    assert reworded / len(corpus.test) > 0.6
    first = Counter[bool]()
    for source, target in corpus.test:
        opening = source.split(" . ")[0].split()
        first[any(word in opening for word in target.split() if name_like(word))] += 1
    assert 0.25 < first[True] / len(corpus.test) < 0.75


def test_every_kind_comes_about_equally_often(corpus: NewsCorpus) -> None:
    marks = {
        "match": "shines",
        "succession": "replaces",
        "accident": "crash",
        "flood": "floods",
        "sale": "buys",
        "race": "gold",
        "opening": "opens",
        "election": "votes",
        "verdict": "gets",
    }
    assert marks.keys() == TEMPLATES.keys()
    for mark in marks.values():
        assert 1 / 14 < sum(mark in example.target.split() for example in corpus.train) / len(corpus.train) < 1 / 6


def test_kinds_of_names_have_nothing_in_common() -> None:
    kinds = (summarization.PEOPLE, summarization.TOWNS, summarization.FIRMS)
    endings = [ending for kind in kinds for ending in kind.endings]
    assert len(set(endings)) == len(endings)
    assert not [(a, b) for a in endings for b in endings if a != b and a.endswith(b)]
    assert all(kind.size > 100_000 for kind in kinds)
    rng = random.Random(1)
    assert len({summarization.PEOPLE.draw(rng) for _ in range(2000)}) > 1950
