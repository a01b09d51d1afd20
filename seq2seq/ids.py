"""Ids of the special tokens, which every tokenizer is checked for when it is loaded, and the line break of
summaries."""

from seq2seq.runtime.ids import BOS, EOS, PAD, UNK

__all__ = ["BOS", "BREAK", "EOS", "PAD", "UNK"]

BREAK = "<n>"  # marks the end of a line within a summary, which is kept as one line of text
