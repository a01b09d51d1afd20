"""Batches across requests, with a stand-in for the translator that records what it is given."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from seq2seq.errors import DataError
from seq2seq.runtime.search_config import SearchConfig
from seq2seq.serve.batching import Batcher, BatchStats, Job, Limits
from seq2seq.serve.refusals import DrainingError, QueueFullError
from tests.serve.stand_in import StandIn
from tests.serve.until import until


@pytest.fixture
def started() -> Iterator[Callable[..., tuple[StandIn, Batcher]]]:
    """`started(**limits)`: a stand-in, whose gate is open, and its batcher, which is closed at the end."""
    batchers = []

    def start(*, open_gate: bool = True, batch: int = 64, **limits: Any) -> tuple[StandIn, Batcher]:
        translator = StandIn(SearchConfig(batch=batch))
        if open_gate:
            translator.gate.set()
        batchers.append((translator, Batcher(lambda: translator, Limits(**limits))))  # type: ignore[arg-type]
        return batchers[-1]

    yield start
    for translator, batcher in batchers:
        translator.gate.set()
        batcher.close()
        assert not batcher.alive()


def held(translator: StandIn, batcher: Batcher, **settings: Any) -> "Future[Any]":
    """Occupy the thread with a first batch, so that all that follows waits."""
    first = batcher.submit(batcher.job(["first"], **settings))
    until(lambda: translator.batches)
    return first


def submit(batcher: Batcher, *lines: str, **settings: Any) -> "Future[Any]":
    return batcher.submit(batcher.job(lines, **settings))


def best(answer: "Future[Any]") -> list[str]:
    return [found[0].text for found in answer.result(10)]


def test_each_answer_belongs_to_its_request(started: Any) -> None:
    """Of many threads, with texts of many lengths."""
    _, batcher = started(tokens=20, wait=0.001, jobs=1000)
    wrong: list[Any] = []

    def client(name: int) -> None:
        for round_ in range(10):
            lines = [f"{name} {round_} {i} " + "word " * (i % 7) for i in range((name + round_) % 5)]
            if best(submit(batcher, *lines)) != [line.upper() for line in lines]:
                wrong.append(lines)

    threads = [threading.Thread(target=client, args=[name]) for name in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_requests_that_wait_share_batches(started: Any) -> None:
    translator, batcher = started(open_gate=False)
    held(translator, batcher)
    answers = [submit(batcher, f"line {i}") for i in range(10)]
    translator.gate.set()
    assert [best(answer) for answer in answers] == [[f"LINE {i}"] for i in range(10)]
    assert translator.batches == [["first"], [f"line {i}" for i in range(10)]]


def test_clients_of_a_batch_meet_in_the_next_one(started: Any) -> None:
    """As many requests are waited for as were answered together, unless none comes for a while."""
    translator, batcher = started(open_gate=False, wait=30, tokens=6)
    first = held(translator, batcher)  # an idle model begins at once
    waiting = submit(batcher, "a")
    translator.gate.set()
    best(first)
    time.sleep(0.05)
    assert not waiting.done()
    again = submit(batcher, "b", "c")  # the client of the first
    assert [best(answer) for answer in (waiting, again)] == [["A"], ["B", "C"]]
    alone = submit(batcher, "d")
    time.sleep(0.05)
    assert not alone.done()
    assert [best(answer) for answer in (submit(batcher, "e"), alone)] == [["E"], ["D"]]
    assert best(submit(batcher, "a b c d e f")) == ["A B C D E F"]  # nothing more fits
    assert translator.batches == [["first"], ["a", "b", "c"], ["d", "e"], ["a b c d e f"]]


def test_clients_that_do_not_come_back_are_waited_for_a_moment(started: Any) -> None:
    translator, batcher = started(open_gate=False, wait=0.02)
    held(translator, batcher)
    answers = [submit(batcher, "a"), submit(batcher, "b")]
    translator.gate.set()
    assert [best(answer) for answer in answers] == [["A"], ["B"]]
    assert best(submit(batcher, "c")) == ["C"]


def test_each_request_is_waited_for_anew(started: Any) -> None:
    """Clients that come one after another are waited for as long as one has just come."""
    _, batcher = started(wait=1)
    now = time.monotonic()
    with batcher.changed:
        batcher.answered, batcher.came, batcher.idle_since = 3, 2, now
        batcher.jobs.extend(Job(["a"], [1], SearchConfig(), arrived=now + late) for late in (100, 50))
        assert 99 < batcher._patience() < 102
        batcher.came = 3
        assert batcher._patience() <= 0
        batcher.jobs.clear()


def test_full_batch_is_not_waited_for(started: Any) -> None:
    translator, batcher = started(open_gate=False, wait=30, batch=2)
    first = [held(translator, batcher), submit(batcher, "a", "b"), submit(batcher, "c", "d")]
    translator.gate.set()
    assert [best(answer) for answer in first] == [["FIRST"], ["A", "B"], ["C", "D"]]


def test_wider_beams_share_smaller_batches(started: Any) -> None:
    translator, batcher = started(open_gate=False, batch=8)
    held(translator, batcher)
    wide = submit(batcher, *"abcdefgh", search=SearchConfig(batch=8, beam=4 * SearchConfig.beam))
    translator.gate.set()
    assert best(wide) == [*"ABCDEFGH"]
    assert translator.batches[1:] == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]]


def test_budget_counts_padding_and_a_line_beyond_it_goes_alone(started: Any) -> None:
    translator, batcher = started(open_gate=False, tokens=6)
    held(translator, batcher)
    lines = ["a b c", "a", "b", "a b c d e f g h", "c"]
    answers = [submit(batcher, line) for line in lines]
    translator.gate.set()
    assert [best(answer) for answer in answers] == [[line.upper()] for line in lines]
    assert translator.batches[1:] == [["a b c", "a"], ["b", "c"], ["a b c d e f g h"]]


def test_batch_has_no_more_sentences_than_the_search_takes(started: Any) -> None:
    translator, batcher = started(open_gate=False, batch=3)
    held(translator, batcher)
    answer = submit(batcher, *"abcdefgh")
    translator.gate.set()
    assert best(answer) == list("ABCDEFGH")
    assert list(map(len, translator.batches)) == [1, 3, 3, 2]


def test_long_request_does_not_block_short_ones(started: Any) -> None:
    translator, batcher = started(open_gate=False, batch=4)
    held(translator, batcher)
    long = submit(batcher, *(f"long {i}" for i in range(40)))
    short = [submit(batcher, f"short {i}") for i in range(3)]
    translator.gate.set()
    best(long)
    assert all(answer.done() for answer in short)
    assert translator.batches[1] == ["long 0", "short 0", "short 1", "short 2"]


def test_job_that_was_left_out_is_served_first(started: Any) -> None:
    """A request of other settings, or a line that does not fit, waits for one batch."""
    translator, batcher = started(open_gate=False, tokens=4)
    held(translator, batcher)
    other = translator.search.changed(beam=2)
    many = submit(batcher, *"abcdefghijkl")
    few = submit(batcher, "x", "y", search=other)
    wide = submit(batcher, "1 2 3")
    translator.gate.set()
    assert best(many) == list("ABCDEFGHIJKL")
    assert (best(few), best(wide)) == (["X", "Y"], ["1 2 3"])
    assert translator.batches[1:4] == [list("abcd"), ["x", "y"], ["1 2 3"]]


def test_only_requests_of_the_same_settings_share_a_batch(started: Any) -> None:
    translator, batcher = started(open_gate=False)
    held(translator, batcher)
    two = translator.search.changed(n_best=2)
    answers = [submit(batcher, "a"), submit(batcher, "b", search=two), submit(batcher, "c"),
               submit(batcher, "d", search=two), submit(batcher, "e", attention=True)]  # fmt: skip
    translator.gate.set()
    assert [len(answer.result(10)[0]) for answer in answers] == [1, 2, 1, 2, 1]


def test_dropped_request_is_not_translated(started: Any) -> None:
    translator, batcher = started(open_gate=False, batch=2)
    held(translator, batcher)
    gone, kept = submit(batcher, *"abcdef"), submit(batcher, *"xyz")
    assert batcher.waiting() == 9
    assert gone.cancel()
    assert batcher.waiting() == 3
    translator.gate.set()
    assert best(kept) == list("XYZ")
    assert [line for batch in translator.batches for line in batch] == ["first", *"xyz"]


def test_request_that_goes_while_it_is_translated_stops(started: Any) -> None:
    translator, batcher = started(open_gate=False, batch=2)
    gone = submit(batcher, *"abcdef")
    until(lambda: translator.batches)
    assert gone.cancel()
    translator.gate.set()
    assert best(submit(batcher, "x")) == ["X"]
    assert translator.batches == [["a", "b"], ["x"]]


@pytest.mark.parametrize(("word", "error"), [("bad", DataError), ("bug", ZeroDivisionError)])
def test_error_belongs_to_its_request(started: Any, word: str, error: type[Exception]) -> None:
    translator, batcher = started(open_gate=False)
    held(translator, batcher)
    answers = [submit(batcher, "a", "b"), submit(batcher, "c", word, "d"), submit(batcher, "e")]
    translator.gate.set()
    assert (best(answers[0]), best(answers[2])) == (["A", "B"], ["E"])
    with pytest.raises(error):
        answers[1].result(10)
    assert best(submit(batcher, "f")) == ["F"]


def test_line_that_is_no_text_is_refused_before_it_waits(started: Any) -> None:
    _, batcher = started()
    with pytest.raises(DataError):
        batcher.job(["a", "\0"])


def test_more_requests_than_may_wait_are_refused(started: Any) -> None:
    translator, batcher = started(open_gate=False, jobs=2)
    held(translator, batcher)
    waiting = [submit(batcher, "a"), submit(batcher, "b")]
    with pytest.raises(QueueFullError):
        submit(batcher, "c")
    waiting[0].cancel()
    last = submit(batcher, "d")
    translator.gate.set()
    assert (best(waiting[1]), best(last)) == (["B"], ["D"])


def test_closing_finishes_what_was_accepted_and_takes_no_more(started: Any) -> None:
    translator, batcher = started(open_gate=False, batch=2)
    answers = [held(translator, batcher), *(submit(batcher, *"abc") for _ in range(5))]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    until(lambda: batcher.closing)
    with pytest.raises(DrainingError):
        submit(batcher, "late")
    translator.gate.set()
    closing.join(10)
    assert [answer.done() for answer in answers] == [True] * 6
    assert [best(answer) for answer in answers[1:]] == [list("ABC")] * 5
    assert not batcher.alive()


def test_closing_at_once_ends_with_the_present_batch(started: Any) -> None:
    translator, batcher = started(open_gate=False, batch=2)
    first = submit(batcher, *"ab")
    until(lambda: translator.batches)
    waiting = submit(batcher, *"cd")
    closing = threading.Thread(target=batcher.close, args=[False])
    closing.start()
    until(waiting.cancelled)
    translator.gate.set()
    closing.join(10)
    assert best(first) == ["A", "B"]
    assert translator.batches == [["a", "b"]]
    assert not batcher.alive()


def test_request_of_no_sentences_has_an_answer(started: Any) -> None:
    _, batcher = started()
    assert submit(batcher).result(0) == []


def test_batches_are_observed() -> None:
    seen: list[BatchStats] = []
    translator = StandIn()
    translator.gate.set()
    batcher = Batcher(lambda: translator, Limits(wait=0), seen.append)  # type: ignore[arg-type]
    assert best(submit(batcher, "a b", "c")) == ["A B", "C"]
    batcher.close()
    assert [(one.sentences, one.tokens) for one in seen] == [(2, 3)]


def test_answer_is_in_the_order_of_the_lines_whatever_comes_first() -> None:
    job = Job(["a", "b", "c"], [1, 1, 1], SearchConfig())
    for i in (2, 0, 1):
        assert not job.answer.done()
        job.finish(i, [str(i)])  # type: ignore[list-item]
    assert job.answer.result(0) == [["0"], ["1"], ["2"]]
