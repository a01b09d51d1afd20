"""A Markdown table of the scores that `seq2seq evaluate` stored in run directories.

python scripts/bench/table.py TEST RUN [RUN ...]
"""

import json
import sys
from statistics import mean, stdev

from seq2seq.runs.directory import Run, variant_name


def main(test: str, *folders: str) -> None:
    """Print a row per run, sorted by BLEU, and mean and standard deviation of variants with several seeds."""
    rows = sorted((row(Run.open(folder), test) for folder in folders), key=lambda r: -r["bleu"][0])
    names = [name for name in ("bleu", "bleu lc", "chrf", "ter", "aer") if name in rows[0]]
    print("| variant | seed | updates | CPU minutes | dev | " + " | ".join(names) + " |")
    print("| --- | --- | ---: | ---: | ---: |" + " ---: |" * len(names))
    for r in rows:
        figures = " | ".join(
            f"{value:.1f} [{low:.1f}, {high:.1f}]" for value, (low, high) in (r[name] for name in names)
        )
        print(f"| {r['variant']} | {r['seed']} | {r['updates']:,} | {r['minutes']:.1f} | {r['dev']:.1f} | {figures} |")
    for name in sorted({r["variant"] for r in rows}):
        seeds = [r for r in rows if r["variant"] == name]
        if len(seeds) > 1:
            print(
                f"\n{name}, {len(seeds)} seeds: "
                + ", ".join(spread(metric, [r[metric][0] for r in seeds]) for metric in names)
            )
    print("\n" + "\n".join(sorted({r["signature"] for r in rows})))


def row(run: Run, test: str) -> dict[str, object]:
    """What run.json records about the training, and the scores with their intervals."""
    report = json.loads((run.folder / "evaluation" / test / "scores.json").read_text(encoding="utf-8"))
    latest = {name_of(s): s for s in reversed(report["scores"])}  # the first score of a name is the latest
    scores = {name: (s["value"], s["interval"] or (s["value"], s["value"])) for name, s in latest.items()}
    signature = latest["bleu"]["signature"]
    training = {
        "variant": variant_name(run.config),
        "seed": run.config.seed,
        "updates": run.info["updates"],
        "dev": abs(run.info["dev_score"]),
    }
    return training | scores | {"minutes": run.info["processor_seconds"] / 60, "signature": signature}


def spread(metric: str, values: list[float]) -> str:
    """A metric's mean and standard deviation over seeds."""
    return f"{metric} {mean(values):.2f} ± {stdev(values):.2f}"


def name_of(score: dict[str, str]) -> str:
    """The name of the metric, with " lc" for lower-cased BLEU."""
    return score["name"] + (" lc" if score["name"] == "bleu" and "case:lc" in score["signature"] else "")


if __name__ == "__main__":
    main(*sys.argv[1:])
