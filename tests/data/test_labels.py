"""Targets that are labels: what is no label is refused in one sentence, and every label gets an entry."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from seq2seq.config import DataConfig, TokenizerConfig
from seq2seq.data.corpora import dev_pairs, gold_alignment, test_pairs, train_pairs
from seq2seq.data.labels import check_label_set, labelled
from seq2seq.data.prepare import prepare
from seq2seq.data.readers import Pair
from seq2seq.data.report import report_lines
from seq2seq.data.toy.entities import generate_entities
from seq2seq.data.toy.labelled import LabelledCorpus
from seq2seq.data.toy.sentiment import BAD, GOOD, generate_sentiment
from seq2seq.errors import ConfigError, DataError
from seq2seq.ids import EOS
from tests.each import each

GOOD_PAIRS = {"label": ("a b", "x"), "labels": ("a b", "y x y"), "tags": (" a  b", "B-X I-X")}
WRONG = [  # targets, source, target -> what the message says
    ("label", "a b", "very good", r"the label 'very good' has 2 words, but is one: write 'very_good'"),
    ("tags", "a b c", "O O", r"3 words and 2 tags, beginning with 'a b c' and 'O O'"),
    ("tags", "a b", "O I-X", r"I-X of word 2, 'b', follows O: that is no BIO, in which B-X begins each X"),
    ("tags", "a", "I-X", r"I-X of word 1, 'a', follows nothing"),
    ("tags", "a b", "B-Y I-X", r"I-X of word 2, 'b', follows B-Y"),
    ("tags", "a b", "B-X E-X", r"'E-X' of word 2, 'b', is no BIO tag, as others are"),
    ("label", " ", "x", "the text is empty"),
    ("labels", "\u200b", "x", "the text is empty"),
    ("label", "a", "", r"there is no label; task=multilabel reads texts without labels"),
]


@each(("targets", "source", "target", "message"), WRONG)
def test_what_is_no_label_is_refused(targets: str, source: str, target: str, message: str) -> None:
    pairs = [Pair(*GOOD_PAIRS[targets]), Pair(source, target)]
    with pytest.raises(DataError, match=f"^here, pair 2: {message}"):
        list(labelled(pairs, targets, "here"))


def test_labels_have_the_form_that_models_need() -> None:
    found = {targets: next(labelled([Pair(*pair)], targets, "")) for targets, pair in GOOD_PAIRS.items()}
    assert found == {"label": ("a b", "x"), "labels": ("a b", "x y"), "tags": ("a b", "B-X I-X")}


def test_label_sets_without_classes_are_refused() -> None:
    check_label_set({"0": 1, "1": 2})
    check_label_set({"x": 7}, several=True)  # others have none
    with pytest.raises(DataError, match="no training text has a label"):
        check_label_set({}, several=True)
    check_label_set({str(i): 9 for i in range(50)})
    with pytest.raises(DataError, match="every training text has the same label, 'x': there are no classes"):
        check_label_set({"x": 7})
    with pytest.raises(DataError, match=r"has 30 labels, most of them numbers such as 0\.5: .* this is a regression"):
        check_label_set({f"{i}.5": 1 for i in range(30)})
    for numbers in ({str(i): 1 for i in range(50)}, {f"{i}e-04": 1 for i in range(50)}):
        with pytest.raises(DataError, match="this is a regression"):
            check_label_set(numbers)


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., DataConfig]:
    """`corpus(targets, train, dev)`: a corpus of these lines `source TAB target`."""

    def make(targets: str, train: list[str], dev: list[str]) -> DataConfig:
        for name, lines in (("train", train), ("dev", dev)):
            (tmp_path / f"{name}.tsv").write_text("".join(f"{line}\n" for line in lines))
        files = {"train": ["train.tsv"], "dev": ["dev.tsv"], "root": str(tmp_path), "cache": str(tmp_path / "cache")}
        return DataConfig(format="tsv", columns=[0, 1], targets=targets, max_ratio=1000.0, **files)

    return make


TOKENIZER = TokenizerConfig(kind="char", size=100, joint=False)


def test_every_label_has_an_entry_whatever_the_tokenizer(corpus: Callable[..., DataConfig]) -> None:
    labels = ["neg", "pos", "I-like", "3", "a▂b", "straße"]
    data = corpus("label", [f"some text of {label}\t{label}" for label in labels], ["text\tneg"])
    prepared = prepare(data, TOKENIZER)
    target = prepared.vocabularies.target
    assert sorted(target.decode([i]) for i in range(4, target.size)) == sorted(labels)
    assert [target.decode(prepared.train.target(i)[:-1].tolist()) for i in range(len(labels))] == labels


@pytest.mark.parametrize("targets", ["label", "labels"])
def test_a_label_that_given_vocabularies_lack_is_named(targets: str, corpus: Callable[..., DataConfig]) -> None:
    """As with init_from."""
    known = prepare(corpus(targets, ["a\tgood", "b\tbad"], ["a\tgood"]), TOKENIZER).vocabularies
    with pytest.raises(
        DataError, match=r"data\.train=\['train\.tsv'\], pair 2: the label 'mixed' is not in the training"
    ):
        prepare(corpus(targets, ["a\tgood", "b\tmixed"], ["a\tgood"]), TOKENIZER, known)


def test_more_labels_than_a_target_may_have_are_refused(corpus: Callable[..., DataConfig]) -> None:
    data = replace(corpus("labels", [f"text\tl{i}" for i in range(9)], ["text\tl1"]), max_tokens=8)
    with pytest.raises(DataError, match=r"9 labels are more than data\.max_tokens=8: a target has a place for each"):
        prepare(data, TOKENIZER)


def test_long_lines_of_tags_are_whole(corpus: Callable[..., DataConfig]) -> None:
    words, tags = " ".join(["word"] * 5000), " ".join(["B-PER", "O"] * 2500)
    data = corpus("tags", ["a b\tB-PER O"], [f"{words}\t{tags}"])
    assert prepare(data, TOKENIZER).report["long_dev"] == 1


def test_labels_are_not_split_by_sampling(corpus: Callable[..., DataConfig]) -> None:
    prepared = prepare(corpus("tags", ["x y\tab a", "z\tb"], ["x\ta"]), TOKENIZER)
    for seed in range(50):
        assert prepared.vocabularies.target.segment_sampled("ab a", 0.1, seed) == ["▁ab", "▁a"]


def test_several_labels_have_a_place_each(corpus: Callable[..., DataConfig]) -> None:
    """In the order of their names; a text without labels is kept."""
    lines = ["a\tred blue", "b\t", "c\tblue", "d\tgreen red blue red"]
    prepared = prepare(corpus("labels", lines, ["text\tgreen", "none\t"]), TOKENIZER)
    target = prepared.vocabularies.target
    blue, green, red = target.labels
    assert [target.decode([i]) for i in target.labels] == ["blue", "green", "red"]
    ids = [prepared.train.target(i).tolist() for i in range(4)]
    no = target.absent
    assert ids == [[blue, no, red, EOS], [no, no, no, EOS], [blue, no, no, EOS], [blue, green, red, EOS]]
    assert [target.decode(row) for row in ids] == ["blue red", "", "blue", "blue green red"]
    assert "labels: blue (3), red (2), green (1)" in report_lines(prepared.report)
    assert [prepared.dev.target(i).tolist() for i in range(2)] == [[no, green, no, EOS], [no, no, no, EOS]]
    with pytest.raises(DataError, match=r"pair 1: the label 'gren' is not in .* \(did you mean green\?\)"):
        prepare(corpus("labels", lines, ["text\tred gren"]), TOKENIZER)


def test_a_label_that_only_the_development_text_has_is_named(corpus: Callable[..., DataConfig]) -> None:
    data = corpus("label", ["a\tgood", "b\tbad"], ["a\tgood", "b\tgod"])
    with pytest.raises(
        DataError, match=r"pair 2: the label 'god' is not in .* \(did you mean good\?\); it has bad, good"
    ):
        prepare(data, TOKENIZER)


def test_a_label_that_is_a_control_symbol_is_refused(corpus: Callable[..., DataConfig]) -> None:
    with pytest.raises(DataError, match="the label '<s>' cannot be an entry of a vocabulary"):
        prepare(corpus("label", ["a\tgood", "b\t<s>"], ["a\tgood"]), TOKENIZER)


def test_one_class_only_is_refused(corpus: Callable[..., DataConfig]) -> None:
    with pytest.raises(DataError, match="the same label, 'good'"):
        prepare(corpus("label", ["a\tgood", "b\tgood"], ["a\tgood"]), TOKENIZER)


@pytest.mark.parametrize("generate", [generate_sentiment, generate_entities])
def test_embedded_corpora_are_the_same_for_the_same_seed(generate: Callable[..., LabelledCorpus]) -> None:
    one, same, other = (generate(50, seed, dev=20, test=20) for seed in (1, 1, 2))
    assert one == same != other
    texts = [example.source for part in one for example in part]
    assert len(set(texts)) == len(texts) == 90
    with pytest.raises(ConfigError, match=r"data\.pairs=2000000 is more than the grammar"):
        generate(2_000_000)


def test_deciding_words_are_those_of_the_opinion() -> None:
    """An adjective, and what negates it; a text without an opinion of its writer has none."""
    for source, target, links in generate_sentiment(300).train:
        words = [source.split()[word] for word, label in links if not label]
        assert bool(words) == (target != "neutral")
        if words:
            negated = words[0] in ("not", "never", "hardly")
            assert len(words) == 1 + negated
            assert words[-1] in (GOOD if (target == "positive") != negated else BAD)


def test_entities_are_tagged_word_by_word() -> None:
    for source, target, _ in generate_entities(200).train:
        assert len(source.split()) == len(target.split())
    list(labelled((Pair(*example[:2]) for example in generate_entities(200).train), "tags", ""))


@pytest.mark.parametrize(("name", "targets"), [("toy_sentiment", "label"), ("toy_entities", "tags")])
def test_embedded_corpora_are_corpora(name: str, targets: str) -> None:
    data = DataConfig(format=name, targets=targets, pairs=30)
    assert len(list(train_pairs(data))) == 30
    assert len(list(dev_pairs(data))) == len(list(test_pairs(data, "test"))) == 500
    gold = gold_alignment(data, "test")
    assert (gold is None) == (targets == "tags")
    assert gold is None or len(gold) == 500
