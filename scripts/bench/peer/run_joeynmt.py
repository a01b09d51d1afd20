"""Joey NMT 2.3: A1, A2, A3 under its own commands."""

from pathlib import Path
from typing import Any

import watch
import yaml

probe = watch.begin()
job = probe.job
watch.allow_pickled_checkpoints()
SENTENCES = 252  # per batch: without length buckets, as many real tokens as others have in 4,096 padded ones


def side(language: str) -> dict[str, Any]:
    """Settings of the text of one language."""
    return {
        "lang": language, "level": "word", "max_length": 512, "lowercase": False, "normalize": False,
        "voc_file": f"{job.data}/vocabulary.txt", "tokenizer_type": "", "tokenizer_cfg": {"pretokenizer": "none"},
    }  # fmt: skip


def recurrent(more: dict[str, Any]) -> dict[str, Any]:
    """Settings of a recurrent encoder or decoder."""
    part = {
        "type": "recurrent",
        "rnn_type": "lstm",
        "dropout": 0.3,
        "num_layers": 1,
        "embeddings": {"embedding_dim": 256},
    }
    return part | more


SPECIAL = {  # Joey NMT fixes their order
    "unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_id": 0, "pad_id": 1,
    "bos_id": 2, "eos_id": 3,
}  # fmt: skip
LAYERS = {
    "type": "transformer", "num_layers": 3, "num_heads": 4, "hidden_size": 256, "ff_size": 1024, "dropout": 0.1,
    "layer_norm": "pre", "embeddings": {"embedding_dim": 256, "scale": True, "dropout": 0.0},
}  # fmt: skip
ATTENTION = {"A1": "luong", "A2": "bahdanau"}.get(job.work)
RECURRENT: dict[str, Any] = {
    "encoder": recurrent({"hidden_size": 256, "bidirectional": True}),
    "decoder": recurrent(
        {
            "hidden_size": 512,
            "hidden_dropout": 0.3,
            "input_feeding": True,
            "init_hidden": "bridge",
            "attention": ATTENTION,
        }
    ),
}
TRANSFORMER = {
    "tied_embeddings": True,
    "tied_softmax": True,
    "initializer": "xavier_uniform",
    "encoder": LAYERS,
    "decoder": LAYERS,
}
LENGTH = {"max_output_length": job.tokens, "min_output_length": job.tokens}
SETTINGS: dict[str, Any] = {
    "name": "bench", "joeynmt_version": "2.3.0", "model_dir": f"{job.folder}/model", "use_cuda": False, "fp16": False,
    "random_seed": 1,
    "data": {
        "train": f"{job.data}/train", "dev": f"{job.data}/few", "test": f"{job.data}/test", "dataset_type": "plain",
        "src": side("en"),
        "trg": side("de"), "special_symbols": SPECIAL,
    },
    "testing": {
        "beam_size": job.beam, "beam_alpha": 1.0, "batch_size": job.batch, "batch_type": "sentence", "eval_metrics": [],
        **LENGTH,
    },
    "training": {
        "optimizer": "adam", "learning_rate": 1e-3, "learning_rate_min": 1e-9, "normalization": "tokens",
        "loss": "crossentropy",
        "label_smoothing": 0.0 if job.recurrent else 0.1, "batch_size": SENTENCES, "batch_type": "sentence",
        "epochs": 10**4,
        "updates": job.updates, "validation_freq": job.updates, "logging_freq": min(50, job.updates - 1),
        "overwrite": True,
        "shuffle": True, "print_valid_sents": [], "keep_best_ckpts": 1, "clip_grad_norm": 1.0,
        "scheduling": "exponential",
        "decrease_factor": 0.95, "early_stopping_metric": "ppl",
    },
    "model": RECURRENT if job.recurrent else TRANSFORMER,
}  # fmt: skip


def train() -> None:
    """Count target tokens in training."""
    import joeynmt.training

    def counted(original: Any, trainer: Any, batch: Any) -> Any:
        probe.amount += int(batch.ntokens)
        return original(trainer, batch)

    watch.wrap(joeynmt.training.TrainManager, "_train_step", counted)


def decode() -> None:
    """Time the search in translation."""
    import joeynmt.prediction

    def timed(original: Any, **options: Any) -> Any:
        return probe.timed(int(options["batch"].nseqs), lambda: original(**options))

    watch.wrap(joeynmt.prediction, "search", timed)


def run() -> None:
    """Run Joey NMT's own command."""
    from joeynmt.__main__ import main

    settings = Path(job.folder, f"{job.job}.yaml")
    settings.write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    (decode if job.job == "decode" else train)()
    watch.set_arguments("joeynmt", "test" if job.job == "decode" else "train", settings)
    main()


run()
