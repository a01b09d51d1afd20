"""Word links become links of the right subwords and stay with their pairs; links that do not fit are refused."""

import gzip
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq.config import DataConfig, TokenizerConfig
from seq2seq.data import encoding
from seq2seq.data.batching import BatchOptions, TrainBatches, empty_batch
from seq2seq.data.corpora import linked_pairs
from seq2seq.data.prepare import Prepared, open_cached, prepare
from seq2seq.data.readers import LinkedPair
from seq2seq.data.report import report_lines
from seq2seq.data.word_links import (
    GoldAlignment,
    checked_word_indices,
    count_spaced_words,
    format_links,
    parse_links,
    subword_links,
    word_indices,
    words_from_pieces,
)
from seq2seq.errors import ConfigError, DataError
from seq2seq.runtime.vocabulary import SPACE_MARK

PAIRS = [
    LinkedPair("the old cat", "die alte Katze", ((0, 0), (1, 1), (2, 2))),
    LinkedPair("", "nothing", ()),
    LinkedPair(
        "cats sleep in the old house", "Katzen schlafen im alten Haus", ((0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (5, 4))
    ),
    LinkedPair("a b c d e f g h i j", "a b c d e f g h i j", ((9, 9), (0, 0))),
    LinkedPair("nobody knows", "niemand", ()),
    LinkedPair("yes  it is", "ja das ist es", ((1, 3), (2, 2))),
]
MORE = [LinkedPair(f"cat {n} sleeps", f"Katze {n} schläft", ((0, 0), (2, 2))) for n in range(40)]


def write(root: Path, name: str, pairs: list[LinkedPair]) -> None:
    for ending, lines in (("en", [p.source for p in pairs]), ("de", [p.target for p in pairs])):
        (root / f"{name}.{ending}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    lines = [" ".join(f"{s}-{t}" for s, t in pair.links) for pair in pairs]
    (root / f"{name}.align").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "train", PAIRS)
    write(tmp_path, "more", MORE)
    write(tmp_path, "dev", PAIRS[:1])
    return tmp_path


def settings(root: Path, **more: Any) -> DataConfig:
    given = {"train": ["train", "more"], "dev": ["dev"], "root": str(root), "cache": str(root / "cache")}
    return DataConfig(**given | more)


def prepared(root: Path, linked: bool = True, kind: str = "bpe", **more: Any) -> Prepared:
    return prepare(
        settings(root, **more), TokenizerConfig(kind=kind, size=500 if kind == "word" else 50), linked=linked
    )


def word_links(corpus: Prepared, i: int) -> set[tuple[int, int]]:
    """The word links that the stored links of subwords amount to."""
    row, both = corpus.train.row(i), corpus.vocabularies
    source, target = (
        word_indices(both.source.pieces(row.source[:-1])),
        word_indices(both.target.pieces(row.target[:-1])),
    )
    return {(source[s], target[t]) for t, s in np.asarray(row.links).reshape(-1, 2)}


def test_subword_links_worked_out_by_hand() -> None:
    """▁the ▁o ld ▁c at / ▁die ▁alt e ▁Ka tze, where `the` has no link and `cat` is linked with `alte Katze`."""
    source, target = word_indices(["▁the", "▁o", "ld", "▁c", "at"]), word_indices(["▁die", "▁alt", "e", "▁Ka", "tze"])
    assert subword_links([(2, 2), (1, 1), (2, 1), (2, 1)], source, target) == [
        *(1, 1, 1, 2, 1, 3, 1, 4),
        *(2, 1, 2, 2, 2, 3, 2, 4),
        *(3, 3, 3, 4),
        *(4, 3, 4, 4),
    ]
    truncated = [(7, 0), (0, 7)]  # links of words that were truncated away
    assert subword_links([(2, 2), *truncated], source, target) == [3, 3, 3, 4, 4, 3, 4, 4]
    assert subword_links([], source, target) == []


def test_count_spaced_words_agrees_with_word_indices(random_texts: Callable[..., Iterator[str]]) -> None:
    for text in random_texts("aüb", "▁"):
        text = text.replace("▁", " ").strip(" ")
        pieces = [*("▁" + text).replace(" ", "▁")]
        assert count_spaced_words(text) == (len(set(word_indices(pieces))) if text else 0)


def pieces(text: str) -> list[str]:
    """Subwords separated by spaces, with _ for SentencePiece's mark."""
    return text.replace("_", SPACE_MARK).split()


@pytest.mark.parametrize(
    ("text", "indices", "joined"),
    [
        ("_a _man _walk s", [0, 1, 2, 2], ["a", "man", "walks"]),
        ("_ Hemd _ en", [0, 0, 1, 1], ["Hemd", "en"]),
        ("un happy _new", [0, 0, 1], ["unhappy", "new"]),
        ("_ _a __ b", [0, 0, 1, 1], ["a", "b"]),
        ("_ c a t _", [0, 0, 0, 0, 1], ["cat", ""]),
        ("", [], []),
    ],
)
def test_a_mark_starts_a_word(text: str, indices: list[int], joined: list[str]) -> None:
    assert word_indices(pieces(text)) == indices
    assert words_from_pieces(pieces(text)) == joined


def test_spaces_around_words_are_no_words(root: Path) -> None:
    tokenizer = prepared(root).vocabularies.source
    for text in ("", "  ", " ", "the cat", "the cat ", "  the  cat  "):
        assert len(checked_word_indices(text, tokenizer)) == len(tokenizer.segment(text)), text


def test_pharaoh_text_round_trip() -> None:
    links = {(0, 0), (12, 3), (2, 10)}
    assert format_links(links) == "0-0 2-10 12-3"
    assert parse_links(format_links(links)) == GoldAlignment(frozenset(links), frozenset(links))
    assert parse_links(" 0-0 1p2\n") == GoldAlignment(frozenset({(0, 0)}), frozenset({(0, 0), (1, 2)}))
    assert parse_links("") == GoldAlignment(frozenset(), frozenset())
    assert format_links(set()) == ""


@pytest.mark.parametrize("link", ["1", "1-", "-1-2", "a-b", "1:2", "0-1-2", "²-1"])
def test_malformed_link_is_refused_with_its_place(link: str) -> None:
    with pytest.raises(DataError, match=rf"gold.txt:2: '{link}' is no link"):
        parse_links(f"1-1 {link}\n", "gold.txt:2")


@pytest.mark.parametrize("kind", ["bpe", "word", "char", "unigram"])
def test_links_stay_with_their_pairs_when_others_are_dropped(root: Path, kind: str) -> None:
    """One pair has an empty side, another too many words; both are dropped with their links."""
    corpus = prepared(root, kind=kind, max_words=9)
    kept = [PAIRS[0], PAIRS[2], *PAIRS[4:], *MORE]
    assert len(corpus.train) == len(kept)
    assert [word_links(corpus, i) for i in range(len(kept))] == [set(pair.links) for pair in kept]
    assert corpus.report["links"]["pairs"] == len(kept) - 1
    assert any(line.startswith("word links: ") and "in 43 of the pairs" in line for line in report_lines(corpus.report))


def test_pairs_with_too_many_subwords_are_dropped_with_their_links(root: Path) -> None:
    corpus = prepared(root, kind="char", max_tokens=16)
    assert [word_links(corpus, i) for i in range(3)] == [set(PAIRS[i].links) for i in (0, 4, 5)]


def test_truncated_words_lose_their_links(root: Path) -> None:
    corpus = prepared(root, truncate_source=4, truncate_target=3)
    assert word_links(corpus, 1) == {(0, 0), (1, 1), (2, 2), (3, 2)}
    assert word_links(corpus, 2) == {(0, 0)}


@pytest.mark.parametrize("cores", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_blocks_and_processes_do_not_change_links(cores: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = prepared(root)
    monkeypatch.setattr(encoding, "BLOCK_PAIRS", 16)
    monkeypatch.setattr(encoding, "MIN_BLOCKS_PER_WORKER", 1)
    monkeypatch.setattr(encoding, "available_cores", lambda: cores)
    many = prepared(root, cache=str(root / "other"))
    assert [word_links(many, i) for i in range(len(many.train))] == [word_links(one, i) for i in range(len(one.train))]
    assert many.report["links"] == one.report["links"]


def test_cache_depends_on_links_only_if_they_are_used(root: Path) -> None:
    plain, linked = prepared(root, False), prepared(root)
    assert plain.folder != linked.folder
    assert plain.data_hash == linked.data_hash
    assert plain.vocabularies.sha256 == linked.vocabularies.sha256
    assert (plain.links_hash, "links" in plain.report, len(plain.train.row(0).links)) == ("", False, 0)
    assert not list((plain.folder / "train").glob("links*"))
    for name in ("source.ids", "source.bounds", "target.ids", "target.bounds"):
        assert (plain.folder / "train" / name).read_bytes() == (linked.folder / "train" / name).read_bytes()
    (root / "more.align").write_text("0-0\n" * len(MORE))
    other = prepared(root)
    assert other.folder not in (plain.folder, linked.folder)
    assert (
        open_cached(
            settings(root), TokenizerConfig(kind="bpe", size=50), linked.data_hash, None, linked.links_hash
        ).folder
        == linked.folder
    )


def test_link_weights_of_a_batch_are_shared_equally(root: Path) -> None:
    corpus = prepared(root, truncate_source=4)
    for multiple in (1, 4):
        for batch in TrainBatches(corpus.train, 64, 1, BatchOptions(guided=True, multiple=multiple)):
            assert batch.links is not None
            assert batch.links.shape == (*batch.target_out.shape, batch.source.size(1))
            for table, i in zip(batch.links.numpy(), batch.index.tolist(), strict=True):
                pairs = {(t, s) for t, s in np.asarray(corpus.train.row(i).links).reshape(-1, 2).tolist()}
                for t, row in enumerate(table):
                    places = [s for u, s in pairs if u == t]
                    assert set(row.nonzero()[0].tolist()) == set(places)
                    assert row.sum() == pytest.approx(1.0 if places else 0.0)
                    assert all(row[s] == pytest.approx(1 / len(places)) for s in places)
    assert all(batch.links is None for batch in TrainBatches(corpus.train, 64, 1))
    nothing = empty_batch(7, BatchOptions(guided=True)).links
    assert nothing is not None
    assert torch.equal(nothing, torch.zeros(1, 1, 1))


def test_toy_corpus_has_word_links(tmp_path: Path) -> None:
    data = DataConfig(name="toy", format="toy", pairs=400, cache=str(tmp_path))
    pairs = list(linked_pairs(data))
    assert len(pairs) == 400
    assert all(s < len(p.source.split()) and t < len(p.target.split()) for p in pairs for s, t in p.links)
    corpus = prepare(data, TokenizerConfig(kind="bpe", size=200), linked=True)
    assert [word_links(corpus, i) for i in range(400)] == [set(pair.links) for pair in pairs]


def edit(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        path = root / "train.align"
        path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))

    return do


BROKEN = {
    "missing": (
        lambda root: (root / "train.align").unlink(),
        r"train\.align is missing, also with \.gz.*training\.guided_alignment",
    ),
    "short": (edit(lambda lines: lines[:4]), r"train\.align has 4 lines for 6 pairs$"),
    "long": (edit(lambda lines: [*lines, "", "0-0"]), r"train\.align has 8 lines for 6 pairs$"),
    "word": (edit(lambda lines: [*lines[:2], "0-0 1=1", *lines[3:]]), r"train\.align:3: '1=1' is no link"),
    "source": (edit(lambda lines: ["0-0 3-2", *lines[1:]]), r"train\.align:1: link 3-2 is beyond the 3 source words"),
    "target": (
        edit(lambda lines: [*lines[:4], "1-1", *lines[5:]]),
        r"train\.align:5: link 1-1 is beyond the 1 target words",
    ),
    "spaces": (edit(lambda lines: [*lines[:5], "3-0"]), r"train\.align:6: link 3-0 is beyond the 3 source words"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_unfitting_links_are_refused(how: str, root: Path) -> None:
    damage, words = BROKEN[how]
    damage(root)
    with pytest.raises(DataError, match=words):
        prepared(root)
    assert not (root / "cache").exists()
    prepared(root, False)  # does not read them


def test_normalization_that_changes_words_is_refused_for_links(root: Path) -> None:
    """NFKC turns a no-break space into a space, so that the links of all later words would name their neighbours."""
    write(root, "more", [LinkedPair("it costs 10\u00a0000 euro", "es kostet 10\u00a0000 Euro", ((3, 3),)), *MORE])
    config = TokenizerConfig(kind="bpe", size=60, normalizer="nmt_nfkc")
    with pytest.raises(DataError, match=r"it costs 10.*000 euro' has 4 words by its spaces, but 5 as the tokenizer"):
        prepare(settings(root), config, linked=True)
    prepare(settings(root), config)
    prepare(settings(root), replace(config, normalizer="identity"), linked=True)


def test_compressed_and_possible_links_are_read(root: Path) -> None:
    path = root / "train.align"
    packed = gzip.compress(path.read_text().replace("1-1", "1p1").encode())
    path.unlink()
    (root / "train.align.gz").write_bytes(packed)
    assert list(linked_pairs(settings(root)))[: len(PAIRS)] == [
        pair._replace(links=tuple(sorted(pair.links))) for pair in PAIRS
    ]


@pytest.mark.parametrize(
    "data",
    [
        DataConfig(format="tsv", train=["a"]),
        DataConfig(format="jsonl", train=["a"]),
        DataConfig(format="toy_summaries"),
    ],
    ids=lambda data: data.format,
)
def test_other_formats_have_no_links(data: DataConfig) -> None:
    with pytest.raises(ConfigError, match=rf"data\.format={data.format} has no word links to learn from: data=toy, "):
        linked_pairs(data)
