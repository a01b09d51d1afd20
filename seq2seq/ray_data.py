"""Translating a dataset of Ray Data on many machines: its batches are mapped over actors, each with a translator.

Ray is imported when it is needed, and comes with `pip install 'seq2seq[ray]'`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.errors import ConfigError, check_path, check_type, shortened, unknown
from seq2seq.runtime.bounds import Bounds
from seq2seq.utils import process

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

ACTORS, CORES, GPUS = Bounds(1, 100_000), Bounds(0.0, 1024.0, above=True), Bounds(0.0, 64.0)


def translate(
    dataset: "Dataset",
    *runs: str | Path,
    source: str = "source",
    target: str = "target",
    actors: int = 1,
    cores: float = 1.0,
    gpus: float = 0.0,
    **options: Any,
) -> "Dataset":
    """The dataset with one more column, `target`: the best translation of the text in the column `source`.

    It is lazy, as are all of Ray's: translated is what is written or taken. Each row gets its translation exactly once,
    also where an actor or its machine is lost: Ray starts another one, which translates the batch anew. Rows keep their
    other columns; their order is kept only if Ray is told so (`DataContext.execution_options.preserve_order`).

    runs: a run directory or bundle, or several as an ensemble; each machine opens it at this path
    actors: processes that translate, on all machines together, at most; Ray starts them as cores are free
    cores: CPU cores of an actor, which Ray reserves, and as many threads
    gpus: GPUs of an actor; with one it translates on that, unless `device` says otherwise
    options: of Translator.open, such as precision="bf16", shortlist=50, beam=1

    >>> translate(ray.data.read_parquet("corpus"), "runs/one", source="english", target="german", actors=16)

    Raises ConfigError, before any work, for a column that is missing or there already where Ray knows the columns, and
    for options that cannot work; RunError for runs that cannot be opened. Text that is no line, such as None, raises
    DataError inside of Ray's own error."""
    data = _ray_data()
    check_type("dataset", dataset, data.Dataset)
    check_type("source", source, str)
    check_type("target", target, str)
    for name, value, bounds in (("actors", actors, ACTORS), ("cores", cores, CORES), ("gpus", gpus, GPUS)):
        bounds.check(name, value)
    for run in runs:
        check_path("run", run)
    if (schema := dataset.schema(fetch_if_missing=False)) is not None:
        check_columns(schema.names, source, target)
    paths = [str(Path(run).absolute()) for run in runs]
    if gpus:
        options = {"device": "cuda"} | options
    # checks all options; the actors may have a GPU, and this process none
    window = _open(paths, options, device="cpu", graphs=False).search.window
    return dataset.map_batches(
        BatchTranslator,
        fn_constructor_args=(paths, source, target, options),
        batch_format="pyarrow",
        batch_size=window,  # lines that are sorted by length together
        # from one on: if they took all cores at once, the text could not be read, and they would wait for it forever
        compute=data.ActorPoolStrategy(min_size=1, max_size=actors),
        num_cpus=cores,
        num_gpus=gpus,
    )


class BatchTranslator:
    """What an actor holds: a translator, which it opens once."""

    def __init__(self, runs: list[str], source: str, target: str, options: dict[str, Any]) -> None:
        """source, target: names of columns; the others as in `translate`."""
        self.source, self.target = source, target
        self.translator = _open(runs, options)

    def __call__(self, batch: "pyarrow.Table") -> "pyarrow.Table":
        """The rows of a batch with their translations, in the same order."""
        import pyarrow

        check_columns(batch.column_names, self.source, self.target)
        found = self.translator.translate(batch.column(self.source).to_pylist())
        return batch.append_column(self.target, pyarrow.array(found, pyarrow.string()))


def check_columns(names: list[str], source: str, target: str) -> None:
    """Raise ConfigError unless there is a column `source`, and none that is called `target`."""
    if source not in names:
        raise ConfigError(unknown("source", source, names))
    if target in names:
        raise ConfigError(f"target={shortened(target)} is a column already: choose another name for the translations")


def _open(runs: list[str], options: dict[str, Any], **for_weights: Any) -> Any:
    """A translator: of bundles of graphs without importing torch, else with it.

    for_weights: options in place of others, except for bundles of graphs."""
    process.set_environment()
    from seq2seq.runs.bundles import open_graphs

    if found := open_graphs(runs, **options):
        return found
    from seq2seq.translator import Translator

    return Translator.open_runs(*runs, **options | for_weights)


def _ray_data() -> Any:
    """The module ray.data. Raises ConfigError if Ray is not installed."""
    try:
        import ray.data
    except ImportError as error:
        raise ConfigError("translating a dataset of Ray needs more packages: pip install 'seq2seq[ray]'") from error
    return ray.data
