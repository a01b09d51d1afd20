"""What is prepared is what was hashed: text that changes meanwhile is refused, and nothing of it is kept."""

import gzip
import json
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from seq2seq.config import DataConfig, TokenizerConfig
from seq2seq.data import encoding
from seq2seq.data import prepare as module
from seq2seq.data.dataset import PairArrays
from seq2seq.data.encoding import EncodingRules, encode_corpus
from seq2seq.data.prepare import Prepared, prepare
from seq2seq.data.readers import LinkedPair, Pair
from seq2seq.data.text_hash import TextChangedError, hash_pairs, unchanged
from seq2seq.data.tokenizer import train_tokenizer
from seq2seq.data.vocabulary import Vocabularies

ENGLISH, GERMAN = ["the", "cat", "sees", "Bonn"], ["die", "Katze", "sieht", "Bonn"]


def corpus(lines: int, seed: int) -> list[Pair]:
    draw = random.Random(seed)
    return [Pair(*(" ".join(draw.choices(words, k=4)) for words in (ENGLISH, GERMAN))) for _ in range(lines)]


BEFORE, OTHER = corpus(60, 1), corpus(60, 2)
CHANGES = {  # what becomes of the pairs after they were hashed
    "grows": [*BEFORE, *OTHER],
    "shrinks": BEFORE[:-1],
    "is replaced": OTHER,
    "is sorted": sorted(BEFORE),
    "loses all": [],
    "is edited": [*BEFORE[:-1], Pair(BEFORE[-1].source, "Bonn sieht die Katze !")],
}
FORMATS: dict[str, Callable[[Sequence[Pair]], dict[str, str]]] = {  # format -> the content of its files, by ending
    "text": lambda pairs: {f".{side}": lines([getattr(p, name) for p in pairs]) for side, name in SIDES.items()},
    "tsv": lambda pairs: {"": lines([f"{p.source}\t{p.target}" for p in pairs])},
    "jsonl": lambda pairs: {"": lines([json.dumps({"en": p.source, "de": p.target}) for p in pairs])},
}
SIDES = {"en": "source", "de": "target"}


def lines(texts: Sequence[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


def write(root: Path, name: str, pairs: Sequence[Pair], kind: str = "text", packed: bool = False) -> None:
    for ending, text in FORMATS[kind](pairs).items():
        path = root / f"{name}{ending}{'.gz' * packed}"
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())


def settings(root: Path, kind: str = "text") -> DataConfig:
    return DataConfig(format=kind, train=["train"], dev=["dev"], root=str(root), cache=str(root / "cache"))


def decoded(prepared: Prepared) -> list[Pair]:
    both = prepared.vocabularies
    rows = map(prepared.train.row, range(len(prepared.train)))
    return [Pair(both.source.decode(row.source), both.decode_target(row.target)) for row in rows]


TOKENIZER = TokenizerConfig(kind="char", size=60)


def refusal(change: Callable[[], Any], at: str, data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> str:
    """The error of preparing text that `change` changes after the function `at` of the module. Nothing is kept."""
    before = getattr(module, at)

    def then_change(*arguments: Any) -> Any:
        result = before(*arguments)
        change()
        return result

    linked = bool(list(Path(data.root).glob("*.align")))
    with monkeypatch.context() as patched:
        patched.setattr(module, at, then_change)
        with pytest.raises(TextChangedError) as caught:
            prepare(data, TOKENIZER, linked=linked)
    assert not [path for path in Path(data.cache).iterdir() if path.suffix != ".lock"]
    return str(caught.value)


STEPS = ("scan_corpus", "_train_tokenizers", "_write_dev")


@pytest.mark.parametrize(("change", "at"), [*zip(CHANGES, STEPS * 2, strict=True)])
def test_training_text_that_changes_is_refused(
    change: str, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "train", BEFORE)
    write(tmp_path, "dev", OTHER[:5])
    message = refusal(lambda: write(tmp_path, "train", CHANGES[change]), at, settings(tmp_path), monkeypatch)
    both = ", ".join(str(tmp_path / f"train.{side}") for side in SIDES)
    assert message.startswith(f"{both} changed while it was read: nothing was stored")
    write(tmp_path, "train", BEFORE)  # as it was when its hash was taken
    assert decoded(prepare(settings(tmp_path), TOKENIZER)) == BEFORE


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["train", "dev"])
def test_files_of_every_format_are_named(
    name: str, kind: str, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in ("train", "dev"):
        write(tmp_path, one, BEFORE, kind, packed)
    change = partial(write, tmp_path, name, OTHER, kind, packed)
    message = refusal(change, "scan_corpus", settings(tmp_path, kind), monkeypatch)
    for path in tmp_path.glob("[td]*"):
        assert (str(path) in message) == path.name.startswith(name)


def test_word_links_that_change_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "dev"):
        write(tmp_path, name, BEFORE)
    links = tmp_path / "train.align"
    links.write_text("0-0\n" * 60)
    change = partial(links.write_text, "0-0 1-1\n" * 60)
    assert refusal(change, "_train_tokenizers", settings(tmp_path), monkeypatch).startswith(f"{links} changed")


def test_text_without_files_that_changes_is_named_by_its_setting() -> None:
    given = {"text": hash_pairs(BEFORE), "links": "", "stamps": {}, "names": ["data.train=['train']"]}
    assert list(unchanged(BEFORE, **given)) == BEFORE
    with pytest.raises(TextChangedError, match=r"^data\.train=\['train'\] changed while it was read"):
        list(unchanged(OTHER, **given))


def test_blocks_of_other_text_are_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an interrupted call leaves them that has read text while it was replaced by other text, and back."""
    monkeypatch.setattr(encoding, "BLOCK_PAIRS", 16)
    tokenizer = train_tokenizer([side for pair in BEFORE for side in pair], kind="char", size=60)
    Vocabularies(tokenizer, tokenizer).save(tmp_path)
    rules = EncodingRules(max_words=9, max_ratio=3.0, max_tokens=99, keep_text=False)

    def interrupted() -> Iterator[Pair]:
        yield from OTHER[:32]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_corpus(tmp_path, interrupted(), 60, rules)
    encode_corpus(tmp_path, BEFORE, 60, rules)
    rows = PairArrays(tmp_path / "train")
    assert [tokenizer.decode(rows.source(i)) for i in range(60)] == [pair.source for pair in BEFORE]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([Pair("a", "b")], [Pair("b", "a")]),
        ([Pair("a", "b"), Pair("c", "d")], [Pair("c", "d"), Pair("a", "b")]),
        ([LinkedPair("a", "b", ((0, 0),))], [LinkedPair("a", "b", ())]),
        ([Pair("a", "b")], []),
    ],
)
def test_hash_depends_on_text_order_and_links(one: list[Pair], other: list[Pair]) -> None:
    assert hash_pairs(one) == hash_pairs(list(one)) != hash_pairs(other)
