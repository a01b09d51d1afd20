"""Whether attention explains a label: what happens to its probability when words are erased.

Comprehensiveness is how much the probability falls without some words, sufficiency how much with these words alone
(DeYoung et al. 2020, section 5); the words with the most attention are compared with random ones, and with those that
decide where these are known. n texts.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from seq2seq.evaluation import attention_stats
from seq2seq.evaluation.alignment import word_weights
from seq2seq.evaluation.scores import Array, MetricOptions, Score, make_score
from seq2seq.runtime.words import is_blank, single_spaces
from seq2seq.translator import Translator

Links = Sequence[frozenset[int]]  # of each text the words that decide, counted from 0


class Erasures(NamedTuple):
    """The probabilities of the label that each text got, with the whole text and with words erased."""

    whole: Array  # (n,) of the texts that are not blank
    without: dict[str, Array]  # which words -> (n,) nan where a text has none
    alone: dict[str, Array]
    words: int  # that are chosen of each text
    mass: Array  # (n,) share of the attention on the words that decide; nan where none are known
    hit: Array  # (n,) whether the word with the most attention is one of them


def erase_words(
    translator: Translator,
    texts: Sequence[str],
    deciding: Links | None = None,
    *,
    learned: bool = True,
    words: int = 1,
    seed: int = 1,
) -> Erasures:
    """Label each text, and give the probability of that label for parts of it. Texts are split at spaces.

    learned: whether the attention is learned; if not, no words have the most. words: how many of these, and how many
    random ones; a text of fewer keeps one. Blank texts are left out."""
    rng, kept = random.Random(seed), [i for i, text in enumerate(texts) if not is_blank(text)]
    texts = [single_spaces(texts[i]) for i in kept]
    deciding = None if deciding is None else [deciding[i] for i in kept]
    found = [answers[0] for answers in translator.hypotheses(texts, attention=True)]
    split = [text.split(" ") for text in texts]
    attention = [word_weights(one)[2].mean(0)[: len(own)] for one, own in zip(found, split, strict=True)]
    sizes = [max(1, min(words, len(own) - 1)) for own in split]
    chosen: dict[str, list[set[int]]] = {
        "random": [set(rng.sample(range(len(own)), k)) for own, k in zip(split, sizes, strict=True)]
    }
    if learned:
        most = [set(np.argsort(-a, kind="stable")[:k].tolist()) for a, k in zip(attention, sizes, strict=True)]
        chosen = {"most attended": most} | chosen
    if deciding is not None:
        chosen["deciding"] = [set(one) for one in deciding]

    def probabilities(keep: Callable[[int, set[int]], bool], places: Sequence[set[int]]) -> Array:
        """Of the labels, with the words that are kept; nan where there are no places, or nothing is left."""
        texts = [
            " ".join(word for i, word in enumerate(own) if keep(i, at)) if at else ""
            for own, at in zip(split, places, strict=True)
        ]
        scored = translator.forced_decode((text, one.text) for text, one in zip(texts, found, strict=True))
        return np.array([np.exp(one.log_prob) if text else np.nan for text, one in zip(texts, scored, strict=True)])

    mass, hit = np.full(len(texts), np.nan), np.full(len(texts), np.nan)
    for n, at in enumerate(deciding or ()):
        if at and learned and (total := attention[n].sum()):
            mass[n] = attention[n][sorted(at)].sum() / total
            hit[n] = float(int(attention[n].argmax()) in at)
    return Erasures(
        whole=np.exp([one.log_prob for one in found]),
        without={name: probabilities(lambda i, at: i not in at, places) for name, places in chosen.items()},
        alone={name: probabilities(lambda i, at: i in at, places) for name, places in chosen.items()},
        words=words,
        mass=mass,
        hit=hit,
    )


def erasure_scores(erased: Erasures, options: MetricOptions) -> list[Score]:
    """Percentages with intervals: how far the probability falls without the words (higher: they matter), and with them
    alone (lower: they suffice), for each choice of words; and the agreement of attention with the words that decide.

    A choice that no text has, such as the most attended words of a pooling without attention, has no score."""
    scores = []
    for measure, table in (("comprehensiveness", erased.without), ("sufficiency", erased.alone)):
        for name, values in table.items():
            if np.isnan(values).all():
                continue
            chosen = "all deciding words" if name == "deciding" else f"{name}, {erased.words} of each text"
            scores.append(_mean(measure, erased.whole - values, f"words:{chosen}", options))
    if not np.isnan(erased.mass).all():
        scores.append(_mean("attention_mass", erased.mass, "words:all deciding words", options))
        scores.append(_mean("attention_hit", erased.hit, "words:the most attended is a deciding one", options))
    return scores


def _mean(name: str, values: Array, signature: str, options: MetricOptions) -> Score:
    """The mean of the values (n,) that are no nan, as a percentage."""
    known = ~np.isnan(values)
    statistics = np.stack((np.where(known, values, 0.0), known), 1)
    resampled = f"|bs:{options.bootstrap}|seed:{options.seed}" if options.bootstrap else ""
    texts = f"|texts:{int(known.sum())}"
    return make_score(name, statistics, attention_stats.percent, signature + texts + resampled, options)
