"""The Python API of bundles: `Translator` translates, scores given translations and returns attention, without torch.

Shapes: B sentences, S source positions.
"""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .beam import beam_search
from .bounds import SHORTLIST, THREADS
from .bundle import SHORTLIST_FILE, Bundle, VocabularySizes
from .constrained import constrained_beam_search
from .constraints import Constraints
from .cpu import available_cores, step_threads
from .errors import ConfigError, RunError
from .forced import score_targets
from .graphs import Graph, model_of
from .hypothesis import Hypothesis
from .ids import PAD
from .interface import ExportedModel
from .options import sentence_seed
from .penalties import Penalties
from .sampling import sample
from .search_config import SearchConfig
from .shortlist import TranslationTable
from .terms import TermIds
from .translation import NO_PROBABILITIES, LineTranslator, padded_rows
from .vocabulary import EncodedSource, SubwordModel, VocabularyPair, hash_of_both

PATIENCE = 10  # small batches that are translated with the threads that are there before models of one are opened

TABLE_HEADER = re.compile(  # of a .npy file, version 1.0: int32, row after row, (rows, columns)
    rb"\x93NUMPY\x01\x00..\{'descr': '<i4', 'fortran_order': False, 'shape': \((\d{1,9}), (\d{1,9})\), \} *\n",
    re.DOTALL,
)


class Threads:
    """The models of a translator for each number of threads, opened when a batch first wants it.

    A step of few hypotheses takes one thread, since waiting for others costs more than they bring; a step of many takes
    all cores. The graphs are held once for each of the two numbers that is used."""

    def __init__(self, open_models: Callable[[int], Sequence[ExportedModel]], threads: int = 0) -> None:
        """open_models: the models for a number of threads; threads: a number for all batches, or 0."""
        THREADS.check("threads", threads)
        self.open_models, self.threads = open_models, threads
        self.opened: dict[int, Sequence[ExportedModel]] = {}
        self.small_batches = 0
        self.lock = threading.Lock()

    def models(self, rows: int) -> Sequence[ExportedModel]:
        """The models for steps of so many hypotheses."""
        with self.lock:
            number = self._number(rows)
            if number not in self.opened:
                self.opened[number] = self.open_models(number)
            return self.opened[number]

    def _number(self, rows: int) -> int:
        """The number of threads for so many hypotheses."""
        if self.threads:
            return self.threads
        number = step_threads(rows, available_cores())
        if number == 1 and self.opened and 1 not in self.opened and self.small_batches < PATIENCE:
            self.small_batches += 1  # perhaps the last batch of many: opening the models again takes longer
            return next(iter(self.opened))
        return number


@dataclass
class Translator(LineTranslator):
    """The translator in a bundle, or an ensemble that decodes by its mean probability.

    >>> translator = Translator.open("multi30k.s2s", beam=5)
    >>> translator.translate(["A dog runs .", "Two men talk ."])
    """

    threads: Threads
    vocabularies: VocabularyPair
    search: SearchConfig
    shortlist: TranslationTable | None = None  # restricts each sentence to likely translations of its tokens
    truncate: int = 0  # source words that are read; 0: all
    copies: bool = False  # whether ids >= V are copied source words
    limits: Sequence[tuple[int | None, int | None]] = ()  # the most source tokens and target steps of each model

    def __post_init__(self) -> None:
        self._set_limits((most for most, _ in self.limits), (most for _, most in self.limits))

    @classmethod
    def open(cls, *bundles: str | Path, threads: int = 0, shortlist: int = 0, **search: Any) -> "Translator":
        """Open one bundle, or several as an ensemble.

        threads: that compute one step; 0: one for a sentence alone, all cores for batches
        shortlist: restrict each sentence to so many translations of each of its tokens, if each bundle has a table of
            them, of which the first is used; 0: no restriction. Probabilities of a search are then normalized over
            these words, those of `score` over all.
        search: settings of SearchConfig that replace those of the (first) bundle

        >>> Translator.open("one.s2s", "two.s2s", beam=10, n_best=3)

        Raises RunError if a bundle is missing, damaged or does not fit the first; ConfigError for a setting that cannot
        work."""
        if not bundles:
            raise ConfigError("no bundle is given: there is nothing to translate with")
        opened = [Bundle.open(bundle) for bundle in bundles]
        first = opened[0]
        settings = first.config.search.changed(**search)
        first.config.check_given(settings, search)
        vocabularies = open_vocabularies(first)
        for other in opened:
            _check_member(other, first)
        return cls(
            Threads(_model_opener(opened), threads),
            vocabularies,
            settings,
            shortlist=_open_shortlist(opened, shortlist),
            truncate=first.config.truncate_source,
            copies=first.config.copies,
            limits=[(bundle.config.max_source, bundle.config.max_target) for bundle in opened],
        )

    def _search(
        self,
        sources: Sequence[EncodedSource],
        prefix: Sequence[Sequence[int]],
        terms: Sequence[TermIds],
        attention: bool,
    ) -> list[list[Hypothesis]]:
        settings, (ids, copy) = self.search, _arrays(sources)
        constraints = [
            Constraints(max_length=most, min_length=least, no_repeat=settings.no_repeat, prefix=start)
            for least, most, start in zip(*self._length_limits(sources, prefix, terms), prefix, strict=True)
        ]
        search = self._sample if settings.sampling else partial(self._beam_search, terms)
        with _memory_errors(settings):
            models = self.threads.models(len(sources) * settings.width)
            found = search(models, ids, constraints, copy=copy, shortlist=self.shortlist, attention=attention)
        if any(not (one.finished or one.tokens) for hypotheses in found for one in hypotheses):
            raise RunError(NO_PROBABILITIES)  # none of any token: a comparison with one that is not a number is false
        return found

    def _beam_search(self, terms: Sequence[TermIds], *inputs: Any, **options: Any) -> list[list[Hypothesis]]:
        settings = self.search
        penalties = Penalties(
            settings.length_penalty,
            alpha=settings.alpha,
            coverage=settings.coverage_penalty,
            coverage_kind=settings.coverage_penalty_kind,
        )
        options |= {"beam": settings.beam, "n_best": settings.n_best, "penalties": penalties}
        if any(terms):
            return constrained_beam_search(*inputs, terms=terms, continuing=self._continuing, **options)
        return beam_search(*inputs, **options)

    @cached_property
    def _continuing(self) -> NDArray[np.bool_]:
        """(V,) bool: the target ids that continue the word before them."""
        target = self.vocabularies.target
        return np.isin(np.arange(target.size), [*target.continuing])

    def _sample(
        self, models: Sequence[ExportedModel], ids: NDArray[np.int64], *inputs: Any, **options: Any
    ) -> list[list[Hypothesis]]:
        settings, lengths = self.search, (ids != PAD).sum(1)
        return sample(
            models,
            ids,
            *inputs,
            seeds=[
                sentence_seed(row[:length].tolist(), settings.seed) for row, length in zip(ids, lengths, strict=True)
            ],
            samples=settings.n_best,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            **options,
        )

    def _force(
        self, sources: Sequence[EncodedSource], targets: Sequence[Sequence[int]], attention: bool
    ) -> list[Hypothesis]:
        with _memory_errors(self.search):
            models = self.threads.models(len(sources))
            return score_targets(models, *_arrays(sources), targets, attention=attention)


@contextmanager
def _memory_errors(search: SearchConfig) -> Iterator[None]:
    """Turn an error of full memory into ConfigError, which names the settings that lower its use."""
    try:
        yield
    except MemoryError as error:
        raise ConfigError(
            f"the memory is full: lower search.batch={search.batch}, or search.beam={search.beam}"
        ) from error


def _arrays(sources: Sequence[EncodedSource]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Source ids (B, S), and the target ids (B, S) that copying them yields."""
    return padded_rows([source.ids for source in sources]), padded_rows([source.copy for source in sources])


def open_vocabularies(bundle: Bundle) -> VocabularyPair:
    """The vocabularies of a bundle. Raises RunError if they are damaged, or of other sizes than its config says."""
    names, sizes = bundle.config.tokenizers, bundle.config.vocabulary
    models = [SubwordModel(bundle.read(name), f"{name} in {bundle.path}") for name in names]
    for name, model, size in zip(names, models, sizes[: len(models)], strict=True):
        if model.size != size:
            raise RunError(f"{name} in {bundle.path} has {model.size:,} entries, and the model needs {size:,}")
    return VocabularyPair(models[0], models[-1])


def _check_member(other: Bundle, first: Bundle) -> None:
    """RunError if a bundle has no graphs, or cannot decode together with the first."""
    if other.config.kind != "onnx":
        raise RunError(f"{other.path} holds weights, not graphs: it is opened by the package seq2seq, which has torch")
    ours, theirs = (
        hash_of_both(*(bundle.config.files[bundle.config.tokenizers[i]].sha256 for i in (0, -1)))
        for bundle in (first, other)
    )
    if ours != theirs or other.config.vocabulary[:2] != first.config.vocabulary[:2]:
        raise RunError(f"{other.path} cannot join {first.path} in an ensemble: their tokenizers differ")
    if other.config.copies != first.config.copies:
        raise RunError(f"{other.path} cannot join {first.path} in an ensemble: only one of them copies words")


def _model_opener(bundles: Sequence[Bundle]) -> Callable[[int], list[ExportedModel]]:
    """Opens the models of bundles for a number of threads.

    The graphs are read at once, so that a damaged bundle is refused when it is opened, and kept until they are used.
    Raises RunError if a graph is damaged."""
    kept = [_read_graphs(bundle) for bundle in bundles]

    def open_models(threads: int) -> list[ExportedModel]:
        graphs = kept.copy() or [_read_graphs(bundle) for bundle in bundles]
        kept.clear()
        return [
            _open_model(bundle, encoder, step, threads)
            for bundle, pairs in zip(bundles, graphs, strict=True)
            for encoder, step in pairs
        ]

    return open_models


def _read_graphs(bundle: Bundle) -> list[tuple[bytes, bytes]]:
    """The content of encoder and step of each model of a bundle."""
    return [(bundle.read_graph(encoder), bundle.read_graph(step)) for encoder, step in bundle.config.graphs]


def _open_model(bundle: Bundle, encoder: bytes, step: bytes, threads: int) -> ExportedModel:
    """The model of two graphs of a bundle. Raises RunError if ONNX Runtime cannot read them."""
    name = str(bundle.path)
    return model_of(Graph(encoder, threads, name), Graph(step, threads, name), bundle.config)


def _open_shortlist(bundles: Sequence[Bundle], most: int) -> TranslationTable | None:
    """The shortlist of the first bundle with `most` translations of each token; 0: None.

    Raises ConfigError for more than it has, and if the graphs of one were exported without a shortlist."""
    SHORTLIST.check("shortlist", most)
    if not most:
        return None
    for bundle in bundles:
        if not bundle.has(SHORTLIST_FILE):
            raise ConfigError(f"shortlist={most} needs a table of translations, and {bundle.path} has none")
    bundle = bundles[0]
    table = read_table(bundle.read(SHORTLIST_FILE), bundle.config.vocabulary, f"{SHORTLIST_FILE} in {bundle.path}")
    if most > table.shape[1]:
        raise ConfigError(
            f"shortlist={most} is not between 0 and the {table.shape[1]} translations "
            f"that {bundle.path} keeps of each token"
        )
    return TranslationTable(table[:, :most], bundle.config.vocabulary.target)


def read_table(content: bytes, sizes: VocabularySizes, name: str) -> NDArray[np.int32]:
    """The likeliest target ids of each source id, (V of the source, K), from a .npy file as NumPy writes one of int32.

    Raises RunError, which calls the file `name`, for any other content."""
    header = TABLE_HEADER.match(content)
    rows, columns = (int(header[1]), int(header[2])) if header else (0, 0)
    if header is None or len(content) - header.end() != 4 * rows * columns:
        raise RunError(f"{name} is damaged: it is no table of integers")
    table = np.frombuffer(content, "<i4", offset=header.end()).reshape(rows, columns)
    if rows != sizes.source or not 0 < columns <= sizes.target or not 0 <= table.min() <= table.max() < sizes.target:
        raise RunError(f"{name} does not fit the vocabularies of {sizes.source:,} and {sizes.target:,} entries")
    return table
