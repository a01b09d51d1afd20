"""What does a run make of a test set? Translate it once, look where it looked, and keep both in the run.

evaluation/NAME/
  hypotheses.txt, alignments.txt    the best translations, and the word links of their attention
  explained.zip                     attention, all heads and the beam's alternatives of every sentence: compare.explained
  sentences.csv                     sums of each sentence: SUMS
  forced.json                       where gold links are known: compare.forced
  scores.json                       figures, and all that the translations depend on
"""

import csv
import dataclasses
import hashlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import torch

from seq2seq.config.search import THROUGHPUT, SearchConfig
from seq2seq.data.word_links import Link, checked_word_indices, parse_links
from seq2seq.errors import DataError, RunError
from seq2seq.evaluation import attention_stats, text_stats
from seq2seq.evaluation.alignment import LINKS, word_links
from seq2seq.evaluation.attention_maps import AttentionMap, look
from seq2seq.evaluation.attention_records import (
    DAMAGED,
    EMPTY,
    Alternative,
    AttentionRecord,
    AttentionRecordFile,
    AttentionRecordWriter,
    in_bytes,
)
from seq2seq.evaluation.score import Array
from seq2seq.evaluation.testset import TestSet, text_hash
from seq2seq.ids import UNK
from seq2seq.runs.directory import WEIGHTS, Run, inside
from seq2seq.translator import Translation, Translator, warn_truncated
from seq2seq.utils.files import atomic_write, write_json, write_text
from seq2seq.utils.untrusted import NUMBER, WHOLE, WORD, check_types

HYPOTHESES, ALIGNMENTS, EXPLAINED, SENTENCES, SCORES = (
    "hypotheses.txt",
    "alignments.txt",
    "explained.zip",
    "sentences.csv",
    "scores.json",
)
ATTENTION: dict[str, Callable[[Array], attention_stats.Sums]] = {
    "entropy": attention_stats.entropy,
    "entropy_share": attention_stats.spread,
    "diagonality": attention_stats.diagonality,
}
DECODING = {
    "seconds": NUMBER,
    "processor_seconds": NUMBER,
    "sentences": WHOLE,
    "threads": WHOLE,
    "device": WORD,
    "batch": WHOLE,
}
MOST = 1e15  # of a sum: what is larger is none, and all of them together stay a number
SUMS = (*ATTENTION, "unknown")  # two columns each in sentences.csv: what is counted, and out of how many


@dataclasses.dataclass(frozen=True)
class EvaluationSpec:
    """How a run's translations are made: what they depend on beside its weights."""

    runs: tuple[Run, ...]  # the first is what they are kept in; with others it is an ensemble
    device: str = "cpu"
    precision: str = "32"
    given: Mapping[str, Any] = dataclasses.field(
        default_factory=dict
    )  # of Translator.open: search settings, shortlist, graphs

    @cached_property
    def search(self) -> SearchConfig:
        """The (first) run's with what is given. ConfigError for what cannot be."""
        return self.runs[0].config.search.changed(
            **{name: v for name, v in self.given.items() if name not in ("shortlist", "graphs")}
        )

    @cached_property
    def translator(self) -> Translator:
        """Opened when it is needed: what is kept needs no model."""
        return Translator.open(
            *(run.folder for run in self.runs), device=self.device, precision=self.precision, **self.given
        )

    def folder(self, test: str) -> Path:
        """Where they are kept: the test set's name, and what is not as in the run, so that it displaces nothing. RunError where a link
        leads out of the run."""
        usual, shortlist = self.runs[0].config.search, self.given.get("shortlist", 0)
        changed = [
            f"{name}={value}"
            for name, value in vars(self.search).items()
            if value != getattr(usual, name) and name not in THROUGHPUT
        ]
        changed += [f"precision={self.precision}"] * (self.precision != "32")
        changed += [f"shortlist={shortlist}"] * bool(shortlist)
        others = (f"with={run.folder.resolve().name}" for run in self.runs[1:])
        return inside(self.runs[0].folder, f"evaluation/{'-'.join([test, *changed, *others])}")

    def depends(self, test: TestSet) -> dict[str, Any]:
        """All that the translations of `test` depend on, in plain values; two that agree in it are the same. "" is the hash of
        weights that are gone."""
        settings = {name: value for name, value in vars(self.search).items() if name not in THROUGHPUT}
        weights = ["" if run.gone else file_hash(run.folder / WEIGHTS) for run in self.runs]
        made = {"precision": self.precision, "shortlist": self.given.get("shortlist", 0), "search": settings}
        return {"text": test.sha256, "weights": weights} | made


class TestTranslations(NamedTuple):
    """A test set as translated just now."""

    hypotheses: list[str]
    links: list[str]  # word links of each by its attention
    sums: Array  # (n, 2 SUMS)
    decoding: dict[str, Any]  # DECODING
    entries: IO[bytes]  # what explained.zip will hold; a file without a name
    cut_sources: int  # to data.truncate_source words


class Evaluation(NamedTuple):
    """A test set's translations as they are kept."""

    hypotheses: list[str]
    sums: Mapping[str, Array]  # of SUMS (n, 2)
    decoding: Mapping[str, Any]
    search: Mapping[str, Any]  # settings
    explained: AttentionRecordFile | None  # None: the weights are gone, and it was not kept
    folder: Path


def translate(made: EvaluationSpec, test: TestSet, progress: Callable[[int], object] | None = None) -> TestTranslations:
    """Translate `test` as ever, but with the whole beam, and look at what each best hypothesis was made from.

    `progress` is called after each batch with its number of sentences."""
    n, step, truncated = len(test.sources), made.search.window, 0
    hypotheses, links, sums, spent = [""] * n, [""] * n, np.zeros((n, 2 * len(SUMS))), np.zeros(2)
    translator, entries = whole_beam(made.translator), tempfile.TemporaryFile()  # noqa: SIM115  the caller reads it
    with ZipFile(entries, "w", ZIP_DEFLATED, compresslevel=4) as file:
        writer = AttentionRecordWriter(file)
        for start in range(0, n, step):
            began = clocks()
            found = list(translator.hypotheses(test.sources[start : start + step], progress=progress))
            spent += clocks() - began
            best = [alternatives[0] for alternatives in found]
            truncated += sum(one.truncated for one in best)
            hypotheses[start : start + step] = [one.text for one in best]
            for i, looked in look(translator, best):
                links[start + i] = word_links(best[i]._replace(attention=looked.weights))
                sums[start + i] = sums_of(best[i], looked)
                writer.add(start + i, explained(found[i], looked))
            for i in (i for i, one in enumerate(best) if not one.read):
                writer.add(start + i, EMPTY)
    warn_truncated(truncated, n, translator.truncate)
    decoding = {
        "seconds": float(spent[0]), "processor_seconds": float(spent[1]), "sentences": n, "threads": torch.get_num_threads(),
        "device": str(translator.device), "batch": translator.search.batch,
    }  # fmt: skip
    return TestTranslations(hypotheses, links, sums, decoding, entries, truncated)


def clocks() -> Array:
    """Seconds on the wall, and of this process's processors."""
    return np.array([time.perf_counter(), time.process_time()])


def whole_beam(translator: Translator) -> Translator:
    """The same, telling all that its beam ends with; the best stays the best."""
    search = translator.search
    return translator if search.sampling else dataclasses.replace(translator, search=search.changed(n_best=search.beam))


def sums_of(found: Translation, looked: AttentionMap) -> list[float]:
    """The row of SUMS."""
    weights = looked.weights.astype(np.float64)
    return [part for measure in ATTENTION.values() for part in measure(weights)] + list(
        text_stats.unknown(found.ids, UNK)
    )


def explained(found: Sequence[Translation], looked: AttentionMap) -> AttentionRecord:
    """The best hypothesis with what was looked at, and the others of the beam."""
    others = tuple(Alternative(other.text, other.score) for other in found[1:] if other.read)
    maps = None if looked.maps is None else in_bytes(looked.maps)
    return AttentionRecord(
        tuple(found[0].source), tuple(found[0].target), in_bytes(looked.weights), maps, looked.centers, others
    )


def keep(
    made: EvaluationSpec, test: TestSet, translated: TestTranslations, scores: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Write it all into the run, scores last; returns what scores.json holds. Other figures of the same hypotheses stay."""
    folder = made.folder(test.name)
    report = reported(made, test, translated, scores)
    report["scores"] += other_scores(folder, report)
    for name, lines in ((HYPOTHESES, translated.hypotheses), (ALIGNMENTS, translated.links)):
        write_text(folder / name, "".join(f"{line}\n" for line in lines))
    translated.entries.seek(0)
    with atomic_write(folder / EXPLAINED) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(translated.entries, file)
    write_sums(folder / SENTENCES, translated.sums)
    write_json(folder / SCORES, report)
    return report


def reported(
    made: EvaluationSpec, test: TestSet, translated: TestTranslations, scores: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What scores.json holds of these figures."""
    about = {"test": test.name, "sentences": len(test.sources), "runs": [str(run.folder) for run in made.runs]}
    about |= made.depends(test) | {"search": vars(made.search), "hypotheses": text_hash(translated.hypotheses)}
    return about | {"cut_sources": translated.cut_sources, "decoding": translated.decoding, "scores": list(scores)}


def other_scores(folder: Path, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was kept of the same hypotheses before, and is not among the report's."""
    try:
        before = json.loads((folder / SCORES).read_text(encoding="utf-8"))
        same = text_hash(read_lines(folder / HYPOTHESES)) == report["hypotheses"]
        new = {(score["name"], score["signature"]) for score in report["scores"]}
        return [score for score in before["scores"] if (score["name"], score["signature"]) not in new] if same else []
    except DAMAGED:
        return []


def kept(made: EvaluationSpec, test: TestSet) -> Evaluation | None:
    """What is in the run of this very text, by these very weights and settings; None if anything is missing or other.

    Of weights that are gone what was kept is believed, and what they looked at need not be there."""
    folder, n = made.folder(test.name), len(test.sources)
    try:
        report = json.loads((folder / SCORES).read_text(encoding="utf-8"))
        hypotheses, sums = read_lines(folder / HYPOTHESES), read_sums(folder / SENTENCES)
        wanted = made.depends(test)
        found = {name: report[name] for name in wanted}
        wanted["weights"] = believed(wanted["weights"], found["weights"])
        found["search"] = {name: found["search"][name] for name in wanted["search"]}
        decoding = {name: report["decoding"][name] for name in DECODING}
        check_types(decoding, DECODING)
        whole = found == wanted and text_hash(hypotheses) == report["hypotheses"] and len(sums) == n == len(hypotheses)
        explained = (
            AttentionRecordFile(folder / EXPLAINED, n)
            if (folder / EXPLAINED).exists() or not made.runs[0].gone
            else None
        )
        whole = whole and (explained is None or len(explained.file.namelist()) == n)
    except DAMAGED:
        return None
    columns = {name: sums[:, 2 * i : 2 * i + 2] for i, name in enumerate(SUMS)} if whole else {}
    return Evaluation(hypotheses, columns, decoding, vars(made.search), explained, folder) if whole else None


def believed(hashes: Sequence[str], kept: Sequence[str]) -> list[str]:
    """The hashes that are known, and in place of the others those that were kept."""
    return [ours or theirs for ours, theirs in zip(hashes, kept, strict=True)]


def write_sums(path: Path, sums: Array) -> None:
    """A row a sentence."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([f"{name}{end}" for name in SUMS for end in ("", "_of")])
    rows.writerows([format(value, ".9g") for value in row] for row in sums)
    write_text(path, text.getvalue())


def read_sums(path: Path) -> Array:
    """(n, 2 SUMS). ValueError for a file that is another's, or holds what is no finite number."""
    head, *rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    if head != [f"{name}{end}" for name in SUMS for end in ("", "_of")]:
        raise ValueError("other columns")
    sums = np.array(rows, dtype=np.float64).reshape(len(rows), 2 * len(SUMS))
    if not (np.abs(sums) < MOST).all():
        raise ValueError("no sums")
    return sums


def read_lines(path: Path) -> list[str]:
    """As `keep` wrote them: a line may hold any character but the newline."""
    with path.open(encoding="utf-8", newline="") as file:
        return file.read().split("\n")[:-1]


def file_hash(path: Path) -> str:
    """SHA-256 of a file. RunError if there is none."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for block in iter(partial(file.read, 1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


FORCED = "forced.json"


def forced_links(made: EvaluationSpec, test: TestSet) -> dict[str, list[set[Link]]]:
    """For each row of LINKS the word links of each pair, by the attention while the first references are written  (Luong et al.
    2015, section 5.4). From the run if they are there for the same text and weights, else kept in it. DataError for a run that has
    neither them nor weights, or whose tokenizer makes other words of the text than gold links count."""
    path, depends = made.folder(test.name) / FORCED, made.depends(test) | {"search": {}}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        depends["weights"] = believed(depends["weights"], found["depends"]["weights"])
        if found["depends"] == depends and all(len(found["links"][kind]) == len(test.sources) for kind in LINKS):
            return {kind: [set(parse_links(line).sure) for line in found["links"][kind]] for kind in LINKS}
    except DAMAGED:
        pass
    if made.runs[0].gone and not path.exists():
        raise DataError(f"neither weights nor {FORCED}")
    own = made.runs[0].vocabularies
    for text, tokenizer in chain(
        ((s, own.source) for s in test.sources), ((t, own.target) for t in test.references[0])
    ):
        checked_word_indices(text, tokenizer)
    forced = made.translator.forced(zip(test.sources, test.references[0], strict=True), attention=True)
    lines = [[word_links(one, kind) for kind in LINKS] for one in forced]
    links = {kind: [row[i] for row in lines] for i, kind in enumerate(LINKS)}
    write_json(path, {"depends": depends, "links": links})
    return {kind: [set(parse_links(line).sure) for line in rows] for kind, rows in links.items()}
