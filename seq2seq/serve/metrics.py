"""Figures of a server for Prometheus. Only this module imports prometheus_client."""

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from seq2seq.serve.batching import BatchStats

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SENTENCES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts requests and batches; none of it holds text."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def made(kind: type, name: str, text: str, labels: list[str], **options: object) -> "Counter":
            return kind(f"seq2seq_{name}", text, labels, registry=self.registry, **options)

        self.requests = made(Counter, "requests", "Answered requests", ["path", "status"])
        self.seconds: Histogram = made(
            Histogram, "request_seconds", "Time to the whole answer", ["path"], buckets=SECONDS
        )
        self.sentences = made(Counter, "sentences", "Translated sentences", ["model"])
        self.tokens = made(Counter, "source_tokens", "Translated source tokens", ["model"])
        self.batches: Histogram = made(
            Histogram, "batch_sentences", "Sentences that were translated together", ["model"], buckets=SENTENCES
        )
        self.batch_seconds: Histogram = made(
            Histogram, "batch_seconds", "Time to translate a batch", ["model"], buckets=SECONDS
        )
        self.waiting: Gauge = made(Gauge, "waiting_sentences", "Sentences that are in no batch yet", ["model"])

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
