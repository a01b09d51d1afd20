"""A trial of several processes: `python -m seq2seq.distributed.exchange` starts two, which exchange a number."""

import sys

from seq2seq.distributed import ranks
from seq2seq.distributed.launch import start_processes
from seq2seq.distributed.process import together
from seq2seq.runtime.program import exit_code

PROCESSES = 2
EXPECTED = [str(2 * number) for number in range(PROCESSES)]  # what is printed


def main(words: list[str]) -> int:
    """Start the processes, each of which has `rank` for an argument. Returns the exit code, that of an error if one
    fails."""
    if words == ["rank"]:
        return together(exchange)
    return exit_code(lambda: start_processes("seq2seq.distributed.exchange", ["rank"], PROCESSES))


def exchange() -> None:
    """Print what each process has sent to all: twice its rank."""
    print(*ranks.gathered(2 * ranks.rank()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
