"""A bundle of ours, translated with by the runtime, which imports no torch."""

import json
import os
import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCH), str(BENCH.parents[1])]

import clock  # noqa: E402

start = time.perf_counter()
from seq2seq.runtime import Translator  # noqa: E402


def main() -> None:
    """Write intervals, peak memory in MiB, and the seconds from the start to the first translation."""
    job = json.loads(sys.argv[1])
    length = {"min_length": job["tokens"], "max_length": job["tokens"], "max_ratio": float(job["tokens"])}
    translator = Translator.open(
        job["bundle"],
        threads=job["threads"],
        shortlist=job["shortlist"],
        beam=job["beam"],
        batch=job["batch"],
        **length,
    )
    lines = Path(job["lines"]).read_text(encoding="utf-8").splitlines()
    batches = [lines[at : at + job["batch"]] for at in range(0, len(lines), job["batch"])]
    translator.translate(batches[0][:1])
    first = time.perf_counter() - start
    translator.translate(batches[0])
    intervals = []
    for batch in batches:
        for _ in range(job["count"]):
            before = clock.now()
            translator.translate(batch)
            intervals.append(clock.between(before, clock.now(), len(batch)))
    assert "torch" not in sys.modules
    result = {"intervals": intervals[job["count"] :], "memory": clock.peak_memory(), "first": first}
    temporary = Path(job["out"] + ".new")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    os.replace(temporary, job["out"])


if __name__ == "__main__":
    main()
