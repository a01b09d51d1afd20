"""All text of a corpus, read once before it is prepared: its hash, its size, and what it shares with test sets.

The result is recorded with the state of the files, so that text that has not changed is not read again."""

import hashlib
import json
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.config import DataConfig
from seq2seq.data.corpora import (
    cache_root,
    data_root,
    dev_pairs,
    files_of_tests,
    linked_pairs,
    test_names,
    test_pairs,
    text_files,
    train_pairs,
)
from seq2seq.data.readers import AnyPair, Pair
from seq2seq.data.report import Overlap
from seq2seq.data.text_hash import Stamp, TextHash, file_stamps, unchanged
from seq2seq.errors import DataError, Seq2SeqError
from seq2seq.runtime.untrusted import FLAG, MIB, TEXT, WHOLE, fits, read_json
from seq2seq.utils.files import write_json
from seq2seq.utils.progress import with_progress

log = logging.getLogger(__name__)

CACHE_VERSION = 5  # raised whenever the same text and settings would give another hash or another prepared corpus
# A file that was changed shortly before it was read may change again without its times changing: clocks of file
# systems have steps of up to 2 seconds.
CLOCK_STEP = 2.0
READ_SETTINGS = ("format", "source", "target", "train", "dev", "test", "columns", "keep_breaks", "targets")
RECORD_SHAPE = {
    "stamps": {...: (WHOLE, WHOLE, WHOLE, WHOLE)},
    "pairs": WHOLE,
    "train": TEXT,
    "dev": TEXT,
    "hash": TEXT,
    "links": TEXT,
    "overlap": {...: (WHOLE, WHOLE)},
    "all_same": FLAG,
}


class CorpusScan(NamedTuple):
    """The result of reading all text.

    Test sets are not part of the hash: they may change without the corpus being another."""

    pairs: int  # for training, before filtering
    hash: str  # sha256 of the text of training and development pairs
    overlap: dict[str, list[int]]  # dev and each test set: [sources that also occur in the training text, sources]
    missing: dict[str, str]  # test set -> why it cannot be read
    links: str  # sha256 of the word links of the training pairs; "" if none are wanted
    train: str  # sha256 of the text of the training pairs alone
    dev: str  # and of the development pairs
    all_same: bool  # whether source and target of every training pair are the same
    stamps: dict[Path, Stamp | None]  # the files of both, as they were before they were read

    def same_train(self, pairs: Iterable[AnyPair], data: DataConfig) -> Iterator[AnyPair]:
        """The training pairs, read once more. Raises TextChangedError at their end if they are not those scanned."""
        names = [f"data.train={data.train}"]
        return unchanged(pairs, text=self.train, links=self.links, stamps=self.stamps, names=names)

    def same_dev(self, pairs: Iterable[AnyPair], data: DataConfig) -> Iterator[AnyPair]:
        """The same for the development pairs."""
        return unchanged(pairs, text=self.dev, links="", stamps=self.stamps, names=[f"data.dev={data.dev}"])


def scan_corpus(data: DataConfig, linked: bool = False) -> CorpusScan:
    """Read all text, with the word links of the training text if `linked`, unless its files are as they were recorded.

    Raises every error of the text or the links, before other work."""
    stamps = file_stamps(text_files(data, linked))
    record = ScanRecord(data, linked, stamps)
    scan = record.read()
    if scan is None:
        scan = _read_corpus(data, linked, stamps)
        record.write(scan)
    _warn_of_same_text(data, scan)
    return scan


def _read_corpus(data: DataConfig, linked: bool, stamps: dict[Path, Stamp | None]) -> CorpusScan:
    digest, dev_digest, count, same = TextHash(), TextHash(), 0, 0
    training = training_pairs(data, linked)
    dev = list(dev_pairs(data))
    tests, missing = _read_test_sets(data)
    overlap = Overlap({"dev": dev} | tests)
    for pair in with_progress(training, "pairs read"):
        count += 1
        same += pair.source == pair.target
        overlap.add(pair.source)
        digest.add(pair)
    train = digest.text
    digest.end_part()
    for pair in dev:
        digest.add(pair)
        dev_digest.add(pair)
    return CorpusScan(
        pairs=count,
        hash=digest.text,
        overlap=overlap.counts(),
        missing=missing,
        links=digest.links,
        train=train,
        dev=dev_digest.text,
        all_same=same == count,
        stamps=stamps,
    )


class ScanRecord:
    """The result of an earlier scan, and the state of all files that it read, in the folder of prepared corpora.

    There is none of text that is not in files, or changed shortly before it was read, and none if a test set cannot be
    read."""

    def __init__(self, data: DataConfig, linked: bool, text: Mapping[Path, Stamp | None]) -> None:
        """text: the files of training and development pairs, and their state"""
        settings = [getattr(data, name) for name in READ_SETTINGS]
        what = json.dumps([CACHE_VERSION, linked, str(data_root(data).absolute()), *settings])
        key = hashlib.sha256(what.encode()).hexdigest()[:16]
        self.path = cache_root(data) / f".{data.name}-text-{key}.json"
        self.began, self.text = time.time(), dict(text)
        try:
            self.stamps = self.text | file_stamps(files_of_tests(data))
        except DataError:
            self.stamps = {}

    def read(self) -> CorpusScan | None:
        """What was recorded of files that are still as they were then; None if there is nothing."""
        if not self.stamps or not self.path.is_file():
            return None
        try:
            found = read_json(self.path, MIB)
        except Seq2SeqError:
            return None
        if not fits(found, RECORD_SHAPE) or found["stamps"] != self._values():
            return None
        return CorpusScan(**{name: found[name] for name in RECORD_SHAPE} | {"missing": {}, "stamps": self.text})

    def write(self, scan: CorpusScan) -> None:
        """Record a scan. What changed while it was read no longer has the state that is recorded."""
        if not self.stamps or scan.missing:
            return
        changed = [max(stamp.modified, stamp.status) if stamp else math.inf for stamp in self.stamps.values()]
        if max(changed) > (self.began - CLOCK_STEP) * 1e9:
            return
        values = scan._asdict() | {"stamps": self._values()}
        del values["missing"]
        with suppress(OSError):  # a folder that nothing can be written to is an error of what is written next
            write_json(self.path, values)

    def _values(self) -> dict[str, Any]:
        """The state of the files as JSON."""
        return {str(path.absolute()): stamp and list(stamp) for path, stamp in self.stamps.items()}


def _warn_of_same_text(data: DataConfig, scan: CorpusScan) -> None:
    """Log a warning if a setting seems to name a file in place of another."""
    if scan.all_same:
        log.warning(
            "source and target of every training pair are the same: data.source=%s or data.target=%s may be wrong",
            data.source,
            data.target,
        )
    for name, (found, count) in scan.overlap.items():
        if found > 0.9 * count:
            log.warning(
                "%d of %d sources of %s are also in the training text: its scores do not measure new text",
                found,
                count,
                name,
            )


def training_pairs(data: DataConfig, linked: bool) -> Iterator[AnyPair]:
    """The training pairs, unfiltered, with their word links if `linked`."""
    return linked_pairs(data) if linked else train_pairs(data)


def _read_test_sets(data: DataConfig) -> tuple[dict[str, list[Pair]], dict[str, str]]:
    """The test sets by name, and why others cannot be read: a damaged test set must not prevent training."""
    tests, missing = {}, {}
    for name in test_names(data):
        try:
            tests[name] = list(test_pairs(data, name))
        except DataError as error:
            missing[name] = str(error)
    return tests, missing
