"""fairseq 0.12: A1 and A3 under its own commands; its LSTM has no additive attention."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import watch

probe = watch.begin()
job = probe.job
watch.allow_pickled_checkpoints()


def hashable(original: Any, cls: Any = None, **options: Any) -> Any:
    """`dataclass` with unsafe_hash=True for fairseq and hydra: Python 3.11 requires that defaults are hashable."""
    if cls is None:
        return lambda cls: hashable(original, cls, **options)
    foreign = cls.__module__.split(".")[0] in ("fairseq", "hydra") and not options.get("frozen")
    return original(cls, **({"unsafe_hash": True} | options if foreign else options))


watch.wrap(dataclasses, "dataclass", hashable)
for name, builtin in {"float": float, "int": int, "object": object, "bool": bool}.items():
    if name not in np.__dict__:  # removed in NumPy 1.24
        setattr(np, name, builtin)

COMMON = [
    f"{job.data}/fairseq", "-s", "en", "-t", "de", "--cpu", "--num-workers", 0, "--seed", 1, "--optimizer", "adam",
    "--clip-norm", 1,
    "--max-tokens", watch.MAX_TOKENS, "--max-update", job.updates, "--disable-validation", "--no-epoch-checkpoints",
    "--save-interval-updates", watch.MAKE_UPDATES, "--keep-interval-updates", 1, "--save-dir", job.folder,
    "--log-interval", 50,
    "--log-format", "simple", "--lr", 1e-3,
]  # fmt: skip
RECURRENT = [
    "--arch", "lstm", "--encoder-embed-dim", 256, "--encoder-hidden-size", 256, "--encoder-bidirectional",
    "--encoder-layers", 1,
    "--decoder-embed-dim", 256, "--decoder-hidden-size", 512, "--decoder-out-embed-dim", 512, "--decoder-layers", 1,
    "--decoder-attention", 1, "--dropout", 0.3, "--criterion", "cross_entropy", "--lr-scheduler", "fixed",
]  # fmt: skip
TRANSFORMER = [
    "--arch", "transformer", "--encoder-embed-dim", 256, "--encoder-ffn-embed-dim", 1024,
    "--encoder-attention-heads", 4,
    "--encoder-layers", 3, "--decoder-embed-dim", 256, "--decoder-ffn-embed-dim", 1024, "--decoder-attention-heads", 4,
    "--decoder-layers", 3, "--share-all-embeddings", "--encoder-normalize-before", "--decoder-normalize-before",
    "--dropout", 0.1,
    "--criterion", "label_smoothed_cross_entropy", "--label-smoothing", 0.1, "--adam-betas", "(0.9,0.98)",
    "--lr-scheduler", "inverse_sqrt", "--warmup-updates", 400,
]  # fmt: skip


def prepare() -> None:
    """Convert the text to fairseq's binary format, once."""
    from fairseq_cli.preprocess import cli_main

    if not Path(job.data, "fairseq", "dict.de.txt").exists():
        texts = [word for name in ("train", "valid", "test") for word in (f"--{name}pref", f"{job.data}/{name}")]
        dictionary = f"{job.data}/fairseq.txt"
        dictionaries = "--srcdict", dictionary, "--tgtdict", dictionary
        folder = f"{job.data}/fairseq"
        watch.set_arguments(
            "fairseq-preprocess", "-s", "en", "-t", "de", *texts, *dictionaries, "--destdir", folder, "--workers", 1
        )
        cli_main()


def train() -> None:
    """Train with fairseq-train, and count target tokens."""
    prepare()
    from fairseq.trainer import Trainer
    from fairseq_cli.train import cli_main

    def counted(original: Any, trainer: Any, samples: Any, *rest: Any, **options: Any) -> Any:
        probe.amount += sum(int(sample["ntokens"]) for sample in samples if sample)
        return original(trainer, samples, *rest, **options)

    watch.wrap(Trainer, "train_step", counted)
    watch.set_arguments("fairseq-train", *COMMON, *(RECURRENT if job.recurrent else TRANSFORMER))
    cli_main()


def decode() -> None:
    """Translate with fairseq-generate, and time the search."""
    from fairseq.sequence_generator import SequenceGenerator
    from fairseq_cli.generate import cli_main

    def timed(original: Any, self: Any, models: Any, sample: Any, *rest: Any, **options: Any) -> Any:
        return probe.timed(
            len(sample["net_input"]["src_tokens"]), lambda: original(self, models, sample, *rest, **options)
        )

    watch.wrap(SequenceGenerator, "generate", timed)
    length = ["--min-len", job.tokens, "--max-len-a", 0, "--max-len-b", job.tokens, "--beam", job.beam]
    model = max(Path(job.folder).glob("checkpoint*.pt"), key=lambda path: path.stat().st_mtime)
    options = ["--cpu", "--gen-subset", "test", "--batch-size", job.batch, "--log-format", "none", *length]
    watch.set_arguments("fairseq-generate", f"{job.data}/fairseq", "--path", model, *options)
    cli_main()


decode() if job.job == "decode" else train()
