"""The stored evaluations of a run: writing them, and reading those that are still valid.

RUN/evaluation/NAME/
  hypotheses.txt     the best translation of each line
  alignments.txt     its word links by attention, Pharaoh text
  explained.zip      attention records of each sentence, see attention_records
  sentences.csv      statistics of each sentence, see evaluate.SUMS
  forced.json        word links of the references by forced decoding, where gold links are known
  probabilities.json probabilities of all labels, of a classifier
  scores.json        scores, and everything that the translations depend on
"""

import csv
import io
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seq2seq.data.word_links import Link, parse_links
from seq2seq.errors import DataError, RunError
from seq2seq.evaluation.alignment import LINKS
from seq2seq.evaluation.attention_records import READ_ERRORS, AttentionRecordFile
from seq2seq.evaluation.classes import OF_TEXTS, LabelProbabilities, label_probabilities
from seq2seq.evaluation.evaluate import SUMS, EvaluationSpec, TestTranslations, align_references, translate_test_set
from seq2seq.evaluation.scores import Array
from seq2seq.evaluation.testset import TestSet, text_hash
from seq2seq.runtime.search_config import SearchConfig
from seq2seq.runtime.untrusted import MIB, NUMBER, WHOLE, WORD, check_types, fits, read_json, read_text
from seq2seq.utils.files import atomic_write, why_no_folder, write_json, write_text
from seq2seq.utils.progress import ProgressCounter

log = logging.getLogger("seq2seq")

HYPOTHESES, ALIGNMENTS, RECORDS = "hypotheses.txt", "alignments.txt", "explained.zip"
SENTENCES, FORCED, SCORES = "sentences.csv", "forced.json", "scores.json"
PROBABILITIES = "probabilities.json"
SENTENCE_COLUMNS = [f"{name}{end}" for name in SUMS for end in ("", "_of")]  # of sentences.csv
DECODING = {  # key of `decoding` in scores.json -> its type
    "seconds": NUMBER,
    "processor_seconds": NUMBER,
    "sentences": WHOLE,
    "threads": WHOLE,
    "device": WORD,
    "batch": WHOLE,
}
NOT_STORED = (*READ_ERRORS, csv.Error, RunError, DataError)  # what reading a damaged evaluation can raise
MAX_SCORES_BYTES, MAX_TEXT_BYTES = 4 * MIB, 512 * MIB
MAX_ROW_BYTES = 2 + 20 * len(SENTENCE_COLUMNS)  # of sentences.csv; its names of columns are no longer
MAX_SUM = 1e15  # of one statistic of a sentence: larger values are damage, and might sum to infinity


class Evaluation(NamedTuple):
    """A stored evaluation of a test set of n sentences."""

    hypotheses: list[str]
    sums: Mapping[str, Array]  # name in SUMS -> (n, 2)
    decoding: Mapping[str, Any]  # the keys of DECODING
    search: Mapping[str, Any]  # the search settings
    attention_records: AttentionRecordFile | None  # None: not stored, and the weights are missing
    folder: Path


def load_or_translate(spec: EvaluationSpec, test: TestSet) -> Evaluation:
    """The stored evaluation of `test`, translated and stored now unless `read_evaluation` finds one.

    Raises RunError if the run cannot be evaluated."""
    evaluation = read_evaluation(spec, test)
    if evaluation is None:
        check_place(spec, test)
        _ = spec.translator  # before it is announced: the run may have no weights
        log.info("%s has no evaluation of this text with these settings: translating", spec.runs[0].folder)
        with ProgressCounter("translated", len(test.sources)) as count:
            translations = translate_test_set(spec, test, progress=count.add)
        write_evaluation(spec, test, translations, [])
        evaluation = read_evaluation(spec, test)
    if evaluation is None:
        raise RunError(f"{spec.folder(test.name)} was changed while it was read")
    return evaluation


def check_place(spec: EvaluationSpec, test: TestSet) -> None:
    """Raise RunError if an evaluation cannot be stored in the run: call it before translating."""
    folder = spec.folder(test.name)
    if reason := why_no_folder(folder):
        raise RunError(f"the evaluation cannot be stored in {folder}: {reason}")


def write_evaluation(
    spec: EvaluationSpec, test: TestSet, translations: TestTranslations, scores: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Write all files of an evaluation but forced.json, scores.json last; returns what scores.json holds.

    Scores of the same hypotheses that were stored before are kept."""
    folder = spec.folder(test.name)
    report = make_report(spec, test, translations, scores)
    report["scores"] += _earlier_scores(folder, report)
    for name, lines in ((HYPOTHESES, translations.hypotheses), (ALIGNMENTS, translations.links)):
        write_text(folder / name, "".join(f"{line}\n" for line in lines))
    translations.records.seek(0)
    with atomic_write(folder / RECORDS) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(translations.records, file)
    write_sums(folder / SENTENCES, translations.sums)
    write_json(folder / SCORES, report)
    return report


def make_report(
    spec: EvaluationSpec, test: TestSet, translations: TestTranslations, scores: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What scores.json holds: test set, runs, all that the translations depend on, decoding times, and `scores`."""
    return {
        "test": test.name,
        "sentences": len(test.sources),
        "runs": [str(run.folder) for run in spec.runs],
        **spec.fingerprint(test),
        "search": vars(spec.search),  # with the settings that affect throughput alone
        "hypotheses": text_hash(translations.hypotheses),
        "cut_sources": translations.cut_sources,
        "decoding": translations.decoding,
        "scores": list(scores),
    }


def _earlier_scores(folder: Path, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Scores in the folder of the same hypotheses that are not in `report`."""
    try:
        stored = read_json(folder / SCORES, MAX_SCORES_BYTES)
        if text_hash(read_hypotheses(folder / HYPOTHESES)) != report["hypotheses"]:
            return []
        new = {(score["name"], score["signature"]) for score in report["scores"]}
        return [score for score in stored["scores"] if (score["name"], score["signature"]) not in new]
    except NOT_STORED:
        return []


def read_evaluation(spec: EvaluationSpec, test: TestSet) -> Evaluation | None:
    """The stored evaluation of `test`; None unless it is complete, and of the same text, weights and settings.

    Where the weights are missing, the stored hash is trusted, and attention records may be missing too."""
    folder, n = spec.folder(test.name), len(test.sources)
    try:
        report = read_json(folder / SCORES, MAX_SCORES_BYTES)
        hypotheses, sums = read_hypotheses(folder / HYPOTHESES), read_sums(folder / SENTENCES, n)
        current = _is_current(report, spec.fingerprint(test))
        decoding = {name: report["decoding"][name] for name in DECODING}
        check_types(decoding, DECODING)
        if not current or text_hash(hypotheses) != report["hypotheses"] or not len(sums) == n == len(hypotheses):
            return None
        records = None
        if (folder / RECORDS).exists() or not spec.runs[0].weights_removed:
            records = AttentionRecordFile(folder / RECORDS, n)
    except NOT_STORED:
        return None
    columns = {name: sums[:, 2 * i : 2 * i + 2] for i, name in enumerate(SUMS)}
    return Evaluation(hypotheses, columns, decoding, vars(spec.search), records, folder)


def _is_current(report: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> bool:
    """Whether scores.json holds this fingerprint."""
    stored = {name: report[name] for name in fingerprint}
    usual = vars(SearchConfig())  # evaluations of earlier versions lack later settings
    stored["search"] = {name: stored["search"].get(name, usual[name]) for name in fingerprint["search"]}
    return stored == {**fingerprint, "weights": _known_hashes(fingerprint["weights"], stored["weights"])}


def _known_hashes(hashes: Sequence[str], stored: Sequence[str]) -> list[str]:
    """The hashes of the weights, with the stored one in place of those that are missing."""
    return [ours or theirs for ours, theirs in zip(hashes, stored, strict=True)]


def load_or_align(spec: EvaluationSpec, test: TestSet) -> dict[str, list[set[Link]]]:
    """The stored word links of the first references by forced decoding, computed and stored now if there are none.

    For each key of LINKS the links of every pair. Links of other text or other weights are replaced. Raises DataError
    if the run has neither weights nor stored links, or as `align_references`."""
    path = spec.folder(test.name) / FORCED
    fingerprint = spec.fingerprint(test) | {"search": {}}
    links = _read_links(path, fingerprint, len(test.sources))
    if links is None:
        if spec.runs[0].weights_removed and not path.exists():
            raise DataError(f"neither weights nor {FORCED}")
        lines = align_references(spec, test)
        write_json(path, {"depends": fingerprint, "links": lines})
        links = _parse_links(lines)
    return links


def _read_links(path: Path, fingerprint: Mapping[str, Any], pairs: int) -> dict[str, list[set[Link]]] | None:
    """The links in forced.json, or None unless it is complete and holds this fingerprint."""
    try:
        stored = read_json(path, MAX_TEXT_BYTES)
        if _depends_on(stored, fingerprint) and all(len(stored["links"][kind]) == pairs for kind in LINKS):
            return _parse_links(stored["links"])
    except NOT_STORED:
        pass
    return None


def load_or_find_probabilities(spec: EvaluationSpec, test: TestSet) -> LabelProbabilities | None:
    """The stored probabilities of all labels, computed and stored now if there are none.

    None if the run does not label texts as a whole, and if it has neither weights nor stored probabilities."""
    targets = spec.runs[0].config.data.targets
    if targets not in OF_TEXTS:
        return None
    path = spec.folder(test.name) / PROBABILITIES
    fingerprint = spec.fingerprint(test) | {"search": {}}
    labels = spec.runs[0].vocabularies.target.label_names
    found = _read_probabilities(path, fingerprint, len(test.sources), labels, targets)
    if found is None and not spec.runs[0].weights_removed:
        found = label_probabilities(spec.translator, test.sources, targets)
        values = [[float(f"{value:.6g}") for value in row] for row in found.values]
        write_json(path, {"depends": fingerprint, "labels": found.labels, "values": values})
    return found


def _read_probabilities(
    path: Path, fingerprint: Mapping[str, Any], texts: int, labels: list[str], targets: str
) -> LabelProbabilities | None:
    """The probabilities in probabilities.json, or None unless it is complete and holds this fingerprint."""
    try:
        stored = read_json(path, MAX_TEXT_BYTES)
        if fits(stored, {"values": [[NUMBER]]}) and stored["labels"] == labels and _depends_on(stored, fingerprint):
            values = np.array(stored["values"], np.float64)
            if values.shape == (texts, len(labels)) and ((values >= 0) & (values <= 1)).all():
                return LabelProbabilities(labels, values, targets == "label")
    except NOT_STORED:
        pass
    return None


def _depends_on(stored: Any, fingerprint: Mapping[str, Any]) -> bool:
    """Whether a stored file was computed from this fingerprint."""
    weights = _known_hashes(fingerprint["weights"], stored["depends"]["weights"])
    return bool(stored["depends"] == {**fingerprint, "weights": weights})


def _parse_links(lines: Mapping[str, Sequence[str]]) -> dict[str, list[set[Link]]]:
    return {kind: [set(parse_links(line).sure) for line in lines[kind]] for kind in LINKS}


def write_sums(path: Path, sums: Array) -> None:
    """Write the statistics (n, 2 len(SUMS)) as CSV, a row per sentence."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(SENTENCE_COLUMNS)
    rows.writerows([format(value, ".9g") for value in row] for row in sums)
    write_text(path, text.getvalue())


def read_sums(path: Path, n: int) -> Array:
    """The statistics (n, 2 len(SUMS)) in a CSV file.

    Raises RunError if it cannot be read, ValueError for other columns, and for values that are not finite numbers."""
    head, *rows = list(csv.reader(read_text(path, MAX_ROW_BYTES * (n + 1)).splitlines()))
    if head != SENTENCE_COLUMNS:
        raise ValueError("other columns")
    sums = np.array(rows, dtype=np.float64).reshape(len(rows), len(SENTENCE_COLUMNS))
    if not (np.abs(sums) < MAX_SUM).all():
        raise ValueError("no sums")
    return sums


def read_hypotheses(path: Path) -> list[str]:
    """The lines of hypotheses.txt, which may hold any character but the newline. Raises RunError if it is damaged."""
    return read_text(path, MAX_TEXT_BYTES).split("\n")[:-1]
