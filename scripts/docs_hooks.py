"""MkDocs hooks that fill in the parts of the documentation that are generated from the code.

A line `<!-- generated: NAME -->` of a page is replaced by what `GENERATED[NAME]` returns. CHANGELOG.md and
CONTRIBUTING.md become pages.
"""

import dataclasses
import html
import io
import os
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

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
        text = text.replace("](README.md#adding-an-attention-score)", "](how-to/add-an-attention-score.md)")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks of a page by the generated text."""
    return MARK.sub(lambda match: GENERATED[match[1]](), markdown)


def seq2seq(*words: str) -> str:
    """What the command `seq2seq` prints, wrapped at 100 columns."""
    from seq2seq.cli import main

    with patch.dict(os.environ, COLUMNS="100"), redirect_stdout(io.StringIO()) as printed:
        assert main(words) == 0, words
    return printed.getvalue()


def commands() -> str:
    """The help of every command; the settings of `train` and `prepare` have a page of their own."""
    from seq2seq.cli import COMMANDS
    from seq2seq.commands.settings_help import settings_help

    all_settings = settings_help([ROOT / "conf"])
    text = [f"```text\n{seq2seq('--help').rstrip()}\n```"]
    for name in COMMANDS:
        shown = seq2seq(name, "--help").replace(all_settings, "").rstrip()
        text.append(f"## {name}\n\n```text\n{shown}\n```")
    return "\n\n".join(text)


def groups() -> str:
    """The named files of conf/."""
    from seq2seq.commands.settings_help import group_lines

    return "\n".join(["```text", *group_lines([ROOT / "conf"]), "```"])


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
    """A table for each group of settings: type, default, help and choices."""
    from seq2seq.commands.settings_help import setting_groups

    text = []
    for group in setting_groups():
        text.append(f"## {group.name}" + (f"\n\n{group.summary}." if group.summary else ""))
        rows = [setting_row(field, group.prefix) for field in group.fields]
        text.append("\n".join(["| setting | type | default | |", "| --- | --- | --- | --- |", *rows]))
    return "\n\n".join(text)


def setting_row(field: "dataclasses.Field[Any]", prefix: str) -> str:
    """One setting as a row of a Markdown table."""
    from seq2seq.commands.settings_help import help_text, shown_default
    from seq2seq.config.choices import field_choices
    from seq2seq.runtime.fields import type_name

    default = shown_default(field)
    text = help_text(field).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
    if names := field_choices(field):
        text += f"; one of {', '.join(f'`{name}`' for name in names)}"
    return f"| `{prefix}{field.name}` | {type_name(field)} | {f'`{default}`' if default else ''} | {text} |"


GENERATED = {
    "settings": settings,
    "groups": groups,
    "commands": commands,
    "attentions": attentions,
    "new_score": new_score,
}
