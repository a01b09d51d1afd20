"""Benchmark of required terms: how many are in the translations with and without the search for them, at what cost.

python scripts/bench/terms.py RUN_OR_BUNDLE SOURCE REFERENCE [--terms 1 3] [--beam 5 10] [--lines N] [search settings]

The terms of a line are words of its reference, drawn at random from those with a capital letter that are not its first
word and have four letters or more: in German most of them are nouns. A term is in a translation if it is there as a
whole word. Time is of the process's CPU.
"""

import argparse
import random
import re
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.data.files import read_lines
from seq2seq.utils import process

if TYPE_CHECKING:
    from seq2seq.runtime.translation import LineTranslator

WORD = re.compile(r"(?<=\s)[^\W\d_]{4,}(?!\w)")


def main(argv: Sequence[str] | None = None) -> None:
    """Print a row for each beam and number of terms, and one without the search for them."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("translator", type=Path, metavar="RUN_OR_BUNDLE")
    parser.add_argument("source", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--terms", nargs="+", type=int, default=[1, 3], help="of a line, at most")
    parser.add_argument("--beam", nargs="+", type=int, default=[5, 10])
    parser.add_argument("--lines", type=int, help="only the first")
    parser.add_argument("--length-penalty", default="average")
    options = parser.parse_args(argv)
    process.set_environment()  # as the commands do, before torch is imported

    import limit

    from seq2seq.evaluation import score
    from seq2seq.translator import Translator

    lines, references = (list(islice(read_lines(path), options.lines)) for path in (options.source, options.reference))
    print(limit.machine(), f"{len(lines)} lines", f"length penalty {options.length_penalty}", sep="; ")
    print("| beam | terms | in the translations, without | with | BLEU, without | with | length | time |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for beam in options.beam:
        translator = Translator.open(options.translator, beam=beam, length_penalty=options.length_penalty)
        translator.translate(lines[:100])
        plain, before = translated(translator, lines, None)
        for count in options.terms:
            terms = [drawn(line, count, number) for number, line in enumerate(references)]
            found, seconds = translated(translator, lines, terms)
            shares = (100 * share(texts, terms) for texts in (plain, found))
            bleu = [score(texts, [references], ["bleu"])[0].value for texts in (plain, found)]
            total = sum(map(len, terms))
            length = sum(len(text.split()) for text in found) / sum(len(line.split()) for line in references)
            print(
                f"| {beam} | {total} | {next(shares):.1f} % | {next(shares):.1f} % | {bleu[0]:.1f} | {bleu[1]:.1f}"
                f" | {length:.2f} | {seconds / before:.2f} |",
                flush=True,
            )


def drawn(reference: str, count: int, seed: int) -> list[str]:
    """Up to `count` words with a capital letter of a reference, in a random order."""
    words = [word for word in WORD.findall(reference) if word[0].isupper()]
    return random.Random(seed).sample(words, min(count, len(words)))


def translated(
    translator: "LineTranslator", lines: Sequence[str], terms: list[list[str]] | None
) -> tuple[list[str], float]:
    """The translations, and the seconds of CPU time that they took."""
    start = time.process_time()
    return translator.translate(lines, terms=terms), time.process_time() - start


def share(texts: Sequence[str], terms: Sequence[Sequence[str]]) -> float:
    """The share of terms that are in their line's text, as whole words, each as often as it is required."""
    found = 0
    for text, each in zip(texts, terms, strict=True):
        found += sum(
            min(each.count(term), len(re.findall(rf"(?<!\w){re.escape(term)}(?!\w)", text))) for term in {*each}
        )
    return found / max(1, sum(map(len, terms)))


if __name__ == "__main__":
    main()
