"""ROUGE by Google's rouge-score package. Only this module imports rouge_score, on first use."""

import logging
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seq2seq.errors import ConfigError, DataError, unknown
from seq2seq.evaluation import text_stats
from seq2seq.evaluation.scores import Array, MetricOptions, Score, make_score
from seq2seq.ids import BREAK

log = logging.getLogger("seq2seq")


class RougeTokenizer(NamedTuple):
    """A tokenizer as the scorer of rouge-score calls it."""

    name: str  # in the signature
    tokenize: Callable[[str], list[str]]


def rouge(kind: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], options: MetricOptions) -> Score:
    """Mean F1 of ROUGE-`kind`, one of 1, 2, L, Lsum (Lin 2004, eq. 2-4 for L), x 100.

    Each hypothesis is scored against its best reference. Lsum takes each line of a text as a sentence, where <n> ends a
    line too; text with neither is one sentence. Case is ignored. Tokens are those of `open_tokenizer`; by default runs
    of a-z and 0-9, as in all published figures, of which an umlaut splits a word, with a warning. Raises ConfigError
    for an unknown tokenizer, DataError if no reference has any token.
    """
    from rouge_score.rouge_scorer import RougeScorer

    tokenizer = open_tokenizer(options.rouge_tokenizer, options.stemming)
    hypotheses, *references = ([line.replace(BREAK, "\n") for line in lines] for lines in (hypotheses, *references))
    name = f"rouge{kind}"
    if not any(tokenizer.tokenize(line) for lines in references for line in lines):
        others = ", or take chrf" if options.rouge_tokenizer != "default" else ADVICE
        raise DataError(f"{name} finds no letter or other token in any reference (tok:{tokenizer.name}){others}")
    if options.rouge_tokenizer == "default":
        _warn_of_dropped_letters([line for lines in references for line in lines])
    scorer = RougeScorer([name], tokenizer=tokenizer)
    sentences = zip(hypotheses, zip(*references, strict=True), strict=True)
    best = [scorer.score_multi(targets, line)[name].fmeasure for line, targets in sentences]
    statistics = np.stack([100 * np.array(best), np.ones(len(best))], axis=1)  # (n, 2)
    signature = _signature(kind, len(references), tokenizer.name, options)
    return make_score(name, statistics, mean_of_sums, signature, options)


@lru_cache(maxsize=4)
def open_tokenizer(name: str, stemming: bool = False) -> RougeTokenizer:
    """The tokenizer of ROUGE: a key of TOKENIZERS, or the path of a SentencePiece model, whose pieces are the tokens.

    stemming: compare Porter stems. Raises ConfigError for another name, and for stemming with any but the default;
    RunError for a file that is no model."""
    if name == "default":
        from rouge_score.tokenizers import DefaultTokenizer

        return RougeTokenizer("a-z0-9", DefaultTokenizer(stemming).tokenize)
    if stemming:
        raise ConfigError(f"--stemming would be ignored: --rouge-tokenizer={name} compares whole tokens")
    if name in TOKENIZERS:
        return RougeTokenizer(name, TOKENIZERS[name])
    if not Path(name).is_file():
        raise ConfigError(
            f"{unknown('rouge_tokenizer', name, ('default', *TOKENIZERS))}, or the file of a SentencePiece model"
        )
    from seq2seq.data.tokenizer import open_pieces

    pieces, digest = open_pieces(Path(name))
    return RougeTokenizer(f"spm-{digest[:8]}", lambda text: pieces(_folded(text)))


def _folded(text: str) -> str:
    """Lower-cased, with letters and accents composed: é is one character."""
    return unicodedata.normalize("NFC", text.lower())


def unicode_tokens(text: str) -> list[str]:
    """Words of any script: letters, marks and digits. Of a script without spaces each character is a token."""
    return text_stats.tokens(_folded(text))


def character_tokens(text: str) -> list[str]:
    """All characters but spaces."""
    return [c for c in _folded(text) if not c.isspace()]


def _warn_of_dropped_letters(references: Sequence[str]) -> None:
    """Log a warning, once, if there are letters which the default tokenizer drops."""
    found = [line for line in references if not line.isascii() and any(map(_is_dropped, line.lower()))]
    if found:
        example = next(filter(_is_dropped, found[0].lower()))
        _warn_dropped(len(found), len(references), example)


def _is_dropped(c: str) -> bool:
    return not c.isascii() and c.isalpha()


@cache  # warns once, not at every validation and for every kind of ROUGE
def _warn_dropped(found: int, references: int, example: str) -> None:
    log.warning(
        "ROUGE drops letters other than a-z, which %d of %d references have, such as %s%s",
        found,
        references,
        example,
        ADVICE,
    )


def mean_of_sums(sums: Array) -> float:
    """The mean of values, from their sum and their number (2,)."""
    return float(sums[0] / sums[1])


def _signature(kind: str, references: int, tokenizer: str, options: MetricOptions) -> str:
    """All that changes the score, in sacreBLEU's notation (Post 2018): key:value|..."""
    bootstrap = {"bs": options.bootstrap, "seed": options.seed} if options.bootstrap else {}
    parts = {
        "rouge": kind,
        "nrefs": references,
        **bootstrap,
        "case": "lc",
        "tok": tokenizer,
        "stem": "porter" if options.stemming else "no",
        "split": "newline" if kind == "Lsum" else "no",
        "stat": "f1",
        "pkg": "rouge-score",
        "version": version("rouge-score"),
    }
    return "|".join(f"{key}:{value}" for key, value in parts.items())


ADVICE = "; --rouge-tokenizer unicode (training.rouge_tokenizer) reads those of every script, or take chrf"
TOKENIZERS: dict[str, Callable[[str], list[str]]] = {  # besides "default"
    "unicode": unicode_tokens,
    "chars": character_tokens,
}
