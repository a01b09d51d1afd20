"""A stand-in for a translator, for tests of what is around it."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from seq2seq.errors import DataError
from seq2seq.runtime.search_config import SearchConfig
from seq2seq.runtime.translation import Translation


@dataclass
class StandIn:
    """Translates a line to upper case, or the other hypotheses to that with primes; a token is a word.

    While `gate` is shut, nothing is translated."""

    search: SearchConfig = field(default_factory=SearchConfig)
    mark: str = ""  # what all its translations begin with
    batches: list[list[str]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def encode_source(self, line: str) -> Any:
        if "\0" in line:
            raise DataError("no text")
        return SimpleNamespace(ids=line.split())

    def hypotheses(self, lines: Sequence[str], *, attention: bool) -> Iterator[list[Translation]]:
        self.batches.append(list(lines))
        assert self.gate.wait(10)
        for line in lines:
            if "bad" in line.split():
                raise DataError("the line is bad")
            if "bug" in line.split():
                raise ZeroDivisionError(line)
            yield [self.translation(line, rank, attention) for rank in range(self.search.n_best)]

    def translation(self, line: str, rank: int, attention: bool) -> Translation:
        words = [f"▁{word}" for word in line.split()]
        weights = np.eye(len(words) + 1, dtype=np.float32) if attention else None
        text = self.mark + line.upper() + "'" * rank
        return Translation(text, -1.0 - rank, -2.0 - rank, [*words, ""], [*map(str.upper, words), ""], weights)
