"""What processes that work together exchange, in two of them, and how they end."""

import json
import os
import socket
from pathlib import Path

import pytest
import torch

from seq2seq.distributed import ranks
from seq2seq.distributed.launch import start_processes
from seq2seq.errors import TrainingError

PROGRAM = """
import json, os, sys
from pathlib import Path

def main(folder):
    numbers = [os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")]
    Path(folder, os.environ["RANK"]).write_text(json.dumps(numbers))

def fail(folder):
    from seq2seq.distributed import ranks
    from seq2seq.errors import TrainingError

    with ranks.joined(20):
        if ranks.rank() == 1:
            sys.exit("out of order")
        try:
            ranks.gathered(None)  # in vain
        except TrainingError as error:
            Path(folder, "0.txt").write_text(str(error))
            raise

{"main": main, "fail": fail}[sys.argv[1]](sys.argv[2])
"""


def exchange(folder: Path) -> None:
    """What each of two processes does."""
    with ranks.joined(20):
        me = ranks.rank()
        weights = [torch.nn.Parameter(torch.zeros(2, 3)), torch.nn.Parameter(torch.zeros(4))]
        weights[0].grad = torch.full((2, 3), me + 1.0)
        if me:
            weights[1].grad = torch.arange(4.0)  # rank 0 has none
        ranks.BUCKET = 7
        ranks.sum_gradients(weights)
        found = {
            "gathered": ranks.gathered(["a", me]),
            "total": ranks.total(me + 1, 0.5),
            "greatest": ranks.greatest(3 * me),
            "gradients": [weight.grad.tolist() for weight in weights],
            "agreed": agreed(me),
            "numbers": [ranks.world_size(), ranks.local_rank(), ranks.local_world_size()],
        }
        Path(folder, f"{me}.json").write_text(json.dumps(found))


def agreed(me: int) -> str:
    ranks.agree({"settings": "same"})
    try:
        ranks.agree({"settings": "same", "text": me})
    except TrainingError as error:
        return str(error)
    return ""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that processes can run."""
    (tmp_path / "program_of_ranks.py").write_text(PROGRAM)
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    return "program_of_ranks"


def test_one_process_exchanges_nothing() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    ranks.sum_gradients([weight])
    assert weight.grad is None
    assert (ranks.rank(), ranks.world_size(), ranks.local_rank(), ranks.local_world_size()) == (0, 1, 0, 1)
    assert (ranks.gathered("x"), ranks.total(2, 3.5), ranks.greatest(4)) == (["x"], [2, 3.5], 4)


def test_each_process_has_its_number(program: str, tmp_path: Path) -> None:
    start_processes(program, ["main", str(tmp_path)], 3)
    assert [json.loads((tmp_path / str(n)).read_text()) for n in range(3)] == [[str(n), "3"] * 2 for n in range(3)]


def test_two_processes_have_the_sums_of_both(tmp_path: Path) -> None:
    """Forked ones, as they would take seconds to import torch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for me in range(2):
        children.append(os.fork())
        if children[-1] == 0:
            numbers = {"RANK": me, "LOCAL_RANK": me, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
            os.environ |= {name: str(number) for name, number in numbers.items()} | {"MASTER_ADDR": "127.0.0.1"}
            torch.cuda.is_available = lambda: False  # a GPU cannot be used after a fork
            try:
                exchange(tmp_path)
            finally:
                os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    for me in range(2):
        found = json.loads((tmp_path / f"{me}.json").read_text())
        assert found == {
            "gathered": [["a", 0], ["a", 1]],
            "total": [3.0, 1.0],
            "greatest": 3,
            "gradients": [[[3.0] * 3] * 2, [0.0, 1.0, 2.0, 3.0]],
            "agreed": "process 1 of 2 has other text than process 0",
            "numbers": [2, me, 2],
        }


@pytest.mark.slow
def test_a_process_that_fails_ends_the_others(program: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        TrainingError, match=r"process [01] of 2 (failed, see above|was ended by signal 15); the others"
    ):
        start_processes(program, ["fail", str(tmp_path)], 2)
    assert "out of order" in capfd.readouterr().err
    if (path := tmp_path / "0.txt").exists():  # unless it was ended first
        assert path.read_text() == "process 0 of 2 waited in vain for process 1, which has ended or hangs"
