"""Lines of text to translations and back, whatever searches: what the Translators with and without torch share.

Shapes: B sentences, S source positions.
"""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import islice, repeat
from typing import Any, NamedTuple, Never, NoReturn, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from .bounds import SEARCH_BOUNDS
from .errors import ConfigError, DataError, RunError, check_type, counted, quoted, shortened
from .glossary import Term
from .hypothesis import Hypothesis
from .ids import EOS, PAD, UNK
from .lines import check_line, checked_lines
from .options import length_limits
from .search_config import SearchConfig
from .terms import TermIds, place_terms
from .vocabulary import LONGEST_PIECE, SPACE_MARK, EncodedSource, VocabularyPair
from .words import is_blank, truncate_words

log = logging.getLogger("seq2seq")

NO_PROBABILITIES = "the model gives no probabilities: its weights are damaged, or too large for its precision"

Progress = Callable[[int], object]  # called after each batch with its number of sentences
LineTerms = Sequence[str | Term]  # what a translation of one line has to hold


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
    token_log_probs: Sequence[float] = ()  # of each of `target`, given those before it


class PlacedTerm(NamedTuple):
    """A term of a hypothesis, or its prefix, at the tokens start to end."""

    start: int
    end: int
    term: Term


class GivenTokens(NamedTuple):
    """What the translation of a line begins with and holds, as ids."""

    prefix: str
    start: list[int]  # ids of the prefix
    terms: Sequence[Term]
    ids: list[list[int]]  # of each term

    @property
    def tokens(self) -> int:
        """How many there are."""
        return len(self.start) + sum(map(len, self.ids))


EMPTY = Translation("", 0.0, 0.0, [], [])  # of an empty line
LONG = 128  # tokens; of longer sentences fewer are decoded together, as all are padded to the longest


def batches(lengths: Mapping[int, int], most: int) -> Iterator[list[int]]:
    """The indices of sentences, the longest first, in batches of up to `most`.

    lengths: index -> tokens, of the source or of what is given of its translation, whichever are more"""
    order = sorted(lengths, key=lambda i: -lengths[i])
    while order:
        size = max(1, most * LONG // max(LONG, lengths[order[0]]))
        yield order[:size]
        order = order[size:]


S = TypeVar("S")
T = TypeVar("T")


class LineTranslator(ABC):
    """Translates and scores lines; subclasses search and score batches of ids.

    vocabularies: of both sides
    search: settings of the search
    truncate: source words that are read, as data.truncate_source; 0: all
    copies: whether ids >= V are copied source words"""

    vocabularies: VocabularyPair
    search: SearchConfig
    truncate: int
    copies: bool

    def _set_limits(self, sources: Iterable[int | None], targets: Iterable[int | None]) -> None:
        """Set the most source tokens and target steps of a sentence, from those of each model (None: no limit)."""
        known = [most for most in sources if most is not None]
        self.max_source = min([self.search.max_source, *known])  # source tokens, EOS included
        self._limit = "model.max_length" if self.max_source in known else "search.max_source"  # for messages
        # target steps, EOS included; None: no limit
        self.max_target = min((most for most in targets if most is not None), default=None)
        self._warned_of_long_source = self._warned_of_terms = False

    @abstractmethod
    def _search(
        self,
        sources: Sequence[EncodedSource],
        prefix: Sequence[Sequence[int]],
        terms: Sequence[TermIds],
        attention: bool,
    ) -> list[list[Hypothesis]]:
        """The hypotheses of a batch of sources, each of which begins with its prefix of target ids and holds its
        terms."""

    @abstractmethod
    def _force(
        self, sources: Sequence[EncodedSource], targets: Sequence[Sequence[int]], attention: bool
    ) -> list[Hypothesis]:
        """The targets of a batch, ids without EOS, as finished hypotheses with their log-probabilities."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Translator cannot be pickled: open it again in the other process, with Translator.open(RUN)")

    def translate(
        self,
        lines: Iterable[str],
        *,
        prefix: Iterable[str] | None = None,
        terms: Iterable[LineTerms] | None = None,
        progress: Progress | None = None,
        **settings: Never,
    ) -> list[str]:
        """The best translation of each line; an empty line gives an empty one.

        `prefix`, `terms` and `progress` are those of `hypotheses`.
        Raises DataError for a single string in place of lines, and for what is no line of text; ConfigError for search
        settings, which are given to `open`."""
        _refuse_settings("translate", settings)
        found = self.hypotheses(lines, prefix=prefix, terms=terms, progress=progress)
        return [translations[0].text for translations in found]

    def hypotheses(
        self,
        lines: Iterable[str],
        *,
        attention: bool = False,
        prefix: Iterable[str] | None = None,
        terms: Iterable[LineTerms] | None = None,
        progress: Progress | None = None,
        **settings: Never,
    ) -> Iterator[list[Translation]]:
        """The `search.n_best` translations of each line, best first, in the order of the lines.

        >>> for translations in translator.hypotheses(lines, attention=True):
        ...     print(translations[0].text, translations[0].attention.shape)

        `prefix` holds the text that each translation begins with, '' for none. `terms` holds for each line a sequence
        of texts, or of Terms, which every translation of it that ends holds in any order, each where its words end, and
        one that is given twice at two places; the length limits count only other tokens. `find_terms` finds those of a
        glossary, and what is to come through unchanged:

        >>> next(translator.hypotheses(["A dog runs ."], terms=[["Köter"]]))[0].text

        `progress` is called after each batch with its number of sentences. `search.window` lines at a time are read and
        sorted by length, so that memory stays bounded.
        Raises DataError for a single string in place of lines, for what is no line of text, if the numbers of lines and
        of prefixes or terms differ, and for terms, but for optional ones, that are longer than the model can write, or
        than search.max_source; ConfigError for search
        settings, which are given to `open`, and for terms with search.sampling."""
        _refuse_settings("hypotheses", settings)
        check_type("progress", progress, Callable | None)
        if terms is not None and self.search.sampling:
            raise ConfigError("search.sampling=true draws tokens at random, which cannot hold terms: use a beam")
        stream = _with_each(checked_lines(lines), prefix, terms)
        while window := list(islice(stream, self.search.window)):
            texts, starts, required = zip(*window, strict=True)
            sources = [self.encode_source(line) for line in texts]
            found = self._translate_window(sources, starts, required, attention, progress)
            for line, translations in zip(texts, found, strict=True):
                truncated = self._is_truncated(line)
                yield [one._replace(truncated=truncated) for one in translations]

    def with_search(self, **settings: Any) -> Self:
        """This translator with other search settings. Raises ConfigError as `SearchConfig.changed`."""
        return replace(self, search=self.search.changed(**settings))  # type: ignore[type-var]  # subclasses are dataclasses

    def forced_decode(self, pairs: Iterable[tuple[str, str]], *, attention: bool = False) -> Iterator[Translation]:
        """Each target of the (source, target) pairs as if the search had found it, with its log-probability.

        >>> [given.log_prob for given in translator.forced_decode([("A dog runs .", "Ein Hund rennt .")])]

        Raises DataError for what is no pair of lines of text."""
        pairs = _checked_pairs(pairs)
        while window := list(islice(pairs, self.search.window)):
            sources = [self.encode_source(line) for line, _ in window]
            targets = [self.encode_target(target, source) for (_, target), source in zip(window, sources, strict=True)]
            results = self._force_window(sources, targets, attention)
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
        cut = len(start) < len(text)
        if self.search.long_source == "refuse":
            raise _too_long("source", text, None if cut else len(encoded.ids), limit, self._limit)
        size = f"{len(text):,} characters" if cut else f"{len(encoded.ids):,} tokens"
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
        limit, name = self._target_limit()
        start = check_line(line)[
            : LONGEST_PIECE * limit
        ]  # splitting all of a very long line into subwords would take minutes
        ids = self.vocabularies.encode_target(start, source.unknown if self.copies else ())
        if len(start) < len(line) or len(ids) > limit:
            raise _too_long("target", line, None if len(start) < len(line) else len(ids), limit, name)
        return ids[:-1]

    def _encode_given(self, prefix: str, terms: Sequence[Term], source: EncodedSource) -> "GivenTokens":
        """Ids of what the translation of a source is to begin with and to hold.

        Optional terms for which there is no room are left out, which is logged once. DataError for more of others."""
        prefix = prefix.strip()  # what follows has a space of its own
        if (prefix or terms) and self.vocabularies.target.absent > 0:
            raise ConfigError("a model of several labels takes neither prefixes nor terms: each label has its place")
        start = self.encode_target(prefix, source) if prefix else []
        limit, name = self._target_limit()
        room, ids = limit - 1 - len(start), [self._encode_term(term, source, limit) for term in terms]
        room -= sum(len(each) for each, term in zip(ids, terms, strict=True) if not term.optional)
        if room < 0:
            raise DataError(
                f"the terms of a line, with its prefix and EOS, have more than the {limit:,} tokens of {name}: "
                + shortened(", ".join(term.text for term in terms), 60)
            )
        kept = []
        for i, term in enumerate(terms):
            if not term.optional or len(ids[i]) <= room:
                kept.append(i)
                room -= len(ids[i]) if term.optional else 0
        if len(kept) < len(terms) and not self._warned_of_terms:
            log.warning(
                "%d of the %s of a line were left out, as its translation has up to %s tokens (%s): %s; others may be "
                "too",
                len(terms) - len(kept),
                counted(len(terms), "term"),
                f"{limit:,}",
                name,
                shortened(", ".join(term.text for term in terms), 60),
            )
            self._warned_of_terms = True
        return GivenTokens(prefix, start, [terms[i] for i in kept], [ids[i] for i in kept])

    def _encode_term(self, term: Term, source: EncodedSource, limit: int) -> list[int]:
        """Ids of a term; of one that is longer than `limit` in any case, that many of UNK."""
        if len(term.text) > LONGEST_PIECE * limit:  # splitting it into subwords would take minutes
            return [UNK] * limit
        return self.vocabularies.encode_term(term.text, source.unknown if self.copies else ()) or [UNK]

    def _target_limit(self) -> tuple[int, str]:
        """The most tokens of a target that is given, EOS included, and the name of the setting."""
        if self.max_target is None:
            return self.search.max_source, "search.max_source"
        return self.max_target, "model.max_length"

    def _places(self, found: Hypothesis, given: "GivenTokens") -> list[PlacedTerm]:
        """Where the prefix and the terms of a hypothesis are, from left to right.

        Terms in the prefix are not placed; if the prefix has them in other words, or only begins one, it is not."""
        start, placed = len(given.start), []
        if given.ids:
            places = place_terms(found.tokens, given.ids, self.vocabularies.target.continuing)
            placed = sorted(
                PlacedTerm(place, place + len(each), term)
                for place, each, term in zip(places, given.ids, given.terms, strict=True)
                if place is not None
            )
        if start and all(one.start >= start or one.term.text in given.prefix for one in placed):
            return [PlacedTerm(0, start, Term(given.prefix)), *(one for one in placed if one.start >= start)]
        return placed

    def _is_truncated(self, line: str) -> bool:
        return truncate_words(line, self.truncate) != line

    def _translate_window(
        self,
        sources: Sequence[EncodedSource],
        prefix: Sequence[str],
        terms: Sequence[Sequence[Term]],
        attention: bool,
        progress: Progress | None,
    ) -> list[list[Translation]]:
        """The translations of each source; empty ones are not searched for."""
        search = self.search
        empty = EMPTY._replace(attention=np.zeros((0, 0), np.float32)) if attention else EMPTY
        results: list[list[Translation]] = [[empty] * search.n_best for _ in sources]
        read = [i for i, source in enumerate(sources) if len(source.ids) > 1]
        given = {i: self._encode_given(prefix[i], terms[i], sources[i]) for i in read}
        lengths = {i: max(len(sources[i].ids), given[i].tokens) for i in read}
        translated: dict[int, list[Translation]] = {}
        for rows in self._own(batches(lengths, search.batch)):
            starts, required = [given[i].start for i in rows], [given[i].ids for i in rows]
            found = self._search([sources[i] for i in rows], starts, required, attention or search.replace_unknown)
            for i, hypotheses in zip(rows, found, strict=True):
                translated[i] = [
                    self._translation(
                        sources[i],
                        hypothesis,
                        attention,
                        search.replace_unknown,
                        self._places(hypothesis, given[i]),
                    )
                    for hypothesis in hypotheses
                ]
            if progress is not None:
                progress(len(rows))
        every = self._of_all(translated)
        if progress is not None and len(every) > len(translated):
            progress(len(every) - len(translated))
        for i, translations in every.items():
            results[i] = translations
        return results

    def _force_window(
        self, sources: Sequence[EncodedSource], targets: Sequence[Sequence[int]], attention: bool
    ) -> list[Translation]:
        """Each target, ids without EOS, as if the search had found it."""
        lengths = {i: max(len(source.ids), len(targets[i])) for i, source in enumerate(sources)}
        results: dict[int, Translation] = {}
        for rows in self._own(batches(lengths, self.search.batch)):
            found = self._force([sources[i] for i in rows], [targets[i] for i in rows], attention)
            for i, hypothesis in zip(rows, found, strict=True):
                results[i] = self._translation(sources[i], hypothesis, attention, replace_unknown=False)
        results = self._of_all(results)
        return [results[i] for i in range(len(sources))]

    def _own(self, items: Iterable[T]) -> Iterable[T]:
        """The batches that this process translates, where several share them."""
        return items

    def _of_all(self, translated: dict[int, T]) -> dict[int, T]:
        """What all these processes have translated, by the number of the source."""
        return translated

    def _length_limits(
        self, sources: Sequence[EncodedSource], prefix: Sequence[Sequence[int]], terms: Sequence[TermIds]
    ) -> tuple[list[int], list[int]]:
        """The least and the most target tokens of each source, without EOS; a longer prefix is kept, and the tokens of
        terms are more that are allowed."""
        settings = self.search
        longest = min(settings.max_length, self.max_target - 1) if self.max_target else settings.max_length
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
        most = [
            max(most, len(start)) + sum(map(len, each))
            for (_, most), start, each in zip(limits, prefix, terms, strict=True)
        ]
        bound = int(SEARCH_BOUNDS["max_length"].most) if self.max_target is None else self.max_target - 1
        return [least for least, _ in limits], [min(one, bound) for one in most]

    def _translation(
        self,
        source: EncodedSource,
        found: Hypothesis,
        attention: bool,
        replace_unknown: bool,
        placed: Sequence[PlacedTerm] = (),
    ) -> Translation:
        """A hypothesis as text. `replace_unknown` needs its attention, which is returned only with `attention`.

        Raises RunError for a score that is not a number."""
        if math.isnan(found.log_prob):
            raise RunError(NO_PROBABILITIES)
        tokens, words = list(found.tokens), list(source.unknown)
        pieces = self._source_pieces(source)
        if replace_unknown and found.attention is not None:
            for t, token in enumerate(tokens):
                if token == UNK:  # take the source word with the most attention (Luong et al. 2015, section 4.1)
                    words.append(pieces[int(found.attention[t, :-1].argmax())])
                    tokens[t] = self.vocabularies.target.size + len(words) - 1
        target = self.vocabularies.target.pieces(tokens, words)
        weights = None
        if attention and found.attention is not None:  # an array, or a tensor of torch, perhaps in bfloat16
            is_array = isinstance(found.attention, np.ndarray)
            weights = np.asarray(found.attention if is_array else found.attention.float(), np.float32)
        return Translation(
            text=with_terms(target, placed),
            score=found.score,
            log_prob=found.log_prob,
            source=pieces,
            target=[*target, ""] if found.finished else target,
            attention=weights,
            finished=found.finished,
            ids=found.tokens,
            encoded=source,
            token_log_probs=found.token_log_probs,
        )

    def _source_pieces(self, source: EncodedSource) -> list[str]:
        """The subwords of a source as text; unknown ones as they were written."""
        known = self.vocabularies.source.pieces(source.ids)
        # the target side has the text of every piece that the source vocabulary lacks
        written = self.vocabularies.target.pieces(source.copy, source.unknown)
        return [text if i == UNK else piece for i, piece, text in zip(source.ids, known, written, strict=True)]


def with_terms(pieces: list[str], placed: Iterable[PlacedTerm]) -> str:
    """The text of pieces, in which each term is written as it was given, not as the vocabulary can.

    A term that is written otherwise is in `pieces`, too, as the first of its pieces, and the others are empty."""
    text = [piece.replace(SPACE_MARK, " ") for piece in pieces]
    for start, end, term in placed:
        before = "".join(text[:start])
        joined = before.endswith(" ") or (term.follows and before.endswith(term.follows))
        space = "" if joined or not text[start].startswith(" ") else " "
        text[start:end] = [space + term.text, *[""] * (end - start - 1)]
        if "".join(pieces[start:end]).replace(SPACE_MARK, " ") != text[start]:
            pieces[start:end] = [part.replace(" ", SPACE_MARK) for part in text[start:end]]
    return "".join(text).removeprefix(" ")


def _too_long(side: str, line: str, tokens: int | None, limit: int, name: str) -> DataError:
    """The error for a line of more than `limit` tokens, that of the setting `name`; None: not counted."""
    if tokens is None:
        size = f"{len(line):,} characters, more than fit into {limit:,} tokens, {name}"
    else:
        size = f"{tokens:,} tokens, more than the {limit:,} tokens of {name}"
    return DataError(f"a {side} line has {size}: {shortened(line, 60)}")


def warn_truncated(truncated: int, total: int, words: int) -> None:
    """Log a warning if any of `total` sources were `truncated` to their first `words` words (data.truncate_source)."""
    if truncated:
        log.warning("%d of %d sources were cut to %d words (data.truncate_source)", truncated, total, words)


def output_fields(found: Translation, rank: int, n_best: int) -> list[object]:
    """The fields of a line of output for one of `n_best` hypotheses: its text; or rank, score and text."""
    return [found.text] if n_best == 1 else [rank, found.score, found.text]


def as_values(found: Translation) -> dict[str, Any]:
    """A hypothesis as plain values."""
    return {name: getattr(found, name) for name in ("text", "score", "log_prob", "source", "target")}


def _refuse_settings(method: str, settings: Mapping[str, object]) -> None:
    """ConfigError for keywords that the method does not have, such as search settings."""
    for name, value in settings.items():
        if name in {field.name for field in fields(SearchConfig)}:
            raise ConfigError(
                f"{method} takes no search settings: give {name}={shortened(value)} to Translator.open(RUN, {name}=...)"
            )
        raise ConfigError(f"{method} has no option {quoted(name)}")


def _with_each(
    lines: Iterator[str], prefixes: Iterable[str] | None, terms: Iterable[LineTerms] | None
) -> Iterator[tuple[str, str, Sequence[Term]]]:
    """Each line with its prefix and its terms; DataError if there are more of one than of the other."""
    starts = repeat("") if prefixes is None else checked_lines(prefixes, "prefix")
    required = repeat(()) if terms is None else _checked_terms(terms)
    pairs = _paired(lines, starts, "prefix", "prefixes")
    for (line, start), each in _paired(pairs, required, "sequence of terms", "terms"):
        yield line, start, each


def _paired(lines: Iterator[S], given: Iterator[T], name: str, names: str) -> Iterator[tuple[S, T]]:
    """Each line with one of `given`, which has no end if it repeats one. DataError if their numbers differ."""
    end = object()
    for line in lines:
        if (one := next(given, end)) is end:
            break
        yield line, one  # type: ignore[misc]
    else:
        if isinstance(given, repeat) or next(given, end) is end:
            return
    raise DataError(f"each line needs one {name}, and the numbers of lines and {names} differ")


def _checked_terms(terms: Iterable[LineTerms]) -> Iterator[list[Term]]:
    """The terms of each line as Terms. DataError for what is no sequence of text that can be seen."""
    if not isinstance(terms, Iterable) or isinstance(terms, str):
        raise DataError(f"expected a sequence of terms for each line, not one {type(terms).__name__}")
    return (_line_terms(each, number) for number, each in enumerate(terms, 1))


def _line_terms(terms: LineTerms, number: int) -> list[Term]:
    if isinstance(terms, str | Term) or not isinstance(terms, Iterable):
        raise DataError(
            f"the terms of line {number} are of type {type(terms).__name__}, not a sequence: {quoted(terms)}"
        )
    found = [term if isinstance(term, Term) else Term(term) for term in terms]
    for term in found:
        if is_blank(check_line(term.text, f"a term of line {number}")):
            raise DataError(f"a term of line {number} has nothing that can be seen: {quoted(term.text)}")
    return found


def _checked_pairs(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The same pairs. DataError for what is no pair of lines."""
    if not isinstance(pairs, Iterable):
        raise DataError(f"expected pairs, such as a list of (source, target), not of type {type(pairs).__name__}")
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise DataError(f"pair {number} is not a pair of two strings, (source, target)")
        yield check_line(pair[0], f"source {number}"), check_line(pair[1], f"target {number}")


def padded_rows(rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Rows of ids as one array (B, longest), padded with PAD on the right."""
    out = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
    for row, ids in zip(out, rows, strict=True):
        row[: len(ids)] = ids
    return out
