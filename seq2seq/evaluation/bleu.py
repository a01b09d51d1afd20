"""BLEU, chrF and TER by sacreBLEU, and its paired tests. Only this module imports sacrebleu, on first use."""

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from seq2seq.config.languages import find_language
from seq2seq.evaluation.scores import Array, MetricOptions, Score, make_score
from seq2seq.runtime.words import is_unspaced

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

log = logging.getLogger(__name__)


def sacrebleu_score(
    name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], options: MetricOptions
) -> Score:
    """The score by a metric of SACREBLEU_METRICS: sacreBLEU's statistics, formula and signature.

    The bootstrap is ours, so that every score is resampled in the same way."""
    metric = SACREBLEU_METRICS[name](options)
    warn_of_spaces(name, references[0], options)
    statistics = np.array(metric._extract_corpus_statistics(hypotheses, references), dtype=np.float64)
    if options.bootstrap:
        metric.n_bootstrap, metric.seed = options.bootstrap, str(options.seed)  # for the signature
    return make_score(name, statistics, partial(_score_of_sums, metric), str(metric.get_signature()), options)


def sacrebleu_p_values(
    test: str,
    metrics: Sequence[str],
    systems: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    *,
    options: MetricOptions,
    samples: int,
) -> dict[str, list[float]]:
    """sacreBLEU's own p-values by metric: of each system but the first, which is the baseline.

    test: a key of PAIRED_TESTS; metrics: keys of SACREBLEU_METRICS; systems: the hypotheses of each; samples: how many
    resamples or trials."""
    from sacrebleu.significance import PairedTest

    made = {name: SACREBLEU_METRICS[name](options) for name in metrics}
    named_systems = [(str(i), lines) for i, lines in enumerate(systems)]
    paired = PairedTest(named_systems, made, references, PAIRED_TESTS[test], samples)
    paired._seed = options.seed
    _, *results = paired()[1].values()  # the first holds the systems' names, the others are in the order of `metrics`
    return {
        name: [float(result.p_value) for result in of_systems[1:]]  # type: ignore
        for name, of_systems in zip(metrics, results, strict=True)
    }


def bleu(options: MetricOptions) -> "Metric":
    """BLEU (Papineni et al. 2002, section 2.3) of detokenized text, tokenized for the target language (Post 2018).

    Text is split into characters, with a warning, where that language's tokenizer is not installed."""
    from sacrebleu.metrics.bleu import BLEU

    tokenizer = BLEU_TOKENIZERS.get(script_of(options.language), "13a")
    try:
        return BLEU(tokenize=tokenizer, lowercase=options.lowercase)
    except RuntimeError:
        _warn_characters(tokenizer.split("-")[0])
        return BLEU(tokenize="char", lowercase=options.lowercase)


def chrf(options: MetricOptions, word_order: int = 0) -> "Metric":
    """chrF2 of character 6-grams (Popovic 2015, eq. 1); with `word_order` 2, chrF2++ (Popovic 2017)."""
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=word_order, lowercase=options.lowercase)


def ter(options: MetricOptions) -> "Metric":
    """TER (Snover et al. 2006): edits and shifts per reference word, case ignored; lower is better.

    Of Chinese and Japanese each character is a word."""
    from sacrebleu.metrics.ter import TER

    asian = script_of(options.language) in TER_CHARACTERS
    return TER(normalized=asian, asian_support=asian)


def script_of(language: str) -> str:
    """The ISO 15924 code of the script of a language; "" if it is not known."""
    found = find_language(language) if language else None
    return found.script if found else ""


def warn_of_spaces(name: str, references: Sequence[str], options: MetricOptions) -> None:
    """Log a warning, once, if a metric counts words between spaces and the text has hardly any."""
    script = script_of(options.language)
    if (name == "bleu" and script not in BLEU_TOKENIZERS) or (name == "ter" and script not in TER_CHARACTERS):
        lines = [line for line in references if line.strip()]
        if sum(map(is_unspaced, lines)) > len(lines) / 2:
            _warn_spaces(name)


@cache  # warns once, not at every validation
def _warn_spaces(name: str) -> None:
    if name == "bleu":
        cure = "name its language, such as zh, ja or th (--language, or data.target_language)"
    else:
        cure = "--language zh or ja (data.target_language) makes it count characters; for other languages take chrf"
    log.warning("%s counts words between spaces, but this text has hardly any: %s", name.upper(), cure)


@cache  # warns once per language, not at every validation
def _warn_characters(language: str) -> None:
    log.warning("BLEU of %s is of characters (tok:char): pip install 'sacrebleu[%s]' for words", language, language)


def _score_of_sums(metric: "Metric", sums: Array) -> float:
    return float(metric._compute_score_from_stats(sums.tolist()).score)


SACREBLEU_METRICS: dict[str, Callable[[MetricOptions], "Metric"]] = {
    "bleu": bleu,
    "chrf": chrf,
    "chrf++": partial(chrf, word_order=2),
    "ter": ter,
}
BLEU_TOKENIZERS = {  # script of text without spaces -> sacreBLEU's tokenizer, which of Thai and its neighbours is none
    **dict.fromkeys(("Hans", "Hant", "Hani", "Bopo", "Hanb"), "zh"),
    **dict.fromkeys(("Jpan", "Hrkt", "Hira", "Kana"), "ja-mecab"),
    **dict.fromkeys(("Kore", "Hang"), "ko-mecab"),
    **dict.fromkeys(("Thai", "Laoo", "Khmr", "Mymr", "Tibt", "Lana", "Tale", "Talu", "Tavt", "Bali", "Java"), "char"),
}
TER_CHARACTERS = {script for script, name in BLEU_TOKENIZERS.items() if name in ("zh", "ja-mecab")}
PAIRED_TESTS = {"bootstrap": "bs", "randomisation": "ar"}  # our name of a test -> sacreBLEU's
