"""The page on translating large corpora: its code, run with Ray and with Spark where they are installed (--slow)."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seq2seq import Translator

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/how-to/translate-large-corpora.md").read_text(encoding="utf-8")
RAY, SPARK = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def adapted(code: str, run: Path) -> str:
    """The code of the page with another run, and absolute paths, as processes of others have their own folder."""
    for name, path in {"runs/best": run, "corpus": Path("corpus"), "translated": Path("translated")}.items():
        assert code.count(f'"{name}"') == 1
        code = code.replace(f'"{name}"', repr(str(path.absolute())))
    return code


@pytest.fixture
def expected(tiny_run: Path, lines: list[str]) -> list[dict[str, Any]]:
    """The rows of the corpus with their translations."""
    found = Translator.open(tiny_run, beam=1).translate(lines)
    rows = zip(lines, found, strict=True)
    return [{"id": i, "english": line, "german": text} for i, (line, text) in enumerate(rows)]


@pytest.fixture
def parquet_folder(lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `corpus` with two files in the current one, which processes of others find the package from."""
    pa = pytest.importorskip("pyarrow", reason="comes with Ray Data")
    from pyarrow import parquet

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    Path("corpus").mkdir()
    table = pa.table({"id": pa.array(range(len(lines)), pa.int64()), "english": lines})
    for number, part in enumerate((table.slice(0, 7), table.slice(7))):
        parquet.write_table(part, f"corpus/{number}.parquet")


def written() -> list[dict[str, Any]]:
    """The rows of the folder `translated`, by number."""
    from pyarrow import parquet

    rows = [row for path in Path("translated").glob("*.parquet") for row in parquet.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: row["id"])


def test_spark_s_function_translates_frames(tiny_run: Path, expected: list[dict[str, Any]], lines: list[str]) -> None:
    """With a stand-in for Spark, which calls it with the frames of one partition."""
    pd = pytest.importorskip("pandas", reason="comes with Spark")
    results: list[dict[str, Any]] = []

    class Frames:
        def mapInPandas(self, function: Any, schema: str) -> "Frames":  # noqa: N802
            table = pd.DataFrame({"id": range(len(lines)), "english": lines})
            frames: Iterator[Any] = iter([table.iloc[:7], table.iloc[7:]])
            columns = [part.split()[0] for part in schema.split(", ")]
            for frame in function(frames):
                assert [*frame.columns] == columns
                results.extend(frame.to_dict("records"))
            return self

        write = SimpleNamespace(parquet=lambda path: None)

    spark = SimpleNamespace(read=SimpleNamespace(parquet=lambda path: Frames()))
    exec(adapted(SPARK, tiny_run), {"spark": spark})
    assert results == expected


@pytest.mark.slow
@pytest.mark.usefixtures("parquet_folder")
def test_spark_runs_it(tiny_run: Path, expected: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    sql = pytest.importorskip("pyspark.sql", reason="pip install pyspark")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    spark = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        exec(adapted(SPARK, tiny_run), {"spark": spark})
    finally:
        spark.stop()
    assert written() == expected


@pytest.mark.slow
@pytest.mark.usefixtures("parquet_folder")
def test_ray_runs_it(ray: Any, tiny_run: Path, expected: list[dict[str, Any]]) -> None:
    """With fewer cores than actors."""
    exec(adapted(RAY, tiny_run), {})
    assert written() == expected
