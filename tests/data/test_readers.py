"""Every format is read as it was written, and bad input is refused with file and line."""

import csv
import gzip
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from seq2seq.config import DataConfig
from seq2seq.config.data import BREAKS
from seq2seq.data import corpora
from seq2seq.data.readers import READERS, FileLayout, Pair, find_file, read_hub, read_lines
from seq2seq.errors import ConfigError, DataError

PAIRS = [
    Pair("A man.", "Ein Mann."),
    Pair("line\u2028separator", "next\u0085line"),
    Pair("a\rb", "form\x0cfeed\x1c"),
    Pair("", "empty source"),
    Pair("  spaces  ", "no-break\u00a0space"),
    Pair("emoji 👩‍🚀", "日本語 ﷽"),
]


TAGGED = [
    Pair("EU rejects a #", "B-ORG O O O"),
    Pair("line\u2028separator\u00a0here next\u0085line", "O B-X"),
    Pair("日本語", "O"),
]


def pairs_of(kind: str) -> list[Pair]:
    """Pairs that a format can hold."""
    return TAGGED if kind == "conll" else PAIRS


def conll_lines(pair: Pair) -> list[str]:
    """The lines of a sentence; of text that has no tags only the first words."""
    return ["\t".join(row) for row in zip(pair.source.split(" "), pair.target.split(" "), strict=False)]


def layout(root: Path) -> FileLayout:
    return FileLayout(root, "en", "de", how="ask a friend")


def write(root: Path, kind: str, pairs: list[Pair], suffix: str) -> list[str]:
    """Write pairs without using the package; return the names to read."""
    lines = {
        "text": {"c.en": [p.source for p in pairs], "c.de": [p.target for p in pairs]},
        "tsv": {"c.tsv": ["\t".join(p) for p in pairs]},
        "csv": {"c.csv": [",".join('"' + side.replace('"', '""') + '"' for side in p) for p in pairs]},
        "conll": {"c.conll": [line for p in pairs for line in (*conll_lines(p), "")]},
        "jsonl": {"c.jsonl": [json.dumps({"en": p.source, "x": 1, "de": p.target}) for p in pairs]},
    }[kind]
    for name, texts in lines.items():
        content = "".join(f"{text}\n" for text in texts).encode()
        (root / (name + suffix)).write_bytes(gzip.compress(content) if suffix else content)
    return ["c" if kind == "text" else f"c.{kind}"]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("kind", READERS)
def test_formats_are_read_as_written(tmp_path: Path, kind: str, suffix: str) -> None:
    pairs = pairs_of(kind)
    names = write(tmp_path, kind, pairs, suffix)
    assert list(READERS[kind](names * 2, layout(tmp_path))) == pairs * 2
    absolute = [str(tmp_path / name) for name in names]
    assert list(READERS[kind](absolute, layout(Path("/nowhere")))) == pairs


@pytest.mark.parametrize("kind", READERS)
def test_readers_stream(tmp_path: Path, kind: str) -> None:
    names = write(tmp_path, kind, pairs_of(kind), "")
    assert next(READERS[kind]([*names, "missing"], layout(tmp_path))) == pairs_of(kind)[0]


def test_line_endings_and_byte_order_mark_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\r\nlast \xef\xbb\xbf")
    assert list(read_lines(tmp_path / "a")) == ["one", "two\r", "last \ufeff"]


@pytest.mark.parametrize("kind", READERS)
def test_invalid_utf8_names_file_and_line(tmp_path: Path, kind: str) -> None:
    names = write(tmp_path, kind, pairs_of(kind), "")
    file = tmp_path / ("c.en" if kind == "text" else f"c.{kind}")
    lines = file.read_bytes().split(b"\n")
    lines[2] = b"ab\xff" + lines[2]
    file.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match=rf"{file.name}:3: not UTF-8 \(byte 0xff at place 3\)"):
        list(READERS[kind](names, layout(tmp_path)))


@pytest.mark.parametrize(("source", "target"), [(3, 5), (5, 3), (0, 1), (4, 5)])
def test_sides_of_different_lengths_are_refused(tmp_path: Path, source: int, target: int) -> None:
    (tmp_path / "c.en").write_text("x\n" * source)
    (tmp_path / "c.de").write_text("y\n" * target)
    with pytest.raises(DataError, match=rf"c\.en has {source} lines, but .*c\.de has {target}$"):
        list(READERS["text"](["c"], layout(tmp_path)))


CONLL = "# text = A b\n-DOCSTART- -X- O O\n\nA x B-X\n# y O\n\n\nc z O\n"


def test_conll_columns_are_chosen_and_counted(tmp_path: Path) -> None:
    (tmp_path / "c").write_text(CONLL)
    assert list(READERS["conll"](["c"], layout(tmp_path))) == [Pair("A #", "B-X O"), Pair("c", "O")]
    chosen = layout(tmp_path)._replace(columns=[1, 2])
    assert list(READERS["conll"](["c"], chosen)) == [Pair("x y", "B-X O"), Pair("z", "O")]
    for text, message in (
        ("a O\nb\n", r"c:2: 1 column, but the line before has 2"),
        ("b\n", r"c:1: 1 column, but a word and its tag"),
        ("", ""),
    ):
        (tmp_path / "c").write_text(text)
        if message:
            with pytest.raises(DataError, match=message):
                list(READERS["conll"](["c"], layout(tmp_path)))
    (tmp_path / "c").write_text("10\u00a0000 O\n")
    assert list(READERS["conll"](["c"], layout(tmp_path))) == [Pair("10\u00a0000", "O")]
    (tmp_path / "c").write_text("a O\n")
    with pytest.raises(DataError, match=r"c:1: 2 columns, but data\.columns=\[0,3\], counted from 0"):
        list(READERS["conll"](["c"], layout(tmp_path)._replace(columns=[0, 3])))


def test_missing_file_is_named_with_a_suggestion(tmp_path: Path) -> None:
    write(tmp_path, "text", PAIRS, "")
    with pytest.raises(DataError) as caught:
        list(READERS["text"](["cc"], layout(tmp_path)))
    for part in ("cc.en is missing", str(tmp_path), "ask a friend", "did you mean 'c.en'"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "line", "message"),
    [
        ("tsv", "only one column", r"c\.tsv:7: 1 field, but line 1 has 2"),
        ("tsv", "", r"c\.tsv:7: an empty line, but line 1 has 2"),
        ("jsonl", "{", r"c\.jsonl:7: not valid JSON at character 2; data\.format=jsonl needs one object on each"),
        ("jsonl", "", r"c\.jsonl:7: an empty line; data\.format=jsonl needs one object on each"),
        ("jsonl", "3", r"c\.jsonl:7: a number, not an object with the field 'en'"),
        ("jsonl", '{"en": null, "de": ""}', r"c\.jsonl:7: field 'en' is null, not text"),
        ("jsonl", '{"en": {"text": "a"}, "de": ""}', r"c\.jsonl:7: field 'en' is an object, not text"),
        ("jsonl", '{"en": ["a"], "de": ""}', r"c\.jsonl:7: field 'en' is a list, not text"),
        ("jsonl", '{"en": "a\\u0000", "de": ""}', r"c\.jsonl:7: field 'en' holds a NUL"),
        ("jsonl", "[" * 200_000, r"c\.jsonl:7: not valid JSON"),
        ("jsonl", "1" * 5_000, r"c\.jsonl:7: not valid JSON"),
        (
            "jsonl",
            "[1]",
            r"c\.jsonl:7: a list; data\.format=jsonl needs one object on each line.* for a file that is one list",
        ),
        (
            "jsonl",
            '{"eng": "", "de": ""}',
            r"c\.jsonl:7: no field 'en' \(did you mean 'eng'\?\); the fields are: eng, de",
        ),
        ("jsonl", '{"en": 3, "de": ""}', r"c\.jsonl:7: field 'en' is a number, not text"),
        ("jsonl", '{"en": "\\ud800", "de": ""}', r"c\.jsonl:7: field 'en' holds half a surrogate pair"),
    ],
)
def test_bad_line_is_named(tmp_path: Path, kind: str, line: str, message: str) -> None:
    names = write(tmp_path, kind, PAIRS, "")
    with (tmp_path / names[0]).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=message):
        list(READERS[kind](names, layout(tmp_path)))


def test_truncated_gzip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(range(1, 100)) * 100)[:-20])
    with pytest.raises(DataError, match="not a complete gzip file"):
        list(read_lines(tmp_path / "a.gz"))


def test_line_breaks_in_fields_become_spaces(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps({"translation": {"en": "a\nb", "de": "c\r\nd"}}) + "\n")
    assert list(READERS["jsonl"](["c.jsonl"], layout(tmp_path))) == [Pair("a b", "c d")]


def config(root: Path, **settings: object) -> DataConfig:
    return DataConfig(root=str(root), **settings)  # type: ignore[arg-type]


def test_empty_corpus_and_unknown_test_set(tmp_path: Path) -> None:
    write(tmp_path, "text", [], "")
    data = config(tmp_path, train=["c"], test={"newstest": ["c"]})
    with pytest.raises(DataError, match=r"data\.train=\['c'\] holds no pairs"):
        list(corpora.train_pairs(data))
    with pytest.raises(ConfigError, match=r"data\.dev=\[\] names no files"):
        list(corpora.dev_pairs(data))
    with pytest.raises(ConfigError, match=r"'newtest' is unknown \(did you mean 'newstest'"):
        corpora.test_pairs(data, "newtest")


def test_root_defaults_to_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path))
    assert corpora.data_root(DataConfig()) == tmp_path
    assert corpora.data_root(DataConfig(root="/else")) == Path("/else")
    monkeypatch.delenv("SEQ2SEQ_DATA")
    assert corpora.data_root(DataConfig()) == Path("data")


def test_alignment_files_are_found_next_to_the_text(tmp_path: Path) -> None:
    write(tmp_path, "text", PAIRS[:2], "")
    data = config(tmp_path, dev=["c"], test={"t": ["c"]})
    assert corpora.gold_alignment(data, "dev") is None
    (tmp_path / "c.align").write_text("0-0\n1-0 1-1\n")
    assert corpora.gold_alignment(data, "dev") == corpora.gold_alignment(data, "t") == ["0-0", "1-0 1-1"]
    with pytest.raises(DataError, match=r"d\.align is missing"):
        corpora.gold_alignment(config(tmp_path, dev=["c", "d"]), "dev")
    (tmp_path / "c.align").write_bytes(b"0-0\n1-0 \xff\n")
    with pytest.raises(DataError, match=r"c\.align:2: not UTF-8"):
        corpora.gold_alignment(data, "dev")


def test_alignment_files_name_their_direction(tmp_path: Path) -> None:
    """A file that names a direction serves both; one that does not has the direction of the run."""
    write(tmp_path, "text", PAIRS[:2], "")
    there, back = (
        config(tmp_path, train=["c"], dev=["c"], source=s, target=t) for s, t in (("en", "de"), ("de", "en"))
    )
    (tmp_path / "c.align").write_text("0-0\n0-0\n")
    assert corpora.gold_alignment(there, "dev") == corpora.gold_alignment(back, "dev") == ["0-0", "0-0"]
    with gzip.open(tmp_path / "c.en-de.align.gz", "wt") as file:
        file.write("1-0 0p1\n0-0\n")
    assert corpora.gold_alignment(there, "dev") == ["1-0 0p1", "0-0"]
    assert corpora.gold_alignment(back, "dev") == ["0-1 1p0", "0-0"]
    links = [[pair.links for pair in corpora.linked_pairs(data)] for data in (there, back)]
    assert links == [[((0, 1), (1, 0)), ((0, 0),)], [((0, 1), (1, 0)), ((0, 0),)]]
    (tmp_path / "c.de-en.align").write_text("1-1\n0-0\n")
    assert corpora.gold_alignment(there, "dev") == ["1-0 0p1", "0-0"]
    assert corpora.gold_alignment(back, "dev") == ["1-1", "0-0"]


def test_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.en").mkdir()
    with pytest.raises(DataError, match=r"c\.en is a folder, but a text file is needed"):
        find_file("c.en", tmp_path)


ROWS = [{"translation": {"en": "a", "de": "b"}}, {"translation": {"en": "c\nd", "de": "e"}}]


def test_hub_data_set_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def load_dataset(name: str, split: str) -> list[dict[str, dict[str, str]]]:
        calls.append((name, split))
        return ROWS

    fake = SimpleNamespace(load_dataset=load_dataset, load_from_disk=lambda name: {"train": ROWS[:1]})
    monkeypatch.setitem(sys.modules, "datasets", fake)
    data = config(tmp_path, format="hub", hub="opus", train=["train[:9]", "validation"])
    assert list(corpora.train_pairs(data)) == [Pair("a", "b"), Pair("c d", "e")] * 2
    assert calls == [("opus", "train[:9]"), ("opus", "validation")]
    (tmp_path / "opus").mkdir()
    (tmp_path / "opus" / "dataset_dict.json").touch()
    assert list(read_hub(str(tmp_path / "opus"), ["train"], source="en", target="de")) == [Pair("a", "b")]
    with pytest.raises(ConfigError, match=r"data\.hub_config='3\.0\.0' would be ignored"):
        list(read_hub(str(tmp_path / "opus"), ["train"], source="en", target="de", config="3.0.0"))
    with pytest.raises(ConfigError, match=r"split of .*opus='dev' is unknown; choose one of: train"):
        list(corpora.train_pairs(config(tmp_path, format="hub", hub="opus", train=["dev"])))
    with pytest.raises(DataError, match=r"opus\[train\]:1: no field 'fr'.* the fields are: en, de"):
        list(read_hub("opus", ["train"], source="fr", target="de"))


class Rows(list[dict[str, object]]):
    """Rows of a data set, with features."""

    features: dict[str, object]


def test_labels_may_be_numbers_lists_and_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"text": "a b", "label": 1}, {"text": ["a", "b c"], "label": ["x", False]}, {"text": "a", "label": True}]
    (tmp_path / "c.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    own = layout(tmp_path)._replace(source="text", target="label")
    found = list(READERS["jsonl"](["c.jsonl"], own._replace(labels=True)))
    assert found == [Pair("a b", "1"), Pair("a b_c", "x false"), Pair("a", "true")]
    with pytest.raises(DataError, match="field 'label' is a number, not text"):
        list(READERS["jsonl"](["c.jsonl"], own))

    rows = Rows([{"text": "a", "label": 1, "tags": [0, 1], "tokens": ["a", "b"]}])
    names = SimpleNamespace(names=["no", "very good"])
    rows.features = {"label": names, "tags": SimpleNamespace(feature=names), "text": None}
    fake = SimpleNamespace(load_dataset=lambda name, split: rows)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    assert list(read_hub("own", ["train"], source="text", target="label", labels=True)) == [Pair("a", "very_good")]
    tagged = read_hub("own", ["train"], source="tokens", target="tags", labels=True)
    assert list(tagged) == [Pair("a b", "no very_good")]
    rows[0]["label"] = -1
    with pytest.raises(DataError, match=r"own\[train\]:1: -1 is no number of one of its 2 classes"):
        list(read_hub("own", ["train"], source="text", target="label", labels=True))


def test_hub_configuration_and_parquet_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set that comes as a script is read from the hub's Parquet copy; other errors are reported."""
    calls: list[tuple[object, ...]] = []

    def load_dataset(*names: str, split: str, revision: str = "main") -> list[dict[str, str]]:
        calls.append((*names, split, revision))
        if "script" in names[0] and revision == "main":
            raise RuntimeError("Dataset scripts are no longer supported, but found x.py")
        if "broken" in names[0]:
            raise RuntimeError("broken")
        return [{"article": "a", "highlights": "b ."}]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    assert list(read_hub("news", ["test"], source="article", target="highlights", config="3.0.0")) == [Pair("a", "b .")]
    assert list(read_hub("script", ["test"], source="article", target="highlights")) == [Pair("a", "b .")]
    assert calls == [
        ("news", "3.0.0", "test", "main"),
        ("script", "test", "main"),
        ("script", "test", "refs/convert/parquet"),
    ]
    with pytest.raises(DataError, match=r"data\.hub='broken', split 'test' cannot be loaded \(RuntimeError"):
        list(read_hub("broken", ["test"], source="article", target="highlights"))


@pytest.mark.parametrize("name", sorted({*BREAKS} & {*READERS}))
def test_line_breaks_of_targets_are_kept_on_request(tmp_path: Path, name: str) -> None:
    """As <n>; those of sources and those around the text are not kept."""
    rows = [{"s": "a\nb", "t": "One .\nTwo .\r\n\n  Three . \n"}, {"s": "c", "t": "One"}]
    with (tmp_path / f"x.{name}").open("w", newline="") as file:
        if name == "csv":
            csv.writer(file).writerows([("s", "t"), *(row.values() for row in rows)])
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    read = {"format": name, "source": "s", "target": "t", "train": [f"x.{name}"]}
    kept = corpora.train_pairs(config(tmp_path, **read, keep_breaks=True))
    assert list(kept) == [Pair("a b", "One . <n> Two . <n> Three ."), Pair("c", "One")]
    assert next(corpora.train_pairs(config(tmp_path, **read))).target == "One . Two .    Three .  "


@pytest.mark.slow  # the library takes long to import
def test_hub_with_the_real_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of files, and what save_to_disk writes for all splits and for one."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="the extra [hub] is not installed")
    for split in ("train", "validation"):
        (tmp_path / f"{split}.jsonl").write_text("".join(f'{{"en": "{split} {n}", "de": "{n}"}}\n' for n in range(4)))
    loaded = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))
    loaded.save_to_disk(tmp_path / "all")
    loaded["train"].save_to_disk(tmp_path / "one")
    assert list(read_hub(str(tmp_path), ["validation[:50%]"], source="en", target="de")) == [
        Pair("validation 0", "0"),
        Pair("validation 1", "1"),
    ]
    assert list(read_hub(str(tmp_path / "all"), ["validation"], source="en", target="de"))[3] == Pair(
        "validation 3", "3"
    )
    assert next(read_hub(str(tmp_path / "one"), ["train"], source="en", target="de")) == Pair("train 0", "0")
    for folder in ("all", "one"):
        with pytest.raises(ConfigError, match="='valid' is unknown"):
            list(read_hub(str(tmp_path / folder), ["valid"], source="en", target="de"))
        with pytest.raises(ConfigError, match=r"data\.hub_config='3\.0\.0' would be ignored"):
            list(read_hub(str(tmp_path / folder), ["train"], source="en", target="de", config="3.0.0"))
    with pytest.raises(DataError, match="cannot be loaded"):
        list(read_hub(str(tmp_path / "nothing"), ["train"], source="en", target="de"))


def test_hub_needs_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'seq2seq\[hub\]'"):
        list(read_hub("opus", ["train"], source="en", target="de"))
