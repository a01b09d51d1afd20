"""`seq2seq translate` on ten thousand lines of 1 to 300 words: order, memory, and independence of the batch size."""

import json
import os
import random
import subprocess
import sys

import pytest

from seq2seq.translator import Translator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
LINES, PROBED, SPREAD, SHORT = 10_000, 500, 20, {"max_length": 12, "beam": 3}
TIE = 1e-4


@pytest.fixture(scope="module")
def many():
    """Lines of 1 to 300 words of the embedded corpus, each with its number, in random order of length."""
    from seq2seq.data.toy.translation import generate_translations

    draw = random.Random(5)
    words = sorted(
        {word for example in generate_translations(pairs=500, dev=2, test=2).train for word in example.source.split()}
    )
    return [" ".join([str(number), *draw.choices(words, k=draw.randint(0, 299))]) for number in range(LINES)]


@pytest.fixture(scope="module")
def run(random_run):
    return random_run("model.hidden=16", "model.embedding=16", "data.max_words=300")


def found(run, lines, batch, precision, window=2048):
    """(text, score) of each line."""
    translator = Translator.open(run, precision=precision, batch=batch, window=window, **SHORT)
    return [(best.text, best.score) for best, *_ in translator.hypotheses(lines)]


def texts(found):
    return [text for text, _ in found]


def ties(some, others):
    """How many texts differ. Their scores must be equal, but for one text in 5,000, where rounding pruned another
    hypothesis inside the beam. In float64 none differs."""
    differences = [(a, b) for a, b in zip(some, others, strict=True) if a[0] != b[0]]
    assert sum(abs(a[1] - b[1]) > TIE for a, b in differences) <= len(some) / 5000, differences
    return len(differences)


def translated(run, lines, source, *more):
    """(text, score) of each line, and the peak memory in KiB of the command, in a process of its own.

    The caches of compiled kernels, one kernel per shape, are small enough that a quarter of the lines fills them."""
    environment = {**os.environ, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16", "LRU_CACHE_CAPACITY": "16"}
    options = ["--window", "256", "--max-length", "12", "--beam", "3", "--batch", "64", "--json", *more]
    watch = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(code)"
    )
    source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-c", watch, sys.executable, "-m", "seq2seq", "translate", str(run), *options]
    done = subprocess.run(command, stdin=source.open(), capture_output=True, text=True, check=True, env=environment)
    rows = map(json.loads, done.stdout.splitlines())
    return [(row[0]["text"], row[0]["score"]) for row in rows], int(done.stderr.split()[-1])


@pytest.mark.parametrize("precision", ["32", "bf16", "int8"])
def test_no_line_is_lost_and_memory_is_bounded(run, many, tmp_path, precision):
    """Memory is compared with that of a quarter of the lines."""
    parts = many[: LINES // 4], many
    (first, low), (every, high) = (
        translated(run, lines, tmp_path / "in.txt", "--precision", precision) for lines in parts
    )
    assert len(every) == LINES
    assert texts(every[:256]) == texts(first[:256])  # the same windows give the same lines
    assert high < low * 1.1, f"peak memory grew from {low} to {high} KiB with the number of lines"
    print(
        f"{precision}: peak memory {low / 1024:.0f} MiB for {LINES // 4:,} lines, {high / 1024:.0f} MiB for {LINES:,}"
    )
    if precision == "32":
        number = ties(every, found(run, many, 7, "32"))
        print(f"float32: {number} of {LINES:,} lines differ between batches of 64 and 7, all within {TIE}")
        single = found(run, many[::SPREAD], 1, "32", window=1)  # windows of one line are not sorted
        number = ties(every[::SPREAD], single)
        print(f"float32: {number} of {len(single)} lines differ from those of batches of 1, all within {TIE}")


def test_batch_size_changes_no_translation_in_float64(run, many):
    seven, sixty_four = (found(run, many, batch, "64") for batch in (7, 64))
    assert texts(seven) == texts(sixty_four)
    assert [s for _, s in seven] == pytest.approx([s for _, s in sixty_four], abs=1e-9)
    assert texts(found(run, many[::SPREAD], 1, "64", window=1)) == texts(seven[::SPREAD])
    assert texts(found(run, many[:PROBED], 1, "64")) == texts(seven[:PROBED])
