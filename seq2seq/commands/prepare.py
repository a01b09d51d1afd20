"""`seq2seq prepare`: reads and checks a corpus, trains its tokenizer and encodes it, as training would do first."""

from seq2seq.commands.experiment import run_experiment
from seq2seq.config import Config


def main(argv: list[str]) -> None:
    """`seq2seq prepare SETTING=VALUE ...`."""
    description = (
        "Read and check a corpus, train its tokenizer, and encode it. `seq2seq train` with the same data and tokenizer"
        " settings then reuses the result."
    )
    run_experiment("prepare", description, argv, prepare_corpus)


def prepare_corpus(config: Config) -> None:
    """Prepare one corpus; log the report, and print the folder."""
    from seq2seq.data.prepare import prepare

    prepared = prepare(config.data, config.tokenizer, linked=config.training.guided_alignment > 0)
    prepared.log_report()
    print(prepared.folder)
