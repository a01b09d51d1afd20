"""`seq2seq import`: writes a model of another toolkit as a run directory."""  # noqa: N999

from pathlib import Path

from seq2seq.config.languages import check_language
from seq2seq.errors import ConfigError, RunError
from seq2seq.runtime.arguments import Parser, add_choice

FORMATS = ("marian", "opennmt")


def main(argv: list[str]) -> None:
    """`seq2seq import FORMAT FOLDER --output RUN`."""
    parser = Parser(
        "import",
        "Write a model of another toolkit as a run directory, which translates, is evaluated, exported and trained on"
        " like others. marian: a folder in the format of Hugging Face, such as those of OPUS-MT; opennmt: a folder that"
        " scripts/convert_opennmt.py made from a checkpoint of OpenNMT-py. What cannot be represented is refused.",
        example="marian opus-mt-en-de --output runs/opus-en-de --source-language en --target-language de",
    )
    add_choice(parser, "format", FORMATS, metavar="FORMAT", help=" or ".join(FORMATS))
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the model")
    parser.add_argument("--output", type=Path, required=True, metavar="RUN", help="run directory to write")
    for side in ("source", "target"):
        parser.add_argument(
            f"--{side}-language", default="", metavar="CODE", help=f"language of the {side}s, such as de"
        )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FILE",
        help="scores and translations of the original, to compare with (default: reference.json in the folder, if it is"
        " there)",
    )
    for side in ("source", "target"):
        parser.add_argument(
            f"--{side}-spm",
            type=Path,
            metavar="FILE",
            help=f"opennmt: SentencePiece model that {side} text was split by (default: text is split at spaces)",
        )
    options = parser.parse_args(argv)
    languages = options.source_language, options.target_language
    for side, language in zip(("source", "target"), languages, strict=True):
        check_language(language, f"--{side}-language")
    models = options.source_spm, options.target_spm
    if options.format != "opennmt" and any(models):
        raise ConfigError("--source-spm and --target-spm belong to opennmt: this format brings its own")
    if not options.folder.is_dir():
        raise RunError(f"{options.folder} is not a folder")

    from seq2seq.imports.marian import read_marian
    from seq2seq.imports.opennmt import read_opennmt
    from seq2seq.imports.run import write_run

    if options.format == "marian":
        model = read_marian(options.folder, languages)
    else:
        model = read_opennmt(options.folder, languages, models)
    beside = options.folder / "reference.json"
    reference = options.reference or (beside if beside.exists() else None)
    parity = write_run(model, options.output, reference)
    print(parity or "parity: not compared, as there is no reference.json")
    print(f"written: {options.output}")
