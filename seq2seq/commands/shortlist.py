"""What does `seq2seq shortlist` do? Learn which target subwords translate each source subword, for faster searches in a run."""

from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.commands import Parser
from seq2seq.errors import ConfigError, DataError

if TYPE_CHECKING:
    from seq2seq.data.prepare import Prepared
    from seq2seq.runs.directory import Run
from seq2seq.runs.weights import save_translations

USUAL, SHOWN = 100, (5, 10, 20, 50, 100, 200, 500)


def main(argv: list[str]) -> None:
    """`seq2seq shortlist RUN [--most N]`."""
    parser = Parser(
        "shortlist",
        "Learn from the training text which target subwords translate each source subword; --shortlist N then reads it.",
    )
    parser.add_argument(
        "run",
        type=Path,
        metavar="RUN",
        help="run directory; its training text must still be there, prepared or as it was",
    )
    parser.add_argument(
        "--most", type=int, metavar="N", help="translations kept of each subword (default: 100, or all there are)"
    )
    options = parser.parse_args(argv)

    import torch

    from seq2seq.data.ibm1 import table_coverage, translation_table
    from seq2seq.runs.directory import Run

    run = Run.open(options.run)
    size = run.vocabularies.target.size
    most = min(USUAL, size) if options.most is None else options.most
    if not 1 <= most <= size:
        raise ConfigError(f"--most={most} is not between 1 and the {size:,} entries of the target vocabulary")
    prepared = training_text(run)
    table = translation_table(prepared.train, run.vocabularies.source.size, most)
    path = save_translations(run, torch.from_numpy(table))
    counts = [n for n in SHOWN if n < most] + [most]
    print("--shortlist  of the development text's target subwords, so many are in it")
    for count, share in zip(counts, table_coverage(table, prepared.dev, counts), strict=True):
        print(f"{count:11,}  {share:.1%}")
    print(f"kept in {path}")


def training_text(run: "Run") -> "Prepared":
    """As it was prepared for the run, or anew; another text is refused before any work."""
    from seq2seq.data.prepare import prepare, reopen, scan_corpus

    data, tokenizer = run.config.data, run.config.tokenizer
    given = run.vocabularies if run.config.init_from else None
    try:
        return reopen(data, tokenizer, run.info["data"], given, run.info.get("links", ""))
    except DataError:  # it is not in the cache any more
        run.check_text(scan_corpus(data).hash, run.vocabularies.sha256)
        return prepare(data, tokenizer, given)
