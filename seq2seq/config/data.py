"""Settings of the corpus (`data`) and of the tokenizer (`tokenizer`)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seq2seq.config.languages import check_language, language_of_side
from seq2seq.errors import ConfigError, quoted
from seq2seq.runtime.bounds import SEEDS, Bounds
from seq2seq.runtime.fields import Group, check_path_part, name_list, setting

MOST_WORDS = 1_000_000  # of a line: far more than a model can read
AUTO = "auto"
MAX_AUTO_SIZE = 8000  # tokenizer.size=auto
TABLES = ("tsv", "csv", "conll")  # formats whose files have columns
TARGETS = ("text", "label", "labels", "tags")
BREAKS = ("csv", "jsonl", "hub")  # formats whose texts may contain line breaks
GENERATED = ("toy", "toy_summaries", "toy_sentiment", "toy_entities")  # formats that read no files
LINKED = ("toy", "toy_sentiment")  # those of them with word links

if TYPE_CHECKING:
    Names = list[str]
else:
    Names = Any  # a single name is accepted as well, and becomes a list of one


@dataclass(kw_only=True)
class DataConfig(Group):
    """The corpus: where its text is, and which pairs are used. conf/data/*.yaml holds one file per corpus."""

    path = "data"
    name: str = setting("mine", "name of the corpus, part of the name of the run directory")
    format: str = setting("text", "how pairs are stored, or generated", ("text", *TABLES, "jsonl", "hub", *GENERATED))
    source: str = setting("en", "source language: file ending for format=text, else the name of a column or field")
    target: str = setting("de", "target language, likewise")
    source_language: str = setting(
        "", "language of the sources: a code such as zh, zho or zh-Hant, or a name; empty: data.source, if it is one"
    )
    target_language: str = setting(
        "", "language of the targets, likewise, for which BLEU and TER split words; empty: data.target, if it is one"
    )
    root: str = setting("", "folder of relative file names; empty: $SEQ2SEQ_DATA, else ./data")
    train: Names = setting(
        [],
        "text: file names without language endings; else file names or hub splits; .gz, .bz2 and .xz are found too",
        type_name="list[str]",
    )
    dev: Names = setting([], "likewise, for the development set", type_name="list[str]")
    test: dict[str, Names] = setting({}, "likewise, for each test set: name -> list", type_name="dict[str, list[str]]")
    hub: str = setting("", "format=hub: name of a Hugging Face dataset, or a local folder")
    hub_config: str = setting("", "format=hub: configuration of the data set, such as 3.0.0; empty: its only one")
    targets: str = setting(
        "text",
        "what targets are: text; one label a text; several labels a text, between spaces; or tags, one label a word. Of"
        " all but text each label is one entry of the target vocabulary, whatever tokenizer.kind is",
        TARGETS,
    )
    columns: list[int] = setting(
        [],
        "format=tsv, csv and conll: columns of source and target, counted from 0, in files without a header row;"
        " empty: those that the header row names data.source and data.target, or the only two; of conll first and last",
        bounds=Bounds(0, 9999),
    )
    keep_breaks: bool = setting(
        False,
        f"{', '.join(BREAKS)}: a line break in a target becomes <n>, where ROUGE-Lsum splits sentences; else a space",
    )
    pairs: int = setting(
        24000, f"format={', '.join(GENERATED)}: training pairs to generate", bounds=Bounds(1, 10_000_000)
    )
    toy_seed: int = setting(1, f"format={', '.join(GENERATED)}: seed of the generator", bounds=Bounds(0, SEEDS))
    truncate_source: int = setting(
        0,
        "words that sources are truncated to, in training and inference; 0: no truncation. Text without spaces is"
        " counted by its characters, here and below",
        bounds=Bounds(0, MOST_WORDS),
    )
    truncate_target: int = setting(
        0,
        "words that training targets are truncated to (references never are); 0: no truncation",
        bounds=Bounds(0, MOST_WORDS),
    )
    max_words: int = setting(
        250, "training pairs with a longer side, in words, are dropped", bounds=Bounds(1, MOST_WORDS)
    )
    max_tokens: int = setting(
        1000,
        "training pairs with a longer side, in subwords, are dropped: they would fill a batch by themselves",
        bounds=Bounds(1, MOST_WORDS),
    )
    max_ratio: float = setting(
        9.0,
        "training pairs are dropped if one side has more words than this times those of the other plus 3",
        bounds=Bounds(1.0, float(MOST_WORDS)),
    )
    cache: str = setting(
        "", "folder for prepared corpora, by hash of text and settings; empty: $SEQ2SEQ_CACHE, else ./cache"
    )
    licence: str = setting("", "terms under which the text is available")
    how: str = setting("", "how to obtain the text, shown when a file is missing")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.train, self.dev = name_list("data.train", self.train), name_list("data.dev", self.dev)
        self.test = {name: name_list(f"data.test.{name}", names) for name, names in self.test.items()}
        if self.format not in GENERATED:
            self.refuse_ignored(("pairs", "toy_seed"), f"it belongs to data.format={', '.join(GENERATED)}")
        else:
            self.refuse_ignored(
                ("train", "dev", "test", "root", "source", "target", "source_language", "target_language"),
                f"data={self.format} is generated; data=mine reads files",
            )
        check_language(self.source_language, "data.source_language")
        check_language(self.target_language, "data.target_language")
        for name in self.test:  # a folder of each run's evaluation
            check_path_part("data.test", name)
            if not name.strip("."):
                raise ConfigError(f"data.test={name!r} names no folder: give the test set another name")
        if "dev" in self.test:
            raise ConfigError(
                "data.test.dev is reserved: --test dev is the development set; give the test set another name"
            )
        if self.targets != "text":
            self.refuse_ignored(("truncate_target", "keep_breaks"), f"data.targets={self.targets} are no text")
        if self.format == "conll" and self.targets != "tags":
            raise ConfigError("data.format=conll has a tag for each word: data.targets=tags, which task=labeling sets")
        if self.targets == "tags":
            self.refuse_ignored(("truncate_source",), "data.targets=tags has a tag for each word of a source")
        if self.format not in TABLES:
            if self.columns == [0, 1]:
                self.columns = []  # as in runs of versions in which that was the default
            self.refuse_ignored(("columns",), "it belongs to data.format=tsv, csv and conll")
        elif self.columns and (len(self.columns) != 2 or len(set(self.columns)) != 2):
            raise ConfigError(f"data.columns={self.columns} must be two columns, counted from 0")
        if self.format != "hub":
            self.refuse_ignored(("hub", "hub_config"), "it belongs to data.format=hub")

    def languages(self) -> tuple[str, str]:
        """The languages of source and target: those of the settings, else what file endings or fields say; or "".

        Labels have none."""
        source = self.source_language or language_of_side(self.source)
        if self.targets != "text":
            return source, ""
        return source, self.target_language or language_of_side(self.target)

    def check_word_links(self) -> None:
        """Raise ConfigError for a format that has no word links."""
        if self.format not in (*LINKED, "text"):
            others = f"data={', '.join(LINKED)} have, and format=text in files NAME.align"
            raise ConfigError(f"data.format={self.format} has no word links to learn from: {others}")


@dataclass(kw_only=True)
class TokenizerConfig(Group):
    """The tokenizer. conf/tokenizer/*.yaml holds one file per kind."""

    path = "tokenizer"
    kind: str = setting("unigram", "type of the SentencePiece model", ("unigram", "bpe", "word", "char"))
    size: int | str = setting(
        AUTO,
        "entries of the vocabulary, or of each of two; for word and char a maximum; auto: 8000, or the largest number "
        "that the training text supports if that is less; with two vocabularies one may be smaller, as its text allows",
        bounds=Bounds(5, 1_000_000, "every entry has a place in each output of the model"),
    )
    joint: bool = setting(True, "one vocabulary for both languages; needed by model.tie=all")
    normalizer: str = setting(
        "identity",
        "SentencePiece's normalization rule; identity keeps every character",
        ("identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf"),
    )
    character_coverage: float = setting(
        1.0, "share of the text's characters that get an entry; the rest become UNK", bounds=Bounds(0.98, 1.0)
    )
    sampling: float = setting(
        0.0,
        "subword regularization of training text: alpha of unigram sampling (Kudo 2018) or dropout rate of BPE "
        "(Provilkov et al. 2020); 0: none",
        bounds=Bounds(0.0, 1.0, below=True),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.size, str) and self.size != AUTO:
            raise ConfigError(f"tokenizer.size={quoted(self.size)} is neither an integer nor {AUTO}")
        if self.kind in ("word", "char"):
            self.refuse_ignored(("sampling",), f"tokenizer.kind={self.kind} has one segmentation only")
