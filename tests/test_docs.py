"""Is what the README shows what a reader gets? Its commands are run with few updates: the form of the output is compared."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = re.compile(r"runs/toy-demo-s1-[0-9a-f]{8}")
FEW = [
    "training.max_updates=4",
    "training.validate_every=2",
    "training.stop_at=0",
    "trainer.log_every=2",
    "data.pairs=3000",
    "training.dev_lines=2",
]


def blocks(kind):
    """The code blocks of a kind, without their fences."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands():
    """(command, output) of each console block."""
    return [tuple(block.removeprefix("$ ").split("\n", 1)) for block in blocks("console")]


def form(line):
    """A line without what differs from run to run: numbers, names of runs, times."""
    line = re.sub(r"\S*runs\S*toy-demo-s1-[0-9a-f]{8}|\S*readme\S*", "RUN", line)
    return re.sub(r"\s+", " ", re.sub(r"\d[\d,.:]*", "0", line)).strip()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run like the README's, after few updates."""
    folder = tmp_path_factory.mktemp("readme")
    words = ["data=toy", "experiment=demo", f"runs={folder / 'runs'}", f"data.cache={folder / 'cache'}", *FEW]
    done = subprocess.run(
        [sys.executable, "-m", "seq2seq", "train", *words], cwd=ROOT, check=True, capture_output=True, text=True
    )
    run = next((folder / "runs").glob("toy-demo-s1-*"))
    (run / "printed").write_text(done.stderr)
    return run


def call(command, run, monkeypatch, capsys):
    """What a command prints on stdout, and its exit code; `echo TEXT |` feeds stdin."""
    *before, command = command.split(" | ")
    words = shlex.split(RUN.sub(str(run), command))
    assert words[0] == "seq2seq"
    if before:
        monkeypatch.setattr("sys.stdin", open_bytes(" ".join(shlex.split(before[0])[1:]) + "\n"))
    code = main(words[1:])
    printed = capsys.readouterr()
    return code, printed.out + (printed.err if code else "")


def open_bytes(text):
    """A stand-in for stdin."""
    return io.TextIOWrapper(io.BytesIO(text.encode()))


def test_there_are_five_commands_and_a_run():
    assert len(commands()) == 5
    assert len(set(RUN.findall(README))) == 1


def test_training_prints_what_the_readme_shows(run):
    command, shown = commands()[0]
    assert command == "seq2seq train data=toy experiment=demo"
    printed = {form(line) for line in (run / "printed").read_text().splitlines()}
    reached = "training.stop_at=95 is reached"  # not after so few updates
    assert {form(line) for line in shown.splitlines() if line != reached} <= printed


@pytest.mark.parametrize("number", [1, 3])
def test_a_command_prints_what_the_readme_shows(number, run, monkeypatch, capsys):
    command, shown = commands()[number]
    code, printed = call(command, run, monkeypatch, capsys)
    assert code == 0
    if number == 1:
        assert [form(line) for line in printed.splitlines()] == [form(line) for line in shown.splitlines()]
    else:  # a map: the sentence's words head the columns, the legend follows the rows
        sentence = shlex.split(command)[-1]
        for output in (printed, shown):
            assert any(all(word in line for word in sentence.split()) for line in output.splitlines())
            assert "· from" in output.splitlines()[-2]


def test_translating_prints_text_and_links(run, monkeypatch, capsys):
    command, shown = commands()[2]
    code, printed = call(command, run, monkeypatch, capsys)
    assert code == 0
    for output in (printed, shown):
        text, links = output.rstrip("\n").split("\t")
        assert re.fullmatch(r"(\d+-\d+ ?)+", links)
        assert "\n" not in text


def test_a_wrong_name_is_told_as_the_readme_shows(run, monkeypatch, capsys):
    command, shown = commands()[4]
    code, printed = call(command, run, monkeypatch, capsys)
    (said, choices), (wanted, few) = (text.split("choose one of: ") for text in (printed, shown))
    assert (code, said) == (2, wanted)
    assert set(few.strip().split(", ")) <= set(choices.strip().split(", "))  # the reader's own come in addition


def test_the_table_of_variants_is_the_tables(capsys):
    """Every row that the command prints, but for a score of the reader's own."""
    from seq2seq.nn.attention.scorers import SCORERS

    assert main(["attentions", "--markdown"]) == 0
    own = [name for name in SCORERS if f"| `{name}` |" not in README]
    printed = [line for line in capsys.readouterr().out.splitlines() if not any(name in line for name in own)]
    shown = README.partition("## Attention variants")[2].partition("## Adding one")[0].splitlines()
    assert [line for line in shown if line.startswith("|")] == [line for line in printed if line.startswith("|")]
    assert len(own) < len(SCORERS) / 2


def test_the_python_example_runs(run, monkeypatch):
    names = {}
    exec(RUN.sub(str(run), blocks("python")[0]), names)
    assert len(names["translator"].translate(["The old teacher opens the window."])) == 1


def test_every_document_that_is_named_exists():
    for name in re.findall(r"\]\(([^)#]+)\)", README):
        if not name.startswith("http"):
            assert (ROOT / name).exists(), name


def test_the_table_of_results(run, tmp_path):
    """A row for each run with the figures that were kept, and mean and standard deviation over seeds."""
    runs = [shutil.copytree(run, tmp_path / f"{seed}") for seed in (1, 2)]
    for folder, bleu in zip(runs, (30.0, 32.0), strict=True):
        scores = [
            {"name": "bleu", "value": bleu + lc, "interval": None, "signature": f"case:{'lc' if lc else 'mixed'}"}
            for lc in (0, 1)
        ]
        (folder / "evaluation/test").mkdir(parents=True, exist_ok=True)
        (folder / "evaluation/test/scores.json").write_text(json.dumps({"scores": scores}))
    command = [sys.executable, ROOT / "scripts/bench/table.py", "test", *runs]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert [line.split("|")[-3:-1] for line in made.splitlines()[2:4]] == [
        [" 32.0 [32.0, 32.0] ", " 33.0 [33.0, 33.0] "],
        [" 30.0 [30.0, 30.0] ", " 31.0 [31.0, 31.0] "],
    ]
    assert "demo, 2 seeds: bleu 31.00 ± 1.41, bleu lc 32.00 ± 1.41" in made
    assert made.splitlines()[-1] == "case:mixed"


PLACES = {  # where the README's parts of a new score go: file -> what stands behind them
    "code": ("seq2seq/nn/attention/scorers.py", "SCORERS: dict["),
    "row": ("seq2seq/nn/attention/scorers.py", '    "uniform": Uniform,\n'),
    "formula": ("tests/nn/conftest.py", '    "uniform": lambda m, q, h, s:'),
}


def test_the_readme_knows_where_a_new_score_goes():
    """The slow test below puts it there."""
    for path, behind in PLACES.values():
        assert path in README
        assert (ROOT / path).read_text(encoding="utf-8").count(behind) == 1, path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_readmes_new_score_costs_what_it_says(tmp_path):
    """The class, the row, the line and the formula put where the README says: it trains, and every law runs over it."""
    for name in ("seq2seq", "conf", "tests", "docs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for part, text in zip(PLACES, blocks("python")[1:4], strict=True):
        path, behind = PLACES[part]
        insert(tmp_path / path, behind, text + ("\n\n" if part == "code" else ""))
    (tmp_path / "conf/model/attention/manhattan.yaml").write_text(blocks("yaml")[0])
    run = [sys.executable, "-m", "pytest", "-q", "-x"]
    subprocess.run(
        [*run, "tests/nn", "-k", "manhattan or pairs or every_score or no_setting"], cwd=tmp_path, check=True
    )
    subprocess.run(
        [*run, "tests/config/test_config.py", "tests/test_architecture.py", "tests/test_docs.py"],
        cwd=tmp_path,
        check=True,
    )
    for family in ("rnn", "transformer"):
        train = [
            sys.executable,
            "-m",
            "seq2seq",
            "train",
            "data=toy",
            f"model={family}",
            "model/attention=manhattan",
            *FEW,
        ]
        subprocess.run(train, cwd=tmp_path, check=True)


def insert(path, before, text):
    """Put text before the only place where `before` stands."""
    whole = path.read_text(encoding="utf-8")
    assert whole.count(before) == 1, before
    path.write_text(whole.replace(before, text + before), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_demo_translates_well(tmp_path):
    """scripts/demo in a checkout of its own, with this Python: at least 90 BLEU on sentences it never saw."""
    for name in ("seq2seq", "conf", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "NO_INSTALL": "1", "PYTHON": sys.executable}
    done = subprocess.run(
        [tmp_path / "scripts/demo"], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    score = re.search(r"^test BLEU = (\d+\.\d)$", done.stdout, re.MULTILINE)
    assert score, done.stdout
    assert float(score[1]) >= 90
