"""Health of translations: warnings, in plain sentences, where they hardly depend on their sources.

No bound of a score fits every language and every text. Translations that read their sources fit their own references
better than those of other sentences, whatever the score: it is compared between the two."""

from collections import Counter
from collections.abc import Sequence

from seq2seq.evaluation.metrics import score
from seq2seq.runtime.words import is_blank

MIN_SENTENCES = 10  # with fewer a warning would be about the sentences, not about the model
COMPARED = 200  # of the sentences, which bounds the time
RELATED = 0.08  # of the way from the score of wrong pairs to 100
SAME = 0.5  # of the outputs, or of the references, are one text
COPIED = 0.5  # of the outputs, or of the references, equal the source


def output_warnings(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str], metric: str = "chrf"
) -> dict[str, str]:
    """The warnings that apply, by name: same, copied, unrelated. Empty for fewer than MIN_SENTENCES sentences.

    metric: the key of METRICS that says how well a hypothesis fits a reference, as `sentence_metric` chooses it.
    What the references do themselves, such as copying their sources, is not warned of. Blank sources are left out."""
    lines = [line for line in zip(sources, hypotheses, references, strict=True) if not is_blank(line[0])][:COMPARED]
    if len(lines) < MIN_SENTENCES:
        return {}
    sources, hypotheses, references = (list(side) for side in zip(*lines, strict=True))
    found = {
        "same": _same(hypotheses, references),
        "copied": _copied(sources, hypotheses, references),
        "unrelated": _unrelated(hypotheses, references, metric),
    }
    return {name: sentence for name, sentence in found.items() if sentence}


def _same(hypotheses: Sequence[str], references: Sequence[str]) -> str:
    share = _most_common(hypotheses)
    if share < SAME or _most_common(references) >= SAME:
        return ""
    return f"The output is the same for {share:.0%} of the sources."


def _most_common(lines: Sequence[str]) -> float:
    """The share of the most common line."""
    return Counter(lines).most_common(1)[0][1] / len(lines)


def _copied(sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]) -> str:
    shares = [sum(a == b for a, b in zip(sources, side, strict=True)) / len(side) for side in (hypotheses, references)]
    if shares[0] < COPIED or shares[1] >= COPIED:
        return ""
    return f"{shares[0]:.0%} of the outputs are copies of their sources."


def _unrelated(hypotheses: Sequence[str], references: Sequence[str], metric: str) -> str:
    if _most_common(references) >= SAME:  # the next reference is often the same
        return ""
    right, wrong = (
        score(hypotheses, [side], [metric], bootstrap=0)[0].value
        for side in (references, [*references[1:], references[0]])
    )
    if right - wrong >= RELATED * (100 - wrong):
        return ""
    return (
        "The outputs have hardly anything to do with their sources: they fit the references of other sentences "
        f"almost as well as their own, with {metric} {wrong:.1f} and {right:.1f}."
    )
