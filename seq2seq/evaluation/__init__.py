"""Scores of text, significance of their differences, and statistics of attention."""

from typing import TYPE_CHECKING

from seq2seq.utils.lazy import lazy_names

if TYPE_CHECKING:
    from seq2seq.evaluation.alignment import alignment_scores as alignment_scores
    from seq2seq.evaluation.alignment import argmax_links as argmax_links
    from seq2seq.evaluation.alignment import one_to_one_links as one_to_one_links
    from seq2seq.evaluation.attention_stats import diagonality as diagonality
    from seq2seq.evaluation.attention_stats import entropy as entropy
    from seq2seq.evaluation.attention_stats import normalized_entropy as normalized_entropy
    from seq2seq.evaluation.heatmap import render_text as render_text
    from seq2seq.evaluation.metrics import METRICS as METRICS
    from seq2seq.evaluation.metrics import score as score
    from seq2seq.evaluation.over_seeds import two_level_test as two_level_test
    from seq2seq.evaluation.picture import write_picture as write_picture
    from seq2seq.evaluation.scores import Score as Score
    from seq2seq.evaluation.significance import bootstrap_interval as bootstrap_interval
    from seq2seq.evaluation.significance import paired_bootstrap as paired_bootstrap
    from seq2seq.evaluation.significance import randomisation as randomisation
    from seq2seq.evaluation.symmetrization import SYMMETRIZATIONS as SYMMETRIZATIONS

__all__ = [
    "METRICS",
    "SYMMETRIZATIONS",
    "Score",
    "alignment_scores",
    "argmax_links",
    "bootstrap_interval",
    "diagonality",
    "entropy",
    "normalized_entropy",
    "one_to_one_links",
    "paired_bootstrap",
    "randomisation",
    "render_text",
    "score",
    "two_level_test",
    "write_picture",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "alignment_scores": "alignment",
        "argmax_links": "alignment",
        "one_to_one_links": "alignment",
        "diagonality": "attention_stats",
        "entropy": "attention_stats",
        "normalized_entropy": "attention_stats",
        "render_text": "heatmap",
        "write_picture": "picture",
        "METRICS": "metrics",
        "score": "metrics",
        "two_level_test": "over_seeds",
        "Score": "scores",
        "bootstrap_interval": "significance",
        "paired_bootstrap": "significance",
        "randomisation": "significance",
        "SYMMETRIZATIONS": "symmetrization",
    },
)
