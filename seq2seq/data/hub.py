"""How are pairs read with the Hugging Face library `datasets`?"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seq2seq.data.readers import Pair, pair_of
from seq2seq.errors import ConfigError, MissingError, choose

PARQUET = "refs/convert/parquet"  # the hub's own copy of a data set that comes as a program, which is never run


def read_hub(name: str, splits: Sequence[str], source: str, target: str, config: str = "", breaks: str = " ") -> Iterator[Pair]:
    """The rows of `splits` of the data set `name`: a name on the hub, or a folder written by `save_to_disk`; of its configuration
    `config`, if it has several. A line break inside a target becomes `breaks`.

    Fields are `source` and `target`, at the top or inside a column "translation". DataError if it cannot be had,
    ConfigError for a split that a folder does not have."""
    datasets = _library()
    for split in splits:
        for number, row in enumerate(_rows(datasets, name, split, config), 1):
            yield pair_of(row, source, target, f"{name}[{split}]:{number}", breaks)


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingError(f"data.format=hub needs the package `datasets`: pip install 'seq2seq[hub]' ({error})") from error
    return datasets


def _rows(datasets: Any, name: str, split: str, config: str) -> Any:
    saved = any((Path(name) / marker).is_file() for marker in ("dataset_dict.json", "state.json"))
    if saved and config:
        raise ConfigError(f"data.hub_config={config!r} would be ignored: the folder {name} holds what one configuration gave")
    try:
        if not saved:
            return _downloaded(datasets, [name, config] if config else [name], split)
        loaded = datasets.load_from_disk(name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise MissingError(f"data.hub={name!r}, split {split!r} cannot be had: {error}") from error
    splits = loaded if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}
    return choose(splits, split, f"split of {name}")


def _downloaded(datasets: Any, name: Sequence[str], split: str) -> Any:
    try:
        return datasets.load_dataset(*name, split=split)
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
    return datasets.load_dataset(*name, split=split, revision=PARQUET)
