"""Batches across requests: a thread for each model translates sentences of all that wait together.

A job is what one request wants of one model. Each batch takes a sentence of every job in turn, so that a long text
delays a short one by a batch and not by its length. A job that nobody waits for any more is dropped.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

from seq2seq.errors import RunError, Seq2SeqError
from seq2seq.runtime.search_config import SearchConfig
from seq2seq.runtime.translation import LineTranslator, Translation
from seq2seq.serve.heads import HeadChoice, with_attention
from seq2seq.serve.refusals import DrainingError, QueueFullError

log = logging.getLogger("seq2seq")

ANSWER = 0.0005  # seconds in which an answer is sent, and the next request of its client read


@dataclass(eq=False)
class Job:
    """The sentences of one request, which are translated with the same settings."""

    lines: Sequence[str]
    tokens: Sequence[int]  # of each line, as the model reads it
    search: SearchConfig
    attention: bool = False  # whether the translations come with their attention
    choice: HeadChoice | None = None  # whose attention; None: as the search gives it
    answer: "Future[list[list[Translation]]]" = field(default_factory=Future)  # the hypotheses of each line
    taken: int = 0  # lines that are translated, or in a batch
    arrived: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.found: dict[int, list[Translation]] = {}
        self.kind = (*vars(self.search).values(), self.attention, self.choice)  # only jobs of one kind share a batch
        if not self.lines:
            self.answer.set_result([])

    def finish(self, i: int, found: list[Translation]) -> None:
        """Note the hypotheses of line `i`, and give the answer if they were the last."""
        self.found[i] = found
        if len(self.found) == len(self.lines):
            with suppress(InvalidStateError):  # cancelled meanwhile
                self.answer.set_result([self.found[i] for i in range(len(self.lines))])

    def fail(self, error: Exception) -> None:
        """Give the error as the answer."""
        with suppress(InvalidStateError):
            self.answer.set_exception(error)


class Limits(NamedTuple):
    """When a batch is full, and how many jobs may wait."""

    tokens: int = 4096  # source tokens of a batch, padding included
    wait: float = 0.005  # seconds without a new job, after which no more are waited for
    jobs: int = 100


class BatchStats(NamedTuple):
    """What is known of a batch that was translated."""

    sentences: int
    tokens: int
    seconds: float


class Batcher:
    """Translates jobs with one translator, in a thread of its own.

    open_translator: called in that thread, since OpenMP has other threads for each that computes, and as soon as there
    are more of them than cores they sleep between operators: a translator that another thread has opened is a fifth
    slower. Its errors are those of the constructor.
    observe: called after each batch"""

    def __init__(
        self,
        open_translator: Callable[[], LineTranslator],
        limits: Limits = Limits(),  # noqa: B008
        observe: Callable[[BatchStats], object] = lambda stats: None,
    ) -> None:
        self.limits, self.observe = limits, observe
        self.changed = threading.Condition()  # guards what follows
        self.jobs: deque[Job] = deque()  # with lines that are in no batch yet, the next to be served first
        self.closing = False
        self.came = self.answered = 0  # jobs since the last batch, and those that it finished
        self.idle_since = 0.0
        opened: Future[LineTranslator] = Future()
        words = [open_translator, opened]
        self.thread = threading.Thread(target=self._work, args=words, name="seq2seq-serve", daemon=True)
        self.thread.start()
        try:
            self.translator = opened.result()
        except BaseException:  # also Ctrl-C
            opened.cancel()
            self.close()
            raise

    def job(
        self,
        lines: Sequence[str],
        search: SearchConfig | None = None,
        attention: bool = False,
        choice: HeadChoice | None = None,
    ) -> Job:
        """A job for these lines; search: other settings than the translator's. Raises DataError for what is no line."""
        tokens = [len(self.translator.encode_source(line).ids) for line in lines]
        return Job(lines, tokens, search or self.translator.search, attention, choice)

    def submit(self, job: Job) -> "Future[list[list[Translation]]]":
        """Have a job translated; its answer, which may be cancelled.

        Raises QueueFullError if too many wait, and DrainingError after `close`."""
        with self.changed:
            self._drop_done()
            if self.closing:
                raise DrainingError
            if not self.alive():
                raise RunError("the model has stopped, because of an error that is in the log: restart the server")
            if len(self.jobs) >= self.limits.jobs:
                raise QueueFullError(f"{len(self.jobs):,} requests wait already: send this one again in a second")
            if job.lines:
                self.jobs.append(job)
                self.came += 1
                self.changed.notify()
        return job.answer

    def waiting(self) -> int:
        """The number of lines that are in no batch yet."""
        with self.changed:
            self._drop_done()
            return sum(len(job.lines) - job.taken for job in self.jobs)

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self.thread.is_alive()

    def close(self, finish: bool = True) -> None:
        """Translate what was submitted, or only the present batch, accept no more, and end the thread.

        A thread that is left in the middle of a batch would make the process crash at its end."""
        with self.changed:
            self.closing = True
            if not finish:
                for job in self.jobs:
                    job.answer.cancel()
            self.changed.notify()
        self.thread.join()

    def _work(self, open_translator: Callable[[], LineTranslator], opened: "Future[LineTranslator]") -> None:
        try:
            translator = open_translator()
        except Exception as error:
            with suppress(InvalidStateError):
                opened.set_exception(error)
            return
        with suppress(InvalidStateError):
            opened.set_result(translator)
        while batch := self._next_batch():
            self._translate(batch)
            with self.changed:
                self.came, self.answered = 0, len({job for job, _ in batch if job.answer.done()})
                self.idle_since = time.monotonic()

    def _next_batch(self) -> list[tuple[Job, int]]:
        """The lines to translate next, as (job, index); none at the end. Waits for some."""
        with self.changed:
            while True:
                self._drop_done()
                if not self.jobs:
                    if self.closing:
                        return []
                    self.changed.wait()
                elif self.closing or self._is_full() or (left := self._patience()) <= 0:
                    return self._take()
                else:
                    self.changed.wait(left)

    def _patience(self) -> float:
        """Seconds to wait for more jobs: none if as many have come as were answered last, else until none has come for
        a while.

        Clients that wait for an answer send their next sentence when they have it. Without a pause those of a batch
        would never meet those that came meanwhile."""
        if self.came >= self.answered:
            return 0.0
        last = max(self.idle_since + ANSWER * self.answered, max(job.arrived for job in self.jobs))
        return last + self.limits.wait - time.monotonic()

    def _is_full(self) -> bool:
        """Whether there is no need to wait for more sentences."""
        tokens = sentences = 0
        for job in self.jobs:
            for count in islice(job.tokens, job.taken, None):
                tokens, sentences = tokens + count, sentences + 1
                if tokens >= self.limits.tokens or sentences >= self.translator.search.batch:
                    return True
        return False

    def _drop_done(self) -> None:
        """Forget jobs that were cancelled, or of which a line has failed."""
        if any(job.answer.done() for job in self.jobs):
            self.jobs = deque(job for job in self.jobs if not job.answer.done())

    def _take(self) -> list[tuple[Job, int]]:
        """A batch: a line of each job in turn while they fit, all of the kind of the first.

        A line that does not fit, as it is so long that others would be padded to it, stays the first of its job; jobs
        of which nothing was taken are served before others the next time."""
        kind, search = self.jobs[0].kind, self.jobs[0].search
        wider = max(
            1.0, search.width / self.translator.search.width
        )  # hypotheses of a sentence, as it may ask for more
        most, budget = max(1, int(search.batch / wider)), self.limits.tokens / wider
        batch: list[tuple[Job, int]] = []
        longest, turn, served = 0, list(self.jobs), set()
        while turn and len(batch) < most:
            rest = []
            for job in turn:
                tokens = max(longest, job.tokens[job.taken])
                if batch and (job.kind != kind or (len(batch) + 1) * tokens > budget or len(batch) == most):
                    continue
                batch.append((job, job.taken))
                job.taken, longest = job.taken + 1, tokens
                served.add(job)
                if job.taken < len(job.lines):
                    rest.append(job)
            turn = rest
        left = [job for job in self.jobs if job.taken < len(job.lines)]
        self.jobs = deque(sorted(left, key=lambda job: job in served))  # stable: in the order in which they were
        return batch

    def _translate(self, batch: Sequence[tuple[Job, int]]) -> None:
        """Translate a batch; after an error each line alone, so that only its own job fails."""
        start = time.monotonic()
        try:
            hypotheses = self._hypotheses(batch)
            tokens = sum(job.tokens[i] for job, i in batch)
            self.observe(BatchStats(len(batch), tokens, time.monotonic() - start))  # before the answers
            for (job, i), found in zip(batch, hypotheses, strict=True):
                job.finish(i, found)
        except Exception as error:
            if len(batch) > 1:
                for one in batch:
                    if not one[0].answer.done():
                        self._translate([one])
                return
            if not isinstance(error, Seq2SeqError):
                log.error("%s while translating: a request failed", type(error).__name__)
            batch[0][0].fail(error)

    def _hypotheses(self, batch: Sequence[tuple[Job, int]]) -> list[list[Translation]]:
        job, _ = batch[0]
        translator: Any = self.translator
        if job.search != translator.search:
            translator = replace(translator, search=job.search)
        lines = [job.lines[i] for job, i in batch]
        found = list(translator.hypotheses(lines, attention=job.attention))
        if len(found) != len(lines):  # never of our translators
            raise RunError("the model gave another number of translations than there are sentences")
        return found if job.choice is None else with_attention(translator, found, job.choice)
