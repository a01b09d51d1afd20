"""Ids of the special tokens, the same in every vocabulary."""

PAD, UNK, BOS, EOS = 0, 1, 2, 3  # padding, unknown piece, begin and end of a sentence
