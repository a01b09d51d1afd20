"""Classifiers on real text beside TF-IDF with logistic regression: python scripts/bench/classify.py VADER MULTI30K

VADER: folder hutto_ICWSM_2014, with the rated snippets that the source distribution of the package vaderSentiment holds
in additional_resources (Hutto & Gilbert 2014): is the mean rating of a movie review's snippet above 0, and which of
four sources is a snippet from? MULTI30K: folder with train.en.gz and so on: which language is a caption?

Needs scikit-learn. Prints accuracy and macro F1 on the test set, of three seeds, and
seconds of training.
"""

import argparse
import gzip
import random
import tempfile
import time
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from seq2seq.evaluation.metrics import score
from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import read_info
from seq2seq.training.run import train
from seq2seq.translator import Translator

Pairs = list[tuple[str, str]]
SOURCES = ("movieReview", "amazonReview", "nytEditorial", "tweets")
MODELS = {
    "BiLSTM, attention": (
        "model.embedding=64", "model.hidden=128", "model/attention=additive",
        "model.attention.hidden=64",
    ),
    "self-attention": (
        "model=transformer", "model.size=64", "model.heads=4", "model.feedforward=128", "model.encoder_layers=1",
    ),
}  # fmt: skip
SETTINGS = (
    "task=classification", "data=mine", "data.format=tsv", "data.columns=[0,1]", "data.train=train.tsv",
    "data.dev=dev.tsv", "tokenizer.size=4000", "model.dropout=0.4", "training.batch_tokens=2000",
    "training.learning_rate=2e-3", "training.warmup=100", "training.validate_every=100", "training.patience=4",
    "training.max_updates=600", "training.show=0", "trainer.progress=none",
)  # fmt: skip


def rated(folder: Path, name: str) -> list[tuple[float, str]]:
    """Mean rating and text of each snippet."""
    text = next(folder.glob(f"{name}*_GroundTruth.txt")).read_text(encoding="utf-8", errors="replace")
    rows = [line.split("\t") for line in text.splitlines()]
    return [(float(row[1]), " ".join(row[2].split())) for row in rows if len(row) == 3 and row[2].strip()]


def corpora(vader: Path, multi30k: Path) -> dict[str, Pairs]:
    """Name -> texts with their labels."""
    reviews = [(text, "positive" if rating > 0 else "negative") for rating, text in rated(vader, "movieReview")]
    sources = [(text, name) for name in SOURCES for _, text in rated(vader, name)]
    captions = []
    for language in ("en", "de"):
        with gzip.open(multi30k / f"val.{language}.gz", "rt", encoding="utf-8") as file:
            captions += [(" ".join(line.split()[:2]), language) for line in file if line.strip()]
        with gzip.open(multi30k / f"train.{language}.gz", "rt", encoding="utf-8") as file:
            captions += [(" ".join(line.split()[:2]), language) for line, _ in zip(file, range(5000), strict=False)]
    found = {"sentiment of film reviews": reviews, "source of a text": sources, "language of two words": captions}
    return {name: list(dict.fromkeys(pair for pair in pairs if pair[0])) for name, pairs in found.items()}


def measure(hypotheses: list[str], references: list[str]) -> str:
    """Accuracy and macro F1."""
    names = ["accuracy", "macro_f1"]
    return " / ".join(f"{one.value:.1f}" for one in score(hypotheses, [references], names, bootstrap=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vader", type=Path)
    parser.add_argument("multi30k", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for name, pairs in corpora(options.vader, options.multi30k).items():
        random.Random(1).shuffle(pairs)
        test, dev, rest = pairs[:1000], pairs[1000:1500], pairs[1500:]
        print(f"{name}: {len(rest)} texts for training, {len({label for _, label in pairs})} classes", flush=True)
        texts, labels = [list(side) for side in zip(*test, strict=True)]
        grams = {
            "words": {"ngram_range": (1, 2), "sublinear_tf": True},
            "characters": {"analyzer": "char_wb", "ngram_range": (1, 4)},
        }
        for kind, arguments in grams.items():
            began = time.perf_counter()
            baseline = make_pipeline(TfidfVectorizer(**arguments), LogisticRegression(C=10, max_iter=1000))
            baseline.fit(*[list(side) for side in zip(*rest, strict=True)])
            found = baseline.predict(texts).tolist()
            print(
                f"  TF-IDF of {kind}: {measure(found, labels)}, {time.perf_counter() - began:.0f} s",
                flush=True,
            )
        for title, words in MODELS.items():
            results = []
            for seed in range(1, options.seeds + 1):
                with tempfile.TemporaryDirectory() as folder:
                    for part, of_part in (("train", rest), ("dev", dev)):
                        lines = "".join("\t".join(pair) + "\n" for pair in of_part)
                        (Path(folder) / f"{part}.tsv").write_text(lines, encoding="utf-8")
                    paths = (f"data.root={folder}", f"data.cache={folder}/cache", f"runs={folder}/runs", f"seed={seed}")
                    run = train(compose_config([*SETTINGS, *words, *paths]))
                    found = Translator.open(run).translate(texts)
                    results.append(f"{measure(found, labels)}, {read_info(run)['seconds']:.0f} s")
            print(f"  {title}: {'; '.join(results)}", flush=True)


if __name__ == "__main__":
    main()
