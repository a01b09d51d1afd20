"""card.md of an artifact: what the translator was made of, how good it is, and what it is for."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from seq2seq.config import LABEL_TASKS
from seq2seq.config.languages import language_name
from seq2seq.errors import RunError
from seq2seq.evaluation.store import MAX_SCORES_BYTES, SCORES
from seq2seq.export.formats import FORMATS
from seq2seq.export.parity import compared
from seq2seq.runs.directory import Run, variant_name
from seq2seq.runtime.parity import ParityRecord
from seq2seq.runtime.untrusted import NUMBER, TEXT, WHOLE, WORD, fits, read_json
from seq2seq.utils.progress import format_duration

SCORE = {"name": WORD, "value": NUMBER, "signature": TEXT}
MOST_SCORES = 200  # in the card


def make_card(runs: Sequence[Run], record: ParityRecord) -> str:
    """The card of an artifact of one run, or of several that are an ensemble, as Markdown."""
    first = runs[0]
    config, info = first.config, first.info
    source, target = (language_name(code) if code else "unknown" for code in config.data.languages())
    languages = source if config.task in LABEL_TASKS else f"{source} to {target}"
    rows = {
        "task": config.task,
        "languages": languages,
        "model": f"{variant_name(config)}, {_whole(info.get('parameters'))} parameters",
        "members": f"{len(runs)}, an ensemble" if len(runs) > 1 else "",
        "data": f"{config.data.name}, SHA-256 {info.get('data', 'unknown')}",
        "training pairs": _kept(info),
        "licence of the data": config.data.licence or "not stated",
        "tokenizer": f"{config.tokenizer.kind}, SHA-256 {info['tokenizer']}",
        "training time": " + ".join(_training_time(run) for run in runs),
        "seed": ", ".join(str(run.config.seed) for run in runs),
        "trained with": ", ".join(f"{name} {version}" for name, version in _versions(info).items()),
        "format": f"{FORMATS[record.format].title}, {record.dtype}",
    }
    table = [f"| {name} | {cell(value)} |" for name, value in rows.items() if value]
    parts = [
        f"# {cell(config.data.name)} {cell(variant_name(config))}: {cell(languages)}",
        "\n".join(["| | |", "| --- | --- |", *table]),
        "## Intended use",
        _intended_use(config.task, config.data.name, source, target),
        "## Scores of the checkpoint",
        _scores(runs),
        "## Parity",
        "\n".join(_parity(record)),
    ]
    return "\n\n".join(parts) + "\n"


def _intended_use(task: str, data: str, source: str, target: str) -> str:
    what = {
        "translation": f"Translates from {source} to {target}",
        "classification": f"Labels texts in {source}",
        "multilabel": f"Labels texts in {source}, with any number of labels",
        "labeling": f"Labels the words of text in {source}",
    }.get(task, f"Summarizes text in {source}")
    return (
        f"{cell(what)}, one sentence or paragraph a line, of the kind that it was trained on ({cell(data)}). Text of"
        " other kinds was not measured: its output may be wrong. The licence of the training text may restrict the use"
        " of the model."
    )


def _scores(runs: Sequence[Run]) -> str:
    """A table of the scores that are stored in the runs."""
    rows = []
    for run in runs:
        monitor, dev = run.config.training.monitor, run.info.get("dev_score")
        if fits(dev, NUMBER) and isinstance(dev, int | float):
            rows.append(f"| {cell(run.folder.name)} | dev | {cell(monitor)} | {abs(dev):.2f} | during training |")
        rows += [
            f"| {cell(run.folder.name)} | {cell(test)} | {cell(one['name'])} | {one['value']:.2f}{_interval(one)} |"
            f" `{cell(one['signature']).replace('`', '')}` |"
            for test, one in stored_scores(run)
        ]
    if not rows:
        return "None is stored: `seq2seq evaluate RUN` measures and stores them."
    return "\n".join(["| run | text | metric | value | signature |", "| --- | --- | --- | --- | --- |", *rows])


def stored_scores(run: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the scores of each evaluation that is stored in a run; damaged ones are left out."""
    count = 0
    for path in sorted(run.folder.glob(f"evaluation/*/{SCORES}")):
        try:
            report = read_json(path, MAX_SCORES_BYTES, root=run.folder)
        except RunError:
            continue
        if not fits(report, {"scores": [SCORE]}):
            continue
        for one in report["scores"]:
            count += 1
            if count > MOST_SCORES:
                return
            yield path.parent.name, one


def _interval(score: dict[str, Any]) -> str:
    interval: Any = score.get("interval")
    return f" [{interval[0]:.2f}, {interval[1]:.2f}]" if fits(interval, (NUMBER, NUMBER)) else ""


def _parity(record: ParityRecord) -> Iterator[str]:
    found = compared(record)
    yield f"{found.same_share} sentences got the same output as from the checkpoint."
    if found.distance is not None:
        yield f"Scores differ by at most {found.distance:.2g}."
    if record.metric:
        yield (
            f"{cell(record.metric['name'])} of the checkpoint {record.metric['checkpoint']:.2f}, of this artifact"
            f" {record.metric['artifact']:.2f}, `{record.metric['signature']}`."
        )
    again = "" if record.format == "pt2" else "; `seq2seq verify` repeats the comparison"
    yield f"`parity.json` has all of them{again}."


def _whole(value: Any) -> str:
    """A number of run.json, which may be missing."""
    return f"{value:,}" if fits(value, WHOLE) else "an unknown number of"


def _kept(info: dict[str, Any]) -> str:
    corpus = info.get("corpus")
    return _whole(corpus.get("kept")) if isinstance(corpus, dict) else ""


def _training_time(run: Run) -> str:
    seconds = run.info.get("seconds")
    return format_duration(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else "unknown"


def _versions(info: dict[str, Any]) -> dict[str, str]:
    found = info.get("versions")
    return found if isinstance(found, dict) else {}


def cell(value: object) -> str:
    """Text for a cell of a table: on one line, without what Markdown would read as its own."""
    return re.sub(r"([|<>*_`\[\]])", r"\\\1", " ".join(str(value).split()))
