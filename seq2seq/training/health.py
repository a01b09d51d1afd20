"""Does the attention do its work while it is learnt? A sample of the development set is looked at, with the references as targets."""

import logging
from collections import Counter
from collections.abc import Sequence

from seq2seq.config import ModelConfig
from seq2seq.data.readers import Pair
from seq2seq.evaluation.attention_maps import health_of, look
from seq2seq.translator import Translator

log = logging.getLogger("seq2seq")

SAMPLE = 64  # pairs: a small part of a validation
IN_A_ROW = 3  # validations that find the same before it is told: every attention begins by looking everywhere


class Watch:
    """Tells what is wrong with the attention, each thing once, when several validations have found it."""

    def __init__(self, translator: Translator, model: ModelConfig, pairs: Sequence[Pair]) -> None:
        self.translator, self.model, self.pairs = translator, model, pairs[:SAMPLE]
        self.found: Counter[str] = Counter()  # the kind of a warning -> validations in a row that found it

    def __call__(self) -> None:
        """Once for each validation, the model being in its place and in evaluation mode."""
        health = health_of(self.model)
        if not health.learnt:
            return
        whole = ((pair.source, pair.target) for pair in self.pairs if pair.source.strip() and pair.target.strip())
        given = list(self.translator.forced(whole))
        for _, looked in look(self.translator, given):
            health.add(looked.weights, looked.centers)
        warnings = health.found()
        self.found = Counter({kind: self.found[kind] + 1 for kind in warnings})
        for kind, sentence in warnings.items():
            if self.found[kind] == IN_A_ROW:
                log.warning("attention: %s", sentence)
