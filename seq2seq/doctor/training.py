"""Checks of a training that is planned: its settings, tokenizer, corpus, memory, disk space and exports.

The text is read and encoded as `seq2seq prepare` does it, and once more for what its report does not count.
"""

import re
from array import array
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seq2seq.config import Config
from seq2seq.data.corpora import train_pairs
from seq2seq.data.prepare import Prepared, prepare
from seq2seq.data.report import RoundTrip
from seq2seq.doctor.finding import BAD, GOOD, WARNING, Finding, worst
from seq2seq.doctor.machine import free_space
from seq2seq.export.formats import FORMATS, reasons
from seq2seq.nn.build import build_meta_model
from seq2seq.training.budget import resize_to_budget
from seq2seq.training.checks import check_accumulation, check_lengths, check_monitor, check_settings
from seq2seq.training.footprint import FLOAT, STATES, check_memory, estimate, vocabulary_sizes
from seq2seq.training.run import resolve_init_from
from seq2seq.utils.memory import gib

ROUND_TRIPS = 1000  # dev pairs that are encoded and decoded
# UTF-8 that was read as Latin-1 or Windows-1252 and written as UTF-8 again, and characters that could not be read
SECOND = "\x80-\xbf" + bytes(range(0x80, 0xA0)).decode("cp1252", "ignore")
MISREAD = re.compile(f"[\xc2\xc3][{SECOND}]|\xe2\u20ac|\ufffd")
FEW = 0.001  # share of lines that change or are misread which every large corpus has
MANY_DROPPED, MANY_COPIES, MANY_KNOWN, ALMOST_ALL = 0.1, 0.1, 0.05, 0.9  # shares of pairs
MEMORY_SHARE = 0.5  # of what is free: the estimate leaves out most of a backward pass


def check_planned(config: Config) -> Finding:
    """Whether the settings fit each other and this machine."""
    check_settings(config)
    return Finding(GOOD, "they fit each other and this machine")


def check_exports(config: Config) -> Finding:
    """The formats that such a model can be exported to, and the packages that are missing for them."""
    shown, missing, ruled_out = [], {}, []
    for name, form in FORMATS.items():
        if reasons(name, config):
            ruled_out.append(name)
            continue
        shown.append(name)
        if absent := [package for package in form.packages if find_spec(package) is None]:
            missing[name] = absent
    text = f"possible: {', '.join(shown)}"
    if ruled_out:
        text += f"; ruled out: {', '.join(ruled_out)}, `seq2seq check` says why"
    for name, absent in missing.items():
        text += f"; for {name} install {' '.join(absent)}"
    return Finding(GOOD, text)


SETTINGS: dict[str, Callable[[Config], Finding]] = {"settings": check_planned, "exports": check_exports}


def prepared_training(config: Config) -> tuple[Config, Prepared]:
    """The corpus as training would prepare it, and the settings as training would complete them.

    Raises ConfigError, DataError or RunError for settings or text that cannot be trained on."""
    config, start = resolve_init_from(config)
    vocabularies = start.vocabularies if start else None
    prepared = prepare(config.data, config.tokenizer, vocabularies, config.training.guided_alignment > 0)
    model = resize_to_budget(config.model, *vocabulary_sizes(prepared))
    return replace(config, tokenizer=prepared.tokenizer, model=model), prepared


def check_corpus(config: Config, prepared: Prepared) -> Finding:
    """How many pairs there are, how many are dropped and why, and whether all test sets can be read."""
    report = prepared.report
    problems = []
    if report["read"] - report["kept"] > MANY_DROPPED * report["read"]:
        why = ", ".join(f"{count:,} with {reason}" for reason, count in report["dropped"].items())
        problems.append(
            f"{report['read'] - report['kept']:,} of {report['read']:,} training pairs are dropped ({why}): see"
            " data.max_words, data.max_tokens and data.max_ratio"
        )
    if missing := report["missing"]:
        problems.append(f"these test sets cannot be used: {', '.join(missing)} ({next(iter(missing.values()))})")
    sets = ", ".join(f"{name} {count:,}" for name, (_, count) in report["overlap"].items())
    text = f"{report['kept']:,} of {report['read']:,} training pairs are kept; {sets}"
    return worst([Finding(WARNING, problem) for problem in problems], text)


def check_text(config: Config, prepared: Prepared) -> Finding:
    """Whether pairs occur several times, and whether characters were damaged before the text came here."""
    pairs = misread = 0
    example = ""
    hashes = array("q")  # of pairs; 8 bytes each, also of large corpora
    for pair in train_pairs(config.data):
        pairs += 1
        hashes.append(hash((pair.source, pair.target)))
        if damaged := MISREAD.search(pair.source) or MISREAD.search(pair.target):
            misread += 1
            example = example or damaged[0]
    copies = pairs - len(np.unique(np.frombuffer(hashes, np.int64)))
    problems = []
    if misread > FEW * pairs:
        problems.append(
            f"{misread:,} of {pairs:,} training pairs have characters like {example!a}, which come of reading text"
            " in another encoding than its own: convert the files again"
        )
    if copies > MANY_COPIES * pairs:
        problems.append(f"{copies:,} of {pairs:,} training pairs are copies of another one: remove them")
    text = f"valid UTF-8; {misread:,} pairs with misread characters, {copies:,} that are copies of another one"
    return worst([Finding(WARNING, problem) for problem in problems], text)


def check_overlap(config: Config, prepared: Prepared) -> Finding:
    """Whether sources of dev and test sets are in the training text, so that their scores say little."""
    problems, shown = [], []
    for name, (known, count) in prepared.report["overlap"].items():
        shown.append(f"{name} {known:,} of {count:,}")
        if known > MANY_KNOWN * count:
            level = BAD if known > ALMOST_ALL * count else WARNING
            text = f"{known:,} of {count:,} sources of {name} are also in the training text: remove them there"
            problems.append(Finding(level, text))
    return worst(problems, f"sources that are also in the training text: {', '.join(shown)}")


def check_tokenizer(config: Config, prepared: Prepared) -> Finding:
    """Whether dev lines are the same after they were encoded and decoded."""
    vocabularies, trip = prepared.vocabularies, RoundTrip()
    pairs = prepared.dev_pairs[:ROUND_TRIPS]
    for pair in pairs:
        trip.add(pair.source, vocabularies.source.decode(vocabularies.source.encode(pair.source)))
        trip.add(pair.target, vocabularies.target.decode(vocabularies.target.encode(pair.target)))
    sizes = f"{vocabularies.source.size:,}" + ("" if vocabularies.joint else f" and {vocabularies.target.size:,}")
    text = f"{sizes} entries; {trip.lossy:,} of {trip.lines:,} dev lines change when encoded and decoded"
    if trip.lossy <= FEW * trip.lines:
        return Finding(GOOD, text)
    common = ", ".join(f"{change} {count:,} times" for change, count in trip.differences.most_common(3))
    advice = "see tokenizer.character_coverage and tokenizer.normalizer, and whether the training text is like this"
    return Finding(WARNING, f"{text} ({common or 'in long lines'}): {advice}")


def check_sizes(config: Config, prepared: Prepared) -> Finding:
    """The lengths of the text in tokens, and whether model, batches and metric take them."""
    check_monitor(config, prepared)
    check_accumulation(config, prepared)
    model = build_meta_model(config.model, *vocabulary_sizes(prepared))
    check_lengths(model, prepared, config.training.pad_to_multiple_of)
    sides = {"source": prepared.train.source_lengths, "target": prepared.train.target_lengths}
    text = "; ".join(f"{side} {_quantiles(lengths)}" for side, lengths in sides.items())
    return Finding(GOOD, f"tokens of training {text}")


def _quantiles(lengths: NDArray[np.int32]) -> str:
    """`median 13, 99 % up to 31, longest 50`."""
    median, most = np.quantile(lengths, [0.5, 0.99], method="higher")
    return f"median {median:,}, 99 % up to {most:,}, longest {lengths.max():,}"


def check_footprint(config: Config, prepared: Prepared) -> Finding:
    """Whether the largest batch fits into memory."""
    check_memory(config, prepared)
    needed, free, parameters, tokens = estimate(config, prepared)
    text = (
        f"at least {gib(needed)} for {parameters:,} parameters and batches of up to {tokens:,} padded tokens;"
        f" {gib(free)} free"
    )
    if needed > MEMORY_SHARE * free:
        return Finding(WARNING, f"{text}, of which the backward pass may take more: lower training.batch_tokens")
    return Finding(GOOD, text)


def check_space(config: Config, prepared: Prepared) -> Finding:
    """Whether the disk has space for the files of the run."""
    needed, free = run_size(config, prepared), free_space(Path(config.runs))
    text = f"a run takes about {gib(needed)} of disk, of {gib(free)} free in runs={config.runs}"
    if needed > free:
        return Finding(BAD, f"{text}: set another folder, or a lower training.keep={config.training.keep}")
    return Finding(GOOD, text)


def run_size(config: Config, prepared: Prepared) -> int:
    """Bytes of a run's weights and checkpoint, with the new files beside those that they replace."""
    t = config.training
    checkpoint = 1 + STATES[t.optimizer] + (t.ema > 0)
    # the last checkpoint, the one before it and a new one; the result, and weights of one more validation than are kept
    files = 3 * checkpoint + t.keep + 2
    return FLOAT * estimate(config, prepared).parameters * files


CORPUS: dict[str, Callable[[Config, Prepared], Finding]] = {
    "corpus": check_corpus,
    "text": check_text,
    "overlap": check_overlap,
    "tokenizer": check_tokenizer,
    "lengths": check_sizes,
    "memory": check_footprint,
    "space": check_space,
}
