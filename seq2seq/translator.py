"""How is text translated? The public Python API: open a run, translate, score, look at the attention."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.config import SearchConfig
from seq2seq.data.filters import truncate_words
from seq2seq.data.vocabulary import EncodedSource, Vocabularies
from seq2seq.errors import ConfigError, DataError, RunError, choose
from seq2seq.ids import EOS, PAD, UNK
from seq2seq.nn.cuda_graphs import CUDAGraphRecorder, GraphedModel
from seq2seq.nn.interface import Memory, Model
from seq2seq.nn.precision import PRECISIONS
from seq2seq.runs.directory import WEIGHTS, Run
from seq2seq.search.beam import beam_search
from seq2seq.search.constraints import NoRepeat
from seq2seq.search.forced import score
from seq2seq.search.hypothesis import Hypothesis
from seq2seq.search.penalties import Penalty
from seq2seq.search.sample import sample
from seq2seq.search.shortlist import Shortlist

log = logging.getLogger("seq2seq")


class Translation(NamedTuple):
    """One hypothesis of one line, as text."""

    text: str
    score: float  # what it is ranked by
    log_prob: float  # natural logarithm, EOS included
    source: list[str]  # subwords of the line as it was read, EOS included
    target: list[str]  # subwords of the hypothesis, with EOS if it ended by itself
    attention: NDArray[np.float32] | None = None  # (len(target), len(source))
    finished: bool = True
    ids: Sequence[int] = ()  # of the hypothesis as it was found, without EOS; those of copies lie beyond the vocabulary
    read: EncodedSource | None = None  # the line as ids; None where it is empty
    truncated: bool = False  # the line has more than data.truncate_source words, and only the first were read


EMPTY = Translation("", 0.0, 0.0, [], [])


@dataclass
class Translator:
    """One model, or an ensemble that speaks by its mean probability, with its tokenizer and its way of searching."""

    models: Sequence[Model]
    vocabularies: Vocabularies
    search: SearchConfig
    shortlist: Shortlist | None = None  # keeps each sentence to translations of its tokens
    truncate: int = 0  # sources are cut to so many words; 0: they are not

    def __post_init__(self) -> None:
        limits = [m.max_source for m in self.models if m.max_source is not None]
        self.limit = min(limits, default=None)
        self.most_steps = min((m.max_target for m in self.models if m.max_target is not None), default=None)
        self.copying = all(m.head.reads_weights for m in self.models)  # type: ignore[attr-defined]
        self.warned = False
        self.search.check_limit(self.limit)

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
        """Open one run directory, or several as an ensemble. `search` replaces settings of the (first) run's search; `precision`
        is that of the numbers in the models, a row of nn.precision.PRECISIONS; `graphs` records the steps of the search as CUDA graphs, for
        one search at a time; `shortlist` keeps each sentence to so many
        translations of each of its tokens, those that `seq2seq shortlist` left in the (first) run, 0: to none. Probabilities are then
        those among these words; those of `score` always among all.

        Raises RunError if a directory is missing, damaged or does not fit the first; ConfigError for the settings and the device."""
        check_device(device, graphs)
        if not runs:
            raise ConfigError("no run directory is given: there is nothing to translate with")
        opened = [Run.open(run) for run in runs]
        first = opened[0]
        for other in opened[1:]:
            if other.vocabularies.sha256 != first.vocabularies.sha256:
                raise RunError(
                    f"{other.folder} cannot join {first.folder} in an ensemble: its tokenizer is another one"
                )
            if other.config.model.head != first.config.model.head:
                raise RunError(
                    f"{other.folder} cannot join {first.folder} in an ensemble: only one of them copies words"
                )
        held = choose(PRECISIONS, precision, "precision")
        models: list[Any] = [held(run.model(weights).to(device)) for run in opened]
        models = [GraphedModel(model, CUDAGraphRecorder()) for model in models] if graphs else models
        usual, truncate = first.config.search, first.config.data.truncate_source
        return cls(
            models,
            first.vocabularies,
            usual.changed(**search),
            shortlist=shortlist_of(first, shortlist, device),
            truncate=truncate,
        )

    @property
    def device(self) -> torch.device:
        """Where the (first) model is."""
        return next(self.models[0].parameters()).device

    def translate(self, lines: Iterable[str], *, progress: Callable[[int], object] | None = None) -> list[str]:
        """The best translation of each line; an empty line gives an empty one.

        `progress` is called after each batch with its number of sentences. Raises DataError for one text in place of lines."""
        return [found[0].text for found in self.hypotheses(lines, progress=progress)]

    def hypotheses(
        self,
        lines: Iterable[str],
        *,
        attention: bool = False,
        prefix: Iterable[str] | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Iterator[list[Translation]]:
        """The search.n_best translations of each line, best first, in the order of the lines.

        `prefix` holds the text that each translation begins with; `progress` is called after each batch with its number of sentences.
        Lines are read `search.window` at a time and sorted by length inside it, so that memory stays bounded.
        Raises DataError for one text in place of lines."""
        refuse_text(lines)
        stream = zip(lines, prefix, strict=True) if prefix is not None else ((line, "") for line in lines)
        while window := list(islice(stream, self.search.window)):
            sources = [self.read(line) for line, _ in window]
            found = self._window(sources, [start for _, start in window], attention, progress)
            for (line, _), alternatives in zip(window, found, strict=True):
                truncated = self._is_truncated(line)
                yield [one._replace(truncated=truncated) for one in alternatives]

    def read(self, line: str) -> EncodedSource:
        """Ids of a source line, of which `truncate` words are read. What is then over the model's limit is cut, once with a warning,
        or DataError, as search.long_source says."""
        text = truncate_words(line, self.truncate)
        encoded = self.vocabularies.encode_source(text if text.strip() else "")
        if self.limit is None or len(encoded.ids) <= self.limit:
            return encoded
        if self.search.long_source == "refuse":
            size = len(encoded.ids)
            raise DataError(
                f"a source line has {size} tokens, more than the model's {self.limit} (model.max_length): {line[:60]!r}..."
            )
        if not self.warned:
            size = len(encoded.ids)
            log.warning(
                "a source line of %d tokens was cut to the model's %d (model.max_length); others may be too",
                size,
                self.limit,
            )
            self.warned = True
        keep = self.limit - 1
        copy = encoded.copy[:keep]
        known = max(0, max(copy, default=0) - self.vocabularies.target.size + 1)  # unknown words that are still there
        return EncodedSource([*encoded.ids[:keep], EOS], [*copy, EOS], encoded.unknown[:known])

    def _is_truncated(self, line: str) -> bool:
        return truncate_words(line, self.truncate) != line

    def read_target(self, line: str, source: EncodedSource) -> list[int]:
        """Ids of a target line, without EOS. DataError if the model has no positions for them."""
        ids = self.vocabularies.encode_target(line, source.unknown if self.copying else ())
        if self.most_steps is not None and len(ids) > self.most_steps:
            limit = f"the model's {self.most_steps} (model.max_length)"
            raise DataError(f"a target line has {len(ids)} tokens, more than {limit}: {line[:60]!r}...")
        return ids[:-1]

    def _window(
        self,
        sources: list[EncodedSource],
        prefix: list[str],
        attention: bool,
        progress: Callable[[int], object] | None,
    ) -> list[list[Translation]]:
        results: list[list[Translation]] = [[EMPTY] * self.search.n_best for _ in sources]
        order = sorted(
            (i for i, source in enumerate(sources) if len(source.ids) > 1), key=lambda i: -len(sources[i].ids)
        )
        for at in range(0, len(order), self.search.batch):
            rows = order[at : at + self.search.batch]
            starts = [self.read_target(prefix[i], sources[i]) for i in rows]
            found = self._search([sources[i] for i in rows], starts, attention or self.search.replace_unknown)
            for i, hypotheses in zip(rows, found, strict=True):
                results[i] = [self._text(sources[i], h, attention, self.search.replace_unknown) for h in hypotheses]
            if progress is not None:
                progress(len(rows))
        return results

    def _memories(self, ids: Tensor, copy: Tensor) -> list[Memory]:
        with torch.inference_mode():
            return [model.encode(ids, copy) for model in self.models]

    def _ids(self, sources: Sequence[EncodedSource]) -> tuple[Tensor, Tensor]:
        """Of the sources, and of what copying them yields: (B, S)."""
        ids, copy = (padded([getattr(s, name) for s in sources], self.device) for name in ("ids", "copy"))
        return ids, copy

    def _search(
        self, sources: Sequence[EncodedSource], prefix: list[list[int]], attention: bool
    ) -> list[list[Hypothesis]]:
        s, sizes = self.search, [len(source.ids) - 1 for source in sources]
        longest = min(s.max_length, (self.most_steps or s.max_length + 1) - 1)
        least = [min(max(s.min_length, int(s.min_ratio * size)), longest) for size in sizes]
        shares = [max(low, min(int(s.max_ratio * size) + 10, longest)) for size, low in zip(sizes, least, strict=True)]
        most = [max(limit, len(start)) for limit, start in zip(shares, prefix, strict=True)]
        common: dict[str, Any] = {
            "max_length": torch.tensor(most, device=self.device),
            "min_length": torch.tensor(least, device=self.device),
            "rules": [NoRepeat(s.no_repeat)] if s.no_repeat else [],
            "attention": attention,
        }
        if s.sampling:
            drawing: dict[str, Any] = {
                "samples": s.n_best,
                "temperature": s.temperature,
                "top_k": s.top_k,
                "top_p": s.top_p,
            }
            search: Callable[..., list[list[Hypothesis]]] = partial(
                sample, seeds=[hash_of(source.ids, s.seed) for source in sources], **drawing, **common
            )
        else:
            penalty = Penalty(s.length_penalty, s.alpha, s.coverage_penalty, s.coverage_penalty_kind)
            search = partial(beam_search, beam=s.beam, n_best=s.n_best, penalty=penalty, **common)
        ids, copy = self._ids(sources)
        memories = self._memories(ids, copy)
        if self.shortlist is None:
            return search(self.models, memories, prefix=prefix)
        return self.shortlist(ids, copy, prefix).run(search, self.models, memories, prefix)

    def _text(self, source: EncodedSource, found: Hypothesis, attention: bool, replace_unknown: bool) -> Translation:
        tokens, words = list(found.tokens), list(source.unknown)
        pieces = self._source_pieces(source)
        if replace_unknown and found.attention is not None:
            size = self.vocabularies.target.size
            for t, token in enumerate(tokens):
                if token == UNK:  # Luong et al. 2015, section 4.1: the word that was looked at most
                    words.append(pieces[int(found.attention[t, :-1].argmax())])
                    tokens[t] = size + len(words) - 1
        text = self.vocabularies.decode_target(tokens, words)
        ends = [*tokens, EOS] if found.finished else tokens
        weights = found.attention.float().numpy() if attention and found.attention is not None else None
        target = self.vocabularies.target.pieces(ends, words)
        return Translation(
            text, found.score, found.log_prob, pieces, target, weights, found.finished, found.tokens, source
        )

    def _source_pieces(self, source: EncodedSource) -> list[str]:
        """The subwords of a source as text; an unknown one as it was written."""
        known = self.vocabularies.source.pieces(source.ids)
        as_target = self.vocabularies.target.pieces(
            source.copy, source.unknown
        )  # knows every piece that the source vocabulary lacks
        return [written if i == UNK else piece for i, piece, written in zip(source.ids, known, as_target, strict=True)]

    def forced(self, pairs: Iterable[tuple[str, str]], *, attention: bool = False) -> Iterator[Translation]:
        """Each target of (source, target) as if it had been found: its log-probability in full, the attention on request."""
        pairs = iter(pairs)
        while window := list(islice(pairs, self.search.window)):
            read = [self.read(line) for line, _ in window]
            ids = [self.read_target(target, source) for (_, target), source in zip(window, read, strict=True)]
            order = sorted(range(len(window)), key=lambda i: -len(read[i].ids) - len(ids[i]))
            results: list[Translation] = [EMPTY] * len(window)
            for at in range(0, len(order), self.search.batch):
                rows = order[at : at + self.search.batch]
                found = score(
                    self.models, self._memories(*self._ids([read[i] for i in rows])), [ids[i] for i in rows], attention
                )
                for i, hypothesis in zip(rows, found, strict=True):
                    results[i] = self._text(read[i], hypothesis, attention, replace_unknown=False)._replace(
                        text=window[i][1]
                    )
            for (line, _), result in zip(window, results, strict=True):
                yield result._replace(truncated=self._is_truncated(line))

    def score(self, sources: Iterable[str], targets: Iterable[str]) -> list[float]:
        """The log-probability of each target given its source: natural logarithm, EOS included. DataError if their numbers differ."""
        refuse_text(sources, targets)
        sources, targets = list(sources), list(targets)
        if len(sources) != len(targets):
            raise DataError(f"{len(sources)} sources cannot be scored with {len(targets)} targets")
        return [found.log_prob for found in self.forced(zip(sources, targets, strict=True))]

    def attention(self, source: str, target: str | None = None) -> Translation:
        """The attention (target, source) to a sentence, of its best translation or of a given one, with both sides' subwords."""
        if target is not None:
            return next(self.forced([(source, target)], attention=True))
        return next(iter(self.hypotheses([source], attention=True)))[0]


def warn_truncated(truncated: int, total: int, words: int) -> None:
    """Log a warning if any of `total` sources were `truncated` to their first `words` words (data.truncate_source)."""
    if truncated:
        log.warning("%d of %d sources were cut to %d words (data.truncate_source)", truncated, total, words)


def refuse_text(*texts: Iterable[str]) -> None:
    """DataError for one text in place of lines: its letters would be taken for them."""
    if any(isinstance(text, str) for text in texts):
        raise DataError("lines are wanted, and this is one text: put it into a list")


def shortlist_of(run: Run, most: int, device: str) -> Shortlist | None:
    """The run's, with `most` translations of each token; 0: none. ConfigError for more than it has."""
    if not most:
        return None
    table = run.translations()
    if not 0 < most <= table.shape[1]:
        raise ConfigError(
            f"shortlist={most} is not between 0 and the {table.shape[1]} translations that {run.folder} keeps of each token"
        )
    return Shortlist(table[:, :most].to(device), run.vocabularies.target.size)


def check_device(name: str, graphs: bool = False) -> None:
    """ConfigError for a device that torch does not know or this machine does not have, or that cannot record graphs."""
    if graphs and not name.startswith("cuda"):
        raise ConfigError(f"graphs need a GPU, and device={name} has nothing to record")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = (
            "torch knows no such kind; cpu, cuda and cuda:1 are some"
            if "Expected one of" in str(error)
            else str(error).splitlines()[0]
        )
        raise ConfigError(f"device={name} cannot be used: {why}") from None


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """(B, longest), PAD behind."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows], device=device)


def hash_of(ids: Sequence[int], seed: int) -> int:
    """A seed that is a function of the sentence and `seed` alone: samples do not depend on the batch or the order."""
    value = seed
    for i in ids:
        value = (value * 1000003 + i + 1) % 2**61
    return value
