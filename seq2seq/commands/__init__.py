"""How do the commands read their options? With argparse, and a usage error names the nearest option."""

import argparse
import re
from difflib import get_close_matches
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaint about an unknown option names the nearest one; exit code 2, one line."""

    def __init__(self, prog: str, description: str, **options: object) -> None:
        super().__init__(prog=f"seq2seq {prog}", description=description, allow_abbrev=False, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"unrecognized arguments: (-\S+)", message)
        near = get_close_matches(wrong[1].split("=")[0], self._option_string_actions, n=1) if wrong else []
        hint = f" (did you mean {near[0]}?)" if near else ""
        self.exit(2, f"seq2seq: {message}{hint}; {self.prog} --help lists the options\n")
