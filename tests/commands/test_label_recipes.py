"""The recipes of docs/how-to/classify.md, on made text that they solve."""

import json
import random
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.slow
PAGE = (Path(__file__).parents[2] / "docs/how-to/classify.md").read_text(encoding="utf-8")
NOUNS = ("cat", "dog", "old man", "girl", "tall boy", "bird")
VERBS = ("sees", "likes", "follows", "hears", "finds")
SMALL = (
    "trainer.threads=1", "trainer.accelerator=cpu", "trainer.progress=none", "training.show=0",
    "training.learning_rate=5e-3", "training.batch_tokens=1000",
)  # fmt: skip


def recipe(mark: str) -> list[str]:
    """The words of the page's training command that has these."""
    commands = re.findall(r"^    seq2seq (train .*(?:\n        .*)*)", PAGE.replace("\\\n", "\n"), re.MULTILINE)
    (command,) = (command for command in commands if mark in command)
    return shlex.split(command)


def clause(rng: random.Random) -> tuple[list[str], str, list[str]]:
    """Someone, what that one does, and to whom."""
    return ["the", *rng.choice(NOUNS).split()], rng.choice(VERBS), ["the", *rng.choice(NOUNS).split()]


def roles(rng: random.Random) -> str:
    """Two clauses with the roles of the predicate that is marked in one of them, as CoNLL."""
    chosen, rows = rng.randrange(2), []
    for number in range(2):
        parts = clause(rng)
        for name, words in (("ARG0", parts[0]), ("V", [parts[1]]), ("ARG1", parts[2])):
            rows += [(">>", "O")] if name == "V" and number == chosen else []
            tags = [f"{'I' if i else 'B'}-{name}" if number == chosen else "O" for i in range(len(words))]
            rows += zip(words, tags, strict=True)
        rows.append((("and", ".")[number], "O"))
    return "".join(f"{word} {tag}\n" for word, tag in rows) + "\n"


def question(rng: random.Random) -> str:
    """Who does something, to two sentences."""
    (one, verb, other), (third, second, fourth) = clause(rng), clause(rng)
    while second == verb:
        second = rng.choice(VERBS)
    text = " ".join([*one, verb, *other, "and", *third, second, *fourth, "."])
    asked, answer = rng.choice([(verb, one), (second, third)])
    return f"who {asked} ? >> {text}\t{' '.join(answer)}\n"


def trained(
    call: Call, mark: str, make: Callable[[random.Random], str], ending: str, folder: Path, *more: str, lines: int
) -> Path:
    """The run of a recipe on made text."""
    rng = random.Random(1)
    for name, size in (("train", lines), ("dev", 100)):
        (folder / f"{name}.{ending}").write_text("".join(make(rng) for _ in range(size)))
    own = (f"data.root={folder}", f"runs={folder / 'runs'}", f"data.cache={folder / 'cache'}")
    code, _, err = call(*recipe(mark), *SMALL, *own, *more)
    assert code == 0, err
    return next((folder / "runs").iterdir())


def dev_score(call: Call, run: Path, name: str) -> float:
    """A score of the development text."""
    code, out, err = call("evaluate", run, "--test", "dev", "--metrics", name, "--bootstrap", 0, "--json")
    assert code == 0, err
    return float(json.loads(out)["scores"][0]["value"])


def test_semantic_roles(call: Call, tmp_path: Path) -> None:
    sizes = ("model.embedding=32", "model.hidden=48", "training.max_updates=300")
    run = trained(call, "model.encoder_layers=2", roles, "conll", tmp_path, *sizes, lines=1500)
    assert dev_score(call, run, "entity_f1") > 97


def test_answers_to_questions(call: Call, tmp_path: Path) -> None:
    sizes = ("model.embedding=48", "model.hidden=96", "training.max_updates=900")
    run = trained(call, "training.coverage_loss=0", question, "tsv", tmp_path, *sizes, lines=3000)
    assert dev_score(call, run, "exact_match") > 90
