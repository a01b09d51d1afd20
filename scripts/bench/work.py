"""The workloads of the benchmarks: models that peers can be configured to match, on Multi30k or the embedded corpus."""

import os
from collections.abc import Sequence
from pathlib import Path

from seq2seq.config import Config
from seq2seq.launch.compose import compose_config
from seq2seq.utils import process

COMMON = [
    "training.monitor=loss",
    "training.validate_every=0",
    "training.patience=0",
    "trainer.progress=none",
    "training.batch_tokens=4096",
]
RECURRENT = ["model=rnn", "model.embedding=256", "model.hidden=512", "model.dropout=0.3", "training.label_smoothing=0"]

WORKLOADS: dict[str, list[str]] = {
    "A1": [*RECURRENT, "model/attention=general"],
    "A1-": [*RECURRENT, "model/attention=general", "model.input_feeding=false"],
    "A2": [*RECURRENT, "model/attention=additive"],
    "A3": ["model=transformer", "model.tie=all", "model.dropout=0.1"],
    "B-rnn": [
        "model=rnn", "model.embedding=1024", "model.hidden=1024", "model.encoder_layers=4", "model.decoder_layers=4",
        "model/attention=general",
    ],
    "B-base": [
        "model=transformer", "model.tie=all", "model.size=512", "model.heads=8", "model.feedforward=2048",
        "model.encoder_layers=6", "model.decoder_layers=6",
    ],
    "B-big": [
        "model=transformer", "model.tie=all", "model.size=1024", "model.heads=16", "model.feedforward=4096",
        "model.encoder_layers=6", "model.decoder_layers=6",
    ],
}  # fmt: skip


process.set_environment()  # as the commands do; for this process and those that it starts
process.keep_freed_memory()  # as training does


def settings(name: str, more: Sequence[str] = ()) -> Config:
    """The settings of a workload, with more of them as on the command line."""
    return compose_config([*corpus(), *COMMON, *WORKLOADS[name], *more])


def corpus() -> list[str]:
    """Settings of Multi30k with 8,000 joint subwords if its files are here, else of the embedded corpus."""
    here = Path(os.environ.get("SEQ2SEQ_DATA") or "data") / "multi30k"
    return ["data=multi30k"] if here.is_dir() else ["data=toy"]


def test_set(config: Config) -> str:
    """The name of the corpus' test set."""
    return "test" if config.data.format == "toy" else next(iter(config.data.test))
