"""Speed of `seq2seq serve` on this machine: clients that each send one sentence after another, and wait for the answer.

python scripts/bench/serve.py RUN [--clients 1 8 32] [--requests 300] [-- OPTIONS of seq2seq serve]

For each number of clients: sentences per second, the median and the 95th percentile of the time to an answer, and the
mean number of sentences that were translated together. The server listens on the loopback interface only. Its
sentences are the test set of the embedded corpus.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

MOST_SECONDS = 120  # of one number of clients


def main() -> None:
    """Start a server, measure, and end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=300, help="in all, for each number of clients")
    parser.add_argument("options", nargs="*", help="of seq2seq serve, after --")
    options = parser.parse_args()

    from seq2seq.data.toy.translation import generate_translations

    sentences = [one.source for one in generate_translations(pairs=10, dev=2, test=500).test]
    command = [sys.executable, "-m", "seq2seq", "serve", str(options.run), "--port", "0", *options.options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            found = (re.match(r"listening on http://(.*):(\d+)", line) for line in process.stderr)
            address = next((one[1], int(one[2])) for one in found if one)
            measure(address, sentences[:20], 2, 20)  # warms up
            print(f"{'clients':>7} {'sentences/s':>12} {'median ms':>10} {'95 % ms':>8} {'batch':>6}")
            for clients in options.clients:
                print_row(address, sentences, clients, options.requests)
        finally:
            process.terminate()


def print_row(address: tuple[str, int], sentences: list[str], clients: int, requests: int) -> None:
    """Measure so many clients, and print what was found."""
    before, start = batches(address), time.perf_counter()
    times = sorted(measure(address, sentences, clients, requests))
    seconds, after = time.perf_counter() - start, batches(address)
    mean = (after[0] - before[0]) / max(1.0, after[1] - before[1])
    median, most = 1000 * statistics.median(times), 1000 * times[int(0.95 * (len(times) - 1))]
    print(f"{clients:>7} {len(times) / seconds:>12.1f} {median:>10.1f} {most:>8.1f} {mean:>6.1f}", flush=True)


def measure(address: tuple[str, int], sentences: list[str], clients: int, requests: int) -> list[float]:
    """The seconds to each answer."""
    times: list[float] = []
    numbers, deadline = iter(range(requests)), time.monotonic() + MOST_SECONDS

    def client() -> None:
        connection = HTTPConnection(*address, timeout=60)
        for number in numbers:  # shared by all: each is taken once
            if time.monotonic() > deadline:
                return
            body = json.dumps({"q": sentences[number % len(sentences)], "source": "en", "target": "de"})
            start = time.perf_counter()
            connection.request("POST", "/translate", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, content
            times.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def batches(address: tuple[str, int]) -> tuple[float, float]:
    """Sentences and batches that were translated so far."""
    connection = HTTPConnection(*address, timeout=60)
    connection.request("GET", "/metrics")
    figures = connection.getresponse().read().decode()
    values = re.findall(r"(?m)^seq2seq_batch_sentences_(?:count|sum){.*} (.*)$", figures)
    count, total = map(float, values)
    return total, count


if __name__ == "__main__":
    main()
