"""What do BLEU, chrF and TER say? The only door to sacrebleu, which is imported on use."""

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from seq2seq.evaluation.score import Array, How, Score, figure

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

log = logging.getLogger(__name__)


def score(name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], how: How) -> Score:
    """A row of SACRE: sacrebleu's statistics, formula and signature; the resampling is ours, so that every figure shares it."""
    metric = SACRE[name](how)
    statistics = np.array(metric._extract_corpus_statistics(hypotheses, references), dtype=np.float64)
    if how.bootstrap:
        metric.n_bootstrap, metric.seed = how.bootstrap, str(how.seed)
    return figure(name, statistics, partial(_corpus, metric), str(metric.get_signature()), how)


def paired_test(
    kind: str,
    names: Sequence[str],
    systems: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    how: How,
    samples: int,
) -> dict[str, list[float]]:
    """sacrebleu's own p-values of each system but the first, which the others are tested against, by name of the metric.

    kind: a row of TESTS; systems: the hypotheses of each; names: rows of SACRE. `samples` resamples or trials."""
    from sacrebleu.significance import PairedTest

    metrics = {name: SACRE[name](how) for name in names}
    test = PairedTest([(str(i), lines) for i, lines in enumerate(systems)], metrics, references, TESTS[kind], samples)
    test._seed = how.seed
    found = list(test()[1].values())[1:]  # after the systems' names, in the order of the metrics
    return {name: [float(result.p_value) for result in results[1:]] for name, results in zip(names, found, strict=True)}  # type: ignore


def bleu(how: How) -> "Metric":
    """BLEU (Papineni et al. 2002, section 2.3) of plain text, tokenised as the target language asks (Post 2018), or of
    characters where the tokenizer for the language is not installed."""
    from sacrebleu.metrics.bleu import BLEU

    language = how.language.lower().replace("_", "-").split("-")[0]
    try:
        return BLEU(trg_lang=language, lowercase=how.lowercase)
    except RuntimeError:
        _say_characters(language)
        return BLEU(tokenize="char", lowercase=how.lowercase)


def chrf(how: How, words: int = 0) -> "Metric":
    """chrF2 (Popovic 2015, eq. 1) of character 6-grams; with word n-grams up to `words` = 2, chrF++ (Popovic 2017)."""
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=words, lowercase=how.lowercase)


def ter(how: How) -> "Metric":
    """TER (Snover et al. 2006): edits and shifts per reference word, case ignored; lower is better."""
    from sacrebleu.metrics.ter import TER

    return TER()


@cache  # said once, not at every validation
def _say_characters(language: str) -> None:
    log.warning("BLEU of %s is of characters (tok:char): pip install 'sacrebleu[%s]' for words", language, language)


def _corpus(metric: "Metric", sums: Array) -> float:
    return float(metric._compute_score_from_stats(sums.tolist()).score)


SACRE: dict[str, Callable[[How], "Metric"]] = {"bleu": bleu, "chrf": chrf, "chrf++": partial(chrf, words=2), "ter": ter}
TESTS = {"bootstrap": "bs", "randomisation": "ar"}  # our names of the tests, and sacrebleu's
