"""`seq2seq verify`: repeats the parity gate of an artifact, anywhere, from what is stored in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.commands.options import open_translator
from seq2seq.errors import RunError, Seq2SeqError
from seq2seq.export.formats import LIBRARY_SETTINGS
from seq2seq.runtime.arguments import Parser
from seq2seq.runtime.bundle import MAX_BYTES, PARITY, Bundle, run_sentence

if TYPE_CHECKING:
    from seq2seq.runtime.parity import Output, ParityRecord


def main(argv: list[str]) -> None:
    """`seq2seq verify ARTIFACT`."""
    parser = Parser(
        "verify",
        "Translate with an artifact the sentences that its export was proved with, and compare with the output of the"
        " checkpoint, which the artifact holds: neither the run nor its text is needed. The files of a bundle are"
        " checked as well.",
        example="runs/toy-demo-s1-bc617b45/export.s2s",
    )
    parser.add_argument("artifact", type=Path, metavar="ARTIFACT", help="what `seq2seq export` wrote")
    path: Path = parser.parse_args(argv).artifact

    from seq2seq.export.parity import scores
    from seq2seq.runtime.parity import verify_lines

    record, found = _translate(path)
    metric = record.metric and scores(record.sentences, found, record.metric, required=record.allow_loss is not None)
    lines, failure = verify_lines(record, found, metric)
    print("\n".join(lines))
    if failure:
        raise RunError(f"{path} does not translate as its checkpoint: {failure}")
    print(f"verified: {path}, {record.dtype}")


def _translate(path: Path) -> "tuple[ParityRecord, Sequence[Output]]":
    """The record of an artifact, and what it gives now for the sentences there.

    Raises RunError for what is no artifact, or is damaged."""
    from seq2seq.runtime.parity import SETTINGS, bundle_record, outputs, read_record
    from seq2seq.runtime.untrusted import read_bytes

    if (path / LIBRARY_SETTINGS).is_file():
        from seq2seq.export.artifacts import library_settings, run_library

        record = read_record(read_bytes(path / PARITY, MAX_BYTES[".json"]), str(path / PARITY))
        settings = library_settings(path)
        try:
            return record, run_library(record.format, path, [one.source for one in record.sentences], settings)
        except Seq2SeqError:
            raise
        except Exception as error:  # each library raises many types for a damaged file
            raise RunError(
                f"{path} cannot be translated with: its files are damaged, or not those of {record.format}"
            ) from error
    from seq2seq.runs.directory import is_artifact

    if not is_artifact(path):
        if sentence := run_sentence(path):
            raise RunError(sentence)
        why = f"it is no bundle and has no {LIBRARY_SETTINGS}" if path.exists() else "it does not exist"
        raise RunError(f"{path} is not an artifact that `seq2seq export` wrote: {why}")
    record = bundle_record(Bundle.open(path))
    return record, outputs(open_translator(path, **SETTINGS), [one.source for one in record.sentences])
