"""`seq2seq train` for launchers that start a file:

torchrun --nproc-per-node 2 scripts/train.py data=toy training.accumulate=2
"""

import sys

from seq2seq.worker import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
