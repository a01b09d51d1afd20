"""Names of a package that are imported on first use."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that hands on `Thing` of its module `inner.things`, and `number` of `figures`."""
    name = "package_with_lazy_names"
    (tmp_path / name / "inner").mkdir(parents=True)
    modules = {"Thing": "inner.things", "number": "figures"}
    lines = ("from seq2seq.utils.lazy import lazy_names", f"__getattr__, __dir__ = lazy_names(__name__, {modules})")
    (tmp_path / name / "__init__.py").write_text("\n".join(lines))
    (tmp_path / name / "inner" / "things.py").write_text("class Thing: pass")
    (tmp_path / name / "figures.py").write_text("number = 7")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("", ".inner", ".inner.things", ".figures"):
        monkeypatch.setitem(sys.modules, name + module, None)  # removed again after the test
        monkeypatch.delitem(sys.modules, name + module)
    return name


def test_modules_are_imported_when_their_names_are_used(package: str) -> None:
    imported = __import__(package)
    assert f"{package}.figures" not in sys.modules
    assert imported.number == 7
    assert f"{package}.figures" in sys.modules
    assert f"{package}.inner.things" not in sys.modules
    assert imported.Thing is sys.modules[f"{package}.inner.things"].Thing


def test_names_are_listed_without_importing_their_modules(package: str) -> None:
    assert dir(__import__(package)) == ["Thing", "number"]
    assert f"{package}.figures" not in sys.modules


def test_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"'{package}' has no attribute 'thing'"):
        _ = __import__(package).thing
