"""Malformed requests to a server that others use: each is refused or dropped, and the others have their answers."""

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.serve.hostile import KINDS, Malformed, asking, dribble, post, requests, send
from tests.serve.process import serving
from tests.serve.served import Served
from tests.serve.until import until

for package in ("fastapi", "httpx2", "prometheus_client", "py3langid", "python_multipart", "sentencex", "uvicorn"):
    pytest.importorskip(package, reason="pip install 'seq2seq[serve]' httpx2")

SECONDS = 0.3  # that the server waits for the rest of a request
Address = tuple[str, int]


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """A server in a thread, with a stand-in for a translator."""
    from seq2seq.serve import app, server
    from seq2seq.serve.reload import Reloader

    served, listening = Served("en-de", waiting=100), server.listen("127.0.0.1", 0)
    reloader = Reloader(served.server, lambda info: served.models.models[info.name])
    running: Any = server.make_server(served.app, served.server, reloader)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(server, "IDLE_SECONDS", SECONDS)
        patched.setattr(app, "BODY_SECONDS", SECONDS)
        thread.start()
        running.address = listening.getsockname()[:2]
        yield running
        running.should_exit = True
        thread.join()
    served.close()


@pytest.fixture
def address(running: Any) -> Address:
    found: Address = running.address
    return found


def translate(address: Address, text: str) -> str:
    connection = HTTPConnection(*address, timeout=30)
    body = json.dumps({"q": text, "source": "en", "target": "de"})
    connection.request("POST", "/translate", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200
    found = json.loads(answer.read())["translatedText"]
    connection.close()
    return str(found)


def check_refused(address: Address, count: int, seed: int) -> Counter[Any]:
    """Send malformed requests, and well-formed ones among them. Returns how often each status was the answer."""
    expected = translate(address, "a dog runs.")
    found: Counter[Any] = Counter()
    for i, (kind, request) in enumerate(requests(count, seed)):
        status = send(address, request)
        found[status] += 1
        assert status is None or 400 <= status < 500, (kind, status, request.parts[0][:300])
        if i % 10 == 0:
            assert translate(address, "a dog runs.") == expected
    return found


def test_malformed_requests_are_refused(address: Address, caplog: pytest.LogCaptureFixture) -> None:
    found = check_refused(address, 5 * len(KINDS), seed=1)
    assert found[None] < 25
    assert {400, 404, 413} <= set(found)
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_slow_senders_are_dropped(address: Address) -> None:
    """Also while others have their answers, and a connection on which request follows request stays."""
    head = b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 1000
    body = asking(q="a dog")
    slow = [dribble(head, 0.002), dribble(body, 0.02), Malformed([body[:-5]]), Malformed([b""])]
    with ThreadPoolExecutor(len(slow)) as pool:
        answers = [pool.submit(send, address, one) for one in slow]
        connection, end = HTTPConnection(*address, timeout=30), time.monotonic() + 3 * SECONDS
        while time.monotonic() < end:
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            assert connection.sock  # the same connection
            time.sleep(0.01)
        assert translate(address, "a dog.") == "A DOG."
    assert [one.result() for one in answers] == [None, None, 408, None]


def test_client_that_does_not_read_its_answer_is_dropped(running: Any) -> None:
    search = {"beam": 2, "n_best": 2}
    body = json.dumps({"text": "dog " * 1000, "attention": True, "search": search}).encode()  # 8 MB of attention
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(running.address)
        connection.sendall(post(body, "/v1/translate"))
        assert connection.recv(1)
        assert running.server_state.connections
        until(lambda: not running.server_state.connections)


@pytest.mark.slow
def test_a_thousand_malformed_requests(family_run: Callable[[str], Path]) -> None:
    """To a server in a process of its own, whose memory stays, and whose log has nothing of them."""
    with serving(family_run("rnn")) as (url, process):
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        before = check_refused(address, 340, seed=2) and memory(process.pid)
        found = check_refused(address, 1000, seed=3)
        after = memory(process.pid)
        process.terminate()
        assert process.wait(60) == 0
        assert process.stderr
        log = process.stderr.read()
    print(dict(found), f"{before} to {after} MiB")
    assert after < before + 50
    print(log)
    assert re.fullmatch("finishing . requests.*\n", log)


def memory(process: int) -> int:
    """MiB in use."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s*(\d+) kB", status)[0]) // 1024
