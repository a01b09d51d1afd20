#!/usr/bin/env python
"""Converts a checkpoint of OpenNMT-py 3 into a folder that `seq2seq import opennmt` reads.

A checkpoint holds Python objects, which may run any code when they are loaded; so this script runs where the model was
trained, with OpenNMT-py, and this package need not be installed there:

    python convert_opennmt.py model_step_1000.pt FOLDER --source test.en --target test.de

It writes model.safetensors, model.json with options and vocabularies, and, given text as the model was trained on, with
spaces between tokens, reference.json: scores and translations to compare the imported model with.
"""

import argparse
import json
import struct
import sys
import tempfile
import types
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch

BEAM, MOST_TOKENS = 4, 100
UNNEEDED = ("spacy", "fasttext", "torchtext")  # OpenNMT-py imports them for transforms of training text


def prepare() -> None:
    """Let OpenNMT-py be imported, and load its checkpoints as before torch 2.6."""
    for name in UNNEEDED:
        try:
            __import__(name)
        except Exception:
            sys.modules[name] = types.ModuleType(name)
    load = torch.load
    torch.load = lambda *args, **options: load(*args, **{**options, "weights_only": False})  # type: ignore[assignment]


def write_safetensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """As the library of that name, which need not be installed: the size of a JSON header, the header, the numbers."""
    header, at, parts = {}, 0, []
    for name, tensor in tensors.items():
        parts.append(tensor.detach().float().contiguous().numpy().astype("<f4").tobytes())
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(parts[-1])]}
        at += len(parts[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def plain(options: Any) -> dict[str, Any]:
    """The options that are numbers, text, or lists of them."""
    simple = (int, float, str, bool, type(None))
    kept = {}
    for name, value in vars(options).items():
        if isinstance(value, simple) or (isinstance(value, list) and all(isinstance(one, simple) for one in value)):
            kept[name] = value
    return kept


@torch.no_grad()
def log_probability(model: Any, vocabularies: Any, source: str, target: str) -> float:
    """Of a target and its end, given its source."""
    ids = vocabularies["src"](source.split(" "))
    tokens = vocabularies["tgt"]([vocabularies["decoder_start_token"], *target.split(" "), "</s>"])
    src, tgt = (torch.tensor(row).view(1, -1, 1) for row in (ids, tokens))
    output, _ = model(src, tgt, torch.tensor([len(ids)]))
    scores = model.generator(output).double().log_softmax(-1)
    return float(scores[0].gather(-1, tgt[0, 1:]).sum())


def translations(checkpoint: Path, sources: list[str]) -> list[str]:
    """By onmt_translate, without length penalty."""
    from onmt.bin.translate import main

    with tempfile.TemporaryDirectory() as folder:
        source, found = Path(folder, "source"), Path(folder, "found")
        source.write_text("".join(f"{line}\n" for line in sources), encoding="utf-8")
        files = ["-model", checkpoint, "-src", source, "-output", found]
        score = ["-beam_size", BEAM, "-length_penalty", "none"]
        limits = ["-max_length", MOST_TOKENS, "-max_length_ratio", 0, "-batch_size", 1]
        sys.argv = ["onmt_translate", *map(str, (*files, *score, *limits))]
        main()
        text = found.read_text(encoding="utf-8")
        # unknown words are written so after the import; only a newline ends a line
        return text.replace("<unk>", "⁇").removesuffix("\n").split("\n")


def reference(checkpoint: Path, sources: list[str], targets: list[str]) -> dict[str, Any]:
    """The content of reference.json."""
    from onmt.inputters.inputter import dict_to_vocabs
    from onmt.model_builder import build_base_model
    from onmt.models.model_saver import load_checkpoint

    loaded = load_checkpoint(str(checkpoint))
    vocabularies = dict_to_vocabs(loaded["vocab"])
    model = build_base_model(loaded["opt"], vocabularies)
    model.load_state_dict(loaded, precision=torch.float32, device=torch.device("cpu"), strict=True)
    model.eval()
    pairs = []
    for source, target in zip(sources, targets):  # noqa: B905 - also in old versions of Python
        pairs.append([source, target, log_probability(model, vocabularies, source, target)])
        if hasattr(model.decoder, "state"):
            model.decoder.state = {}
    found = translations(checkpoint, sources)
    return {
        "library": f"OpenNMT-py {version('OpenNMT-py')}",
        "pairs": pairs,
        "beam": BEAM,
        "max_length": MOST_TOKENS,
        "translations": [[source, text] for source, text in zip(sources, found)],  # noqa: B905
    }


def write_json(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def lines(path: Path, count: int) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return [" ".join(line.split()) for line in islice(file, count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--source", type=Path, help="source lines, as tokens")
    parser.add_argument("--target", type=Path, help="their translations, as tokens")
    parser.add_argument("--count", type=int, default=50, help="lines that are read (default: 50)")
    options = parser.parse_args()
    prepare()
    from onmt.models.model_saver import load_checkpoint

    loaded = load_checkpoint(str(options.checkpoint))
    if "model" not in loaded:
        sys.exit(f"{options.checkpoint} holds no weights: they are in files of their own, which this does not read")
    options.folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"generator.{name}": tensor for name, tensor in loaded["generator"].items()} | loaded["model"]
    write_safetensors(tensors, options.folder / "model.safetensors")
    vocabulary = loaded["vocab"]
    description = {
        "format": "OpenNMT-py 3",
        "options": plain(loaded["opt"]),
        "source": list(vocabulary["src"]),
        "target": list(vocabulary["tgt"]),
        "start": vocabulary.get("decoder_start_token", "<s>"),
    }
    write_json(description, options.folder / "model.json")
    if options.source and options.target:
        both = (lines(path, options.count) for path in (options.source, options.target))
        write_json(reference(options.checkpoint, *both), options.folder / "reference.json")


if __name__ == "__main__":
    main()
