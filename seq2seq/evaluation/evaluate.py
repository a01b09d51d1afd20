"""Translate a test set with a run and record the attention; align its references by forced decoding."""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import torch

from seq2seq.data.word_links import checked_word_indices, word_indices
from seq2seq.distributed import ranks
from seq2seq.evaluation import attention_stats, text_stats
from seq2seq.evaluation.alignment import LINKS, word_links
from seq2seq.evaluation.attention_maps import AttentionMap, compute_attention_maps
from seq2seq.evaluation.attention_records import (
    EMPTY_RECORD,
    Alternative,
    AttentionRecord,
    AttentionRecordWriter,
    quantize,
)
from seq2seq.evaluation.scores import Array
from seq2seq.evaluation.testset import TestSet
from seq2seq.ids import UNK
from seq2seq.runs.directory import WEIGHTS, Run, checked_hash, path_inside
from seq2seq.runtime.search_config import THROUGHPUT, SearchConfig
from seq2seq.runtime.translation import warn_truncated
from seq2seq.translator import Translation, Translator

ATTENTION_STATISTICS: dict[str, Callable[[Array], attention_stats.Sums]] = {
    "entropy": attention_stats.entropy,
    "entropy_share": attention_stats.normalized_entropy,
    "diagonality": attention_stats.diagonality,
}
SUMS = (*ATTENTION_STATISTICS, "unknown")  # the statistics of each sentence, two numbers each: attention_stats.Sums


@dataclasses.dataclass(frozen=True)
class EvaluationSpec:
    """How test sets are translated: by which runs, with which precision and search settings, on which device."""

    runs: tuple[Run, ...]  # several are an ensemble, whose evaluation is stored in the first
    device: str = "cpu"
    precision: str = "32"
    # further arguments of Translator.open: search settings, shortlist, graphs
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @cached_property
    def search(self) -> SearchConfig:
        """The search settings of the (first) run, with those in `options` replaced.

        Raises ConfigError as `SearchConfig.changed`."""
        changes = {name: value for name, value in self.options.items() if name not in ("shortlist", "graphs")}
        return self.runs[0].config.search.changed(**changes)

    @cached_property
    def translator(self) -> Translator:
        """The translator, opened on first use: a stored evaluation needs no model."""
        return Translator.open_runs(
            *(run.folder for run in self.runs), device=self.device, precision=self.precision, **self.options
        )

    def folder(self, test: str) -> Path:
        """RUN/evaluation/NAME, where the evaluation of the test set `test` is stored.

        NAME is that of the test set and all that differs from the run's settings, so that evaluations do not overwrite
        one another. Raises RunError if a symbolic link leads out of the run."""
        usual, shortlist = self.runs[0].config.search, self.options.get("shortlist", 0)
        parts = [test]
        parts += [
            f"{name}={value}"
            for name, value in vars(self.search).items()
            if value != getattr(usual, name) and name not in THROUGHPUT
        ]
        if self.precision != "32":
            parts.append(f"precision={self.precision}")
        if shortlist:
            parts.append(f"shortlist={shortlist}")
        parts += [f"with={run.folder.resolve().name}" for run in self.runs[1:]]
        return path_inside(self.runs[0].folder, f"evaluation/{'-'.join(parts)}")

    def fingerprint(self, test: TestSet) -> dict[str, Any]:
        """Everything that the translations of `test` depend on, as plain values.

        Equal fingerprints mean equal translations. The hash of missing weights is ""."""
        return {
            "text": test.sha256,
            "weights": ["" if run.weights_removed else checked_hash(run.folder, WEIGHTS) for run in self.runs],
            "precision": self.precision,
            "shortlist": self.options.get("shortlist", 0),
            "search": {name: value for name, value in vars(self.search).items() if name not in THROUGHPUT},
        }


class TestTranslations(NamedTuple):
    """Translations of a test set of n sentences, not stored yet."""

    hypotheses: list[str]
    links: list[str]  # word links of each by its attention, Pharaoh text
    sums: Array  # (n, 2 len(SUMS))
    decoding: dict[str, Any]  # how they were made, and how long it took: the keys of store.DECODING
    records: IO[bytes]  # attention records as a zip file, an open temporary file
    cut_sources: int  # how many sources were cut to data.truncate_source words


def translate_test_set(
    spec: EvaluationSpec, test: TestSet, progress: Callable[[int], object] | None = None
) -> TestTranslations:
    """Translate `test`, and record the attention of each best hypothesis and its alternatives in the beam.

    `progress` is called after each batch with the number of its sentences."""
    n, window = len(test.sources), spec.search.window
    hypotheses, links = [""] * n, [""] * n
    sums, spent = np.zeros((n, 2 * len(SUMS))), np.zeros(2)
    truncated = 0
    translator = with_alternatives(spec.translator)
    records = tempfile.TemporaryFile()  # noqa: SIM115  the caller reads it
    with ZipFile(records, "w", ZIP_DEFLATED, compresslevel=4) as file:
        writer = AttentionRecordWriter(file)
        for start in range(0, n, window):
            began = read_clocks(translator)
            found = list(translator.hypotheses(test.sources[start : start + window], progress=progress))
            spent += read_clocks(translator) - began
            best = [alternatives[0] for alternatives in found]
            truncated += sum(translation.truncated for translation in best)
            hypotheses[start : start + window] = [translation.text for translation in best]
            for i, attention in compute_attention_maps(translator, best):
                links[start + i] = word_links(best[i]._replace(attention=attention.weights))
                sums[start + i] = sentence_sums(best[i], attention)
                writer.add(start + i, attention_record(found[i], attention))
            for i, translation in enumerate(best):
                if not translation.encoded:  # an empty line
                    writer.add(start + i, EMPTY_RECORD)
    warn_truncated(truncated, n, translator.truncate)
    decoding = {
        "seconds": float(spent[0]),
        "processor_seconds": float(spent[1]),
        "sentences": n,
        "threads": torch.get_num_threads() * (ranks.world_size() if translator.shared else 1),
        "device": str(translator.device),
        "batch": translator.search.batch,
    }
    return TestTranslations(hypotheses, links, sums, decoding, records, truncated)


def read_clocks(translator: Translator) -> Array:
    """Wall-clock seconds, and CPU seconds of all processes that translate (2,)."""
    return np.array([time.perf_counter(), translator.cpu_seconds()])


def with_alternatives(translator: Translator) -> Translator:
    """The translator returning every hypothesis that its beam ends with; the best one stays the best."""
    search = translator.search
    return translator if search.sampling else translator.with_search(n_best=search.beam)


def sentence_sums(translation: Translation, attention: AttentionMap) -> list[float]:
    """The statistics of one translation, in the order of SUMS (2 len(SUMS),)."""
    weights = attention.weights.astype(np.float64)
    sums = [statistic(weights) for statistic in ATTENTION_STATISTICS.values()]
    return [part for pair in (*sums, text_stats.unknown(translation.ids, UNK)) for part in pair]


def attention_record(translations: Sequence[Translation], attention: AttentionMap) -> AttentionRecord:
    """The record of the best hypothesis, the first of `translations`, with its attention and the others of the beam."""
    best, *others = translations
    return AttentionRecord(
        source=tuple(best.source),
        target=tuple(best.target),
        weights=quantize(attention.weights),
        maps=None if attention.maps is None else quantize(attention.maps),
        centers=attention.centers,
        alternatives=tuple(Alternative(other.text, other.score) for other in others if other.encoded),
    )


def align_references(spec: EvaluationSpec, test: TestSet) -> dict[str, list[str]]:
    """Word links of the first references, by attention in forced decoding  (Luong et al. 2015, section 5.4).

    For each key of LINKS the links of every pair, as Pharaoh text. Raises DataError if the run's tokenizer splits the
    text into other words than those between spaces, which gold links count."""
    vocabularies = spec.runs[0].vocabularies
    sources = ((text, vocabularies.source) for text in test.sources)
    targets = ((text, vocabularies.target) for text in test.references[0])
    for text, tokenizer in chain(sources, targets):
        checked_word_indices(text, tokenizer)
    links: dict[str, list[str]] = {kind: [] for kind in LINKS}
    pairs = zip(test.sources, test.references[0], strict=True)
    for translation in spec.translator.forced_decode(pairs, attention=True):
        for kind in LINKS:
            links[kind].append(word_links(translation, kind, word_indices))
    return links
