"""Translates with exported bundles; imports no torch. Also a package of its own, seq2seq_runtime."""

from typing import Any

__all__ = ["Translator"]


def __getattr__(name: str) -> Any:
    if name == "Translator":  # imported on first use, as most of this package is needed without it
        from .translator import Translator

        return Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
