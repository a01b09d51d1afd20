"""CTranslate2, with the Transformer that OpenNMT-py made (A3), in float32 and int8."""

from pathlib import Path

import watch

probe = watch.begin()
job = probe.job
watch.allow_pickled_checkpoints()

import ctranslate2  # noqa: E402
from ctranslate2.converters import opennmt_py  # noqa: E402


def make() -> None:
    """Convert the model of OpenNMT-py."""
    model = max(Path(job.folder).glob("model_step_*.pt"), key=lambda path: path.stat().st_mtime)
    watch.set_arguments("convert", "--model_path", model, "--output_dir", f"{job.folder}/ctranslate2", "--force")
    opennmt_py.main()


def decode() -> None:
    """Translate in the compute type that the name of the output file ends with."""
    compute_type = Path(job.out).stem.rpartition("-")[2]  # float32, int8
    translator = ctranslate2.Translator(
        f"{job.folder}/ctranslate2", compute_type=compute_type, inter_threads=1, intra_threads=job.threads
    )
    length = {
        "min_decoding_length": job.tokens,
        "max_decoding_length": job.tokens,
        "beam_size": job.beam,
        "max_batch_size": job.batch,
    }
    sources = watch.read(job, "test.en")
    for numbers in watch.batches(job):
        lines = [sources[i] for i in numbers]
        probe.timed(len(lines), lambda lines=lines: translator.translate_batch(lines, **length))


make() if job.job == "make" else decode()
