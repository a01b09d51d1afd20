#!/usr/bin/env python
"""Writes reference.json beside a model of transformers: scores and translations to compare an imported model with.

It runs in an environment with transformers and sentencepiece, where this package need not be installed:

    python reference_transformers.py FOLDER --source test.en --target test.de
"""

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers

BEAM, MOST_TOKENS = 4, 100


@torch.no_grad()
def log_probability(model: Any, tokenizer: Any, source: str, target: str) -> float:
    """Of a target and its end, given its source."""
    batch = tokenizer(source, return_tensors="pt")
    labels = tokenizer(text_target=target, return_tensors="pt").input_ids
    start = torch.tensor([[model.config.decoder_start_token_id]])
    logits = model(**batch, decoder_input_ids=torch.cat((start, labels[:, :-1]), 1)).logits
    return float(logits.double().log_softmax(-1).gather(-1, labels.unsqueeze(-1)).sum())


@torch.no_grad()
def translation(model: Any, tokenizer: Any, source: str) -> str:
    """By beam search without length penalty."""
    found = model.generate(
        **tokenizer(source, return_tensors="pt"),
        num_beams=BEAM,
        num_return_sequences=1,
        length_penalty=0.0,
        early_stopping=False,
        do_sample=False,
        max_new_tokens=MOST_TOKENS,
    )
    return str(tokenizer.decode(found[0], skip_special_tokens=True))


def lines(path: Path, count: int) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return [line.rstrip("\n") for line in islice(file, count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--source", type=Path, required=True, help="source lines")
    parser.add_argument("--target", type=Path, required=True, help="their translations")
    parser.add_argument("--count", type=int, default=50, help="lines that are read (default: 50)")
    options = parser.parse_args()
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(options.folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.folder)
    sources, targets = (lines(path, options.count) for path in (options.source, options.target))
    reference = {
        "library": f"transformers {transformers.__version__}",
        "pairs": [[s, t, log_probability(model, tokenizer, s, t)] for s, t in zip(sources, targets, strict=True)],
        "beam": BEAM,
        "max_length": MOST_TOKENS,
        "translations": [[source, translation(model, tokenizer, source)] for source in sources],
    }
    text = json.dumps(reference, ensure_ascii=False, indent=1)
    (options.folder / "reference.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
