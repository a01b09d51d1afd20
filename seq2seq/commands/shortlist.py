"""`seq2seq shortlist`: learns a lexical shortlist from a run's training text, for faster search."""

from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.commands.options import COUNT, check_gives_labels
from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.runtime.arguments import Parser, add_number

if TYPE_CHECKING:
    from seq2seq.data.prepare import Prepared
    from seq2seq.runs.directory import Run

DEFAULT_MOST = 100
REPORTED = (5, 10, 20, 50, 100, 200, 500)  # values of --shortlist in the report


def main(argv: list[str]) -> None:
    """`seq2seq shortlist RUN [--most N]`."""
    parser = Parser(
        "shortlist",
        "Learn from the training text which target subwords are likely translations of each source subword, and save"
        " them in the run. `translate --shortlist N` and other searches then consider only those, which is faster.",
        example="RUN",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory, whose training text is still available")
    add_number(
        parser,
        "--most",
        COUNT,
        help=f"translations kept of each subword (default: {DEFAULT_MOST}, or the whole vocabulary if it is smaller)",
    )
    options = parser.parse_args(argv)
    check_gives_labels([options.run], False)

    import torch

    from seq2seq.data.ibm1 import table_coverage, translation_table
    from seq2seq.runs.directory import Run
    from seq2seq.runs.weights import save_translations
    from seq2seq.utils.files import why_no_folder

    run = Run.open(options.run)
    run.need_text("a shortlist is learned from it")
    size = run.vocabularies.target.size
    most = min(DEFAULT_MOST, size) if options.most is None else options.most
    if not 1 <= most <= size:
        raise ConfigError(f"--most={most} is not between 1 and the {size:,} entries of the target vocabulary")
    if reason := why_no_folder(run.folder):
        raise RunError(f"nothing can be saved in {run.folder}: {reason}")
    prepared = _training_text(run)
    table = translation_table(prepared.train, run.vocabularies.source.size, most)
    path = save_translations(run, torch.from_numpy(table))
    counts = [count for count in REPORTED if count < most] + [most]
    print("--shortlist  share of the development set's target subwords that it contains")
    for count, share in zip(counts, table_coverage(table, prepared.dev, counts), strict=True):
        print(f"{count:11,}  {share:.1%}")
    print(f"saved in {path}")


def _training_text(run: "Run") -> "Prepared":
    """The run's training text, from the cache or prepared again. RunError if the text has changed."""
    from seq2seq.data.prepare import open_cached, prepare
    from seq2seq.data.scan import scan_corpus

    data, tokenizer = run.config.data, run.config.tokenizer
    given = run.vocabularies if run.config.init_from else None
    try:
        return open_cached(data, tokenizer, run.info["data"], given, run.info.get("links", ""))
    except DataError:  # no longer in the cache
        run.check_text(scan_corpus(data).hash, run.vocabularies.sha256)
        prepared = prepare(data, tokenizer, given)
        run.check_text(prepared.data_hash, run.vocabularies.sha256)  # it may have changed since
        return prepared
