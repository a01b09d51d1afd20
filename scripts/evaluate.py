"""`seq2seq evaluate` for launchers that start a file:

torchrun --nproc-per-node 2 scripts/evaluate.py RUN --test test
"""

import sys

from seq2seq.worker import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
