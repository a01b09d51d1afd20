"""Speed of labelling: python scripts/bench/labels.py RUN [BUNDLE]

Seconds for 1,000 short texts of the embedded corpus of opinions, after loading, with a run of it and with its bundle;
and source tokens a second of training, of a classifier and of a translator with the same encoder on the same texts.
"""

import argparse
import time
from pathlib import Path

import torch

from seq2seq.config import AttentionConfig, RNNConfig, TransformerConfig
from seq2seq.data.toy.sentiment import generate_sentiment
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.nn.build import build_model
from seq2seq.translator import Translator

V, B, S, REPEATS = 500, 64, 24, 15


def seconds_per_step(model: torch.nn.Module, target: torch.Tensor) -> float:
    """The least time of a forward and backward pass, of several."""
    source = torch.randint(4, V, (B, S))
    source[:, -1] = EOS
    target_in = torch.cat((torch.full((B, 1), BOS), target[:, :-1]), 1)
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        memory = model.encode(source)
        model.head.loss(model.decode(target_in, memory), memory, target).total.backward()
        model.zero_grad()
        best = min(best, time.perf_counter() - began)
    return best


def training() -> None:
    """Source tokens a second of both tasks, with each family."""
    label = torch.tensor([[5, EOS]] * B)
    text = torch.cat((torch.randint(4, V, (B, S - 1)), torch.full((B, 1), EOS)), 1)
    assert not (text == PAD).any()
    for family, sizes in (
        (RNNConfig, {"embedding": 64, "hidden": 128}),
        (TransformerConfig, {"size": 64, "feedforward": 128, "encoder_layers": 1}),
    ):
        speeds = []
        for output, target in (("label", label), ("text", text)):
            model = build_model(family(**sizes, output=output, attention=AttentionConfig(scorer="general")), V, V)
            speeds.append(B * S / seconds_per_step(model, target))
        fast, slow = speeds
        print(f"training, {family().name}: {fast:,.0f} source tokens/s as a classifier, {slow:,.0f} as a translator")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+")
    texts = [example.source for example in generate_sentiment(1000).train]
    for path in parser.parse_args().models:
        began = time.perf_counter()
        translator = Translator.open(path)
        loaded = time.perf_counter()
        labels = translator.translate(texts)
        done = time.perf_counter()
        assert len(labels) == 1000
        print(f"{path.name}: loaded in {loaded - began:.2f} s, {len(texts):,} texts in {done - loaded:.2f} s")
    training()


if __name__ == "__main__":
    main()
