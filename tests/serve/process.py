"""A server in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib import request

import pytest

from tests.serve.until import until

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "tests/runtime/schemas/1-rnn.s2s"


@contextmanager
def serving(*words: object) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The address and the process of a server on a free port."""
    command = [sys.executable, "-m", "seq2seq", "serve", *map(str, words), "--port", "0"]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            for line in process.stderr:
                if found := re.match("listening on (.*)", line):
                    until(lambda: answers(found[1]), 60)
                    yield found[1], process
                    break
            else:
                pytest.fail("the server did not start")
        finally:
            process.kill()


def answers(url: str) -> bool:
    """Whether the server is healthy."""
    try:
        return bool(request.urlopen(f"{url}/health", timeout=60).status == 200)
    except OSError:
        return False
