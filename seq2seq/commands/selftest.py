"""`seq2seq selftest resume`: shows on this machine that a training which is killed loses nothing."""

import random
import tempfile
from pathlib import Path

from seq2seq.errors import TrainingError
from seq2seq.runtime.arguments import Parser, add_choice, add_number
from seq2seq.runtime.bounds import Bounds


def main(argv: list[str]) -> None:
    """`seq2seq selftest resume [--kills N] [--devices N]`."""
    parser = Parser(
        "selftest",
        "Train a small model on the embedded corpus, and again while the process is killed at random times and the run"
        " resumed: both have to end with the same weights and figures, bit by bit. It takes a minute or two.",
        usage="seq2seq selftest resume [--kills N] [--devices N] [--seed N]",
        example="resume --kills 5",
    )
    add_choice(parser, "what", ["resume"], help="what to test")
    add_number(parser, "--kills", Bounds(1, 1000), default=3, help="how often the process is killed (default: 3)")
    add_number(parser, "--devices", Bounds(1, 1024), default=1, help="devices to train on (default: 1)")
    add_number(parser, "--seed", Bounds(0, 2**31 - 1), default=1, help="of the random times (default: 1)")
    options = parser.parse_args(argv)

    from seq2seq.commands.disturbed_training import DisturbedTraining, finish
    from seq2seq.runs.directory import LAST

    rng, more = random.Random(options.seed), [f"training.accumulate={2 * options.devices}"]
    with tempfile.TemporaryDirectory(prefix="seq2seq-selftest-") as folder:
        whole = DisturbedTraining(Path(folder) / "undisturbed", options.devices, rng, more)
        if whole.wait(whole.start()):
            raise TrainingError(f"the training that nothing disturbs has failed: {whole.last_error()}")
        print(f"undisturbed: trained {whole.updates(LAST)} updates", flush=True)
        trial = DisturbedTraining(Path(folder) / "killed", options.devices, rng, more)
        for number in range(options.kills):
            run = trial.run()
            process = trial.start(f"resume={run}") if run else trial.start()
            trial.sleep_into_training(process, early=False)
            ended = not process.is_alive()
            process.kill()
            trial.wait(process)
            print(
                f"kill {number + 1}: {'it had ended already' if ended else 'SIGKILL'}, checkpoint of update "
                f"{trial.updates(LAST)}",
                flush=True,
            )
            if ended:
                break
        reference = whole.run()
        assert reference
        try:
            outcome = finish(trial, reference)
        except TimeoutError:
            raise TrainingError(f"the resumed training hangs; its last line: {trial.last_error()}") from None
        if not outcome.equal or outcome.lost or outcome.partial:
            raise TrainingError(f"the run that was killed did not end like the other: {outcome.note or outcome}")
        print("resumed and finished: the same weights and the same figures, bit by bit")
