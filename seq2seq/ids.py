"""Which ids mean the same in every vocabulary, and which word in every text? Ids are checked whenever a tokenizer is loaded."""

PAD, UNK, BOS, EOS = 0, 1, 2, 3
BREAK = "<n>"  # where a line of a summary ended, which is now one line
