"""Preparing a corpus (read, filter, train tokenizers, encode) once for all runs with the same text and settings."""

import hashlib
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.config import DataConfig, TokenizerConfig
from seq2seq.config.data import AUTO, MAX_AUTO_SIZE
from seq2seq.data.corpora import cache_root, dev_pairs, train_pairs
from seq2seq.data.dataset import PairArrays, write_arrays
from seq2seq.data.encoding import EncodingRules, encode_corpus
from seq2seq.data.folders import resumable_folder
from seq2seq.data.labels import check_label_set, unknown_label
from seq2seq.data.readers import AnyPair, Pair
from seq2seq.data.report import SHOWN_LABELS, is_report, report_lines
from seq2seq.data.sampling import SampledCorpus, encode_pair, text_pair, text_row
from seq2seq.data.scan import CACHE_VERSION, CorpusScan, scan_corpus, training_pairs
from seq2seq.data.text_hash import TextChangedError
from seq2seq.data.tokenizer import OPEN_ENDED, Tokenizer, VocabularySizeError, train_tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import DataError, RunError, Seq2SeqError, quoted
from seq2seq.ids import EOS, UNK
from seq2seq.runtime.untrusted import MIB, read_json
from seq2seq.runtime.vocabulary import ABSENT, LONGEST_PIECE, hash_of_both
from seq2seq.runtime.words import is_unspaced, truncate_words
from seq2seq.utils.files import check_folder, write_json

log = logging.getLogger(__name__)

REPORT = "report.json"
LABELS_VERSION = 2  # raised whenever a prepared corpus with labels would be another
JUDGED_PAIRS = 1000  # by which a warning judges the text
TOKENIZER_LINES = 4_000_000  # lines that a tokenizer is trained on; of more, every k-th is taken


class Prepared(NamedTuple):
    """A corpus, ready for training."""

    folder: Path
    tokenizer: TokenizerConfig  # the settings, with a number for tokenizer.size=auto
    vocabularies: Vocabularies
    train: PairArrays
    dev: PairArrays
    dev_pairs: list[Pair]
    report: dict[str, Any]
    data_hash: str  # sha256 of the text of training and development pairs, as read
    links_hash: str = ""  # sha256 of the word links of the training pairs; "" if there are none

    def log_report(self) -> None:
        """Log the report, line by line."""
        for line in report_lines(self.report):
            log.info("%s", line)

    def sampled_corpus(self, *, alpha: float, seed: int, limits: tuple[float, float]) -> SampledCorpus:
        """The training pairs with a segmentation sampled in each epoch, of at most `limits` tokens (source, target).

        Raises DataError unless the corpus was prepared with tokenizer.sampling > 0."""
        return SampledCorpus(self.train, self.folder / "text", self.vocabularies, alpha=alpha, seed=seed, limits=limits)


def prepare(
    data: DataConfig, tokenizer: TokenizerConfig, vocabularies: Vocabularies | None = None, linked: bool = False
) -> Prepared:
    """Read, filter, train the tokenizers and encode; or open the result in the cache.

    The cache is used if text and settings are the same. `vocabularies` are used in place of new ones; `tokenizer`
    then tells how they were trained. `linked`: with the word links of the training pairs. Safe to call from several
    processes at the same time. Raises DataError or ConfigError that names what is wrong with the text or its
    settings."""
    scan = scan_corpus(data, linked)
    trained = None
    if tokenizer.size == AUTO:
        tokenizer, trained = _choose_size(data, tokenizer, scan, vocabularies)
    folder = _cache_folder(data, tokenizer, scan, vocabularies)
    if not folder.is_dir():
        if os.path.lexists(folder):
            raise DataError(f"{folder} is in the place of the folder of a prepared corpus: delete it")
        check_folder("data.cache", cache_root(data))
        with resumable_folder(folder) as part:
            if part is not None:
                _fill(part, data, tokenizer, vocabularies or trained, scan)
    return _open(folder, tokenizer, scan)


def open_cached(
    data: DataConfig,
    tokenizer: TokenizerConfig,
    data_hash: str,
    vocabularies: Vocabularies | None = None,
    links_hash: str = "",
) -> Prepared:
    """Open what `prepare` wrote for the text and links with these hashes, without reading the text.

    Raises DataError if it was deleted."""
    scan = CorpusScan(
        pairs=0, hash=data_hash, overlap={}, missing={}, links=links_hash, train="", dev="", all_same=False, stamps={}
    )
    folder = _cache_folder(data, tokenizer, scan, vocabularies)
    if not folder.is_dir():
        raise DataError(f"the prepared corpus {folder.absolute()} is missing (data.cache, or $SEQ2SEQ_CACHE)")
    return _open(folder, tokenizer, scan)


def _open(folder: Path, tokenizer: TokenizerConfig, scan: CorpusScan) -> Prepared:
    """Open the corpus that `prepare` wrote to `folder`. Raises DataError if it is incomplete or damaged."""
    try:
        return _read(folder, tokenizer, scan)
    except Seq2SeqError as error:
        raise DataError(f"{error}; delete the folder {folder}, it will be rebuilt") from error


def _read(folder: Path, tokenizer: TokenizerConfig, scan: CorpusScan) -> Prepared:
    """The same without advice: raises DataError or RunError. Everything that training relies on is checked."""
    report = read_json(folder / REPORT, MIB, error=DataError)
    if not is_report(report):
        raise DataError(f"{folder / REPORT} is damaged: it is not the report of a prepared corpus")
    hashes = report["tokenizers"]
    vocabularies = Vocabularies.open(folder, hash_of_both(hashes["source"], hashes["target"]))
    train, dev, text = (PairArrays(folder / name) for name in ("train", "dev", "dev_text"))
    for arrays in (train, dev, text):
        arrays.check_hash()
    for arrays in (train, dev):
        arrays.check_ids(vocabularies.source.size, vocabularies.target.size)
    if not len(train) or len(dev) != len(text):
        raise DataError(
            f"{folder} is damaged: it has {len(train)} training pairs, {len(dev)} dev pairs, {len(text)} as text"
        )
    report |= {"overlap": scan.overlap, "missing": scan.missing}
    pairs = [text_pair(text, i) for i in range(len(text))]
    return Prepared(folder, tokenizer, vocabularies, train, dev, pairs, report, scan.hash, scan.links)


def _cache_folder(
    data: DataConfig, tokenizer: TokenizerConfig, scan: CorpusScan, vocabularies: Vocabularies | None
) -> Path:
    """The folder named by a hash of all that its content depends on.

    Of tokenizer.sampling only whether it is 0 matters."""
    settings = asdict(tokenizer) | {"sampling": tokenizer.sampling > 0}
    limits = [data.max_words, data.max_tokens, data.max_ratio, *_truncation(data), *_kind_of_targets(data)]
    text = [scan.hash, scan.links] if scan.links else scan.hash
    given = vocabularies and vocabularies.sha256
    return cache_root(data) / f"{data.name}-{_key(text, settings, limits, given)}"


def _key(*parts: Any) -> str:
    """16 hexadecimal digits of a hash of `parts`."""
    return hashlib.sha256(json.dumps([CACHE_VERSION, *parts], sort_keys=True).encode()).hexdigest()[:16]


def _choose_size(
    data: DataConfig, tokenizer: TokenizerConfig, scan: CorpusScan, given: Vocabularies | None
) -> tuple[TokenizerConfig, Vocabularies | None]:
    """The settings with a number for tokenizer.size=auto, and the tokenizers that had to be trained to find it.

    They are stored in a folder of their own, by text and settings, since the folder of the corpus is named by the
    number."""
    largest = replace(tokenizer, size=given.larger if given else MAX_AUTO_SIZE)
    if given or tokenizer.kind in OPEN_ENDED or _cache_folder(data, largest, scan, None).is_dir():
        return largest, None
    settings = asdict(tokenizer) | {"sampling": 0.0}
    limits = [data.max_words, data.max_ratio, *_truncation(data), *_kind_of_targets(data)]
    folder = cache_root(data) / f"{data.name}-tokenizer-{_key(scan.train, settings, limits)}"
    if not folder.is_dir():
        with resumable_folder(folder) as part:
            if part is not None:
                _train_tokenizers(data, tokenizer, scan).save(part)
    try:
        trained = Vocabularies.open(folder)
    except RunError as error:
        raise DataError(f"{error}; delete the folder {folder}, it will be rebuilt") from error
    return replace(tokenizer, size=trained.larger), trained


def _kind_of_targets(data: DataConfig) -> list[str | int]:
    """data.targets, where they are labels, and the version of how these are written."""
    return [] if data.targets == "text" else [data.targets, LABELS_VERSION]


def _truncation(data: DataConfig) -> tuple[int, int]:
    """Words that sources and training targets are truncated to; 0: not truncated."""
    return data.truncate_source, data.truncate_target


def _fill(
    folder: Path, data: DataConfig, tokenizer: TokenizerConfig, given: Vocabularies | None, scan: CorpusScan
) -> None:
    """Write the prepared corpus to `folder`, and nothing if its text changes meanwhile."""
    try:
        report = _build(folder, data, tokenizer, given, scan)
    except TextChangedError:
        shutil.rmtree(folder)
        raise
    write_json(folder / REPORT, report)


def _build(
    folder: Path, data: DataConfig, tokenizer: TokenizerConfig, given: Vocabularies | None, scan: CorpusScan
) -> dict[str, Any]:
    """Write vocabularies and arrays to `folder`; return the report."""
    vocabularies = given or _saved_vocabularies(folder) or _train_tokenizers(data, tokenizer, scan)
    vocabularies.save(folder)
    if data.targets == "labels" and (number := len(vocabularies.target.labels)) > data.max_tokens:
        raise DataError(
            f"{number:,} labels are more than data.max_tokens={data.max_tokens}: a target has a place for each"
        )
    long, truncated = _write_dev(folder, data, vocabularies, scan)
    rules = _rules(data, tokenizer)
    pairs = scan.same_train(training_pairs(data, bool(scan.links)), data)
    counts = encode_corpus(folder, pairs, scan.pairs, rules)
    if counts.sums["unknown_target"] and data.targets != "text":  # of given vocabularies
        for number, pair in enumerate(scan.same_train(train_pairs(data), data), 1):
            _check_labels(pair, vocabularies, f"data.train={data.train}, pair {number}")
    if not counts.sums["kept"]:
        raise DataError(f"data.max_tokens={data.max_tokens} leaves none of the {counts.sums['read']} training pairs")
    labels = {} if data.targets == "text" else {"labels": _label_counts(PairArrays(folder / "train"), vocabularies)}
    return (
        counts.report()
        | labels
        | {
            "vocabulary": {
                "joint": vocabularies.joint,
                "source": vocabularies.source.size,
                "target": vocabularies.target.size,
            },
            "tokenizers": {"source": vocabularies.source.sha256, "target": vocabularies.target.sha256},
            "long_dev": long,
            "cut_dev": truncated,
            "truncation": _truncation(data),
        }
    )


def _label_counts(train: PairArrays, vocabularies: Vocabularies) -> dict[str, Any]:
    """How many labels there are, and how often the training pairs have the most frequent ones."""
    target, counts = vocabularies.target, train.target_counts()
    ids = sorted(target.labels, key=lambda i: -counts[i])
    return {"all": len(ids), "frequent": {target.decode([i]): int(counts[i]) for i in ids[:SHOWN_LABELS]}}


def _rules(data: DataConfig, tokenizer: TokenizerConfig) -> EncodingRules:
    """Which pairs are kept: a text may have no label of several."""
    return EncodingRules(
        max_words=data.max_words,
        max_ratio=data.max_ratio,
        max_tokens=data.max_tokens,
        keep_text=tokenizer.sampling > 0,
        truncate=_truncation(data),
        blank_targets=data.targets == "labels",
    )


def _saved_vocabularies(folder: Path) -> Vocabularies | None:
    """The tokenizers that an interrupted call has trained."""
    try:
        return Vocabularies.open(folder)
    except RunError:
        return None


def _train_tokenizers(data: DataConfig, tokenizer: TokenizerConfig, scan: CorpusScan) -> Vocabularies:
    """Train on the pairs that pass the filter, at most TOKENIZER_LINES of their lines.

    With tokenizer.size=auto the size is MAX_AUTO_SIZE. A side whose text does not support the size gets the largest
    that it supports, with a warning for a number that neither supports."""
    step = 1 + scan.pairs * (2 if tokenizer.joint else 1) // TOKENIZER_LINES

    def kept(step: int = step) -> Iterator[AnyPair]:
        filters = _rules(data, tokenizer).filters()
        return islice(filters(scan.same_train(train_pairs(data), data)), 0, None, step)

    first = [side for pair in islice(kept(), JUDGED_PAIRS) for side in (pair.source, pair.target)]
    if not first:
        limits = f"data.max_words={data.max_words}, data.max_ratio={data.max_ratio}"
        raise DataError(
            f"none of the {scan.pairs} training pairs is left: they have an empty side, or are beyond {limits}"
        )
    if tokenizer.kind == "word" and sum(map(is_unspaced, first)) > len(first) / 4:  # half the lines of one side
        log.warning(
            "tokenizer.kind=word splits at spaces, of which this text has hardly any: take unigram, bpe or char"
        )
    log.info("training the %s tokenizer on the text", tokenizer.kind)
    wanted = MAX_AUTO_SIZE if isinstance(tokenizer.size, str) else tokenizer.size
    if tokenizer.joint:
        joint = _train_side(lambda: chain.from_iterable(pair[:2] for pair in kept()), tokenizer, wanted)
        vocabularies = Vocabularies(joint, joint)
    else:
        source = _train_side(lambda: (pair.source for pair in kept()), tokenizer, wanted)
        if data.targets == "text":
            target = _train_side(lambda: (pair.target for pair in kept()), tokenizer, wanted)
        else:
            labels = (label for pair in kept(1) for label in pair.target.split())
            target = _label_vocabulary(labels, several=data.targets == "labels")
        vocabularies = Vocabularies(source, target)
    if tokenizer.size != AUTO and tokenizer.kind not in OPEN_ENDED and vocabularies.larger < wanted:
        log.warning("%s, which are used", VocabularySizeError(wanted, vocabularies.larger))
    return vocabularies


def _label_vocabulary(labels: Iterable[str], several: bool) -> Tokenizer:
    """A tokenizer with an entry for every label, and with `several` labels a text one for their absence.

    Raises DataError as `check_label_set`, and for a label that can be none, such as <s>."""
    counts = Counter(labels)
    check_label_set(counts, several)
    controls = [ABSENT] if several else []
    size = EOS + 1 + len(controls) + len(counts)
    tokenizer = train_tokenizer(sorted(counts), kind="word", size=size, controls=controls)
    for label in counts:
        if len(ids := tokenizer.encode(label)) != 1 or UNK in ids:
            raise DataError(f"the label {quoted(label)} cannot be an entry of a vocabulary: give it another name")
    return tokenizer


def _check_labels(pair: AnyPair, vocabularies: Vocabularies, where: str) -> None:
    """Raise DataError for a label that the vocabulary does not have."""
    target = vocabularies.target
    for label in pair.target.split():
        if UNK in target.encode(label):
            raise unknown_label(label, target.label_names, where)


def _train_side(texts: Callable[[], Iterator[str]], tokenizer: TokenizerConfig, size: int) -> Tokenizer:
    """A tokenizer of `size` entries, or of the largest number below that the texts support."""
    while True:
        try:
            return train_tokenizer(
                texts(),
                kind=tokenizer.kind,
                size=size,
                normalizer=tokenizer.normalizer,
                character_coverage=tokenizer.character_coverage,
            )
        except VocabularySizeError as error:
            size = error.most  # a smaller model is pruned further, and may turn out smaller yet


def _write_dev(folder: Path, data: DataConfig, vocabularies: Vocabularies, scan: CorpusScan) -> tuple[int, int]:
    """Write the development pairs, in order and without filtering: whole as text, with truncated sources as ids.

    Returns how many are longer than data.max_tokens, and how many sources were truncated."""
    long = truncated = 0
    # characters of a pair that is long: to split all of a much longer line into subwords would take minutes
    enough = LONGEST_PIECE * (data.max_tokens + 2)
    sizes = vocabularies.source.size, vocabularies.target.size
    with (
        write_arrays(folder / "dev", *sizes) as add,
        write_arrays(folder / "dev_text", 256, 256, max_length=0) as add_text,
    ):
        for number, pair in enumerate(scan.same_dev(dev_pairs(data), data), 1):
            source = truncate_words(pair.source, data.truncate_source)
            row = encode_pair(Pair(source[:enough], pair.target[:enough]), vocabularies)
            if data.targets != "text":
                _check_labels(pair, vocabularies, f"data.dev={data.dev}, pair {number}")
            add(row)
            add_text(text_row(pair))
            long += max(len(row.source), len(row.target)) > data.max_tokens + 1
            truncated += source != pair.source
    return long, truncated
