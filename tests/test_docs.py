"""README and documentation: commands print what is shown, links lead somewhere, the site builds without a warning.

The README's commands are run after few updates, and the form of their output is compared.
"""

import io
import json
import logging
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from pkgutil import resolve_name

import pytest

from seq2seq import Translator
from seq2seq.cli import main
from seq2seq.runtime.__main__ import main as translate_bundle
from seq2seq.runtime.bundle import Bundle
from seq2seq.runtime.translation import EMPTY, as_values
from tests.each import each
from tests.serve.process import serving

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"))]
RUN = re.compile(r"runs/toy-demo-s1-[0-9a-f]{8}")
SMALL = [
    "data.pairs=600",
    "tokenizer.size=400",
    "model.embedding=32",
    "model.hidden=32",
    "search.beam=1",
    "search.max_length=10",
    "trainer.threads=1",  # several wait for each other while other tests run
]
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
    line = re.sub(r"^(dev \d+  (source|reference|hypothesis)) .*", r"\1", line)  # of another dev set
    line = re.sub(r"\S*runs\S*toy-demo-s1-[0-9a-f]{8}|\S*readme\S*", "RUN", line)
    return re.sub(r"\s+", " ", re.sub(r"\d[\d,.:]*", "0", line)).strip()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run like the README's, after few updates."""
    folder = tmp_path_factory.mktemp("readme")
    words = ["data=toy", "experiment=demo", f"runs={folder / 'runs'}", f"data.cache={folder / 'cache'}", *FEW, *SMALL]
    log, printed = logging.getLogger("seq2seq"), io.StringIO()
    handler = logging.StreamHandler(printed)
    log.addHandler(handler)
    try:
        assert main(["train", *words]) == 0
    finally:
        log.removeHandler(handler)
    run = next((folder / "runs").glob("toy-demo-s1-*"))
    (run / "printed").write_text(printed.getvalue())
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


def command_starting(start):
    """The console block whose command starts so."""
    return next((command, shown) for command, shown in commands() if command.startswith(start))


def test_every_command_is_checked_and_of_one_run():
    checked = ("train data", "train --cfg", "evaluate", "plot", "compare", "export", "serve")
    assert len(commands()) == len([command_starting(f"seq2seq {name}") for name in checked]) + 2  # echo ... | ...
    assert len(set(RUN.findall(README))) == 1


def test_training_prints_what_the_readme_shows(run):
    command, shown = command_starting("seq2seq train data")
    assert command == "seq2seq train data=toy experiment=demo"
    printed = {form(line) for line in (run / "printed").read_text().splitlines()}
    left_out = ("...", "training.stop_at=95 is reached")  # the latter not after so few updates
    assert {form(line) for line in shown.splitlines() if line not in left_out} <= printed


@pytest.mark.slow
def test_the_transformer_of_the_readme_trains(tmp_path):
    """With its settings but those of FEW and SMALL, and fewer updates of warm-up than there are."""
    command = (
        README.partition("    seq2seq train data=toy model=transformer ")[2].partition("\n\n")[0].replace("\\\n", " ")
    )
    small = [word for word in SMALL if not word.startswith("model.")]
    folders = [f"runs={tmp_path / 'runs'}", f"data.cache={tmp_path / 'cache'}"]
    given = dict(word.split("=") for word in (*shlex.split(command), *FEW, *small, *folders, "training.warmup=2"))
    words = [f"{name}={value}" for name, value in given.items()]
    assert main(["train", "data=toy", "model=transformer", *words]) == 0


def test_evaluate_prints_what_the_readme_shows(run, monkeypatch, capsys):
    command, shown = command_starting("seq2seq evaluate")
    code, printed = call(command, run, monkeypatch, capsys)
    assert code == 0
    assert [form(line) for line in printed.splitlines()] == [form(line) for line in shown.splitlines()]


def test_plot_prints_what_the_readme_shows(run, monkeypatch, capsys):
    """The words of the sentence head the columns, the legend follows the rows."""
    command, shown = command_starting("seq2seq plot")
    code, printed = call(command, run, monkeypatch, capsys)
    assert code == 0
    sentence = shlex.split(command)[-1]
    for output in (printed, shown):
        assert any(all(word in line for word in sentence.split()) for line in output.splitlines())
        assert "· from" in output.splitlines()[-2]


def test_compare_prints_what_the_readme_shows(run, monkeypatch, capsys, tmp_path):
    """The head of the table and the row of intervals, of one run in place of three, which is no baseline."""
    command, shown = command_starting("seq2seq compare")
    report = tmp_path / "readme.html"
    few = command.replace(" runs ", f" {RUN.search(README)[0]} ").replace("rnn-location", "demo")
    monkeypatch.setenv("COLUMNS", "110")
    code, printed = call(few.replace("report.html", str(report)) + " --bootstrap 40", run, monkeypatch, capsys)
    assert code == 0, printed
    assert "<html" in report.read_text(encoding="utf-8")
    printed = [form(line) for line in printed.splitlines()]
    head, intervals = (next(line for line in shown.splitlines() if mark in line) for mark in ("BLEU ↑", "(1) "))
    intervals = intervals.replace("baseline", "")
    assert {form(head), form(intervals)} <= set(printed)


def test_translate_prints_text_and_alignment(run, monkeypatch, capsys):
    command, shown = next(block for block in commands() if "seq2seq translate" in block[0])
    code, printed = call(command, run, monkeypatch, capsys)
    assert code == 0
    for output in (printed, shown):
        text, links = output.rstrip("\n").split("\t")
        assert re.fullmatch(r"(\d+-\d+ ?)+", links)
        assert "\n" not in text


def test_export_prints_what_the_readme_shows(export_family, monkeypatch, capsys):
    """Of another model, so that it is traced once. Which of the exports is the fastest depends on the machine. The
    bundle gives the translation of the run."""
    command, shown = command_starting("seq2seq export")
    assert shlex.split(RUN.sub("RUN", command)) == ["seq2seq", "export", "RUN", "--dtype", "float32", "int8"]
    run, *_, printed = export_family("rnn")
    printed = printed.replace(str(run), RUN.search(README)[0])
    left_out = "fastest on this machine"
    for one, other in zip(printed.splitlines(), shown.splitlines(), strict=True):
        assert form(one.partition(left_out)[0]) == form(other.partition(left_out)[0])
    command = next(line for line, _ in commands() if "seq2seq.runtime" in line)
    text, words = (shlex.split(part) for part in command.split(" | "))
    assert words[:3] == ["python", "-m", "seq2seq.runtime"]
    exact = [RUN.sub(str(run), word).replace("-int8", "") for word in words[3:]]
    monkeypatch.setattr("sys.stdin", open_bytes(f"{text[1]}\n"))
    translate_bundle(exact)
    assert capsys.readouterr().out.splitlines() == Translator.open(run).translate(text[1:])


def test_serve_prints_what_the_readme_shows(run, monkeypatch, caplog):
    """Until it answers requests, on a free port."""
    for package in ("fastapi", "prometheus_client", "py3langid", "python_multipart", "sentencex", "uvicorn"):
        pytest.importorskip(package, reason="pip install 'seq2seq[serve]'")
    monkeypatch.setattr("seq2seq.serve.server.run", lambda *given: None)
    command, shown = command_starting("seq2seq serve")
    with caplog.at_level(logging.INFO, "seq2seq"):
        assert main([*shlex.split(RUN.sub(str(run), command))[1:], "--port", "0"]) == 0
    name = RUN.search(README)[0].removeprefix("runs/")
    assert [form(line.replace(run.name, name)) for line in caplog.messages] == [
        form(line) for line in shown.splitlines()
    ]


def test_wrong_name_is_refused_as_the_readme_shows(run, monkeypatch, capsys):
    command, shown = command_starting("seq2seq train --cfg")
    code, printed = call(command, run, monkeypatch, capsys)
    (message, choices), (expected, few) = (text.split("choose one of: ") for text in (printed, shown))
    assert (code, message) == (2, expected)
    assert set(few.strip().split(", ")) <= set(choices.strip().split(", "))  # a reader's own variants come in addition


def test_tables_of_variants_are_what_the_command_prints(capsys):
    """Every row but those of a score that a reader has added."""
    from seq2seq.nn.attention.scorers import SCORERS

    assert main(["attentions", "--markdown"]) == 0
    own = [name for name in SCORERS if f"| `{name}` |" not in README]
    printed = [line for line in capsys.readouterr().out.splitlines() if not any(name in line for name in own)]
    shown = README.partition("## Attention variants")[2].partition("## Adding an attention score")[0].splitlines()
    assert [line for line in shown if line.startswith("|")] == [line for line in printed if line.startswith("|")]
    assert len(own) < len(SCORERS) / 2


def test_the_python_example_runs(run, monkeypatch):
    names = {}
    exec(RUN.sub(str(run), blocks("python")[0]), names)
    assert len(names["translator"].translate(["The old teacher opens the window."])) == 1


@each("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            name, _, heading = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), link
            if heading:
                assert heading in {anchor(title) for title in headings(target)}, link


def headings(page):
    """The titles of a page."""
    return re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def anchor(title):
    """A heading's anchor: lower case, punctuation removed, spaces as hyphens."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_names_of_the_api_reference_exist():
    """Of the Python API: `::: module`, or `::: module.Name`."""
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/reference/api").glob("*.md"))
    names = re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)
    assert names
    for name in names:
        assert resolve_name(name), name


def test_examples_of_the_library_run(tmp_path, monkeypatch, capsys):
    """They print what the page shows, in form."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"ours": "a b c d\n" * 30, "baseline": "a b d\n" * 30, "references": "a b c d\n" * 30}.items():
        Path(f"{name}.txt").write_text(text)
    page = (ROOT / "docs/how-to/use-a-part.md").read_text(encoding="utf-8")
    for example, shown in re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL):
        exec(example, {})
        assert [form(line) for line in capsys.readouterr().out.splitlines()] == [
            form(line) for line in shown.splitlines()
        ]


def test_keys_of_json_are_those_that_are_documented():
    """Of config.json in a bundle, and of the hypotheses that `translate --json` prints."""
    tables = {"bundle.md": "| key of `config.json` |", "command-line.md": "| key |"}
    config, hypothesis = (
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \| ", table, re.MULTILINE)))
        for page, start in tables.items()
        for table in [(ROOT / "docs/reference" / page).read_text(encoding="utf-8").partition(start)[2].split("\n\n")[0]]
    )
    bundle = Bundle.open(ROOT / "tests/runtime/schemas/1-rnn.s2s")
    assert sorted(config) == sorted(bundle.config.values)
    assert hypothesis == [*as_values(EMPTY), "alignment"]


def test_the_wheel_of_the_runtime_has_a_help(tmp_path, monkeypatch, capsys):
    """`--help` is no folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["runtime_wheel.py", "--help"])
    pytest.importorskip("hatchling", reason="builds wheels")
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / "scripts/runtime_wheel.py"), run_name="__main__")
    assert "default: dist" in capsys.readouterr().out
    assert not [*tmp_path.iterdir()]


@pytest.fixture(scope="module")
def generated():
    """Name -> function, of the parts of the documentation that are generated from the code."""
    return runpy.run_path(str(ROOT / "scripts/docs_hooks.py"))["GENERATED"]


def test_every_generated_part_has_a_mark_and_every_mark_a_part(generated):
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"<!-- generated: (\w+) -->", text)) == set(generated)


def test_groups_and_settings_are_generated_once(generated):
    assert "model=rnn | transformer" in generated["groups"]()
    commands = generated["commands"]()
    assert "usage: seq2seq train" in commands
    assert "model=rnn | transformer" not in commands
    assert "training.max_updates=0" not in commands


def test_settings_and_the_new_score_are_generated(generated):
    assert {"`training.max_updates`", "`model.attention.scorer`"} <= set(re.findall("`[^`]+`", generated["settings"]()))
    assert generated["new_score"]().count("```") == 2 * len([*PLACES, "yaml"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="pip install 'seq2seq[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True)
    site = {path: path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html")}
    assert len(site) > len(list((ROOT / "docs").rglob("*.md")))  # and pages made from files at the top
    for path, text in site.items():
        assert 'href="README.md' not in text, path
        assert "<!-- generated:" not in text, path
        assert not re.search(r"""(src|<link[^>]*href)=["']?https?://""", text), path  # nothing is loaded from elsewhere


def test_the_table_of_results(run, tmp_path, monkeypatch, capsys):
    """A row for each run with the figures that were kept, and mean and standard deviation over seeds."""
    runs = [shutil.copytree(run, tmp_path / f"{seed}") for seed in (1, 2)]
    for folder, bleu in zip(runs, (30.0, 32.0), strict=True):
        scores = [
            {"name": "bleu", "value": bleu + lc, "interval": None, "signature": f"case:{'lc' if lc else 'mixed'}"}
            for lc in (0, 1)
        ]
        (folder / "evaluation/test").mkdir(parents=True, exist_ok=True)
        (folder / "evaluation/test/scores.json").write_text(json.dumps({"scores": scores}))
    monkeypatch.setattr(sys, "argv", ["table.py", "test", *map(str, runs)])
    runpy.run_path(str(ROOT / "scripts/bench/table.py"), run_name="__main__")
    made = capsys.readouterr().out
    assert [line.split("|")[-3:-1] for line in made.splitlines()[2:4]] == [
        [" 32.0 [32.0, 32.0] ", " 33.0 [33.0, 33.0] "],
        [" 30.0 [30.0, 30.0] ", " 31.0 [31.0, 31.0] "],
    ]
    assert "demo, 2 seeds: bleu 31.00 ± 1.41, bleu lc 32.00 ± 1.41" in made
    assert made.splitlines()[-1] == "case:mixed"


PLACES = {  # where the parts of a new score go: file -> pattern, behind whose group they are inserted
    "class": ("seq2seq/nn/attention/scorers.py", r"()^SCORERS: dict\["),
    "entry": ("seq2seq/nn/attention/scorers.py", r"(^SCORERS: dict\[.*?\n)\}"),
    "name": ("seq2seq/config/choices.py", r'("SCORERS": \(\n.*?\n)    \),'),
    "formula": ("tests/nn/conftest.py", r"(^SCORE_FORMULAS = \{.*?\n)\}"),
}


def place(text, pattern):
    """The position in a file's text where a part goes, which has to be one."""
    (found,) = re.finditer(pattern, text, re.MULTILINE | re.DOTALL)
    return found.end(1)


def test_places_of_a_new_score_are_where_the_readme_says():
    """The slow test below puts its parts there."""
    for path, pattern in PLACES.values():
        assert path in README
        assert place((ROOT / path).read_text(encoding="utf-8"), pattern), path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_new_score_costs_what_the_readme_says(tmp_path):
    """Its parts put where the README says: it trains on both families, and every law runs over it."""
    for name in ("seq2seq", "conf", "tests", "docs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "mkdocs.yml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    source = blocks("python")  # the Python example, class, entry, formula
    for part, text in zip(PLACES, (*source[1:3], *blocks("text"), *source[3:]), strict=True):
        path, pattern = PLACES[part]
        whole = (tmp_path / path).read_text(encoding="utf-8")
        at = place(whole, pattern)
        inserted = text + ("\n\n" if part == "class" else "")
        (tmp_path / path).write_text(whole[:at] + inserted + whole[at:], encoding="utf-8")
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
    command = re.search(r"^to translate with it in a browser: (\S+) -m seq2seq serve (\S+)$", done.stdout, re.MULTILINE)
    assert command, done.stdout
    assert command[1] == sys.executable
    with serving(tmp_path / command[2]) as (url, _), urllib.request.urlopen(url) as page:
        assert b"<title>" in page.read()
