"""Cases of a test that is too small for each to be a test of its own: pytest takes milliseconds for every test."""

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any


def each(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As pytest.mark.parametrize, but all cases are one test; a failure names its case. They share their fixtures."""
    names = tuple(names.replace(",", " ").split()) if isinstance(names, str) else names
    listed = [case if len(names) > 1 else (case,) for case in cases]
    assert listed, "no cases"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def run(**fixtures: Any) -> None:
            for case in listed:
                values = dict(zip(names, case, strict=True))
                try:
                    test(**fixtures, **values)
                except BaseException as error:
                    error.add_note(f"with {values}")
                    raise

        signature = inspect.signature(test)
        left = [parameter for name, parameter in signature.parameters.items() if name not in names]
        run.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return run

    return decorate
