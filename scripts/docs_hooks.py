"""MkDocs hooks that fill in the parts of the documentation that are generated from the code.

A line `<!-- generated: NAME -->` of a page is replaced by what `GENERATED[NAME]` returns. CHANGELOG.md and
CONTRIBUTING.md become pages.
"""

import dataclasses
import html
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
PAGES = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}  # page -> file at the top of the repository


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the pages whose text stands outside docs/; their links into docs/ are made relative to it."""
    from mkdocs.structure.files import File

    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks of a page by the generated text."""
    return MARK.sub(lambda match: GENERATED[match[1]](), markdown)


def seq2seq(*words: str) -> str:
    """What the command `seq2seq` prints, wrapped at 100 columns."""
    environment = {**os.environ, "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "seq2seq", *words]
    return subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def commands() -> str:
    """The help of every command; the settings of `train` and `prepare` have a page of their own."""
    from seq2seq.cli import COMMANDS

    text = [f"```text\n{seq2seq('--help').rstrip()}\n```"]
    for name in COMMANDS:
        shown = seq2seq(name, "--help").partition("\nGroups, ")[0].rstrip()
        text.append(f"## {name}\n\n```text\n{shown}\n```")
    return "\n\n".join(text)


def groups() -> str:
    """The named files of conf/."""
    shown = seq2seq("train", "--help").partition("\nGroups, ")[2].partition("\n\nSettings")[0].partition("\n")[2]
    return f"```text\n{shown.rstrip()}\n```"


def attentions() -> str:
    """The tables of scores, windows, normalizers and named variants; MkDocs leaves backslashes in code as they are."""

    def code(match: re.Match[str]) -> str:
        return "<code>" + html.escape(match[1]).replace("\\|", "&#124;") + "</code>"

    return re.sub("`([^`]*)`", code, seq2seq("attentions", "--markdown").rstrip())


def new_score() -> str:
    """The README's example of a new attention score, which a test runs."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Adding an attention score\n")[2]
    return section.partition("\n## ")[0].strip()


def settings() -> str:
    """A table for each group of settings: type, default, choices and reason."""
    return "\n\n".join(f"## {title}\n\n{table}" for title, table in tables())


def tables() -> Iterator[tuple[str, str]]:
    """Title and table of each group; what all models have comes once, then what each adds or changes."""
    from seq2seq.config import MODELS, Config, ModelConfig

    yield "The run", table(Config, "")
    for field in dataclasses.fields(Config):
        if field.type is ModelConfig:
            yield "model: all models", table(ModelConfig, "model.")
            for name, model in MODELS.items():
                yield f"model={name}", table(model, "model.", ModelConfig)
            attention = next(f.type for f in dataclasses.fields(ModelConfig) if f.name == "attention")
            yield "model.attention", table(attention, "model.attention.")
        elif dataclasses.is_dataclass(field.type):
            yield str(field.name), table(field.type, f"{field.name}.")


def table(group: Any, prefix: str, base: Any = None) -> str:
    """The settings of one dataclass; of the fields of `base` only those whose default differs."""
    defaults = {f.name: f.default for f in dataclasses.fields(base)} if base else {}
    lines = ["| setting | type | default | |", "| --- | --- | --- | --- |"]
    for field in dataclasses.fields(group):
        inherited = field.name in defaults and defaults[field.name] == field.default
        if not inherited and not dataclasses.is_dataclass(field.type):
            lines.append(row(field, prefix))
    return "\n".join(lines)


def row(field: "dataclasses.Field[Any]", prefix: str) -> str:
    """One setting as a row of a Markdown table."""
    from omegaconf import MISSING

    from seq2seq.config.choices import CHOICES

    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    shown = str(default).lower() if isinstance(default, bool) else "" if default in ("", MISSING) else str(default)
    kind = getattr(field.type, "__name__", str(field.type)) if isinstance(field.type, type) else str(field.type)
    text = field.metadata.get("help", "chosen by the group")
    choices = CHOICES[field.metadata["table"]] if field.metadata.get("table") else field.metadata.get("choices", ())
    names = ", ".join(f"`{name}`" for name in choices)
    text = text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;") + (f"; one of {names}" if names else "")
    return f"| `{prefix}{field.name}` | {kind} | {f'`{shown}`' if shown else ''} | {text} |"


GENERATED = {
    "settings": settings,
    "groups": groups,
    "commands": commands,
    "attentions": attentions,
    "new_score": new_score,
}
