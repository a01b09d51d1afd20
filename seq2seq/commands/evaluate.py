"""What does `seq2seq evaluate` do? Translate a test set once, score it, keep what was found in the run."""

import argparse
import hashlib
import json
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seq2seq.commands import Parser
from seq2seq.commands.metrics import add_metric_options, wanted_metrics
from seq2seq.commands.searching import add_machine_options, add_search_options, search_options, word_links
from seq2seq.config.search import THROUGHPUT, SearchConfig
from seq2seq.errors import ConfigError, DataError, choose
from seq2seq.files import write_json, write_text

if TYPE_CHECKING:
    from seq2seq.evaluation.alignment import Gold


class Test(NamedTuple):
    """A test set."""

    name: str
    sources: list[str]
    references: list[list[str]]  # one list for each set of references
    gold: "list[Gold] | None" = None  # word alignments


def main(argv: list[str]) -> None:
    """`seq2seq evaluate RUN --test NAME`, or with files."""
    options = parse(argv)

    from seq2seq.evaluation.metrics import TASKS, score
    from seq2seq.progress import Count
    from seq2seq.runs import Run
    from seq2seq.translator import Translator

    run = Run.open(options.runs[0])
    metrics = wanted_metrics(options, TASKS[run.config.task])
    test = from_files(options) if options.source else from_settings(run, options.test)
    translator = Translator.open(*options.runs, device=options.device, precision=options.precision, **search_options(options))
    with Count("translated", len(test.sources)) as count:
        translator.done = count.add
        found = [hypotheses[0] for hypotheses in translator.hypotheses(test.sources, attention=True)]
    scores = score(
        [h.text for h in found], test.references, metrics, language=run.config.data.target,
        lowercase=options.lowercase, stemming=options.stemming, bootstrap=options.bootstrap,
    )  # fmt: skip
    links = [word_links(h) for h in found]
    scores += alignment_error(links, test.gold, options.bootstrap) if test.gold else []
    report = {
        "test": test.name, "sentences": len(found), "runs": [str(path) for path in options.runs],
        "search": vars(translator.search), "precision": options.precision, "shortlist": options.shortlist or 0,
        "cut_sources": translator.sources_cut, "scores": [s.as_dict() for s in scores],
    }  # fmt: skip
    folder = run.folder / "evaluation" / label(test.name, run.config.search, translator.search, options)
    print(json.dumps(report, ensure_ascii=False, indent=1) if options.json else "\n".join(map(str, scores)))
    translator.tell_cut()
    keep(folder, report, [h.text for h in found], links)
    if not options.json:
        print(f"kept in {folder}")


def parse(argv: list[str]) -> argparse.Namespace:
    """The options; what excludes each other is said."""
    parser = Parser("evaluate", "Translate a test set and score it; every figure with its signature and a 95 % bootstrap interval.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directory; several speak as an ensemble, kept in the first")
    parser.add_argument("--test", metavar="NAME", help="a test set of the run's data settings, or dev")
    parser.add_argument("--source", type=Path, metavar="FILE", help="source lines, .gz or not, in place of --test")
    parser.add_argument("--reference", type=Path, nargs="+", metavar="FILE", help="one or more sets of references")
    add_metric_options(parser, "those of the run's task: bleu,chrf,ter or rouge")
    add_machine_options(parser)
    add_search_options(parser)
    options = parser.parse_args(argv)
    if bool(options.test) == bool(options.source) or bool(options.source) != bool(options.reference):
        parser.error("give either --test NAME, or --source FILE with --reference FILE ...")
    if options.n_best not in (None, 1):
        raise ConfigError(f"search.n_best={options.n_best} would be ignored: the best hypothesis is what is scored")
    return options


def from_settings(run: Any, name: str) -> Test:
    """The test set `name` of the run's data settings, or its dev set. ConfigError for another name, DataError for its files."""
    from seq2seq.data.corpus import dev_pairs, gold_alignment, test_names, test_pairs

    data = run.config.data
    choose(dict.fromkeys([*test_names(data), "dev"]), name, "--test")
    pairs = list(dev_pairs(data) if name == "dev" else test_pairs(data, name))
    gold = gold_alignment(data, name)
    return Test(name, [p.source for p in pairs], [[p.target for p in pairs]], None if gold is None else parsed(gold, name, len(pairs)))


def parsed(lines: list[str], name: str, pairs: int) -> "list[Gold]":
    """The links of a gold alignment. DataError for a line that is none, or another number of lines than pairs."""
    from seq2seq.evaluation.alignment import parse_links

    if len(lines) != pairs:
        raise DataError(f"the gold alignment of {name} has {len(lines)} lines for {pairs} pairs")
    return [parse_links(line, f"gold alignment of {name}, line {number}") for number, line in enumerate(lines, 1)]


def from_files(options: argparse.Namespace) -> Test:
    """Plain files; counts must agree. The name tells other text apart, even in files of the same name."""
    from seq2seq.data.text import read_lines

    sources = list(read_lines(options.source))
    references = [list(read_lines(path)) for path in options.reference]
    for path, lines in zip(options.reference, references, strict=True):
        if len(lines) != len(sources):
            raise DataError(f"{options.source} has {len(sources)} lines, but {path} has {len(lines)}")
    text = hashlib.sha256("\n".join(chain(sources, *references)).encode()).hexdigest()[:8]
    return Test(re.sub(r"\W+", "-", options.source.name.removesuffix(".gz")) + f"-{text}", sources, references)


def alignment_error(links: list[str], gold: "list[Gold]", bootstrap: int) -> list[Any]:
    """Alignment error rate, precision and recall of attention against a human's, or the grammar's, links."""
    from seq2seq.evaluation.alignment import alignment_scores, parse_links

    return list(alignment_scores([parse_links(line).sure for line in links], gold, bootstrap))


def label(test: str, usual: SearchConfig, search: SearchConfig, options: argparse.Namespace) -> str:
    """Where an evaluation is kept: the test set's name, and what is not as in the run, so that it displaces nothing."""
    changed = [f"{name}={value}" for name, value in vars(search).items() if value != getattr(usual, name) and name not in THROUGHPUT]
    changed += [f"precision={options.precision}"] * (options.precision != "32")
    changed += [f"shortlist={options.shortlist}"] * bool(options.shortlist)
    return "-".join([test, *changed, *(f"with={path.resolve().name}" for path in options.runs[1:])])


def keep(folder: Path, report: dict[str, Any], hypotheses: list[str], links: list[str]) -> None:
    """Hypotheses, alignments and scores, each whole or not at all. Other figures of the same hypotheses stay."""
    report = report | {"scores": report["scores"] + other_scores(folder, report["scores"], hypotheses)}
    for file, lines in (("hypotheses.txt", hypotheses), ("alignments.txt", links)):
        write_text(folder / file, "".join(f"{line}\n" for line in lines))
    write_json(folder / "scores.json", report)


def other_scores(folder: Path, scores: list[dict[str, Any]], hypotheses: list[str]) -> list[dict[str, Any]]:
    """What was kept of the same hypotheses before, and is not among `scores`."""
    try:
        kept = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["scores"]
        same = (folder / "hypotheses.txt").read_text(encoding="utf-8").split("\n")[:-1] == hypotheses
    except (OSError, ValueError, KeyError):
        return []
    new = {(score["name"], score["signature"]) for score in scores}
    return [score for score in kept if (score["name"], score["signature"]) not in new] if same else []
