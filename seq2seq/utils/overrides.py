"""Values in the grammar of Hydra's overrides, SETTING=VALUE, in which brackets, commas and quotes mean something."""

import re
import shlex
from pathlib import Path

MEANT = frozenset(",()[]{}'\"=\\$")  # characters with which a value may be more than one plain text
NEEDS_QUOTES = re.compile(r"[^\w/+.%*@?|: -]", re.ASCII)  # what Hydra reads in quotes alone, such as an accent or &


def hydra_text(text: str) -> str:
    """`text` in quotes, which Hydra reads back as it is."""
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + found[2].replace('"', r"\""), text)
    return f'"{escaped}"'


def hydra_value(value: str) -> str:
    """A value of the command line, in quotes if Hydra needs them and it is plain text: no list, function or quotes."""
    plain = value.isprintable() and not MEANT & set(value)
    return hydra_text(value) if plain and NEEDS_QUOTES.search(value) else value


def resume_word(folder: Path) -> str:
    """`resume=FOLDER` as it is typed in a shell."""
    text = str(folder)
    return shlex.quote(f"resume={hydra_text(text)}") if NEEDS_QUOTES.search(text) or " " in text else f"resume={text}"
