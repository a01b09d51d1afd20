"""What does `python -m seq2seq` do? The same as the command `seq2seq`."""

import sys

from seq2seq.cli import main

if __name__ == "__main__":
    sys.exit(main())
