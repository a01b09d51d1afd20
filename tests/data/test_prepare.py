"""Preparing keeps, drops and reports pairs as configured, once for all runs; the shipped settings are valid."""

import bz2
import dataclasses
import gzip
import json
import lzma
import os
import random
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seq2seq.config import DataConfig, TokenizerConfig
from seq2seq.config.data import GENERATED
from seq2seq.data import prepare as module
from seq2seq.data.prepare import Prepared, prepare
from seq2seq.data.readers import READERS, Pair
from seq2seq.data.report import report_lines
from seq2seq.data.tokenizer import VocabularySizeError
from seq2seq.errors import ConfigError, DataError

CONF = Path(__file__).parents[2] / "conf"
ENGLISH, GERMAN = (
    ["the", "cat", "sees", "a", "big", "dog", "in", "Bonn"],
    ["die", "Katze", "sieht", "einen", "großen", "Hund", "in", "Bonn"],
)


def corpus(lines: int, seed: int) -> list[Pair]:
    rng = random.Random(seed)
    return [
        Pair(" ".join(rng.choices(ENGLISH, k=n)) + f" {n}", " ".join(rng.choices(GERMAN, k=n)))
        for n in rng.choices(range(3, 9), k=lines)
    ]


TRAIN, DEV = corpus(200, 1), corpus(20, 2)


def write(root: Path, name: str, pairs: list[Pair]) -> None:
    for ending, side in zip(("en", "de"), zip(*pairs, strict=True), strict=True):
        (root / f"{name}.{ending}").write_text("".join(f"{line}\n" for line in side), newline="\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(
        tmp_path,
        "train",
        [*TRAIN, Pair("", "leer"), Pair("a " * 300, "b " * 300), Pair("cat", "Hund " * 99), Pair("o" * 200, "b")],
    )
    write(tmp_path, "dev", [*DEV, Pair("", "leer"), TRAIN[0]])
    write(tmp_path, "test", [TRAIN[1], TRAIN[1], Pair("never seen", "nie gesehen")])
    return tmp_path


def settings(root: Path, **more: Any) -> DataConfig:
    sets = {"new": ["test"], "absent": ["tset"]}
    given = {
        "train": ["train"],
        "dev": ["dev"],
        "test": sets,
        "root": str(root),
        "cache": str(root / "cache"),
        "max_tokens": 100,
    }
    return DataConfig(**given | more)


def tokenizer(**more: Any) -> TokenizerConfig:
    return TokenizerConfig(**{"kind": "bpe", "size": 60} | more)


def decoded(prepared: Prepared) -> list[Pair]:
    both = prepared.vocabularies
    return [
        Pair(both.source.decode(row.source), both.decode_target(row.target))
        for row in map(prepared.train.row, range(len(prepared.train)))
    ]


@pytest.mark.parametrize("kind", ["unigram", "bpe", "word", "char"])
@pytest.mark.parametrize("joint", [True, False])
def test_kept_pairs_decode_to_their_text(root: Path, kind: str, joint: bool) -> None:
    prepared = prepare(
        settings(root), tokenizer(kind=kind, joint=joint, size=60 if kind != "unigram" else 40 if joint else 26)
    )
    assert decoded(prepared)[: len(TRAIN)] == TRAIN
    assert prepared.dev_pairs == [*DEV, Pair("", "leer"), TRAIN[0]]
    assert len(prepared.dev) == 22
    assert prepared.vocabularies.joint == joint


def test_report(root: Path) -> None:
    report = prepare(settings(root), tokenizer()).report
    assert (report["read"], report["kept"]) == (204, 200)
    assert report["dropped"] == {
        "an empty side": 1,
        "more than 250 words": 1,
        "sides out of proportion (9)": 1,
        "more than 100 subwords": 1,
    }
    known = {pair.source for pair in TRAIN}
    assert report["overlap"] == {"dev": [sum(pair.source in known for pair in DEV) + 1, 22], "new": [2, 3]}
    assert "tset.en is missing" in report["missing"]["absent"]
    assert (report["lossy"]["lines"], report["lossy"]["of"]) == (0, 400)
    text = "\n".join(report_lines(report))
    for part in (
        "200 of 204 kept",
        "1 with an empty side",
        "new 2 of 3",
        "test set absent cannot be used",
        "0 of 400",
    ):
        assert part in text


def test_long_dev_pairs_are_kept_and_counted(root: Path) -> None:
    write(root, "dev", [*DEV, Pair("o" * 200, "b")])
    prepared = prepare(settings(root), tokenizer())
    assert (len(prepared.dev), prepared.report["long_dev"]) == (21, 1)
    assert "development pairs: 21; 1 with a side beyond data.max_tokens" in "\n".join(report_lines(prepared.report))


@pytest.mark.parametrize("side", ["en", "de"])
def test_words_between_spaces_are_warned_of_where_there_are_none(
    side: str, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for kind, warned in (("word", False), ("char", False)):
        caplog.clear()
        prepare(settings(root), tokenizer(kind=kind))
        assert ("hardly any" in caplog.text) == warned
    lines = (root / f"train.{side}").read_text(encoding="utf-8").splitlines()
    chinese = "".join(f"{'我们今天去北京大学'[: len(line) % 7 + 2] if line else ''}\n" for line in lines)
    (root / f"train.{side}").write_text(chinese, encoding="utf-8")
    for kind, warned in (("word", True), ("char", False)):
        caplog.clear()
        prepare(settings(root), tokenizer(kind=kind))
        assert ("tokenizer.kind=word splits at spaces" in caplog.text) == warned


def test_lossy_lines_are_reported(root: Path) -> None:
    write(root, "train", [Pair(pair.source + "\u00a0!", pair.target) for pair in TRAIN[:44]] + TRAIN[44:])
    lossy = prepare(settings(root), tokenizer(normalizer="nfkc")).report["lossy"]
    assert (lossy["lines"], lossy["differences"]) == (44, [["U+00A0 -> ' '", 44]])


def test_second_call_reuses_the_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(settings(root), tokenizer())
    monkeypatch.setattr(module, "_build", None)
    assert prepare(settings(root), tokenizer()).folder == first.folder
    write(root, "tset", [TRAIN[2]])  # a new test set does not change the corpus, but is reported
    later = prepare(settings(root), tokenizer())
    assert later.folder == first.folder
    assert (first.report["missing"].keys(), later.report["missing"], later.report["overlap"]["absent"]) == (
        {"absent"},
        {},
        [1, 1],
    )
    monkeypatch.undo()
    others = [prepare(settings(root), tokenizer(size=61)), prepare(settings(root, max_words=6), tokenizer())]
    write(root, "train", TRAIN)
    others.append(prepare(settings(root), tokenizer()))
    assert len({first.folder, *(other.folder for other in others)}) == 4
    assert others[1].data_hash == first.data_hash != others[2].data_hash


def test_concurrent_calls_prepare_once(root: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: prepare(settings(root), tokenizer()), range(4)))
    assert len({prepared.folder for prepared in made}) == 1
    assert [path.name for path in (root / "cache").glob("[!.]*")] == [made[0].folder.name]
    assert all(decoded(prepared) == TRAIN for prepared in made)


def test_damaged_folder_is_named(root: Path) -> None:
    folder = prepare(settings(root), tokenizer()).folder
    (folder / "joint.spm").write_bytes(b"x")
    with pytest.raises(DataError, match=r"joint\.spm is damaged or replaced; delete the folder"):
        prepare(settings(root), tokenizer())
    (folder / "report.json").unlink()
    with pytest.raises(DataError, match=r"report\.json is missing; delete the folder"):
        prepare(settings(root), tokenizer())


def change_meta(**values: Any) -> Callable[[Path], object]:
    """Changes values in arrays.json."""
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_array(dtype: str, index: int, value: int) -> Callable[[Path], object]:
    """Changes a value of an array."""

    def change(path: Path) -> None:
        array = np.fromfile(path, dtype)
        array[index] = value
        array.tofile(path)

    return change


DAMAGED_CACHE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "report of nothing": ("report.json", lambda path: path.write_text("{}")),
    "report that is a list": ("report.json", lambda path: path.write_text("[]")),
    "report that is no JSON": ("report.json", lambda path: path.write_bytes(b"\xff")),
    "no report": ("report.json", lambda path: path.unlink()),
    "report in a pipe": ("report.json", lambda path: (path.unlink(), os.mkfifo(path))),
    "report of negative counts": ("report.json", change_meta(kept=-1)),
    "report of another tokenizer": ("report.json", change_meta(tokenizers={"source": "a", "target": "b"})),
    "another tokenizer": ("joint.spm", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "no pairs": ("train/arrays.json", change_meta(pairs=0)),
    "negative pairs": ("train/arrays.json", change_meta(pairs=-1)),
    "endless pairs": ("train/arrays.json", change_meta(pairs=2**70)),
    "pairs in words": ("train/arrays.json", change_meta(pairs="many")),
    "totals of one side": ("train/arrays.json", change_meta(totals={"source": 3})),
    "totals of other names": ("train/arrays.json", change_meta(totals={"source": 3, "target": 3, "../x": 1})),
    "objects in an array": ("train/arrays.json", change_meta(types={"source": "O", "target": "O", "copy": "O"})),
    "no types": ("train/arrays.json", change_meta(types={})),
    "another vocabulary": ("train/arrays.json", change_meta(target_size=7)),
    "dev pairs without text": ("dev_text/arrays.json", change_meta(pairs=1)),
    "negative bound": ("train/source.bounds", change_array("<i8", 1, -5)),
    "bound beyond the end": ("train/source.bounds", change_array("<i8", 1, 10**6)),
    "first bound": ("train/target.bounds", change_array("<i8", 0, 1)),
    "last bound": ("train/target.bounds", change_array("<i8", -1, 3)),
    "empty sentence": ("dev/source.bounds", change_array("<i8", 1, 0)),
    "truncated ids": ("train/target.ids", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "longer ids": ("train/target.ids", lambda path: path.write_bytes(path.read_bytes() + b"a")),
    "ids in a folder": ("train/target.ids", lambda path: (path.unlink(), path.mkdir())),
    "source id beyond the vocabulary": ("train/source.ids", change_array("|u1", 7, 200)),
    "target id beyond the vocabulary": ("train/target.ids", change_array("|u1", 7, 200)),
    "dev id beyond the vocabulary": ("dev/target.ids", change_array("|u1", 7, 200)),
    "another id of the vocabulary": ("train/target.ids", change_array("|u1", 0, 5)),
    "text that is not UTF-8": ("dev_text/source.ids", change_array("|u1", 0, 0xFF)),
}


@pytest.mark.timeout(100)
def test_damaged_cache_is_refused_with_advice_that_helps(root: Path) -> None:
    """Whatever is damaged, the folder to be deleted is that of the whole corpus."""
    folder = prepare(settings(root), tokenizer()).folder
    whole = Path(shutil.copytree(folder, root / "whole"))
    for case, (name, damage) in DAMAGED_CACHE.items():
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        damage(folder / name)
        with pytest.raises(DataError) as caught:
            prepare(settings(root), tokenizer())
        assert str(caught.value).endswith(f"; delete the folder {folder}, it will be rebuilt"), case
    shutil.rmtree(folder)
    assert decoded(prepare(settings(root), tokenizer())) == TRAIN


def test_file_in_the_place_of_the_cache_is_named(root: Path) -> None:
    folder = prepare(settings(root), tokenizer()).folder
    shutil.rmtree(folder)
    folder.write_text("")
    with pytest.raises(DataError, match=f"{folder} is in the place of the folder of a prepared corpus: delete it"):
        prepare(settings(root), tokenizer())


def test_sampled_corpus(root: Path) -> None:
    prepared = prepare(settings(root), tokenizer(sampling=0.2))
    rows = prepared.sampled_corpus(alpha=0.2, seed=1, limits=(inf, inf)).epoch_rows(0)
    both = prepared.vocabularies
    assert [
        Pair(both.source.decode(row.source), both.decode_target(row.target)) for row in map(rows.row, range(len(rows)))
    ] == TRAIN
    likeliest, longest = [prepared.train.row(i) for i in range(len(rows))], (20, 19)
    short = prepared.sampled_corpus(alpha=0.2, seed=1, limits=longest).epoch_rows(0)
    for drawn, row, plain in zip(
        map(rows.row, range(len(rows))), map(short.row, range(len(rows))), likeliest, strict=True
    ):
        fits = all(len(side) <= most for side, most in zip(drawn[:2], longest, strict=True))
        assert [list(side) for side in row] == [list(side) for side in (drawn if fits else plain)]
    assert 0 < sum(len(row.source) > 20 for row in map(rows.row, range(len(rows)))) < len(rows)
    assert prepare(settings(root), tokenizer(sampling=0.1)).folder == prepared.folder
    with pytest.raises(DataError, match=r"prepared with tokenizer\.sampling=0"):
        prepare(settings(root), tokenizer()).sampled_corpus(alpha=0.2, seed=1, limits=(inf, inf))


@pytest.mark.parametrize(
    ("data", "tokens", "error", "message"),
    [
        ({"train": ["empty"]}, {}, DataError, "none of the 2 training pairs is left"),
        ({"max_tokens": 1}, {}, DataError, "data.max_tokens=1 leaves none of the"),
        ({"train": ["trian"]}, {}, DataError, "did you mean 'train"),
        ({"dev": []}, {}, ConfigError, "data.dev=\\[\\] names no files"),
    ],
)
def test_unusable_corpus_is_refused(
    root: Path, data: dict[str, Any], tokens: dict[str, Any], error: type[Exception], message: str
) -> None:
    write(root, "empty", [Pair("", "a"), Pair("b", " ")])
    with pytest.raises(error, match=message):
        prepare(settings(root, **data), tokenizer(**tokens))
    assert not list((root / "cache").glob("[!.]*"))  # also if there is no such folder


TINY = {
    "small": TRAIN[:80],
    "one line": [Pair("the old man", "der alte Mann")],
    "one letter": [Pair("a", "a")],
    "one letter a side": [Pair("a", "b")] * 3,
    "one word": [Pair("cat", "Katze")] * 9,
    "few characters on one side": [Pair("a b a", pair.target) for pair in TRAIN[:80]],
}


@pytest.mark.pairs(text=TINY, kind=["unigram", "bpe", "word", "char"], joint=[True, False])
def test_auto_size_is_what_any_text_supports(
    text: str, kind: str, joint: bool, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(root, "train", TINY[text])
    auto = TokenizerConfig(kind=kind, joint=joint)
    first = prepare(settings(root), auto)
    size = first.tokenizer.size
    assert isinstance(size, int)
    assert decoded(first) == TINY[text]
    assert first.tokenizer == dataclasses.replace(auto, size=size)
    monkeypatch.setattr(module, "train_tokenizer", None)  # everything is in the cache
    assert prepare(settings(root), auto).tokenizer == first.tokenizer
    again = prepare(settings(root), first.tokenizer)
    assert (again.folder, again.tokenizer) == (first.folder, first.tokenizer)
    assert module.open_cached(settings(root), first.tokenizer, first.data_hash).folder == first.folder
    monkeypatch.undo()
    sizes = {first.vocabularies.source.size, first.vocabularies.target.size}
    if kind in ("word", "char"):
        assert max(sizes) <= size == 8000
        return
    assert max(sizes) == size
    with caplog.at_level("WARNING"):
        more = prepare(settings(root), dataclasses.replace(auto, size=size + 1))
    assert f"tokenizer.size={size + 1} is more than the training text supports: at most {size}" in caplog.text
    assert max(more.vocabularies.source.size, more.vocabularies.target.size) == size
    assert module.scan_corpus(settings(root)).hash == first.data_hash


@pytest.mark.parametrize("kind", ["bpe", "word"])
def test_auto_size_is_the_limit_if_the_text_supports_it(kind: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_AUTO_SIZE", 40)
    explicit = prepare(settings(root), tokenizer(kind=kind, size=40))
    monkeypatch.setattr(module, "_train_tokenizers", None)  # a corpus in the cache shows that the text supports it
    assert prepare(settings(root), tokenizer(kind=kind, size="auto")).folder == explicit.folder
    monkeypatch.undo()
    monkeypatch.setattr(module, "MAX_AUTO_SIZE", 40)
    shutil.rmtree(root / "cache")
    auto = prepare(settings(root), tokenizer(kind=kind, size="auto"))
    assert (auto.folder, auto.vocabularies.sha256) == (explicit.folder, explicit.vocabularies.sha256)


def test_size_is_lowered_until_the_tokenizer_can_be_trained(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller unigram model is pruned further, and may then be smaller than the message of the first attempt says."""
    train, limits = module.train_tokenizer, [70, 50]

    def train_late(texts: Any, size: int, **more: Any) -> Any:
        if limits:
            raise VocabularySizeError(size, limits.pop(0))
        return train(texts, size=size, **more)

    monkeypatch.setattr(module, "train_tokenizer", train_late)
    assert prepare(settings(root), tokenizer(size="auto")).tokenizer.size == 50
    limits = [70, 50]
    assert prepare(settings(root), tokenizer(size=9000)).vocabularies.larger == 50


FORMS: dict[str, Callable[[list[Pair]], dict[str, bytes]]] = {  # the same pairs, as people have them
    "CRLF": lambda pairs: sides(pairs, lambda text: text.replace("\n", "\r\n").encode()),
    "byte order mark": lambda pairs: sides(pairs, lambda text: text.encode("utf-8-sig")),
    "no last line end": lambda pairs: sides(pairs, lambda text: text.removesuffix("\n").encode()),
    "xz": lambda pairs: sides(pairs, lambda text: lzma.compress(text.encode()), ".xz"),
    "bz2": lambda pairs: sides(pairs, lambda text: bz2.compress(text.encode()), ".bz2"),
    "csv": lambda pairs: {".csv": rows([Pair("en", "de"), *pairs], ",")},
    "csv.gz": lambda pairs: {".csv.gz": gzip.compress(rows([Pair("en", "de"), *pairs], ";"))},
    "tsv": lambda pairs: {".tsv": rows([Pair("en", "de"), *pairs], "\t")},
    "jsonl": lambda pairs: {".jsonl": b"".join(json.dumps({"de": p[1], "en": p[0]}).encode() + b"\n" for p in pairs)},
}


def sides(pairs: list[Pair], encode: Callable[[str], bytes], packed: str = "") -> dict[str, bytes]:
    return {
        f".{ending}{packed}": encode("".join(f"{pair[i]}\n" for pair in pairs)) for i, ending in enumerate(("en", "de"))
    }


def rows(pairs: list[Pair], separator: str) -> bytes:
    return "".join(f"{pair.source}{separator}{pair.target}\n" for pair in pairs).encode()


def test_the_same_pairs_have_one_hash_in_every_form(tmp_path: Path) -> None:
    for name, pairs in (("plain", TRAIN), ("dev", DEV)):
        write(tmp_path, name, pairs)
    expected = prepare(settings(tmp_path, train="plain", test={}), tokenizer())
    for number, form in enumerate(FORMS):
        kind = form.partition(".")[0]
        kind, ending = (kind, f".{kind}") if kind in READERS else ("text", "")
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, pairs in (("train", TRAIN), ("held", DEV)):
            for suffix, content in FORMS[form](pairs).items():
                (folder / (name + suffix)).write_bytes(content)
        names = {"train": f"train{ending}", "dev": f"held{ending}", "test": {}, "cache": str(tmp_path / "cache")}
        assert prepare(settings(folder, format=kind, **names), tokenizer()).folder == expected.folder, form


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("", "", r"data\.train=\['odd'\] holds no pairs"),
        ("\n \n\n", "\n\n\t\n", "none of the 3 training pairs is left: they have an empty side"),
        ("a\n", "", r"odd\.en has 1 lines, but .*odd\.de has 0"),
        ("a\nb", "a\nb\nc", r"odd\.en has 2 lines, but .*odd\.de has 3"),
        ("a\rb\n", "a\nb\n", r"odd\.en has 1 lines, but .*odd\.de has 2"),
        ("a\0b\n", "a\n", r"odd\.en:1: a NUL, which is not text"),
    ],
)
def test_odd_text_is_refused(root: Path, source: str, target: str, message: str) -> None:
    (root / "odd.en").write_text(source, newline="")
    (root / "odd.de").write_text(target, newline="")
    with pytest.raises(DataError, match=message):
        prepare(settings(root, train="odd"), tokenizer())
    assert not list((root / "cache").glob("[!.]*"))


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        (
            {"source": "de"},
            "source and target of every training pair are the same: data.source=de or data.target=de",
        ),
        ({"dev": "train"}, "203 of 204 sources of dev are also in the training text"),
        ({"test": {"new": "train"}}, "203 of 204 sources of new are also in the training text"),
        ({}, ""),
    ],
)
def test_file_that_is_named_twice_is_warned_of(
    root: Path, given: dict[str, Any], warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    module.scan_corpus(settings(root, **given))
    assert [warning in message for message in caplog.messages] == [True] * bool(warning)


def test_toy_corpus_is_prepared(tmp_path: Path) -> None:
    pytest.importorskip("seq2seq.data.toy.translation", reason="the generator is not there")
    prepared = prepare(DataConfig(name="toy", format="toy", pairs=400, cache=str(tmp_path)), tokenizer(size=200))
    assert len(prepared.train) == 400
    assert prepared.report["overlap"] == {
        "dev": [0, len(prepared.dev)],
        "test": [0, prepared.report["overlap"]["test"][1]],
    }


@pytest.mark.parametrize(
    "file",
    sorted(CONF.glob("data/*.yaml")) + sorted(CONF.glob("tokenizer/*.yaml")),
    ids=lambda f: f"{f.parent.name}/{f.stem}",
)
def test_shipped_settings_are_valid_and_differ_from_defaults(file: Path) -> None:
    given = yaml.safe_load(file.read_text())
    own, *chosen = given.pop("defaults", ["_self_"])
    assert own == "_self_"  # a corpus may choose its task, which is then composed before it
    assert all(choice.keys() <= {"override /task", "override /tokenizer"} for choice in chosen)
    kind: Any = DataConfig if file.parent.name == "data" else TokenizerConfig
    given = given.get("data", given)  # some set other groups too
    made = kind(**given)
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    if kind is DataConfig:
        assert made.name == file.stem
        assert file.stem == "mine" or (made.licence and made.how)
        assert made.format in (*READERS, *GENERATED, "hub")
    else:
        assert made.kind == file.stem
    assert all(
        value != defaults[name] for name, value in given.items() if name not in ("name", "kind", "source", "target")
    )
