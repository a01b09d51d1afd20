"""How does a corpus become vocabularies and arrays of ids, once for all runs that use it?"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.config import DataConfig, TokenizerConfig
from seq2seq.data.corpora import dev_pairs, linked_pairs, test_names, test_pairs, train_pairs
from seq2seq.data.dataset import PairArrays, write_arrays
from seq2seq.data.encoding import EncodingRules, encode_corpus
from seq2seq.data.filters import PairFilter, truncate_words
from seq2seq.data.folders import resumable_folder
from seq2seq.data.readers import AnyPair, LinkedPair, Pair
from seq2seq.data.report import Overlap, report_lines
from seq2seq.data.sampling import SampledCorpus, encode_pair, text_row
from seq2seq.data.tokenizer import Tokenizer, train_tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import DataError, RunError
from seq2seq.utils.files import write_json
from seq2seq.utils.progress import with_progress

log = logging.getLogger(__name__)

CACHE_VERSION = 4  # raised whenever the same text and settings would give another folder
REPORT = "report.json"
TOKENIZER_LINES = 4_000_000  # lines that a tokenizer is trained on; of more, every k-th


class Prepared(NamedTuple):
    """A corpus, ready for training."""

    folder: Path
    vocabularies: Vocabularies
    train: PairArrays
    dev: PairArrays
    dev_pairs: list[Pair]
    report: dict[str, Any]
    data_hash: str  # sha256 of the text of training and development pairs, as they were read
    links_hash: str = ""  # sha256 of the word links of the training pairs; "" where there are none

    def tell(self) -> None:
        """The report, to the log."""
        for line in report_lines(self.report):
            log.info("%s", line)

    def sampled(self, alpha: float, seed: int, limits: tuple[float, float]) -> SampledCorpus:
        """The training pairs with segmentation drawn anew in each epoch, none longer than `limits` (source, target); prepared
        with tokenizer.sampling > 0."""
        return SampledCorpus(self.train, self.folder / "text", self.vocabularies, alpha, seed, limits)


def prepare(
    data: DataConfig, tokenizer: TokenizerConfig, vocabularies: Vocabularies | None = None, linked: bool = False
) -> Prepared:
    """Read, filter, train the tokenizers, encode; or take all that from the cache, if text and settings are the same.

    `vocabularies` are used in place of new ones; `tokenizer` then says how they were made. `linked`: with the word links of the
    training pairs. Processes may do so at once. DataError or ConfigError names what is wrong with the text or its settings."""
    seen = scan_corpus(data, linked)
    folder = _cache_folder(data, tokenizer, seen, vocabularies)
    if not folder.is_dir():
        with resumable_folder(folder) as part:
            if part is not None:
                write_json(part / REPORT, _build(part, data, tokenizer, vocabularies, seen))
    return open_prepared(folder, seen)


def reopen(
    data: DataConfig,
    tokenizer: TokenizerConfig,
    data_hash: str,
    vocabularies: Vocabularies | None = None,
    links_hash: str = "",
) -> Prepared:
    """What `prepare` made of the text, and links, with these hashes; none of it is read again. DataError if it is not there any more."""
    seen = CorpusScan(0, data_hash, {}, {}, links_hash)
    folder = _cache_folder(data, tokenizer, seen, vocabularies)
    if not folder.is_dir():
        raise DataError(
            f"{folder.absolute()} is missing: the prepared text is looked for there (data.cache, or $SEQ2SEQ_CACHE)"
        )
    return open_prepared(folder, seen)


def cache_root(data: DataConfig) -> Path:
    """The folder that prepared corpora are kept in."""
    return Path(data.cache or os.environ.get("SEQ2SEQ_CACHE") or "cache").expanduser()


class CorpusScan(NamedTuple):
    """What one reading of the text shows; test sets may come and go without the corpus being another."""

    pairs: int  # for training, unfiltered
    hash: str  # sha256 of the text of training and development pairs
    overlap: dict[str, list[int]]  # dev, and each test set: [sources that training has too, sources]
    missing: dict[str, str]  # test set -> why it cannot be read
    links: str = ""  # sha256 of the word links of the training pairs; "" where none are wanted


def open_prepared(folder: Path, seen: CorpusScan) -> Prepared:
    """What `prepare` made of that text in `folder`. DataError or RunError if it is not whole."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder}: no prepared corpus can be read there; delete the folder, it will be made again"
        ) from error
    text = PairArrays(folder / "dev_text")
    pairs = [Pair(text.source(i).tobytes().decode(), text.target(i).tobytes().decode()) for i in range(len(text))]
    report |= {"overlap": seen.overlap, "missing": seen.missing}
    arrays = PairArrays(folder / "train"), PairArrays(folder / "dev")
    return Prepared(folder, Vocabularies.open(folder), *arrays, pairs, report, seen.hash, seen.links)


def scan_corpus(data: DataConfig, linked: bool = False) -> CorpusScan:
    """Read all text, and the links of training text if it is `linked`; every error of either shows here, before any work."""
    digest, links, count = hashlib.sha256(), hashlib.sha256(), 0
    training = _training_pairs(data, linked)
    dev = list(dev_pairs(data))
    tests, missing = read_test_sets(data)
    overlap = Overlap({"dev": dev} | tests)
    for pair in with_progress(training, "pairs read"):
        count += 1
        overlap.add(pair.source)
        digest.update(f"{pair.source}\n{pair.target}\n".encode())
        if isinstance(pair, LinkedPair):
            links.update(f"{pair.links}\n".encode())
    digest.update(b"\0")
    for pair in dev:
        digest.update(f"{pair.source}\n{pair.target}\n".encode())
    return CorpusScan(count, digest.hexdigest(), overlap.counts(), missing, links.hexdigest() if linked else "")


def _training_pairs(data: DataConfig, linked: bool) -> Iterator[AnyPair]:
    return linked_pairs(data) if linked else train_pairs(data)


def read_test_sets(data: DataConfig) -> tuple[dict[str, list[Pair]], dict[str, str]]:
    """The test sets, and why others cannot be read: they are for later, and one that is damaged is no reason not to train."""
    tests, missing = {}, {}
    for name in test_names(data):
        try:
            tests[name] = list(test_pairs(data, name))
        except DataError as error:
            missing[name] = str(error)
    return tests, missing


def _cache_folder(
    data: DataConfig, tokenizer: TokenizerConfig, seen: CorpusScan, vocabularies: Vocabularies | None
) -> Path:
    """A folder named by whatever changes its content, hashed. The rate of sampling does not, only whether there is any."""
    settings = asdict(tokenizer) | {"sampling": tokenizer.sampling > 0}
    limits, given = (
        [data.max_words, data.max_tokens, data.max_ratio, *_truncation(data)],
        vocabularies and vocabularies.sha256,
    )
    text = [seen.hash, seen.links] if seen.links else seen.hash
    key = hashlib.sha256(
        json.dumps([CACHE_VERSION, text, settings, limits, given], sort_keys=True).encode()
    ).hexdigest()
    return cache_root(data) / f"{data.name}-{key[:16]}"


def _truncation(data: DataConfig) -> tuple[int, int]:
    """To how many words sources and training targets are cut; 0: they are not."""
    return data.truncate_source, data.truncate_target


def _build(
    folder: Path, data: DataConfig, tokenizer: TokenizerConfig, given: Vocabularies | None, text: CorpusScan
) -> dict[str, Any]:
    vocabularies = given or _saved_vocabularies(folder) or _train_tokenizers(data, tokenizer, text.pairs)
    vocabularies.save(folder)
    long, cut = _write_dev(folder, data, vocabularies)
    rules = EncodingRules(data.max_words, data.max_ratio, data.max_tokens, tokenizer.sampling > 0, _truncation(data))
    seen = encode_corpus(folder, _training_pairs(data, bool(text.links)), text.pairs, rules)
    if not seen.sums["kept"]:
        raise DataError(f"none of the {seen.sums['read']} training pairs is left by data.max_tokens={data.max_tokens}")
    return seen.report() | {
        "vocabulary": {
            "joint": vocabularies.joint,
            "source": vocabularies.source.size,
            "target": vocabularies.target.size,
        },
        "tokenizers": {"source": vocabularies.source.sha256, "target": vocabularies.target.sha256},
        "long_dev": long,
        "cut_dev": cut,
        "truncation": _truncation(data),
    }


def _saved_vocabularies(folder: Path) -> Vocabularies | None:
    """What was learnt before the work was cut off."""
    try:
        return Vocabularies.open(folder)
    except RunError:
        return None


def _filters(data: DataConfig) -> PairFilter:
    return PairFilter(data.max_words, data.max_ratio, _truncation(data))


def _train_tokenizers(data: DataConfig, tokenizer: TokenizerConfig, count: int) -> Vocabularies:
    """From the pairs that pass the filters, since the others are not learnt from."""

    def learn(texts: Iterator[str]) -> Tokenizer:
        normalizer, coverage = tokenizer.normalizer, tokenizer.character_coverage
        return train_tokenizer(
            texts, kind=tokenizer.kind, size=tokenizer.size, normalizer=normalizer, character_coverage=coverage
        )

    step = 1 + count * (2 if tokenizer.joint else 1) // TOKENIZER_LINES

    def kept() -> Iterator[AnyPair]:
        yielded = False
        for number, pair in enumerate(_filters(data)(train_pairs(data))):
            if number % step == 0:
                yielded = True
                yield pair
        if not yielded:
            limits = f"data.max_words={data.max_words}, data.max_ratio={data.max_ratio}"
            raise DataError(
                f"none of the {count} training pairs is left: they have an empty side, or are beyond {limits}"
            )

    next(kept())
    log.info("training the %s tokenizer on the text", tokenizer.kind)
    if tokenizer.joint:
        joint = learn(chain.from_iterable((pair.source, pair.target) for pair in kept()))
        return Vocabularies(joint, joint)
    return Vocabularies(learn(pair.source for pair in kept()), learn(pair.target for pair in kept()))


def _write_dev(folder: Path, data: DataConfig, vocabularies: Vocabularies) -> tuple[int, int]:
    """Development pairs are kept whole and in order, however long, but ids are those of cut sources; returns how many are beyond
    data.max_tokens, and of how many the source was cut."""
    long = cut = 0
    sizes = vocabularies.source.size, vocabularies.target.size
    with write_arrays(folder / "dev", *sizes) as add, write_arrays(folder / "dev_text", 256, 256, 0) as add_text:
        for pair in dev_pairs(data):
            source = truncate_words(pair.source, data.truncate_source)
            add(row := encode_pair(Pair(source, pair.target), vocabularies))
            add_text(text_row(pair))
            long += max(len(row.source), len(row.target)) > data.max_tokens + 1
            cut += source != pair.source
    return long, cut
