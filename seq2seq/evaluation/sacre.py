"""What do BLEU, chrF and TER say? The only door to sacrebleu, which is imported on use."""

import logging
from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from seq2seq.evaluation.score import Array, How, Score, figure

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

log = logging.getLogger(__name__)


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]], how: How) -> Score:
    """BLEU (Papineni et al. 2002, section 2.3) of plain text, tokenised as the target language asks (Post 2018)."""
    return _score("bleu", _language_bleu(how), hypotheses, references, how)


def chrf(hypotheses: Sequence[str], references: Sequence[Sequence[str]], how: How, words: int = 0) -> Score:
    """chrF2 (Popovic 2015, eq. 1) of character 6-grams; with word n-grams up to `words` = 2, chrF++ (Popovic 2017)."""
    from sacrebleu.metrics.chrf import CHRF

    return _score("chrf" + "+" * words, CHRF(word_order=words, lowercase=how.lowercase), hypotheses, references, how)


def ter(hypotheses: Sequence[str], references: Sequence[Sequence[str]], how: How) -> Score:
    """TER (Snover et al. 2006): edits and shifts per reference word, case ignored; lower is better."""
    from sacrebleu.metrics.ter import TER

    return _score("ter", TER(), hypotheses, references, how)


def _language_bleu(how: How) -> "Metric":
    """BLEU under sacrebleu's own choice for the language, or of characters where that tokenizer is not installed."""
    from sacrebleu.metrics.bleu import BLEU

    language = how.language.lower().replace("_", "-").split("-")[0]
    try:
        return BLEU(trg_lang=language, lowercase=how.lowercase)
    except RuntimeError:
        _say_characters(language)
        return BLEU(tokenize="char", lowercase=how.lowercase)


@cache  # said once, not at every validation
def _say_characters(language: str) -> None:
    log.warning("BLEU of %s is of characters (tok:char): pip install 'sacrebleu[%s]' for words", language, language)


def _score(name: str, metric: "Metric", hypotheses: Sequence[str], references: Sequence[Sequence[str]], how: How) -> Score:
    """sacrebleu's statistics, formula and signature; the resampling is ours, so that every figure shares it."""
    statistics = np.array(metric._extract_corpus_statistics(hypotheses, references), dtype=np.float64)
    if how.bootstrap:
        metric.n_bootstrap, metric.seed = how.bootstrap, str(how.seed)
    return figure(name, statistics, partial(_corpus, metric), str(metric.get_signature()), how)


def _corpus(metric: "Metric", sums: Array) -> float:
    return float(metric._compute_score_from_stats(sums.tolist()).score)
