"""Figures of a server for Prometheus. Only this module imports prometheus_client."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from seq2seq.serve.batching import BatchStats

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SENTENCES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts requests and batches; none of it holds text."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        registry: Any = {"registry": self.registry}
        self.requests = Counter("seq2seq_requests", "Answered requests", ["path", "status"], **registry)
        self.seconds = Histogram(
            "seq2seq_request_seconds", "Time to the whole answer", ["path"], buckets=SECONDS, **registry
        )
        self.sentences = Counter("seq2seq_sentences", "Translated sentences", ["model"], **registry)
        self.tokens = Counter("seq2seq_source_tokens", "Translated source tokens", ["model"], **registry)
        self.batches = Histogram(
            "seq2seq_batch_sentences",
            "Sentences that were translated together",
            ["model"],
            buckets=SENTENCES,
            **registry,
        )
        self.batch_seconds = Histogram(
            "seq2seq_batch_seconds", "Time to translate a batch", ["model"], buckets=SECONDS, **registry
        )
        self.waiting = Gauge("seq2seq_waiting_sentences", "Sentences that are in no batch yet", ["model"], **registry)

    def add_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def observer(self, model: str) -> Callable[[BatchStats], None]:
        """A function that counts a batch of this model."""

        def observe(stats: BatchStats) -> None:
            self.sentences.labels(model).inc(stats.sentences)
            self.tokens.labels(model).inc(stats.tokens)
            self.batches.labels(model).observe(stats.sentences)
            self.batch_seconds.labels(model).observe(stats.seconds)

        return observe

    def watch(self, model: str, waiting: Callable[[], int]) -> None:
        """Show how many sentences of this model wait, as the function says."""
        self.waiting.labels(model).set_function(waiting)

    def text(self) -> bytes:
        """All figures, in the format of Prometheus."""
        return generate_latest(self.registry)
