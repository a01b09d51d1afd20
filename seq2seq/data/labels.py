"""Targets that are labels (`data.targets`): checks of each one, and of all labels of a training text."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from seq2seq.data.readers import LinkedPair, Pair
from seq2seq.errors import DataError, counted, nearest_hint, quoted, shortened
from seq2seq.runtime.words import is_blank, single_spaces
from seq2seq.utils.bio import is_bio, may_follow

PairType = TypeVar("PairType", Pair, LinkedPair)

REGRESSION = 20  # labels: of more, which are mostly numbers, none is a class
LISTED = 20  # labels that a message lists
FRACTION, NUMBER = r"[+-]?\d*[.,]\d+(e[+-]?\d+)?", r"[+-]?\d+(e[+-]?\d+)?"


def labelled(
    pairs: Iterable[PairType], targets: str, what: str, unit: str = "pair", first: int = 1
) -> Iterator[PairType]:
    """The same pairs, checked, in the form that models of data.targets=`targets` need: without repeated spaces in
    sources, and with several labels in sorted order. `what` and the number of the `unit`, from `first`, open messages.

    Raises DataError for a target that is no label or no sequence of tags."""
    for number, pair in enumerate(pairs, first):
        where = f"{what}, {unit} {number}"
        if is_blank(pair.source):
            raise DataError(f"{where}: the text is empty")
        labels = pair.target.replace("\u2581", "_").split()  # SentencePiece's mark for a space
        if targets == "label" and not labels:
            raise DataError(f"{where}: there is no label; task=multilabel reads texts without labels")
        if targets == "label" and len(labels) > 1:
            raise DataError(
                f"{where}: the label {quoted(pair.target)} has {len(labels)} words, but is one: write "
                f"{quoted('_'.join(labels))}; task=multilabel reads several labels"
            )
        if targets == "labels":
            labels = sorted(set(labels))
        pair = pair._replace(source=single_spaces(pair.source))
        if targets == "tags":
            check_tags(pair.source.split(" "), labels, where)
        yield pair._replace(target=" ".join(labels))


def check_tags(words: list[str], tags: list[str], where: str) -> None:
    """Raise DataError unless there is a tag for each word, and all are BIO if any begins with B- or I-."""
    if len(words) != len(tags):
        raise DataError(
            f"{where}: {counted(len(words), 'word')} and {counted(len(tags), 'tag')}, beginning with "
            f"{quoted(' '.join(words[:4]))} and {quoted(' '.join(tags[:4]))}; each word has one tag"
        )
    before, bio = "", any(tag.startswith(("B-", "I-")) for tag in tags)
    for number, tag in enumerate(tags):
        if bio and not is_bio(tag):
            raise DataError(
                f"{where}: {quoted(tag)} of word {number + 1}, {quoted(words[number])}, is no BIO tag, as others are:"
                " write B- for the first word of each, I- for the others, and O"
            )
        if not may_follow(tag, before):
            raise DataError(
                f"{where}: {tag} of word {number + 1}, {quoted(words[number])}, follows {before or 'nothing'}: that is "
                f"no BIO, in which B-{tag[2:]} begins each {tag[2:]}"
            )
        before = tag


def check_label_set(counts: Mapping[str, int], several: bool = False) -> None:
    """Raise DataError for the labels of a training text, with their numbers, between which nothing is to be learned, or
    that are numbers. several: whether a text has any number of them, also none."""
    if not counts:
        raise DataError("no training text has a label")
    if len(counts) == 1 and not several:
        raise DataError(f"every training text has the same label, {quoted(next(iter(counts)))}: there are no classes")
    fractions = sum(1 for label in counts if re.fullmatch(FRACTION, label, re.IGNORECASE))
    numbers = fractions + sum(1 for label in counts if re.fullmatch(NUMBER, label, re.IGNORECASE))
    rarely_twice = len(counts) > sum(counts.values()) / 2
    if len(counts) > REGRESSION and max(fractions, numbers * rarely_twice) > len(counts) / 2:
        raise DataError(
            f"the training text has {len(counts)} labels, most of them numbers such as {next(iter(counts))}: labels "
            "are classes, and this is a regression, which no model here learns; write intervals, such as low and high"
        )


def unknown_label(label: str, known: Iterable[str], where: str) -> DataError:
    """The error for a label that the training text does not have."""
    names = sorted(known)
    hint = nearest_hint(label, names, str)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    listed = ", ".join(shortened(name, 40) for name in names[:LISTED])
    return DataError(f"{where}: the label {quoted(label)} is not in the training text{hint}; it has {listed}{more}")
