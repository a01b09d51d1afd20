"""The embedded reports are reproducible, have one right summary each, and need their names copied."""

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


def all_examples(corpus: NewsCorpus) -> list[NewsExample]:
    return [example for part in corpus for example in part]


def is_name(word: str) -> bool:
    return (
        any(
            word.endswith(ending)
            for names in (summarization.PEOPLE, summarization.TOWNS, summarization.FIRMS)
            for ending in names.endings
        )
        and word[0].isupper()
    )


def test_corpus_depends_on_the_seed_alone(digest: Callable[..., str]) -> None:
    here = hashlib.sha256(repr(tuple(generate_summaries(300, seed=3, dev=20, test=20))).encode()).hexdigest()
    assert digest("seq2seq.data.toy.summarization", "tuple(generate_summaries(300, seed=3, dev=20, test=20))") == here
    assert generate_summaries(300, seed=4).train != generate_summaries(300, seed=3).train


def test_sizes_are_exact_and_sources_unique(corpus: NewsCorpus) -> None:
    assert [len(part) for part in corpus] == [2500, 250, 250]
    assert len({example.source for example in all_examples(corpus)}) == 3000
    with pytest.raises(ConfigError, match=r"^data\.pairs=1000001 .* at most 1000000$"):
        generate_summaries(1_000_001)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_templates_use_their_facts(template: summarization.NewsTemplate) -> None:
    """Every fact of the summary is in each wording of exactly one event, and in no distractor."""
    matter = set(FIELDS.findall(template.summary))
    homes = [[set(FIELDS.findall(wording)) for wording in wordings] for wordings in template.events]
    for event in homes:
        needed = [wording & matter for wording in event]
        assert needed[0]
        assert all(wording == needed[0] for wording in needed), "a wording lacks a fact that another has"
        assert all(wording <= template.facts.keys() for wording in event)
    counts = Counter(fact for event in homes for fact in event[0] & matter)
    assert counts == dict.fromkeys(matter, 1)
    for distractor in (*template.distractors, *DISTRACTORS):
        assert set(FIELDS.findall(distractor)) <= FACTS.keys()
        assert not any(distractor in wordings for wordings in template.events)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_summary_follows_from_the_report(template: summarization.NewsTemplate) -> None:
    """The facts that matter can be found in the report by the templates alone, and give the summary."""
    rng = random.Random(5)
    for _ in range(60):
        example = generate_report(template, rng)
        found: dict[str, str] = {}
        text = f" {example.source} "
        for wordings in template.events:
            matches = sorted(
                (m for wording in wordings if (m := re.search(pattern(wording), text))), key=re.Match.start
            )
            assert matches, example.source
            found |= matches[0].groupdict()
            text = text[matches[0].end() - 2 :]  # events keep their order
        assert template.summary.format(**found) == example.target


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


def test_tokens_are_separated_by_spaces(corpus: NewsCorpus) -> None:
    lengths = []
    for source, target in all_examples(corpus):
        lengths.append(len(source.split()))
        assert len(source.split()) > 1.3 * len(target.split())
        for side in (source, target):
            assert side == " ".join(side.split())
            assert re.fullmatch(r"([A-Za-z]+|[0-9]+|[.,:\"])( ([A-Za-z]+|[0-9]+|[.,:\"]))*", side), side
        assert source.endswith(" .")
        assert 3 <= source.count(" .") <= 7
    assert 33 < sum(lengths) / len(lengths) < 41
    assert max(lengths) < 70


def test_names_and_numbers_of_a_summary_are_in_its_report(corpus: NewsCorpus) -> None:
    for source, target in all_examples(corpus):
        words = set(source.split())
        for word in target.split():
            assert word in words or not (is_name(word) or word.isdigit()), (word, source)


def test_most_names_of_the_test_set_are_not_in_training_text(corpus: NewsCorpus) -> None:
    trained = {word for example in corpus.train for word in f"{example.source} {example.target}".split()}
    tested = [word for example in corpus.test for word in example.target.split() if is_name(word)]
    assert sum(word not in trained for word in tested) / len(tested) > 0.9
    words = [word for example in corpus.test for word in example.target.split()]
    assert sum(word not in trained for word in words) / len(words) > 0.2


def test_summaries_reword_and_select(corpus: NewsCorpus) -> None:
    """Most summaries have words that are not in the report, and what matters may be in any sentence."""
    reworded = sum(not set(example.target.split()) <= set(example.source.split()) for example in corpus.test)
    assert reworded / len(corpus.test) > 0.6
    first = Counter[bool]()
    for source, target in corpus.test:
        opening = source.split(" . ")[0].split()
        first[any(word in opening for word in target.split() if is_name(word))] += 1
    assert 0.25 < first[True] / len(corpus.test) < 0.75


def test_kinds_of_news_are_equally_frequent(corpus: NewsCorpus) -> None:
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


def test_kinds_of_names_are_disjoint() -> None:
    generators = (summarization.PEOPLE, summarization.TOWNS, summarization.FIRMS)
    endings = [ending for names in generators for ending in names.endings]
    assert len(set(endings)) == len(endings)
    assert not [(a, b) for a in endings for b in endings if a != b and a.endswith(b)]
    assert all(names.size > 100_000 for names in generators)
    rng = random.Random(1)
    assert len({summarization.PEOPLE.draw(rng) for _ in range(2000)}) > 1950
