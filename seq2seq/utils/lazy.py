"""Names of a package that are imported when they are first used, so that importing the package itself costs nothing."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from seq2seq.errors import nearest_hint


def lazy_names(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` (PEP 562) of a package that hands on names of its modules.

    modules: name -> the module of the package that defines it, such as "attention.scorers"."""

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}{nearest_hint(name, modules)}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    def __dir__() -> list[str]:  # noqa: N807
        return sorted(modules)

    return __getattr__, __dir__
