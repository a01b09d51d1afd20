"""Translator of a bundle: it reads and finds what the one with torch does, whose models stand in for its graphs."""

import io
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import seq2seq
from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.ids import EOS
from seq2seq.runtime import translator as module
from seq2seq.runtime.cpu import SMALL_ROWS, available_cores
from seq2seq.runtime.translator import Threads, Translator
from seq2seq.search.shortlist import Shortlist
from tests.runtime.bundles import GRAPH, bundle_of, members

RandomRun = Callable[..., Path]
Both = tuple[seq2seq.Translator, Translator]

WORDS = ("tokenizer=word", "tokenizer.size=40", "tokenizer.joint=false")
TRANSFORMER = (
    "model=transformer", "model.size=8", "model.heads=2", "model.feedforward=16", "model.encoder_layers=1",
    "model.decoder_layers=2",
)  # fmt: skip
VARIANTS = {"rnn": (), "rnn copy": (*WORDS, "model.head=copy"), "transformer": TRANSFORMER}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return VARIANTS[request.param]


@pytest.fixture
def both(random_run: RandomRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Both]:
    """`both(run settings, search settings)`: the Translators of a run and of its bundle, in float64."""

    def opened(settings: tuple[str, ...] = (), runs: int = 1, **search: Any) -> Both:
        run = random_run(*settings)
        shortlist = search.get("shortlist")
        plain = {name: value for name, value in search.items() if name != "shortlist"}
        ours = seq2seq.Translator.open(*[run] * runs, precision="64", **plain)
        path = tmp_path / f"{len([*tmp_path.iterdir()])}.s2s"
        files = {}
        if shortlist:
            size = ours.vocabularies.target.size
            table = np.random.default_rng(1).integers(4, size, (ours.vocabularies.source.size, 9))
            files["shortlist.npy"] = npy(table.astype(np.int32))
            ours.shortlist = Shortlist(torch.from_numpy(table[:, :shortlist]), size)
        monkeypatch.setattr(module, "_open_model", lambda *inputs: members(ours)[0])
        return ours, Translator.open(*[bundle_of(run, path, files)] * runs, **search)

    return opened


def npy(table: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, table)
    return file.getvalue()


def same(ours: Any, theirs: Any) -> None:
    """Assert that two lists of Translations of each line are the same."""
    for left, right in zip(ours, theirs, strict=True):
        for one, other in zip(left, right, strict=True):
            for name in ("text", "source", "target", "finished", "truncated", "encoded"):
                assert getattr(one, name) == getattr(other, name)
            assert [*one.ids] == [*other.ids]
            assert (one.score, one.log_prob) == pytest.approx((other.score, other.log_prob), abs=1e-8)
            assert (one.attention is None) == (other.attention is None)
            if one.attention is not None:
                np.testing.assert_allclose(one.attention, other.attention, atol=1e-6)


LINES = [
    "Zxqyvia , the cat \u200b  sees Qwmnor .", "\u3000", "ünknown 我们 \ufffd", "a" * 300, "cat " * 90,
    "<s> </s> ⁇ <unk>", "▁ ▁a",
]  # fmt: skip


def test_text_becomes_the_same_ids(both: Callable[..., Both], variant: tuple[str, ...], lines: list[str]) -> None:
    """And ids the same text, of targets as well, cut where the model or the settings say so."""
    ours, theirs = both(variant, max_source=50)
    for line in [*lines, *LINES]:
        source = ours.encode_source(line)
        assert theirs.encode_source(line) == source
        target = line[:40]
        assert theirs.encode_target(target, source) == ours.encode_target(target, source)
        ids = [*source.copy[:-1], 4, 5, 10**6]
        assert theirs.vocabularies.decode_target(ids, source.unknown) == ours.vocabularies.decode_target(
            ids, source.unknown
        )


SEARCHES: dict[str, dict[str, Any]] = {
    "beam": {"beam": 4, "n_best": 4, "min_length": 3, "max_length": 12},
    "greedy": {"beam": 1, "batch": 64, "replace_unknown": True},
    "penalties": {
        "beam": 3, "length_penalty": "gnmt", "alpha": 0.6, "coverage_penalty": 0.3, "no_repeat": 2, "batch": 3,
    },
    "sampling": {"sampling": True, "n_best": 3, "top_k": 8, "top_p": 0.9, "temperature": 1.3, "window": 6},
}  # fmt: skip


@pytest.mark.parametrize("search", SEARCHES)
def test_translations_are_those_of_torch(
    both: Callable[..., Both], variant: tuple[str, ...], search: str, lines: list[str]
) -> None:
    ours, theirs = both(variant, **SEARCHES[search])
    same(ours.hypotheses(lines, attention=True), theirs.hypotheses(lines, attention=True))
    assert theirs.translate(lines[:7]) == ours.translate(lines[:7])


def test_prefixes_terms_shortlists_and_ensembles(both: Callable[..., Both], lines: list[str]) -> None:
    prefix = ["", "die Katze", "ein"] * 5
    terms: list[list[str]] = [["Katze", "№ 7️⃣"], [], ["die", "die"], ["sieht die", "die"], ["x@y.example"]] * 3
    for settings, more in ((VARIANTS["rnn copy"], {}), ((), {"shortlist": 4}), (TRANSFORMER, {"runs": 2})):
        ours, theirs = both(settings, max_length=12, **more)
        same(ours.hypotheses(lines, prefix=prefix), theirs.hypotheses(lines, prefix=prefix))
        same(*(each.hypotheses(lines, terms=terms, attention=True) for each in (ours, theirs)))


@pytest.mark.parametrize("family", [WORDS, TRANSFORMER], ids=["rnn", "transformer"])
@pytest.mark.fast("rnn")
def test_an_end_of_a_source_that_is_not_read_is_a_position_without_attention(
    both: Callable[..., Both], family: tuple[str, ...], lines: list[str]
) -> None:
    """It is not charged for by the coverage penalty, which every other position without attention is."""
    ours, theirs = both(
        (*family, "model.source_end=false"), beam=3, n_best=3, coverage_penalty=0.3, replace_unknown=True
    )
    found = [*ours.hypotheses(lines, attention=True)]
    same(found, theirs.hypotheses(lines, attention=True))
    pairs = [(line, "die Katze") for line in lines]
    given = [[[one] for one in each.forced_decode(pairs, attention=True)] for each in (ours, theirs)]
    same(*given)
    for one in itertools.chain.from_iterable((*found, *given[0])):
        if one.attention is not None and len(one.source) > 1:  # the end alone is read
            assert one.attention.shape == (len(one.target), len(one.source))
            assert not one.attention[:, -1].any()
    longest = max(found, key=lambda each: len(each[0].ids))[0]
    attention = longest.attention
    assert attention is not None
    penalty = -np.log(attention[:, :-1].sum(0, dtype=np.float64).clip(1e-6, 1)).sum()
    assert longest.score == pytest.approx(longest.log_prob / len(longest.target) - 0.3 * penalty, abs=1e-4)


@pytest.mark.fast("transformer")
def test_given_targets_are_scored_as_with_torch(
    both: Callable[..., Both], variant: tuple[str, ...], lines: list[str]
) -> None:
    targets = [line[::-1] for line in reversed(lines)]
    ours, theirs = both(variant, batch=4)
    pairs = list(zip(lines, targets, strict=True))
    found = ([[one] for one in each.forced_decode(pairs, attention=True)] for each in (ours, theirs))
    same(*found)
    assert theirs.score(lines, targets) == pytest.approx(ours.score(lines, targets), abs=1e-8)
    assert theirs.attention("the cat", "die Katze").text == "die Katze"


def test_wrong_arguments_are_refused_as_with_torch(both: Callable[..., Both]) -> None:
    _, translator = both()
    for wrong, error, message in (
        (lambda: translator.translate("the cat"), DataError, "put it into a list"),
        (lambda: translator.translate(["a"], beam=3), ConfigError, "takes no search settings"),
        (lambda: translator.score(["a"], []), DataError, "1 source cannot be scored with 0 targets"),
        (lambda: pickle.dumps(translator), TypeError, "cannot be pickled"),
        (lambda: Translator.open(), ConfigError, "no bundle is given"),
    ):
        with pytest.raises(error, match=message):
            wrong()


def test_settings_are_checked_when_a_bundle_is_opened(random_run: RandomRun, tmp_path: Path) -> None:
    path = bundle_of(random_run(), tmp_path / "a.s2s")
    for wrong, message in (
        ({"beem": 3}, "did you mean 'beam'"),
        ({"beam": "3"}, "must be of type int"),
        ({"n_best": 9}, r"search\.n_best=9 is more than search\.beam=2"),
        ({"threads": -1}, "threads=-1 is too small"),
        ({"threads": 2.0}, "threads='2.0' is not an integer"),
        ({"shortlist": 5}, r"shortlist=5 needs a table of translations, and .*a\.s2s has none"),
        ({"shortlist": True}, "shortlist='True' is not an integer"),
    ):
        with pytest.raises(ConfigError, match=message):
            Translator.open(path, **wrong)
    attention = {"model": {"name": "rnn", "attention": {"window": "last", "scorer": "uniform"}}}
    with pytest.raises(ConfigError, match=r"replace_unknown=true would be ignored: model\.attention\.window=last"):
        Translator.open(bundle_of(random_run(), tmp_path / "last.s2s", **attention), replace_unknown=True)
    assert Translator.open(path).search.beam == 2
    assert Translator.open(path, sampling=True, n_best=4).search.n_best == 4


def test_bundles_that_do_not_fit_together_are_refused(random_run: RandomRun, tmp_path: Path) -> None:
    paths = [
        bundle_of(random_run(), tmp_path / "a"),
        bundle_of(random_run(*WORDS), tmp_path / "b"),
        bundle_of(random_run(*WORDS), tmp_path / "c", copies=True),
        bundle_of(
            random_run(*WORDS), tmp_path / "d", copies=True, vocabulary={"source": 9, "target": 9, "joint": False}
        ),
    ]
    for pair, message in (
        (paths[:2], "their tokenizers differ"),
        (paths[1:3], "only one of them copies words"),
        (paths[2:], "their tokenizers differ"),
    ):
        with pytest.raises(RunError, match=f"cannot join .* {message}"):
            Translator.open(*pair)


def test_graphs_are_read_and_checked_when_a_bundle_is_opened(both: Callable[..., Both], tmp_path: Path) -> None:
    """And again when they are opened for another number of threads."""
    _, translator = both(batch=64)
    (one,) = translator.translate(["the cat"])
    assert translator.translate(["the cat"] * 50) == [one] * 50
    assert len(translator.threads.opened) == min(2, available_cores())
    (path,) = tmp_path.glob("*.s2s")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"encoder.onnx" + GRAPH, b"encoder.onnxxx", 1))
    with pytest.raises(RunError, match=r"encoder\.onnx in .* is damaged"):
        Translator.open(path)


def table_file(rows: int, columns: int = 3, most: int = 20, kind: Any = np.int32) -> bytes:
    return npy(np.arange(rows * columns).reshape(rows, columns).astype(kind) % most)


def test_shortlists_that_do_not_fit_are_refused(random_run: RandomRun, tmp_path: Path) -> None:
    size = seq2seq.Translator.open(random_run()).vocabularies.source.size
    right = table_file(size)
    for number, (content, message) in enumerate(
        (
            (table_file(size - 1), "does not fit the vocabularies"),
            (table_file(size, most=10**6)[:128] + b"\xff" * 12 * size, "does not fit the vocabularies"),
            (table_file(size, kind=np.int64), "no table of integers"),
            (npy(np.array([{}] * 3, object)), "no table of integers"),
            (right[:-1], "no table of integers"),
            (right.replace(b"3), }", b"9), }"), "no table of integers"),
            (b"", "no table of integers"),
        )
    ):
        path = bundle_of(random_run(), tmp_path / str(number), {"shortlist.npy": content})
        with pytest.raises(RunError, match=f"^shortlist.npy in .*{message}"):
            Translator.open(path, shortlist=2)
    path = bundle_of(random_run(), tmp_path / "right", {"shortlist.npy": right})
    with pytest.raises(ConfigError, match="shortlist=4 is not between 0 and the 3 translations"):
        Translator.open(path, shortlist=4)
    assert Translator.open(path, shortlist=2).shortlist is not None
    without = bundle_of(random_run(), tmp_path / "without")
    with pytest.raises(ConfigError, match=r"shortlist=2 needs a table of translations, and .*without has none"):
        Translator.open(path, without, shortlist=2)


def test_tokenizers_of_another_size_are_refused(random_run: RandomRun, tmp_path: Path) -> None:
    small = seq2seq.Translator.open(random_run(*WORDS)).vocabularies.source
    large = seq2seq.Translator.open(random_run()).vocabularies.source
    for number, (settings, name, content, message) in enumerate(
        (
            ((), "tokenizer.spm", small.serialized, f"has {small.size} entries, and the model needs {large.size}"),
            (WORDS, "source.spm", large.serialized, f"has {large.size} entries, and the model needs {small.size}"),
            (WORDS, "target.spm", b"\x80\x04no pickle", "not a complete SentencePiece model"),
        )
    ):
        path = bundle_of(random_run(*settings), tmp_path / str(number), {name: content})
        with pytest.raises(RunError, match=f"^{name} in .*{message}$"):
            Translator.open(path)


def test_a_model_without_probabilities_is_refused(both: Callable[..., Both]) -> None:
    ours, translator = both()
    with torch.no_grad():
        ours.models[0].head.output.bias[:] = float("nan")  # type: ignore[attr-defined]
        ours.models[0].head.output.bias[EOS] = float("nan")  # type: ignore[attr-defined]
    with pytest.raises(RunError, match="the model gives no probabilities"):
        translator.translate(["the cat"])


def test_threads_are_chosen_by_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: 8)
    opened: list[int] = []
    batches, alone = SMALL_ROWS + 1, SMALL_ROWS

    def threads(**options: int) -> Threads:
        opened.clear()
        return Threads(lambda number: opened.append(number) or [number], **options)  # type: ignore[func-returns-value,list-item]

    def used(threads: Threads, rows: int) -> Any:
        return threads.models(rows)[0]

    alternating = threads()
    assert [used(alternating, rows) for rows in (alone, 1, batches, 10**6, alone)] == [1, 1, 8, 8, 1]
    assert opened == [1, 8]
    batches_first = threads()
    found = [used(batches_first, rows) for rows in (batches, *[alone] * (module.PATIENCE + 2))]
    assert found == [8] * (module.PATIENCE + 1) + [1, 1]
    for number, rows in itertools.product((1, 3), (1, 10**4)):
        assert used(threads(threads=number), rows) == number


def test_graphs_that_are_none_are_refused(random_run: RandomRun, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    translator = Translator.open(bundle_of(random_run(), tmp_path / "a.s2s"))
    with pytest.raises(RunError, match=r"a\.s2s: a graph cannot be read by ONNX Runtime|a\.s2s: the graphs of encoder"):
        translator.translate(["the cat"])
