"""A Griffe extension: the comment behind a field is its docstring, where it has no other."""

import io
import tokenize
from typing import Any

import griffe


class TrailingComments(griffe.Extension):
    """`tokens: list[int]  # ids without EOS` documents `tokens` as "ids without EOS"."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Called for every attribute that Griffe has read."""
        field = attr.value is None or "class-attribute" in attr.labels  # not what a method assigns
        if field and attr.docstring is None and attr.parent is not None and attr.parent.is_class and attr.source:
            tokens = tokenize.generate_tokens(io.StringIO(attr.source).readline)
            comments = [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]
            if comments:
                attr.docstring = griffe.Docstring(" ".join(comments), parent=attr, lineno=attr.lineno)
