"""Bundles of runs: their config, and the files that those of graphs and those of weights have.

runtime.bundle says what a bundle is, and writes it.
"""

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

import seq2seq
from seq2seq.config import Config
from seq2seq.config.io import saved_text
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import ConfigError
from seq2seq.nn.build import EncoderDecoder
from seq2seq.runs.bundles import MODEL, SETTINGS
from seq2seq.runs.directory import MAX_WEIGHTS_BYTES, WEIGHTS, Run, checked_hash
from seq2seq.runs.weights import SHORTLIST, load_model, load_translations
from seq2seq.runtime.bundle import JOINT, SCHEMA, SHORTLIST_FILE, SOURCE, TARGET
from seq2seq.runtime.untrusted import read_bytes

Files = dict[str, bytes]


def weights_bundle(runs: Sequence[Run], dtype: str = "float32") -> tuple[dict[str, Any], Files]:
    """The config and the files of a bundle of weights. Raises ConfigError for several runs."""
    if len(runs) > 1:
        raise ConfigError("--format=weights holds one model: export each run of an ensemble by itself")
    (run,) = runs
    model = load_model(run)
    checked_hash(run.folder, WEIGHTS)
    weights = read_bytes(run.folder / WEIGHTS, MAX_WEIGHTS_BYTES, root=run.folder)
    files = common_files(run) | {MODEL: weights, SETTINGS: saved_text(without_paths(run.config)).encode()}
    return bundle_config("weights", runs, [model], dtype), files


def common_files(run: Run, vocabularies: Vocabularies | None = None) -> Files:
    """The tokenizers, and the shortlist if the run has one. vocabularies: others than those of the run."""
    both = vocabularies or run.vocabularies
    files = {JOINT: both.source} if both.joint else {SOURCE: both.source, TARGET: both.target}
    content = {name: tokenizer.serialized for name, tokenizer in files.items()}
    if (run.folder / SHORTLIST).exists():
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, load_translations(run).numpy().astype("<i4"), version=(1, 0))
        content[SHORTLIST_FILE] = buffer.getvalue()
    return content


def bundle_config(
    kind: str,
    runs: Sequence[Run],
    models: Sequence[EncoderDecoder],
    dtype: str,
    vocabularies: Vocabularies | None = None,
) -> dict[str, Any]:
    """config.json of a bundle without its files. vocabularies: others than those of the runs."""
    config, both = runs[0].config, vocabularies or runs[0].vocabularies
    source, target = config.data.languages()
    return {
        "schema": SCHEMA,
        "kind": kind,
        "seq2seq": seq2seq.__version__,
        "created": datetime.now(UTC).date().isoformat(),
        "dtype": dtype,
        "members": len(runs),
        "model": dataclasses.asdict(config.model),
        "search": vars(config.search),
        "languages": {"source": source, "target": target},
        "task": config.task,
        "truncate_source": config.data.truncate_source,
        "vocabulary": {"source": both.source.size, "target": both.target.size, "joint": both.joint},
        "copies": all(model.head.reads_weights for model in models),
        "max_source": _least(model.max_source for model in models),
        "max_target": _least(model.max_target for model in models),
    }


def without_paths(config: Config) -> Config:
    """The settings without what names a place on this machine."""
    data = dataclasses.replace(config.data, root="", cache="")
    return dataclasses.replace(config, data=data, runs="runs", resume="")


def _least(limits: Iterable[int | None]) -> int | None:
    return min((one for one in limits if one is not None), default=None)


def size_of(files: Mapping[str, bytes]) -> int:
    """Bytes of all files."""
    return sum(map(len, files.values()))
