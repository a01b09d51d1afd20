"""Which ids mean the same in every vocabulary? Checked whenever a tokenizer is loaded."""

PAD, UNK, BOS, EOS = 0, 1, 2, 3
