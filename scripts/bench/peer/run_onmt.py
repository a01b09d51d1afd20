"""OpenNMT-py 3.5: A1, A2, A3 under its own commands."""

from pathlib import Path
from typing import Any

import watch
import yaml

probe = watch.begin()
job = probe.job
watch.stub_missing("spacy", "fasttext", "torchtext")
watch.allow_pickled_checkpoints()

COMMON: dict[str, Any] = {
    "save_data": f"{job.folder}/data", "src_vocab": f"{job.data}/counts.txt", "tgt_vocab": f"{job.data}/counts.txt",
    "share_vocab": True, "src_vocab_size": 8000, "tgt_vocab_size": 8000, "overwrite": True, "seed": 1,
    "data": {
        "train": {"path_src": f"{job.data}/train.en", "path_tgt": f"{job.data}/train.de", "transforms": [], "weight": 1}
    },
    "train_steps": job.updates, "save_checkpoint_steps": job.updates, "valid_steps": 10**6,
    "save_model": f"{job.folder}/model",
    "batch_type": "tokens", "batch_size": watch.MAX_TOKENS, "normalization": "tokens", "bucket_size": 32768,
    "num_workers": 0,
    "world_size": 1, "gpu_ranks": [], "optim": "adam", "learning_rate": 1e-3, "accum_count": [1], "report_every": 50,
}  # fmt: skip
RECURRENT: dict[str, Any] = {
    "encoder_type": "brnn", "decoder_type": "rnn", "rnn_type": "LSTM", "hidden_size": 512, "word_vec_size": 256,
    "enc_layers": 1,
    "dec_layers": 1, "input_feed": 1, "bridge": True, "dropout": [0.3], "param_init": 0.1, "max_grad_norm": 1,
    "global_attention": "general" if job.work == "A1" else "mlp",
}  # fmt: skip
TRANSFORMER: dict[str, Any] = {
    "encoder_type": "transformer", "decoder_type": "transformer", "hidden_size": 256, "word_vec_size": 256,
    "layers": 3, "heads": 4,
    "transformer_ff": 1024, "position_encoding": True, "share_embeddings": True, "share_decoder_embeddings": True,
    "self_attn_type": "scaled-dot", "pos_ffn_activation_fn": "relu", "dropout": [0.1], "attention_dropout": [0.1],
    "label_smoothing": 0.1, "param_init": 0, "param_init_glorot": True, "adam_beta2": 0.98, "max_grad_norm": 1,
}  # fmt: skip


def train() -> None:
    """Train with onmt_train, and count target tokens."""
    import onmt.trainer
    from onmt.bin.train import main

    def counted(original: Any, trainer: Any, batches: Any, *rest: Any) -> Any:
        padding = trainer.train_loss.padding_idx
        probe.amount += sum(int((batch["tgt"][:, 1:, 0] != padding).sum()) for batch in batches)
        return original(trainer, batches, *rest)

    watch.wrap(onmt.trainer.Trainer, "_gradient_accumulation", counted)
    settings = Path(job.folder, f"{job.job}.yaml")
    settings.write_text(yaml.safe_dump(COMMON | (RECURRENT if job.recurrent else TRANSFORMER)), encoding="utf-8")
    watch.set_arguments("onmt_train", "-config", settings)
    main()


def decode() -> None:
    """Translate with onmt_translate, and time its batches."""
    import onmt.translate.translator
    from onmt.bin.translate import main

    def timed(original: Any, self: Any, batch: Any, *rest: Any, **options: Any) -> Any:
        return probe.timed(batch["src"].size(0), lambda: original(self, batch, *rest, **options))

    watch.wrap(onmt.translate.translator.Translator, "translate_batch", timed)
    model = max(Path(job.folder).glob("model_step_*.pt"), key=lambda path: path.stat().st_mtime)
    limits = ["-min_length", job.tokens, "-max_length", job.tokens, "-beam_size", job.beam]
    files = ["-model", model, "-src", f"{job.data}/test.en", "-output", f"{job.folder}/out.txt"]
    watch.set_arguments("onmt_translate", *files, "-batch_type", "sents", "-batch_size", job.batch, *limits)
    main()


decode() if job.job == "decode" else train()
