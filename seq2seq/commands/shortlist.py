"""What does `seq2seq shortlist` do? Learn which target subwords translate each source subword, for faster searches in a run."""

from pathlib import Path

from seq2seq.commands import Parser
from seq2seq.errors import ConfigError

SHOWN = (5, 10, 20, 50, 100, 200, 500)


def main(argv: list[str]) -> None:
    """`seq2seq shortlist RUN [--most N]`."""
    parser = Parser(
        "shortlist", "Learn from the training text which target subwords translate each source subword; --shortlist N then reads it."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory; its training text must still be there")
    parser.add_argument("--most", type=int, default=100, metavar="N", help="translations kept of each subword (default: 100)")
    options = parser.parse_args(argv)
    if options.most < 1:
        raise ConfigError(f"--most={options.most} is too small: at least 1")

    import torch

    from seq2seq.data.ibm1 import coverage, translations
    from seq2seq.data.prepare import prepare
    from seq2seq.runs import SHORTLIST, Run, save_weights

    run = Run.open(options.run)
    prepared = prepare(run.config.data, run.config.tokenizer, run.vocabularies if run.config.init_from else None)
    run.check_text(prepared.data_hash, prepared.vocabularies.sha256)
    table = translations(prepared.train, run.vocabularies.source.size, options.most)
    save_weights({"translations": torch.from_numpy(table)}, run.folder / SHORTLIST)
    counts = [n for n in SHOWN if n < options.most] + [options.most]
    print("--shortlist  of the development text's target subwords, so many are in it")
    for count, share in zip(counts, coverage(table, prepared.dev, counts), strict=True):
        print(f"{count:11,}  {share:.1%}")
    print(f"kept in {run.folder / SHORTLIST}")
