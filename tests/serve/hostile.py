"""Malformed requests of many kinds, as the bytes that a client sends, for a server that must refuse or drop each."""

import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

CHUNK = 1 << 16  # bytes


class Malformed(NamedTuple):
    """What a client sends."""

    parts: list[bytes]
    pause: float = 0.0  # seconds after each part
    closes: bool = False  # whether it closes the connection without waiting for an answer


Draw = random.Random


def post(body: bytes, path: str = "/translate", kind: str = "application/json", length: int | None = None) -> bytes:
    """A request of one piece, with a wrong length if one is given."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def asking(**values: Any) -> bytes:
    return post(json.dumps({"q": "A dog.", "source": "en", "target": "de"} | values).encode())


def some_value(draw: Draw) -> Any:
    """A value that no field of a request takes."""
    return draw.choice([True, -1, 10**30, 1e308, [], {}, [[]], [None], {"a": []}, [1], [{"q": "a"}], [["a"] * 9]])


def wrong_types(draw: Draw) -> Malformed:
    field = draw.choice(["q", "source", "target", "format", "api_key"])
    return Malformed([asking(**{field: some_value(draw)})])


def wrong_numbers(draw: Draw) -> Malformed:
    return Malformed([asking(alternatives=draw.choice(["many", -1, 101, 1e9, 2.5, [1], "٣٣٣", 10**400]))])


def wrong_search(draw: Draw) -> Malformed:
    name = draw.choice(["beam", "n_best", "max_length", "temperature", "batch", "unknown", "", "__class__"])
    value = draw.choice([0, -1, 10**9, 1e308, "a", None, [], {}, "1e999"])
    body = {"text": "A dog.", "search": {name: value}}
    return Malformed([post(json.dumps(body).encode(), "/v1/translate")])


def missing_fields(draw: Draw) -> Malformed:
    values = {"q": "a", "source": "en", "target": "de"}
    del values[draw.choice(list(values))]
    return Malformed([post(json.dumps(values).encode(), draw.choice(["/translate", "/v1/translate", "/v1/summarize"]))])


def not_json(draw: Draw) -> Malformed:
    bodies = [b"", b"{", b"null", b"[]", b'"q"', b"NaN", b"{'q': 'a'}", b'{"q": "a"', b"\xff\xfe{\0}\0", b"\0" * 50]
    return Malformed([post(draw.choice(bodies))])


def deep(draw: Draw) -> Malformed:
    depth = draw.choice([2_000, 100_000])
    inner = draw.choice([b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth, b"[" * depth])
    return Malformed([post(b'{"source": "en", "target": "de", "q": ' + inner + b"}")])


def not_utf8(draw: Draw) -> Malformed:
    noise = draw.choice([b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", draw.randbytes(30) + b"\x80"])
    if draw.random() < 0.5:
        return Malformed([post(b'{"source": "en", "target": "de", "q": "' + noise + b'"}')])
    return Malformed([post(b"source=" + noise + b"&target=de&q=a", kind="application/x-www-form-urlencoded")])


def not_text(draw: Draw) -> Malformed:
    """NULs and halves of surrogate pairs."""
    text = draw.choice([r"a\u0000b", r"\ud800", r"a\udfff b", r"\u0000"])
    field = draw.choice(["q", "q", "source", "target"])
    values = {"q": '"a"', "source": '"en"', "target": '"de"'} | {field: f'"{text}"'}
    return Malformed([post(("{" + ", ".join(f'"{k}": {v}' for k, v in values.items()) + "}").encode())])


def large(draw: Draw) -> Malformed:
    """A body of 10 MB, of a stated length or in chunks."""
    body = b'{"source": "en", "target": "de", "q": "' + draw.choice([b"a ", b"ab", b"\\u0061"]) * 5_000_000
    if draw.random() < 0.5:
        return Malformed([post(body[:10_000_000])])
    head = b"POST /translate HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return Malformed([head, *(b"%x\r\n%s\r\n" % (CHUNK, body[:CHUNK]) for _ in range(160)), b"0\r\n\r\n"])


def too_much(draw: Draw) -> Malformed:
    return Malformed([asking(q=draw.choice(["a " * 20_000, ["a"] * 101, ["a" * 300] * 90, [""] * 5000]))])


def header_flood(draw: Draw) -> Malformed:
    if draw.random() < 0.5:
        flood = b"".join(b"X-%d: a\r\n" % i for i in range(draw.choice([200_000, 400_000])))
    else:
        flood = b"X: " + b"a" * draw.choice([2_000_000, 5_000_000]) + b"\r\n"
    return Malformed([b"GET /health HTTP/1.1\r\nHost: a\r\n" + flood + b"\r\n"])


def not_http(draw: Draw) -> Malformed:
    return Malformed([
        draw.choice([
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + draw.randbytes(300),  # the beginning of TLS
            b"GET /a\r\n\r\n", b"GET /a HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\n", draw.randbytes(400) + b"\r\n\r\n",
            b"POST /translate HTTP/1.1\r\n\r\n", b"GET /health HTTP/1.1\r\nNo colon\r\n\r\n",
            b"GET /he alth HTTP/1.1\r\nHost: a\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n",
            b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET /health HTTP/1.1\r\nA: \0\r\n\r\n",
        ])
    ])  # fmt: skip


def wrong_lengths(draw: Draw) -> Malformed:
    body = b'{"q": "a", "source": "en", "target": "de"}'
    lengths = [b"-1", b"a", b"1e3", b"99999999999999999999", b"4 4", b"0x10"]
    head = b"POST /translate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return Malformed([
        draw.choice([
            head + b"Content-Length: " + draw.choice(lengths) + b"\r\n\r\n" + body,
            head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + body,
            head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + body,
            head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body,
            head + b"Transfer-Encoding: gzip\r\n\r\n" + body,
            post(body, length=len(body) - draw.randint(1, 20)),
        ])
    ], closes=True)  # fmt: skip


def closed_early(draw: Draw) -> Malformed:
    whole = asking(q="A dog runs. " * 50)
    return Malformed([whole[: draw.randrange(1, len(whole))]], closes=True)


def wrong_paths(draw: Draw) -> Malformed:
    path = draw.choice(["/../../etc/passwd", "/%00", "/translate/a", "/%ff", "//", "/detect%0d%0a", "/a" * 2000, "/v1"])
    method = draw.choice(["GET", "POST", "PUT", "DELETE", "TRACE", "CONNECT", "FOO"])
    return Malformed([f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode()])


def wrong_forms(draw: Draw) -> Malformed:
    kind = "multipart/form-data; boundary=b"
    file = b'--b\r\nContent-Disposition: form-data; name="q"; filename="a"\r\n\r\na\r\n--b--\r\n'
    many = b"".join(b"q%d=a&" % i for i in range(3000))
    fields = b'--b\r\nContent-Disposition: form-data; name="q"\r\n\r\na\r\n' * 2000 + b"--b--\r\n"
    return Malformed([
        draw.choice([
            post(file, kind=kind), post(fields, kind=kind), post(b"--b\r\n\r\n\r\n", kind=kind), post(b"", kind=kind),
            post(b"a" * 100, kind="multipart/form-data"), post(many, kind="application/x-www-form-urlencoded"),
            post(b"q=a&source=en", kind="application/x-www-form-urlencoded"),
            post(b"--b\r\n" + b"X: a\r\n" * 5000 + b"\r\na\r\n--b--\r\n", kind=kind),
        ])
    ])  # fmt: skip


def other_languages(draw: Draw) -> Malformed:
    return Malformed([asking(target=draw.choice(["xx", "", "<b>", "de" * 5000, "../de", "{{7*7}}"]))])


KINDS: list[Callable[[Draw], Malformed]] = [
    wrong_types, wrong_numbers, wrong_search, missing_fields, not_json, deep, not_utf8, not_text, large, too_much,
    header_flood, not_http, wrong_lengths, closed_early, wrong_paths, wrong_forms, other_languages,
]  # fmt: skip


def dribble(request: bytes, pause: float) -> Malformed:
    """The request, byte by byte, until the server gives up."""
    return Malformed([request[i : i + 1] for i in range(len(request) - 1)], pause)


def requests(count: int, seed: int) -> Iterator[tuple[str, Malformed]]:
    """So many requests, each with the name of its kind."""
    draw = random.Random(seed)
    for i in range(count):
        kind = KINDS[i % len(KINDS)]
        yield kind.__name__, kind(draw)


def send(address: tuple[str, int], request: Malformed, seconds: float = 30) -> int | None:
    """The status that a request is answered with; None if the connection was closed without an answer.

    Fails if there is neither in time."""
    answer = b""
    with socket.create_connection(address, timeout=seconds) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in request.parts:
                connection.sendall(part)
                time.sleep(request.pause)
            if request.closes:
                return None
        with suppress(ConnectionResetError):
            while b"\r\n" not in answer and (more := connection.recv(CHUNK)):
                answer += more
    return int(answer.split()[1]) if answer else None
