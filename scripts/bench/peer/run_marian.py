"""Marian in Hugging Face transformers: A3, trained in a plain loop."""

import random
from pathlib import Path

import torch
import watch
from torch.nn import functional
from transformers import MarianConfig, MarianMTModel

PAD, UNK, BOS, EOS = range(4)
probe = watch.begin()
job = probe.job
vocabulary = {
    piece: i for i, piece in enumerate(Path(job.data, "vocabulary.txt").read_text(encoding="utf-8").splitlines())
}


def ids(name: str) -> list[list[int]]:
    """The ids of each line of a text."""
    return [[vocabulary.get(piece, UNK) for piece in line] for line in watch.read(job, name)]


def padded(rows: list[list[int]]) -> torch.Tensor:
    """Rows of ids as a tensor, padded to the longest."""
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


def make_batches(
    pairs: list[tuple[list[int], list[int]]], chance: random.Random
) -> list[list[tuple[list[int], list[int]]]]:
    """Batches of pairs of similar length, in random order."""
    pairs = sorted(pairs, key=lambda pair: (len(pair[1]), len(pair[0]), chance.random()))
    batches: list[list[tuple[list[int], list[int]]]] = [[]]
    longest = 0
    for pair in pairs:
        longest = max(longest, len(pair[0]) + 1, len(pair[1]) + 1)
        if longest * (len(batches[-1]) + 1) > watch.MAX_TOKENS:
            batches.append([])
            longest = max(len(pair[0]), len(pair[1])) + 1
        batches[-1].append(pair)
    chance.shuffle(batches)
    return batches


def make() -> MarianMTModel:
    """The model, initialized with a fixed seed."""
    torch.manual_seed(1)
    size = {
        "d_model": 256,
        "vocab_size": len(vocabulary),
        "max_position_embeddings": 512,
        "dropout": 0.1,
        "activation_function": "relu",
    }
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("layers", 3), ("attention_heads", 4), ("ffn_dim", 1024))
    }
    special = {
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "decoder_start_token_id": BOS,
        "forced_eos_token_id": None,
    }
    return MarianMTModel(MarianConfig(**size, **sides, **special, scale_embedding=True, tie_word_embeddings=True))


def train() -> None:
    """Train until the watch ends the process."""
    model, chance = make(), random.Random(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    pairs = list(zip(ids("train.en"), ids("train.de"), strict=True))
    while True:
        for batch in make_batches(pairs, chance):
            source, target_in = padded([[*s, EOS] for s, _ in batch]), padded([[BOS, *t] for _, t in batch])
            target_out = padded([[*t, EOS] for _, t in batch])
            mask = (source != PAD).long()
            logits = model(input_ids=source, attention_mask=mask, decoder_input_ids=target_in, use_cache=False).logits
            loss = functional.cross_entropy(
                logits.flatten(0, 1), target_out.flatten(), ignore_index=PAD, label_smoothing=0.1
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            probe.amount += int((target_out != PAD).sum())
            optimizer.step()


@torch.inference_mode()
def decode() -> None:
    """Translate with the untrained model."""
    model, sources = make().eval(), ids("test.en")
    length = {"min_new_tokens": job.tokens, "max_new_tokens": job.tokens, "num_beams": job.beam, "do_sample": False}
    for numbers in watch.batches(job):
        source = padded([sources[i] + [EOS] for i in numbers])
        mask = (source != PAD).long()
        probe.timed(
            len(numbers),
            lambda source=source, mask=mask: model.generate(input_ids=source, attention_mask=mask, **length),
        )


{"train": train, "decode": decode, "make": lambda: None}[job.job]()
