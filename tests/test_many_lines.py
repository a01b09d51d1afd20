"""Do ten thousand lines of 1 to 300 words go through `translate` in order, none lost, the same in any batch?"""

import random
import subprocess
import sys

import pytest
import torch

from seq2seq.translator import Translator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
LINES, PROBED, SHORT = 10_000, 500, {"max_length": 12, "beam": 3}
TIE = 1e-4


@pytest.fixture(scope="module")
def many():
    """Lines of 1 to 300 words of the embedded corpus, each with its number in it, shuffled by length."""
    from seq2seq.data.synthetic import generate

    draw = random.Random(5)
    words = sorted({word for example in generate(pairs=500, dev=2, test=2).train for word in example.source.split()})
    return [" ".join([str(number), *draw.choices(words, k=draw.randint(0, 299))]) for number in range(LINES)]


@pytest.fixture(scope="module")
def run(lively):
    return lively("model.hidden=16", "model.embedding=16", "data.max_words=300")


def found(run, lines, batch, dtype, window=2048):
    """(text, score) of each line."""
    translator = Translator.open(run, dtype=dtype, batch=batch, window=window, **SHORT)
    return [(best.text, best.score) for best, *_ in translator.hypotheses(lines)]


def test_none_is_lost_and_memory_is_bounded(run, many, tmp_path):
    """The command itself, in a process of its own; memory is compared with that of a tenth of the lines."""
    source, peaks, outputs = tmp_path / "in.txt", [], []
    options = ["--window", "256", "--max-length", "12", "--beam", "3"]
    watch = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(code)"
    )
    for lines in (many[: LINES // 10], many):
        source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        command = [sys.executable, "-c", watch, sys.executable, "-m", "seq2seq", "translate", str(run), *options]
        done = subprocess.run(command, stdin=source.open(), capture_output=True, text=True, check=True)
        outputs.append(done.stdout.split("\n")[:-1])
        peaks.append(int(done.stderr.split()[-1]))
    assert len(outputs[1]) == LINES
    assert outputs[1][:256] == outputs[0][:256]  # the same windows give the same lines
    assert peaks[1] < peaks[0] * 1.15, f"peak memory grew from {peaks[0]} to {peaks[1]} KiB with the number of lines"


def test_the_batch_changes_nothing_in_float64(run, many):
    seven, sixty_four = (found(run, many[:3000], batch, torch.float64) for batch in (7, 64))
    assert [text for text, _ in seven] == [text for text, _ in sixty_four]
    assert [s for _, s in seven] == pytest.approx([s for _, s in sixty_four], abs=1e-9)
    one = found(run, many[:PROBED], 1, torch.float64)
    assert [text for text, _ in one] == [text for text, _ in seven[:PROBED]]


def test_differences_in_float32_are_ties(run, many, record_property):
    reference = found(run, many[:PROBED], 1, torch.float32)
    for batch in (7, 64):
        pairs = list(zip(reference, found(run, many[:PROBED], batch, torch.float32), strict=True))
        differences = [(a, b) for a, b in pairs if a[0] != b[0]]
        record_property(f"differences_{batch}", len(differences))
        print(f"batch {batch}: {len(differences)} of {PROBED} lines differ from batch 1")
        assert all(abs(a[1] - b[1]) <= TIE for a, b in differences)
