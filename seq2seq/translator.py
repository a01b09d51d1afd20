"""The Python API: `Translator` opens runs and bundles, translates, scores given translations and returns attention.

Shapes: B sentences, S source positions.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from seq2seq.config import SearchConfig
from seq2seq.config.ignored import check_given
from seq2seq.distributed import ranks, shared_work
from seq2seq.errors import ConfigError, check_type, choose, shortened
from seq2seq.nn.build import EncoderDecoder
from seq2seq.nn.cuda_graphs import CUDAGraphRecorder, GraphedModel
from seq2seq.nn.interface import Memory, Model
from seq2seq.nn.ops.devices import memory_errors
from seq2seq.nn.precision import PRECISIONS
from seq2seq.runs.bundles import WeightsBundle, check_ensemble, open_graphs, open_run
from seq2seq.runs.directory import WEIGHTS, Run
from seq2seq.runs.weights import load_model, load_translations
from seq2seq.runtime.bounds import SHORTLIST, THREADS
from seq2seq.runtime.cpu import step_threads
from seq2seq.runtime.glossary import Term
from seq2seq.runtime.hypothesis import Hypothesis
from seq2seq.runtime.options import sentence_seed
from seq2seq.runtime.penalties import Penalties
from seq2seq.runtime.terms import TermIds
from seq2seq.runtime.translation import LineTranslator, Progress, Translation, padded_rows
from seq2seq.runtime.vocabulary import EncodedSource, VocabularyPair
from seq2seq.search.beam import beam_search
from seq2seq.search.constrained import constrained_beam_search
from seq2seq.search.constraints import NoRepeat
from seq2seq.search.forced import score_targets
from seq2seq.search.sampling import sample
from seq2seq.search.shortlist import Shortlist

__all__ = ["Translation", "Translator", "padded"]

T = TypeVar("T")


class Opened(NamedTuple):
    """The arguments of `Translator.open_runs`."""

    runs: tuple[str | Path, ...]
    settings: dict[str, Any]


@dataclass
class Translator(LineTranslator):
    """A trained model, or an ensemble that decodes by its mean probability, with its tokenizers and search settings.

    >>> translator = Translator.open("runs/multi30k-additive-s1", beam=5)
    >>> translator.translate(["A dog runs .", "Two men talk ."])
    """

    models: Sequence[Model]
    vocabularies: VocabularyPair
    search: SearchConfig
    shortlist: Shortlist | None = None  # restricts each sentence to likely translations of its tokens
    truncate: int = 0  # source words that are read, as data.truncate_source; 0: all
    threads: int = 0  # of the CPU that compute one step; 0: one for a sentence alone, those of torch for batches
    shared: bool = False  # each batch is translated by one of the processes that work together, and given to all
    opened: Opened | None = None  # by which the other processes can open it as well, where rank 0 calls them

    def __post_init__(self) -> None:
        self.copies = all(model.head.reads_weights for model in self.models)  # type: ignore[attr-defined]
        self._set_limits((model.max_source for model in self.models), (model.max_target for model in self.models))

    def _own(self, items: Iterable[T]) -> Iterable[T]:
        return islice(items, ranks.rank(), None, ranks.world_size()) if self.shared else items

    def _of_all(self, translated: dict[int, T]) -> dict[int, T]:
        if not self.shared:
            return translated
        return {i: found for part in ranks.gathered(translated) for i, found in part.items()}

    def call(self, task: str, *arguments: Any) -> None:
        """Have the other processes do their share of a task of TASKS with this translator, where rank 0 runs a command
        and they help."""
        if self.opened:
            shared_work.call(task, self.opened, *arguments)

    def cpu_seconds(self) -> float:
        """CPU time so far of this process and of those that it shares its work with."""
        self.call("cpu_seconds")
        return ranks.total(time.process_time())[0] if self.shared else time.process_time()

    def _translate_window(
        self,
        sources: Sequence[EncodedSource],
        prefix: Sequence[str],
        terms: Sequence[Sequence[Term]],
        attention: bool,
        progress: Progress | None,
    ) -> list[list[Translation]]:
        self.call("translate", self.search, sources, prefix, terms, attention)
        return super()._translate_window(sources, prefix, terms, attention, progress)

    def _force_window(
        self, sources: Sequence[EncodedSource], targets: Sequence[Sequence[int]], attention: bool
    ) -> list[Translation]:
        self.call("force", sources, targets, attention)
        return super()._force_window(sources, targets, attention)

    @classmethod
    def open(
        cls,
        *runs: str | Path,
        weights: str = WEIGHTS,
        device: str = "cpu",
        precision: str = "32",
        graphs: bool = False,
        shortlist: int = 0,
        threads: int = 0,
        **search: Any,
    ) -> LineTranslator:
        """Open one run directory or bundle, or several as an ensemble.

        Bundles of graphs are translated with by seq2seq.runtime.translator.Translator, which has the same methods;
        weights, device, precision and graphs are of runs and bundles of weights.

        weights: file name in the run directory
        device: torch device, such as "cpu" or "cuda:1"
        precision: of weights and activations, an entry of nn.precision.PRECISIONS
        graphs: record the steps of the search as CUDA graphs; such a translator runs one search at a time
        shortlist: restrict each sentence to so many translations of each of its tokens, from the table that
            `seq2seq shortlist` stored in the (first) run; 0: no restriction. Probabilities of a search are then
            normalized over these words, those of `score` over all.
        threads: of the CPU that compute one step; 0: one for a sentence alone, since waiting for others costs more than
            they bring, and for batches as many as torch uses. While a batch is translated, torch is set to this number.
        search: settings of SearchConfig that replace those of the (first) run

        >>> Translator.open("runs/one", "runs/two", device="cuda", beam=10, n_best=3)

        Raises RunError if a directory or bundle is missing, damaged or does not fit the first; ConfigError for a
        setting or device that cannot work."""
        settings: dict[str, Any] = {"weights": weights, "device": device, "precision": precision, "graphs": graphs}
        settings |= {"shortlist": shortlist, "threads": threads} | search
        return open_graphs(runs, **settings) or cls.open_runs(*runs, **settings)

    @classmethod
    def open_runs(
        cls,
        *runs: str | Path,
        weights: str = WEIGHTS,
        device: str = "cpu",
        precision: str = "32",
        graphs: bool = False,
        shortlist: int = 0,
        threads: int = 0,
        **search: Any,
    ) -> "Translator":
        """As `open`, for run directories and bundles of weights only."""
        check_type("weights", weights, str | os.PathLike)
        check_type("device", device, str | torch.device)
        check_type("graphs", graphs, bool)
        THREADS.check("threads", threads)
        _check_device(device, graphs)
        settings: dict[str, Any] = {"weights": weights, "device": device, "precision": precision, "graphs": graphs}
        opened = Opened(runs, settings | {"shortlist": shortlist, "threads": threads} | search)
        if not runs:
            raise ConfigError("no run directory is given: there is nothing to translate with")
        found = [open_run(run) for run in runs]
        first = found[0]
        changed = first.config.search.changed(**search)
        check_given(replace(first.config, search=changed), {f"search.{name}" for name in search})
        check_ensemble(found)
        convert = choose(PRECISIONS, precision, "precision")
        models: list[Any] = [convert(_load(run, weights).to(device)) for run in found]
        if graphs:
            models = [GraphedModel(model, CUDAGraphRecorder()) for model in models]
        return cls(
            models,
            first.vocabularies,
            changed,
            shortlist=_open_shortlist(first, shortlist, device),
            truncate=first.config.data.truncate_source,
            threads=threads,
            shared=shared_work.active(),
            opened=opened if shared_work.active() else None,
        )

    @property
    def device(self) -> torch.device:
        """The device of the (first) model."""
        return next(self.models[0].parameters()).device

    def _search(
        self,
        sources: Sequence[EncodedSource],
        prefix: Sequence[Sequence[int]],
        terms: Sequence[TermIds],
        attention: bool,
    ) -> list[list[Hypothesis]]:
        settings = self.search
        least, most = self._length_limits(sources, prefix, terms)
        common: dict[str, Any] = {
            "min_length": torch.tensor(least, device=self.device),
            "max_length": torch.tensor(most, device=self.device),
            "constraints": [NoRepeat(settings.no_repeat)] if settings.no_repeat else [],
            "attention": attention,
        }
        given: dict[str, Any] = {"prefix": prefix}
        search: Callable[..., list[list[Hypothesis]]]
        if settings.sampling:
            search = partial(
                sample,
                seeds=[sentence_seed(source.ids, settings.seed) for source in sources],
                samples=settings.n_best,
                temperature=settings.temperature,
                top_k=settings.top_k,
                top_p=settings.top_p,
                **common,
            )
        else:
            penalties = Penalties(
                settings.length_penalty,
                alpha=settings.alpha,
                coverage=settings.coverage_penalty,
                coverage_kind=settings.coverage_penalty_kind,
            )
            common |= {"beam": settings.beam, "n_best": settings.n_best, "penalties": penalties}
            search = partial(beam_search, **common)
            if any(terms):
                search = partial(constrained_beam_search, **common)
                given |= {"terms": terms, "continuing": self._continuing}
        advice = f"lower search.batch={settings.batch}, or search.beam={settings.beam}"
        with memory_errors(advice), self._threads(len(sources) * settings.width):
            ids, copy = self._tensors(sources)
            memories = self._encode(ids, copy)
            if self.shortlist is None:
                return search(self.models, memories, **given)
            needed = [[*start, *chain(*each)] for start, each in zip(prefix, terms, strict=True)]
            return self.shortlist.candidates(ids, copy, needed).search(search, self.models, memories, **given)

    @cached_property
    def _continuing(self) -> Tensor:
        """(V,) bool: the target ids that continue the word before them."""
        target = self.vocabularies.target
        return torch.tensor([i in target.continuing for i in range(target.size)], device=self.device)

    def _force(
        self, sources: Sequence[EncodedSource], targets: Sequence[Sequence[int]], attention: bool
    ) -> list[Hypothesis]:
        with self._threads(sum(len(target) + 1 for target in targets)):  # all steps are computed together
            return score_targets(self.models, self._encode(*self._tensors(sources)), targets, attention=attention)

    @contextmanager
    def _threads(self, rows: int) -> Iterator[None]:
        """A context in which torch uses as many threads as a step of so many hypotheses is worth."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or step_threads(rows, before))
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _tensors(self, sources: Sequence[EncodedSource]) -> tuple[Tensor, Tensor]:
        """Source ids (B, S), and the target ids (B, S) that copying them yields."""
        ids = padded([source.ids for source in sources], self.device)
        return ids, padded([source.copy for source in sources], self.device)

    def _encode(self, ids: Tensor, copy: Tensor) -> list[Memory]:
        with torch.inference_mode():
            return [model.encode(ids, copy) for model in self.models]


@lru_cache(maxsize=1)
def _opened_before(runs: tuple[str | Path, ...], settings: tuple[tuple[str, Any], ...]) -> Translator:
    """The translator that rank 0 works with; the one before it is let go."""
    return Translator.open_runs(*runs, **dict(settings))


def called(opened: Opened) -> Translator:
    """The translator of these arguments, in a process that rank 0 calls for its share."""
    return _opened_before(opened.runs, tuple(opened.settings.items()))


def _translate_share(
    opened: Opened,
    search: SearchConfig,
    sources: Sequence[EncodedSource],
    prefix: Sequence[str],
    terms: Sequence[Sequence[Term]],
    attention: bool,
) -> None:
    replace(called(opened), search=search)._translate_window(sources, prefix, terms, attention, None)


def _force_share(
    opened: Opened, sources: Sequence[EncodedSource], targets: Sequence[Sequence[int]], attention: bool
) -> None:
    called(opened)._force_window(sources, targets, attention)


# what processes are called for, with the arguments of `Translator.open_runs` and those of the task
TASKS: dict[str, Callable[..., object]] = {
    "translate": _translate_share,
    "force": _force_share,
    "cpu_seconds": lambda opened: called(opened).cpu_seconds(),
}


def _load(run: Run | WeightsBundle, weights: str) -> EncoderDecoder:
    """The model of a run, or of a bundle, which has one file of weights."""
    if isinstance(run, Run):
        return load_model(run, weights)
    if weights != WEIGHTS:
        raise ConfigError(f"weights={shortened(weights)} would be ignored: {run.folder} holds one model")
    return run.load_model()


def _open_shortlist(run: Run | WeightsBundle, most: int, device: str) -> Shortlist | None:
    """The run's shortlist with `most` translations of each token; 0: None. ConfigError for more than it has."""
    SHORTLIST.check("shortlist", most)
    if not most:
        return None
    table = load_translations(run) if isinstance(run, Run) else run.load_translations()
    if most > table.shape[1]:
        raise ConfigError(
            f"shortlist={most} is not between 0 and the {table.shape[1]} translations "
            f"that {run.folder} keeps of each token"
        )
    return Shortlist(table[:, :most].to(device), run.vocabularies.target.size)


def _check_device(name: str, graphs: bool = False) -> None:
    """ConfigError for a device that torch does not know or this machine lacks, or that cannot record CUDA graphs."""
    if graphs and not str(name).startswith("cuda"):
        raise ConfigError(f"CUDA graphs need a GPU: device={shortened(name)} cannot record any")
    wrong = f"device={shortened(name)} cannot be used: {_devices()}"
    try:
        holds_numbers = not torch.empty(0, device=name).is_meta
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ConfigError(wrong) from error
    if not holds_numbers:
        raise ConfigError(wrong)


def _devices() -> str:
    """The devices of this machine, for a message."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return f"this machine has: {', '.join(['cpu', *gpus])}"


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Rows of ids as one tensor (B, longest), padded with PAD on the right."""
    return torch.from_numpy(padded_rows(rows)).to(device)
