"""The Python API: `Translator` opens run directories, translates, scores given translations and returns attention.

Shapes: B sentences, S source positions.
"""

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, NamedTuple, Never, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.config import SearchConfig
from seq2seq.config.ignored import check_given
from seq2seq.data.lines import check_line, checked_lines
from seq2seq.data.tokenizer import LONGEST_PIECE
from seq2seq.data.vocabulary import EncodedSource, Vocabularies
from seq2seq.data.words import is_blank, truncate_words
from seq2seq.errors import ConfigError, DataError, RunError, check_type, choose, counted, quoted, shortened
from seq2seq.ids import EOS, PAD, UNK
from seq2seq.nn.cuda_graphs import CUDAGraphRecorder, GraphedModel
from seq2seq.nn.interface import Memory, Model
from seq2seq.nn.ops.devices import memory_errors
from seq2seq.nn.precision import PRECISIONS
from seq2seq.runs.directory import WEIGHTS, Run
from seq2seq.runs.weights import load_model, load_translations
from seq2seq.runtime.bounds import SHORTLIST
from seq2seq.runtime.hypothesis import Hypothesis
from seq2seq.runtime.options import length_limits, sentence_seed
from seq2seq.runtime.penalties import Penalties
from seq2seq.search.beam import beam_search
from seq2seq.search.constraints import NoRepeat
from seq2seq.search.forced import score_targets
from seq2seq.search.sampling import sample
from seq2seq.search.shortlist import Shortlist

log = logging.getLogger("seq2seq")

Progress = Callable[[int], object]  # called after each batch with its number of sentences


class Translation(NamedTuple):
    """One hypothesis for one source line, as text."""

    text: str
    score: float  # what it is ranked by: the log-probability after length and coverage penalties
    log_prob: float  # natural logarithm, EOS included
    source: list[str]  # subwords of the line as the model read it, EOS (an empty string) included
    target: list[str]  # subwords of the hypothesis, with EOS if `finished`
    attention: NDArray[np.float32] | None = None  # (len(target), len(source)), if asked for
    finished: bool = True  # it ended with EOS; False: at the maximum length, or because no token was allowed
    ids: Sequence[int] = ()  # target ids as the search found them, without EOS; ids >= V are copied source words
    encoded: EncodedSource | None = None  # the line as ids; None if it is empty
    truncated: bool = False  # the line has more than data.truncate_source words, and only the first were read


EMPTY = Translation("", 0.0, 0.0, [], [])  # of an empty line


@dataclass
class Translator:
    """A trained model, or an ensemble that decodes by its mean probability, with its tokenizers and search settings.

    >>> translator = Translator.open("runs/multi30k-additive-s1", beam=5)
    >>> translator.translate(["A dog runs .", "Two men talk ."])
    """

    models: Sequence[Model]
    vocabularies: Vocabularies
    search: SearchConfig
    shortlist: Shortlist | None = None  # restricts each sentence to likely translations of its tokens
    truncate: int = 0  # source words that are read, as data.truncate_source; 0: all

    def __post_init__(self) -> None:
        sources = [model.max_source for model in self.models if model.max_source is not None]
        targets = [model.max_target for model in self.models if model.max_target is not None]
        self.max_source = min([self.search.max_source, *sources])  # source tokens, EOS included
        self._limit = "model.max_length" if self.max_source in sources else "search.max_source"  # for messages
        self.max_target = min(targets, default=None)  # target steps, EOS included; None: no limit
        self.copies = all(model.head.reads_weights for model in self.models)  # type: ignore[attr-defined]
        self._warned_of_long_source = False

    @classmethod
    def open(
        cls,
        *runs: str | Path,
        weights: str = WEIGHTS,
        device: str = "cpu",
        precision: str = "32",
        graphs: bool = False,
        shortlist: int = 0,
        **search: Any,
    ) -> "Translator":
        """Open one run directory, or several as an ensemble.

        weights: file name in the run directory
        device: torch device, such as "cpu" or "cuda:1"
        precision: of weights and activations, an entry of nn.precision.PRECISIONS
        graphs: record the steps of the search as CUDA graphs; such a translator runs one search at a time
        shortlist: restrict each sentence to so many translations of each of its tokens, from the table that
            `seq2seq shortlist` stored in the (first) run; 0: no restriction. Probabilities of a search are then
            normalized over these words, those of `score` over all.
        search: settings of SearchConfig that replace those of the (first) run

        >>> Translator.open("runs/one", "runs/two", device="cuda", beam=10, n_best=3)

        Raises RunError if a directory is missing, damaged or does not fit the first; ConfigError for a setting or
        device that cannot work."""
        check_type("weights", weights, str | os.PathLike)
        check_type("device", device, str | torch.device)
        check_type("graphs", graphs, bool)
        _check_device(device, graphs)
        if not runs:
            raise ConfigError("no run directory is given: there is nothing to translate with")
        opened = [Run.open(run) for run in runs]
        first = opened[0]
        settings = first.config.search.changed(**search)
        check_given(replace(first.config, search=settings), {f"search.{name}" for name in search})
        for other in opened[1:]:
            if other.vocabularies.sha256 != first.vocabularies.sha256:
                raise RunError(f"{other.folder} cannot join {first.folder} in an ensemble: their tokenizers differ")
            if other.config.model.head != first.config.model.head:
                raise RunError(
                    f"{other.folder} cannot join {first.folder} in an ensemble: only one of them copies words"
                )
        convert = choose(PRECISIONS, precision, "precision")
        models: list[Any] = [convert(load_model(run, weights).to(device)) for run in opened]
        if graphs:
            models = [GraphedModel(model, CUDAGraphRecorder()) for model in models]
        return cls(
            models,
            first.vocabularies,
            settings,
            shortlist=_open_shortlist(first, shortlist, device),
            truncate=first.config.data.truncate_source,
        )

    @property
    def device(self) -> torch.device:
        """The device of the (first) model."""
        return next(self.models[0].parameters()).device

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Translator cannot be pickled: open it again in the other process, with Translator.open(RUN)")

    def translate(self, lines: Iterable[str], *, progress: Progress | None = None, **settings: Never) -> list[str]:
        """The best translation of each line; an empty line gives an empty one.

        `progress` is called after each batch with its number of sentences.
        Raises DataError for a single string in place of lines, and for what is no line of text; ConfigError for search
        settings, which are given to `open`."""
        _refuse_settings("translate", settings)
        return [found[0].text for found in self.hypotheses(lines, progress=progress)]

    def hypotheses(
        self,
        lines: Iterable[str],
        *,
        attention: bool = False,
        prefix: Iterable[str] | None = None,
        progress: Progress | None = None,
        **settings: Never,
    ) -> Iterator[list[Translation]]:
        """The `search.n_best` translations of each line, best first, in the order of the lines.

        >>> for translations in translator.hypotheses(lines, attention=True):
        ...     print(translations[0].text, translations[0].attention.shape)

        `prefix` holds the text that each translation begins with. `progress` is called after each batch with its number
        of sentences. `search.window` lines at a time are read and sorted by length, so that memory stays bounded.
        Raises DataError for a single string in place of lines, for what is no line of text, and if the numbers of lines
        and prefixes differ; ConfigError for search settings, which are given to `open`."""
        _refuse_settings("hypotheses", settings)
        check_type("progress", progress, Callable | None)
        lines = checked_lines(lines)
        stream = ((line, "") for line in lines) if prefix is None else _with_prefixes(lines, prefix)
        while window := list(islice(stream, self.search.window)):
            sources = [self.encode_source(line) for line, _ in window]
            found = self._translate_window(sources, [start for _, start in window], attention, progress)
            for (line, _), translations in zip(window, found, strict=True):
                truncated = self._is_truncated(line)
                yield [one._replace(truncated=truncated) for one in translations]

    def forced_decode(self, pairs: Iterable[tuple[str, str]], *, attention: bool = False) -> Iterator[Translation]:
        """Each target of the (source, target) pairs as if the search had found it, with its log-probability.

        >>> [given.log_prob for given in translator.forced_decode([("A dog runs .", "Ein Hund rennt .")])]

        Raises DataError for what is no pair of lines of text."""
        pairs = _checked_pairs(pairs)
        while window := list(islice(pairs, self.search.window)):
            sources = [self.encode_source(line) for line, _ in window]
            targets = [self.encode_target(target, source) for (_, target), source in zip(window, sources, strict=True)]
            order = sorted(range(len(window)), key=lambda i: -len(sources[i].ids) - len(targets[i]))
            results: list[Translation] = [EMPTY] * len(window)
            for at in range(0, len(order), self.search.batch):
                rows = order[at : at + self.search.batch]
                memories = self._encode(*self._tensors([sources[i] for i in rows]))
                found = score_targets(self.models, memories, [targets[i] for i in rows], attention=attention)
                for i, hypothesis in zip(rows, found, strict=True):
                    results[i] = self._translation(sources[i], hypothesis, attention, replace_unknown=False)
            for (line, target), result in zip(window, results, strict=True):
                yield result._replace(text=target, truncated=self._is_truncated(line))

    def score(self, sources: Iterable[str], targets: Iterable[str]) -> list[float]:
        """The log-probability of each target given its source: natural logarithm, EOS included.

        >>> translator.score(["A dog runs ."], ["Ein Hund rennt ."])

        Raises DataError if the numbers of sources and targets differ, for a single string in place of lines, and for
        what is no line of text."""
        sources, targets = list(checked_lines(sources, "source")), list(checked_lines(targets, "target"))
        if len(sources) != len(targets):
            raise DataError(
                f"{counted(len(sources), 'source')} cannot be scored with {counted(len(targets), 'target')}"
            )
        return [found.log_prob for found in self.forced_decode(zip(sources, targets, strict=True))]

    def attention(self, source: str, target: str | None = None) -> Translation:
        """A translation with its attention, (target subwords, source subwords): the given `target`, or the best one.

        >>> found = translator.attention("A dog runs .")
        >>> found.source, found.target, found.attention

        Raises DataError for anything but one string."""
        if not isinstance(source, str):
            raise DataError(f"expected one line, not a {type(source).__name__}")
        if target is not None:
            return next(self.forced_decode([(source, target)], attention=True))
        return next(self.hypotheses([source], attention=True))[0]

    def encode_source(self, line: str) -> EncodedSource:
        """Ids of a source line, of which the first `truncate` words are read.

        A line that is still longer than `max_source` is cut, which is logged once, or, with
        search.long_source=refuse, raises DataError. It is cut before it is split into subwords, which takes
        SentencePiece minutes for a word of a million letters."""
        text, limit = truncate_words(check_line(line), self.truncate), self.max_source
        start = text[: LONGEST_PIECE * limit]
        encoded = self.vocabularies.encode_source("" if is_blank(start) else start)
        if len(start) == len(text) and len(encoded.ids) <= limit:
            return encoded
        size = f"{len(text):,} characters" if len(start) < len(text) else f"{len(encoded.ids):,} tokens"
        if self.search.long_source == "refuse":
            raise DataError(
                f"a source line has {size}, more than the {limit:,} tokens of {self._limit}: {shortened(text, 60)}"
            )
        if not self._warned_of_long_source:
            log.warning(
                "a source line of %s was cut to the %s tokens of %s; others may be too", size, f"{limit:,}", self._limit
            )
            self._warned_of_long_source = True
        ids, copy = encoded.ids[:-1][: limit - 1], encoded.copy[:-1][: limit - 1]  # without EOS
        unknown = max(0, max(copy, default=0) - self.vocabularies.target.size + 1)  # unknown words that are left
        return EncodedSource([*ids, EOS], [*copy, EOS], encoded.unknown[:unknown])

    def encode_target(self, line: str, source: EncodedSource) -> list[int]:
        """Ids of a target line, without EOS; words copied from `source` have ids >= V.

        Raises DataError for a line that is too long for the model, or longer than search.max_source."""
        limit, name = (
            (self.search.max_source, "search.max_source")
            if self.max_target is None
            else (self.max_target, "model.max_length")
        )
        start = check_line(line)[
            : LONGEST_PIECE * limit
        ]  # splitting all of a very long line into subwords would take minutes
        ids = self.vocabularies.encode_target(start, source.unknown if self.copies else ())
        if len(start) < len(line) or len(ids) > limit:
            size = f"{len(line):,} characters" if len(start) < len(line) else f"{len(ids):,} tokens"
            raise DataError(
                f"a target line has {size}, more than the {limit:,} tokens of {name}: {shortened(line, 60)}"
            )
        return ids[:-1]

    def _is_truncated(self, line: str) -> bool:
        return truncate_words(line, self.truncate) != line

    def _translate_window(
        self, sources: Sequence[EncodedSource], prefix: Sequence[str], attention: bool, progress: Progress | None
    ) -> list[list[Translation]]:
        """The translations of each source; empty ones are not searched for."""
        search = self.search
        results: list[list[Translation]] = [[EMPTY] * search.n_best for _ in sources]
        not_empty = (i for i, source in enumerate(sources) if len(source.ids) > 1)
        order = sorted(not_empty, key=lambda i: -len(sources[i].ids))
        for at in range(0, len(order), search.batch):
            rows = order[at : at + search.batch]
            starts = [self.encode_target(prefix[i], sources[i]) for i in rows]
            found = self._search([sources[i] for i in rows], starts, attention or search.replace_unknown)
            for i, hypotheses in zip(rows, found, strict=True):
                results[i] = [
                    self._translation(sources[i], hypothesis, attention, search.replace_unknown)
                    for hypothesis in hypotheses
                ]
            if progress is not None:
                progress(len(rows))
        return results

    def _search(
        self, sources: Sequence[EncodedSource], prefix: Sequence[Sequence[int]], attention: bool
    ) -> list[list[Hypothesis]]:
        """The hypotheses of a batch of sources, each of which begins with its prefix of target ids."""
        settings = self.search
        longest = settings.max_length
        if self.max_target:
            longest = min(longest, self.max_target - 1)
        limits = [
            length_limits(
                len(source.ids) - 1,
                min_length=settings.min_length,
                max_length=longest,
                min_ratio=settings.min_ratio,
                max_ratio=settings.max_ratio,
            )
            for source in sources
        ]
        max_lengths = [max(most, len(start)) for (_, most), start in zip(limits, prefix, strict=True)]
        common: dict[str, Any] = {
            "min_length": torch.tensor([least for least, _ in limits], device=self.device),
            "max_length": torch.tensor(max_lengths, device=self.device),
            "constraints": [NoRepeat(settings.no_repeat)] if settings.no_repeat else [],
            "attention": attention,
        }
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
            search = partial(beam_search, beam=settings.beam, n_best=settings.n_best, penalties=penalties, **common)
        with memory_errors(f"lower search.batch={settings.batch}, or search.beam={settings.beam}"):
            ids, copy = self._tensors(sources)
            memories = self._encode(ids, copy)
            if self.shortlist is None:
                return search(self.models, memories, prefix=prefix)
            return self.shortlist.candidates(ids, copy, prefix).search(search, self.models, memories, prefix)

    def _tensors(self, sources: Sequence[EncodedSource]) -> tuple[Tensor, Tensor]:
        """Source ids (B, S), and the target ids (B, S) that copying them yields."""
        ids = padded([source.ids for source in sources], self.device)
        return ids, padded([source.copy for source in sources], self.device)

    def _encode(self, ids: Tensor, copy: Tensor) -> list[Memory]:
        with torch.inference_mode():
            return [model.encode(ids, copy) for model in self.models]

    def _translation(
        self, source: EncodedSource, found: Hypothesis, attention: bool, replace_unknown: bool
    ) -> Translation:
        """A hypothesis as text. `replace_unknown` needs its attention, which is returned only with `attention`.

        Raises RunError for a score that is not a number."""
        if math.isnan(found.log_prob):
            raise RunError("the model gives no probabilities: its weights are damaged, or too large for its precision")
        tokens, words = list(found.tokens), list(source.unknown)
        pieces = self._source_pieces(source)
        if replace_unknown and found.attention is not None:
            for t, token in enumerate(tokens):
                if token == UNK:  # take the source word with the most attention (Luong et al. 2015, section 4.1)
                    words.append(pieces[int(found.attention[t, :-1].argmax())])
                    tokens[t] = self.vocabularies.target.size + len(words) - 1
        weights = found.attention.float().numpy() if attention and found.attention is not None else None
        return Translation(
            text=self.vocabularies.decode_target(tokens, words),
            score=found.score,
            log_prob=found.log_prob,
            source=pieces,
            target=self.vocabularies.target.pieces([*tokens, EOS] if found.finished else tokens, words),
            attention=weights,
            finished=found.finished,
            ids=found.tokens,
            encoded=source,
        )

    def _source_pieces(self, source: EncodedSource) -> list[str]:
        """The subwords of a source as text; unknown ones as they were written."""
        known = self.vocabularies.source.pieces(source.ids)
        # the target side has the text of every piece that the source vocabulary lacks
        written = self.vocabularies.target.pieces(source.copy, source.unknown)
        return [text if i == UNK else piece for i, piece, text in zip(source.ids, known, written, strict=True)]


def warn_truncated(truncated: int, total: int, words: int) -> None:
    """Log a warning if any of `total` sources were `truncated` to their first `words` words (data.truncate_source)."""
    if truncated:
        log.warning("%d of %d sources were cut to %d words (data.truncate_source)", truncated, total, words)


def _refuse_settings(method: str, settings: Mapping[str, object]) -> None:
    """ConfigError for keywords that the method does not have, such as search settings."""
    for name, value in settings.items():
        if name in {field.name for field in fields(SearchConfig)}:
            raise ConfigError(
                f"{method} takes no search settings: give {name}={shortened(value)} to Translator.open(RUN, {name}=...)"
            )
        raise ConfigError(f"{method} has no option {quoted(name)}")


def _with_prefixes(lines: Iterator[str], prefixes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each line with its prefix; DataError if there are more of one than of the other."""
    for line, prefix in zip_longest(lines, checked_lines(prefixes, "prefix")):
        if line is None or prefix is None:
            raise DataError("each line needs one prefix, and the numbers of lines and prefixes differ")
        yield line, prefix


def _checked_pairs(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The same pairs. DataError for what is no pair of lines."""
    if not isinstance(pairs, Iterable):
        raise DataError(f"expected pairs, such as a list of (source, target), not of type {type(pairs).__name__}")
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise DataError(f"pair {number} is not a pair of two strings, (source, target)")
        yield check_line(pair[0], f"source {number}"), check_line(pair[1], f"target {number}")


def _open_shortlist(run: Run, most: int, device: str) -> Shortlist | None:
    """The run's shortlist with `most` translations of each token; 0: None. ConfigError for more than it has."""
    SHORTLIST.check("shortlist", most)
    if not most:
        return None
    table = load_translations(run)
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
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows], device=device)
