"""Writes a bundle of each kind, of the schema that is current, and what it translates, to be kept for later versions.

    python -m tests.runtime.schemas [FOLDER]     # this one by default; a minute

It is called once for each schema, when there is a new one; the files of an older schema cannot be made again.
"""

import json
import sys
import tempfile
from pathlib import Path

from seq2seq import Translator, cli
from seq2seq.runtime.bundle import SCHEMA
from tests.conftest import randomize_weights

HERE = Path(__file__).parent
LINES = ["the cat sees the dog .", "", "a house", "die Katze ⁇ 我们"]
TRAINING = (
    "data=toy", "data.pairs=300", "tokenizer.size=80", "model.source_end=false",
    "training.max_updates=1", "training.dev_lines=2", "trainer.threads=1", "trainer.progress=none",
    "search.beam=3", "search.n_best=2", "search.max_length=12", "search.coverage_penalty=0.2",
)  # fmt: skip
TRANSFORMER = (
    "model=transformer", "model.size=8", "model.heads=2", "model.feedforward=8", "model.encoder_layers=1",
    "model.decoder_layers=1",
)  # fmt: skip
MODELS = {"rnn": ("model.embedding=8", "model.hidden=8", "model.head=copy"), "transformer": TRANSFORMER}
FORMATS = {"rnn": "onnx", "transformer": "onnx", "weights": "weights"}  # bundle -> its format


def main() -> None:
    """Train a model of each family, give it random weights, and export it."""
    target = Path(sys.argv[1] if sys.argv[1:] else HERE).resolve()
    expected = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, form in FORMATS.items():
            runs = Path(scratch, name)
            _call("train", *TRAINING, *MODELS.get(name, MODELS["rnn"]), f"runs={runs}", f"data.cache={scratch}/cache")
            (run,) = runs.iterdir()
            randomize_weights(run)
            _call("shortlist", run, "--most", 9)
            path = target / f"{SCHEMA}-{name}.s2s"
            _call("export", run, "--format", form, "--sentences", 10, "--output", path, "--overwrite")
            found = Translator.open(run, shortlist=9).hypotheses(LINES)
            expected[path.name] = [[[one.text, round(one.score, 4)] for one in best] for best in found]
    text = json.dumps({"lines": LINES, "translations": expected}, ensure_ascii=False)
    (target / f"{SCHEMA}.json").write_text(f"{text}\n", encoding="utf-8")


def _call(*words: object) -> None:
    """Call a command of seq2seq."""
    if cli.main([str(word) for word in words]):
        sys.exit(2)


if __name__ == "__main__":
    main()
