"""Models that are replaced while the server runs: no request is lost, and what is damaged replaces nothing."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seq2seq.errors import RunError
from seq2seq.serve.batching import Batcher, Limits
from seq2seq.serve.models import ModelInfo, ServedModel
from seq2seq.serve.reload import Reloader
from tests.serve.served import Served
from tests.serve.stand_in import StandIn
from tests.serve.until import until

for package in ("fastapi", "httpx2", "prometheus_client", "py3langid", "python_multipart", "sentencex"):
    pytest.importorskip(package, reason="pip install 'seq2seq[serve]' httpx2")


def opened(info: ModelInfo, mark: str = "new:") -> ServedModel:
    translator = StandIn(mark=mark)
    translator.gate.set()
    return ServedModel(info, Batcher(lambda: translator, Limits(wait=0)))  # type: ignore[arg-type]


@pytest.fixture
def served() -> Any:
    one = Served("en-de", "de-en")
    yield one
    one.close()


def reload(reloader: Reloader) -> None:
    reloader.reload()
    reloader.work()
    reloader.close()


def test_old_model_answers_what_it_has_and_the_new_one_the_rest(served: Served) -> None:
    old, server = served.models.models["en-de"].batcher, served.server
    served.translators["en-de"].gate.clear()
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(served.translate, "a. b.")
        until(lambda: old.jobs or served.translators["en-de"].batches)
        reload(Reloader(server, opened))
        assert served.translate("a.")[1] == {"translatedText": "new:A."}
        assert not server.unused()
        served.translators["en-de"].gate.set()
        assert accepted.result()[1] == {"translatedText": "A. B."}
    unused = server.unused()
    assert [one.info.name for one in unused] == ["de-en", "en-de"]
    assert unused[1].batcher is old
    assert not server.unused()
    for one in unused:
        one.batcher.close()


def test_model_that_cannot_be_opened_replaces_nothing(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    errors: dict[str, Exception] = {"en-de": RunError("en-de is damaged"), "de-en": MemoryError()}

    def fail(info: ModelInfo) -> ServedModel:
        raise errors[info.name]

    with caplog.at_level(logging.ERROR):
        reload(Reloader(served.server, fail))
    assert "en-de is not replaced: en-de is damaged" in caplog.messages
    assert any(message.startswith("de-en is not replaced: MemoryError") for message in caplog.messages)
    assert served.translate("a.") == (200, {"translatedText": "A."})
    assert served.translate("a.", "de", "en") == (200, {"translatedText": "A."})


def test_other_languages_are_detected(served: Served) -> None:
    reload(Reloader(served.server, lambda info: opened(replace(info, source={"de": "fr"}.get(info.source, "en")))))
    answer = served.translate("Où est la bibliothèque de la ville ?", "auto", "en")[1]
    assert answer["detectedLanguage"]["language"] == "fr"


def test_changed_files_are_found_once_they_are_complete(tmp_path: Path) -> None:
    served, wanted = Served("en-de"), []
    model = served.models.models["en-de"]
    file = tmp_path / "model.s2s"
    file.write_bytes(b"old")
    served.server.replace(ServedModel(replace(model.info, path=file), model.batcher))
    reloader = Reloader(served.server, lambda info: wanted.append(info) or opened(info), watch=True)  # type: ignore[func-returns-value]

    def look(write: Callable[[], object] = lambda: None) -> int:
        """How often the model was replaced after a look at its file."""
        write()
        reloader.check_files()
        reloader.work()
        reloader.close()
        return len(wanted)

    assert [look(), look()] == [0, 0]
    assert look(lambda: file.write_bytes(b"half")) == 0
    assert look(lambda: file.write_bytes(b"all of it")) == 0
    assert [look(), look(), look()] == [1, 1, 1]
    assert [look(file.unlink), look(lambda: file.write_bytes(b"moved here"))] == [1, 1]
    assert [look(), look()] == [2, 2]
    served.close()


def test_nothing_is_replaced_by_itself_unless_it_is_watched(served: Served) -> None:
    reloader = Reloader(served.server, opened)
    reloader.check_files()
    reloader.work()
    assert reloader.thread is None
