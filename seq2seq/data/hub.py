"""How are pairs read with the Hugging Face library `datasets`?"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seq2seq.data.text import Pair, pair_of
from seq2seq.errors import DataError, choose


def read_hub(name: str, splits: Sequence[str], source: str, target: str) -> Iterator[Pair]:
    """The rows of `splits` of the data set `name`: a name on the hub, or a folder written by `save_to_disk`.

    Fields are `source` and `target`, at the top or inside a column "translation". DataError if it cannot be had,
    ConfigError for a split that a folder does not have."""
    datasets = _library()
    for split in splits:
        for number, row in enumerate(_rows(datasets, name, split), 1):
            yield pair_of(row, source, target, f"{name}[{split}]:{number}")


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"data.format=hub needs the package `datasets`: pip install 'seq2seq[hub]' ({error})") from error
    return datasets


def _rows(datasets: Any, name: str, split: str) -> Any:
    saved = any((Path(name) / marker).is_file() for marker in ("dataset_dict.json", "state.json"))
    try:
        if not saved:
            return datasets.load_dataset(name, split=split)
        loaded = datasets.load_from_disk(name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(f"data.hub={name!r}, split {split!r} cannot be had: {error}") from error
    splits = loaded if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}
    return choose(splits, split, f"split of {name}")
