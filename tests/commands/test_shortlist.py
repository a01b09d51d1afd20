"""`seq2seq shortlist`, and searches with --shortlist."""

import json
import re
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from seq2seq import Translator
from seq2seq.cli import main
from seq2seq.errors import ConfigError, RunError
from seq2seq.nn.precision import PRECISIONS
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import SHORTLIST, load_model, load_translations, save_translations

RandomRun = Callable[..., Path]
WORDS = ("tokenizer=word", "tokenizer.size=40", "tokenizer.joint=false")
TRANSFORMER = (
    "model=transformer", "model.size=8", "model.heads=2", "model.feedforward=16", "model.encoder_layers=1",
    "model.decoder_layers=2",
)  # fmt: skip
VARIANTS = {
    "rnn": (), "rnn copy": (*WORDS, "model.head=copy"), "tied": ("model.tie=all",), "transformer": TRANSFORMER,
    "transformer copy, tied": (*TRANSFORMER, "model.head=copy", "model.tie=all"),
}  # fmt: skip
SEARCHES = {"beam": {"beam": 3, "n_best": 2}, "sampling": {"sampling": True, "n_best": 2}}


def each(*quick: tuple[str, str]) -> list[Any]:
    """Every variant with every search; all but the quick ones only with --slow."""
    return [
        pytest.param(*case, marks=() if case in quick else pytest.mark.slow) for case in product(VARIANTS, SEARCHES)
    ]


@pytest.fixture
def random_run(random_run: RandomRun, tmp_path: Path) -> RandomRun:
    """Copies of runs whose translations may be replaced."""

    def copy(*settings: str) -> Path:
        run, own = random_run(*settings), tmp_path / random_run(*settings).name
        return own if own.is_dir() else Path(shutil.copytree(run, own))

    return copy


@pytest.mark.parametrize(
    "words", [("shortlist",), ("export", "--shrink", "--sentences", "10")], ids=["shortlist", "export --shrink"]
)
def test_what_needs_the_text_of_an_imported_run_is_refused(
    random_run: RandomRun, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run = random_run()
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(info | {"data": "unknown"}))
    assert main([words[0], str(run), *words[1:]]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"seq2seq: the training text of {run} is not known, as it was imported: ")


def given(run: Path, table: torch.Tensor) -> None:
    """Save these translations in the run."""
    save_translations(Run.open(run), table.int())


def drawn(run: Path) -> torch.Tensor:
    """Random translations of each source id, an id at most twice in a row of the table."""
    vocabularies = Run.open(run).vocabularies
    draw = torch.Generator().manual_seed(5)
    return torch.randint(4, vocabularies.target.size, (vocabularies.source.size, 4), generator=draw)


def everything(run: Path) -> torch.Tensor:
    """All target ids for each source id."""
    vocabularies = Run.open(run).vocabularies
    return torch.arange(vocabularies.target.size).expand(vocabularies.source.size, -1)


def found(run: Path, lines: list[str], **options: object) -> tuple[list[str], object]:
    """Texts, and scores to compare approximately."""
    translator = Translator.open(run, **{"precision": "64", **options})  # type: ignore[arg-type]
    hypotheses = [h for row in translator.hypotheses(lines) for h in row]
    return [h.text for h in hypotheses], [round(h.score, 5) for h in hypotheses]


@pytest.mark.parametrize(("variant", "search"), each(("rnn copy", "beam"), ("transformer copy, tied", "sampling")))
@pytest.mark.fast("rnn copy-beam")
def test_shortlist_of_the_whole_vocabulary_changes_nothing(
    variant: str, search: str, random_run: RandomRun, lines: list[str]
) -> None:
    run = random_run(*VARIANTS[variant])
    table = everything(run)
    given(run, table)
    expected = found(run, lines, **SEARCHES[search])
    assert found(run, lines, shortlist=table.shape[1], **SEARCHES[search]) == expected


@pytest.mark.parametrize("precision", ["32", "bf16", "int8"])
@pytest.mark.fast("int8")
def test_shortlist_works_in_any_precision(precision: str, random_run: RandomRun, lines: list[str]) -> None:
    run = random_run()
    table = everything(run)
    given(run, table)
    assert found(run, lines, precision=precision, shortlist=table.shape[1]) == found(run, lines, precision=precision)


@pytest.mark.parametrize(("variant", "search"), each(("rnn copy", "sampling"), ("transformer", "beam")))
@pytest.mark.fast("transformer-beam")
def test_batch_size_changes_no_translation(variant: str, search: str, random_run: RandomRun, lines: list[str]) -> None:
    run = random_run(*VARIANTS[variant])
    given(run, drawn(run))  # of PAD too, which must tell nothing
    expected = found(run, lines, shortlist=3, batch=1, min_length=4, **SEARCHES[search])
    assert expected != found(run, lines, batch=1, min_length=4, **SEARCHES[search])
    for batch, window in ((7, 2048), (3, 4)):
        assert found(run, lines, shortlist=3, batch=batch, window=window, min_length=4, **SEARCHES[search]) == expected


def test_shortlist_keeps_the_first_translations(random_run: RandomRun, lines: list[str]) -> None:
    run = random_run()
    table = drawn(run)
    given(run, table[:, :2])
    expected = found(run, lines, shortlist=2)
    given(run, table)
    assert found(run, lines, shortlist=2) == expected


@pytest.mark.parametrize(("precision", "near"), [("64", 1e-9), ("bf16", 5e-2), ("int8", 1e-5)])
@pytest.mark.fast("64-1e-09")
def test_model_with_a_shortlist_scores_its_ids_as_the_whole_model(
    precision: str, near: float, random_run: RandomRun
) -> None:
    for variant in VARIANTS.values():
        run = Run.open(random_run(*variant))
        model: Any = PRECISIONS[precision](load_model(run))
        ids = torch.tensor([0, 1, 2, 3, 7, 12, 31])
        memory = model.encode(torch.tensor([[5, 9, 3]]))
        before = {name: value.clone() for name, value in model.named_parameters()}
        small = model.restrict_vocabulary(ids)
        with torch.inference_mode():
            whole = model.decode(torch.tensor([[2, 7, 31, 12]]), memory)
            part = small.decode(torch.tensor([[2, 4, 6, 5]]), memory)
            torch.testing.assert_close(part.features, whole.features)
            rest = [module.head.output(output.features) for module, output in ((small, part), (model, whole))]
            torch.testing.assert_close(rest[0], rest[1][..., ids], rtol=near, atol=near)
        assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_command_learns_a_shortlist(run_copy: Path, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        RunError, match=f"{run_copy.name} has no shortlist.safetensors: seq2seq shortlist .*{run_copy.name} learns it"
    ):
        Translator.open(run_copy, shortlist=5)
    assert main(["shortlist", str(run_copy), "--most", "30"]) == 0
    first, *rows, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"--shortlist +share of the development set's target subwords.*", first)
    assert [row.split()[0] for row in rows] == ["5", "10", "20", "30"]
    shares = [float(row.split()[1].rstrip("%")) for row in rows]
    assert 0 < shares[0] < shares[-1] <= 100
    assert last == f"saved in {run_copy / SHORTLIST}"
    assert load_translations(Run.open(run_copy)).shape == (200, 30)
    assert len(Translator.open(run_copy, shortlist=30).translate(lines)) == len(lines)
    with pytest.raises(ConfigError, match="shortlist=31 is not between 0 and the 30"):
        Translator.open(run_copy, shortlist=31)
    assert (
        main(
            [
                "evaluate",
                str(run_copy),
                "--test",
                "test",
                "--metrics",
                "bleu",
                "--bootstrap",
                "0",
                "--shortlist",
                "9",
                "--json",
            ]
        )
        == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert report["shortlist"] == 9
    assert (run_copy / "evaluation" / "test-shortlist=9" / "scores.json").is_file()


def test_other_training_text_is_refused(run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text is checked if it is no longer in the cache, before any work."""
    config = re.sub(r"cache: .*", f"cache: {tmp_path / 'new'}", (run_copy / "config.yaml").read_text(encoding="utf-8"))
    (run_copy / "config.yaml").write_text(config.replace("- train\n", "- test\n"), encoding="utf-8")
    assert main(["shortlist", str(run_copy)]) == 2
    assert f"is not what {run_copy} was trained on" in capsys.readouterr().err
    assert not (run_copy / SHORTLIST).exists()
    assert not list((tmp_path / "new").glob("[!.]*"))


def test_most_is_limited_by_the_vocabulary(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for most, why in {
        "0": "is not between 1 and the 200 entries",
        "201": "is not between 1 and the 200 entries",
        "-1": "is too small: at least 0",
        "1000000000000": "is too large: at most 10000000",
    }.items():
        assert main(["shortlist", str(run_copy), "--most", most]) == 2
        assert f"--most={most} {why}" in capsys.readouterr().err


def test_text_missing_from_the_cache_is_prepared_again(
    run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = (run_copy / "config.yaml").read_text(encoding="utf-8")
    (run_copy / "config.yaml").write_text(re.sub(r"cache: .*", f"cache: {tmp_path / 'new'}", config), encoding="utf-8")
    assert main(["shortlist", str(run_copy)]) == 0
    assert "        100  " in capsys.readouterr().out
    assert load_translations(Run.open(run_copy)).shape == (200, 100)
    assert len(list((tmp_path / "new").glob("[!.]*"))) == 1


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"translations": torch.zeros(200, 5)},
        {"translations": torch.zeros(199, 5, dtype=torch.int32)},
        {"translations": torch.zeros(200, 0, dtype=torch.int32)},
        {"translations": torch.full((200, 5), 200, dtype=torch.int32)},
        {"translations": torch.full((200, 5), -1, dtype=torch.int32)},
        {"translations": torch.zeros(200, dtype=torch.int32)},
        {"translations": torch.zeros(200, 201, dtype=torch.int32)},
        {"translations": torch.zeros(200, 5, dtype=torch.int32), "more": torch.zeros(1)},
    ],
)
def test_table_that_does_not_fit_is_refused(tensors: dict[str, torch.Tensor], run_copy: Path) -> None:
    save_file(tensors, run_copy / SHORTLIST, {"tokenizer": Run.open(run_copy).vocabularies.sha256})
    with pytest.raises(
        RunError, match=r"shortlist.safetensors does not fit the tokenizer of the run: seq2seq shortlist"
    ):
        Translator.open(run_copy, shortlist=1)


@pytest.mark.parametrize("words", [{"tokenizer": "of another run"}, None])
def test_table_of_another_vocabulary_of_the_same_size_is_refused(words: dict[str, str] | None, run_copy: Path) -> None:
    save_file({"translations": torch.zeros(200, 5, dtype=torch.int32)}, run_copy / SHORTLIST, words)
    with pytest.raises(RunError, match="does not fit the tokenizer"):
        Translator.open(run_copy, shortlist=1)


def test_damaged_shortlist_is_named(run_copy: Path) -> None:
    (run_copy / SHORTLIST).write_bytes(b"no tensors")
    with pytest.raises(RunError, match=r"shortlist.safetensors cannot be read as safetensors"):
        Translator.open(run_copy, shortlist=1)
    path = save_translations(Run.open(run_copy), torch.zeros(200, 5, dtype=torch.int32))
    Translator.open(run_copy, shortlist=1)
    path.write_bytes(path.read_bytes()[:-4] + b"\1\0\0\0")
    with pytest.raises(RunError, match=r"shortlist.safetensors is damaged: seq2seq shortlist"):
        Translator.open(run_copy, shortlist=1)


@pytest.mark.parametrize("variant", ["rnn copy", "transformer copy, tied"])
def test_shortlist_limits_copying_as_well(variant: str, random_run: RandomRun, lines: list[str]) -> None:
    """With fewer candidates than hypotheses, a sentence takes none from its neighbours in the batch."""
    run = random_run(*VARIANTS[variant])
    given(run, torch.zeros_like(drawn(run)))
    alone, together = (found(run, lines, shortlist=1, batch=batch, beam=6, n_best=6, max_length=3) for batch in (1, 7))
    assert alone == together


def test_shortlist_without_a_search_is_refused(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plot", str(run_copy), "--sentence", "she sees", "--target", "sie sieht", "--shortlist"]
    assert main([*words, "5"]) == 2
    assert "--shortlist would be ignored: with --target there is no search" in capsys.readouterr().err
    assert main([*words, "0"]) == 0
