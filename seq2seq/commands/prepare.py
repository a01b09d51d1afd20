"""What does `seq2seq prepare` do? All that training does before it trains."""

from seq2seq.commands.experiment import experiment
from seq2seq.config import Config


def main(argv: list[str]) -> None:
    """`seq2seq prepare SETTING=VALUE ...`."""
    experiment(
        "prepare", "Read and check a corpus, train its tokenizer, encode it; `train` then finds it done.", argv, run
    )


def run(config: Config) -> None:
    """One corpus; the report goes to the log, the folder to stdout."""
    from seq2seq.data.prepare import prepare

    prepared = prepare(config.data, config.tokenizer, linked=config.training.guided_alignment > 0)
    prepared.log_report()
    print(prepared.folder)
