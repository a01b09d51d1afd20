"""Speed of `seq2seq serve` on this machine: clients that each send one sentence after another, and wait for the answer.

    python scripts/bench/serve.py MODEL [--input FILE] [--clients 1 8 64] [--requests 1000] [-- OPTIONS of serve]

The server is a process of its own, once with batches across requests and once without. For each number of clients:
sentences per second and what share that is of offline translation in batches of 64; the median and the 95th percentile
of the time to an answer; the mean number of sentences that were translated together; the memory of the server. Every
answer is compared with the offline translation. Without --input the sentences are the test set of the embedded corpus;
lines that the server would split into several sentences are left out.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

OFFLINE_BATCH = 64
MOST_SECONDS = 600  # of one number of clients
BATCHES = {"shared": (), "alone": ("--batch-tokens", "1")}  # of all requests, or of one sentence: options of serve


class Server(NamedTuple):
    """A server that was started."""

    host: str
    port: int
    process: int


def main() -> None:
    """Translate offline, then with a server of each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--input", type=Path, help="sentences, one a line")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--requests", type=int, default=1000, help="in all, for each number of clients")
    parser.add_argument("--threads", type=int, default=0, help="of server and offline translation; 0: as they choose")
    parser.add_argument("--batches", nargs="+", default=list(BATCHES), choices=list(BATCHES))
    parser.add_argument("options", nargs="*", help="of seq2seq serve, after --")
    options = parser.parse_args()

    from seq2seq.serve.markup import read_document
    from seq2seq.serve.models import read_model

    lines = options.input.read_text().splitlines() if options.input else toy_sentences()
    language = read_model(str(options.model)).source
    sentences = [line for line in lines if read_document(line, "text", language).sentences == [line]]
    print(f"{len(sentences):,} sentences of {len(lines):,} lines")
    expected, offline = translate_offline(options.model, sentences, options.threads)
    print(f"offline, batches of {OFFLINE_BATCH}: {offline:.1f} sentences/s\n")
    columns = ["batches", "clients", "sentences/s", "of offline", "median ms", "95 % ms", "batch", "wrong", "MiB"]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for name in options.batches:
        limits = ["--threads", str(options.threads), "--max-waiting", "1000", *options.options, *BATCHES[name]]
        with serving([str(options.model), *limits]) as server:
            measure(server, sentences[:20], expected, 2, 20)  # warms up
            for clients in options.clients:
                row = measured_row(server, sentences, expected, clients, options.requests, offline)
                print(f"| {' | '.join([name, *row])} |", flush=True)


def toy_sentences() -> list[str]:
    from seq2seq.data.toy.translation import generate_translations

    return [one.source for one in generate_translations(pairs=10, dev=2, test=500).test]


def translate_offline(model: Path, sentences: list[str], threads: int) -> tuple[list[str], float]:
    """The translations, and how many there are per second."""
    from seq2seq.commands.options import open_translator

    translator = open_translator(model, threads=threads, batch=OFFLINE_BATCH)
    translator.translate(sentences[:100])
    start = time.perf_counter()
    translations = translator.translate(sentences)
    return translations, len(sentences) / (time.perf_counter() - start)


@contextmanager
def serving(words: list[str]) -> Iterator[Server]:
    command = [sys.executable, "-m", "seq2seq", "serve", *words, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            found = (re.match(r"listening on http://(.*):(\d+)", line) for line in process.stderr)
            yield next(Server(one[1], int(one[2]), process.pid) for one in found if one)
        finally:
            process.terminate()


def measured_row(
    server: Server, sentences: list[str], expected: list[str], clients: int, requests: int, offline: float
) -> list[str]:
    """What was found with so many clients, as the columns of the table."""
    before, start = batches(server), time.perf_counter()
    times, wrong = measure(server, sentences, expected, clients, requests)
    rate, after = len(times) / (time.perf_counter() - start), batches(server)
    mean = (after[0] - before[0]) / max(1.0, after[1] - before[1])
    times.sort()
    median, most = 1000 * statistics.median(times), 1000 * times[int(0.95 * (len(times) - 1))]
    numbers = [f"{rate:.1f}", f"{rate / offline:.2f}", f"{median:.1f}", f"{most:.1f}", f"{mean:.1f}"]
    return [str(clients), *numbers, f"{wrong} of {len(times):,}", str(memory(server.process))]


def measure(
    server: Server, sentences: list[str], expected: list[str], clients: int, requests: int
) -> tuple[list[float], int]:
    """The seconds to each answer, and how many answers are not the offline translation."""
    times: list[float] = []
    wrong: list[int] = []
    numbers, deadline = iter(range(requests)), time.monotonic() + MOST_SECONDS

    def client() -> None:
        connection = HTTPConnection(server.host, server.port, timeout=60)
        for number in numbers:  # shared by all: each is taken once
            if time.monotonic() > deadline:
                return
            i = number % len(sentences)
            body = json.dumps({"text": sentences[i]})
            start = time.perf_counter()
            connection.request("POST", "/v1/translate", body)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, content
            times.append(time.perf_counter() - start)
            if json.loads(content)["translations"][0]["text"] != expected[i]:
                wrong.append(i)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, len(wrong)


def batches(server: Server) -> tuple[float, float]:
    """Sentences and batches that were translated so far."""
    connection = HTTPConnection(server.host, server.port, timeout=60)
    connection.request("GET", "/metrics")
    figures = connection.getresponse().read().decode()
    values = re.findall(r"(?m)^seq2seq_batch_sentences_(?:count|sum){.*} (.*)$", figures)
    count, total = map(float, values) if values else (0.0, 0.0)
    return total, count


def memory(process: int) -> int:
    """MiB that a process has in use."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s*(\d+) kB", status)[0]) // 1024


if __name__ == "__main__":
    main()
