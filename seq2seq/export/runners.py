"""Translates lines with an exported folder, by the library that the format is for, with our search settings.

Limits of length that depend on the source, which other libraries do not have, are set for each sentence.
"""

import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from seq2seq.config import Config
from seq2seq.data.tokenizer import open_pieces
from seq2seq.data.vocabulary import JOINT, SOURCE, Vocabularies
from seq2seq.errors import ConfigError, RunError, counted
from seq2seq.export.ctranslate2 import import_ctranslate2, search_options
from seq2seq.export.huggingface import generation
from seq2seq.export.projections import longest_target
from seq2seq.runtime.options import length_limits
from seq2seq.runtime.untrusted import MIB
from seq2seq.runtime.vocabulary import join_pieces

MAX_PACKAGE_BYTES = 4096 * MIB  # of the files in a package for Argos Translate


class Found(NamedTuple):
    """The best translation of a line."""

    text: str
    score: float | None  # divided as search.length_penalty says; None: the library gives none


def run_ctranslate2(folder: Path, lines: Sequence[str], config: Config) -> list[Found]:
    """Translate with CTranslate2 and the SentencePiece model in its folder. An empty line gives an empty one.

    Raises ConfigError if the package ctranslate2 is missing."""
    vocabularies = Vocabularies.open(folder)
    segment, _ = open_pieces(folder / (JOINT if vocabularies.joint else SOURCE))
    target = vocabularies.target
    pieces = dict(zip(target.symbols(), target.pieces(range(target.size)), strict=True))
    translator = import_ctranslate2().Translator(str(folder), intra_threads=1)
    options = search_options(config) | {"num_hypotheses": 1}

    def translate(tokens: Sequence[list[str]], least: int, most: int) -> list[Found]:
        limits = {"min_decoding_length": least, "max_decoding_length": most}
        results = translator.translate_batch(tokens, max_batch_size=config.search.batch, **options | limits)
        return [
            # with search.replace_unknown some tokens are words of the source
            Found(join_pieces(pieces.get(token, token) for token in one.hypotheses[0]), one.scores[0])
            for one in results
        ]

    return translate_by_limits([segment(line) for line in lines], config, translate)


def run_huggingface(folder: Path, lines: Sequence[str], config: Config) -> list[Found]:
    """Translate with transformers. An empty line gives an empty one; greedy search gives no scores.

    Raises ConfigError if the package transformers is missing."""
    try:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    except ImportError as error:
        raise ConfigError("this format needs the package transformers: pip install 'transformers>=5'") from error
    safe = {"trust_remote_code": False, "local_files_only": True}
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, use_safetensors=True, **safe).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
    search = {"do_sample": False} | generation(config) | {"num_return_sequences": 1}  # those in the folder may sample

    def translate(batch: Sequence[list[str]], least: int, most: int) -> list[Found]:
        texts = [line for (line,) in batch]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, truncation=True)
        options = search | {"max_new_tokens": most} | ({"min_new_tokens": least} if least else {})
        found = model.generate(**inputs, return_dict_in_generate=True, output_scores=True, **options)
        scores = found.sequences_scores.tolist() if "sequences_scores" in found else [None] * len(texts)
        return [*map(Found, tokenizer.batch_decode(found.sequences, skip_special_tokens=True), scores)]

    lengths = [len(tokenizer(line).input_ids) - 1 for line in lines]
    return translate_by_limits([[line] for line in lines], config, translate, lengths)


def run_argos(folder: Path, lines: Sequence[str], config: Config) -> list[Found]:
    """Translate with the CTranslate2 model of a package for Argos Translate, with our search settings, not with its
    own.

    Raises RunError unless the folder holds one package, whose files are not too large."""
    packages = sorted(folder.glob("*.argosmodel"))
    if len(packages) != 1:
        raise RunError(f"{folder} holds {counted(len(packages), '.argosmodel file')}, where one is expected")
    with zipfile.ZipFile(packages[0]) as package, tempfile.TemporaryDirectory() as scratch:
        if (size := sum(one.file_size for one in package.infolist())) > MAX_PACKAGE_BYTES:
            raise RunError(f"{packages[0]} would be too large unpacked: {size:,} bytes of {MAX_PACKAGE_BYTES:,}")
        for name in map(PurePosixPath, package.namelist()):
            if name.parent.name == "model" or name.suffix == ".model":
                target = Path(scratch) / (JOINT if name.suffix == ".model" else name.name)
                target.write_bytes(package.read(str(name)))
        return run_ctranslate2(Path(scratch), lines, config)


def translate_by_limits(
    sources: Sequence[list[str]],
    config: Config,
    translate: Callable[[Sequence[list[str]], int, int], list[Found]],
    lengths: Sequence[int] | None = None,
) -> list[Found]:
    """Translate sources, `search.batch` at a time, together with those that have the same least and most target tokens.

    `lengths` in tokens are those of the sources, unless given."""
    search, results = config.search, [Found("", 0.0)] * len(sources)
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, length in enumerate(map(len, sources) if lengths is None else lengths):
        limits = length_limits(
            length,
            min_length=search.min_length,
            max_length=longest_target(config),
            min_ratio=search.min_ratio,
            max_ratio=search.max_ratio,
        )
        if length:
            groups[limits].append(i)
    for limits, group in groups.items():
        for start in range(0, len(group), search.batch):
            rows = group[start : start + search.batch]
            for i, found in zip(rows, translate([sources[i] for i in rows], *limits), strict=True):
                results[i] = found
    return results


RUNNERS: dict[str, Callable[[Path, Sequence[str], Config], list[Found]]] = {
    "ctranslate2": run_ctranslate2,
    "huggingface": run_huggingface,
    "argos": run_argos,
}
