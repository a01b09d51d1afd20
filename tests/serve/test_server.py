"""The socket that is listened on."""

import socket

import pytest

pytest.importorskip("uvicorn", reason="pip install 'seq2seq[serve]'")
pytest.importorskip("fastapi", reason="pip install 'seq2seq[serve]'")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_answers_are_sent_without_delay(host: str) -> None:
    """The packets of a connection do not wait for those before them to be acknowledged."""
    from seq2seq.errors import ConfigError
    from seq2seq.serve.server import listen

    try:
        listening = listen(host, 0)
    except ConfigError:
        pytest.skip(f"{host} is no address of this machine")
    with listening, socket.create_connection(listening.getsockname()[:2], timeout=10):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
