"""Text for training: reading parallel corpora, tokenizers, batches of about equal size, and the embedded corpora."""

from typing import TYPE_CHECKING

from seq2seq.utils.lazy import lazy_names

if TYPE_CHECKING:
    from seq2seq.data.batching import Batch as Batch
    from seq2seq.data.batching import BatchOptions as BatchOptions
    from seq2seq.data.batching import TrainBatches as TrainBatches
    from seq2seq.data.batching import collate as collate
    from seq2seq.data.batching import eval_batches as eval_batches
    from seq2seq.data.dataset import EncodedPair as EncodedPair
    from seq2seq.data.dataset import PairArrays as PairArrays
    from seq2seq.data.filters import PairFilter as PairFilter
    from seq2seq.data.readers import LinkedPair as LinkedPair
    from seq2seq.data.readers import Pair as Pair
    from seq2seq.data.readers import read_parallel as read_parallel
    from seq2seq.data.tokenizer import Tokenizer as Tokenizer
    from seq2seq.data.tokenizer import train_tokenizer as train_tokenizer
    from seq2seq.data.toy.summarization import generate_summaries as generate_summaries
    from seq2seq.data.toy.translation import generate_translations as generate_translations
    from seq2seq.data.vocabulary import Vocabularies as Vocabularies
    from seq2seq.data.word_links import GoldAlignment as GoldAlignment
    from seq2seq.data.word_links import format_links as format_links
    from seq2seq.data.word_links import parse_links as parse_links

__all__ = [
    "Batch",
    "BatchOptions",
    "EncodedPair",
    "GoldAlignment",
    "LinkedPair",
    "Pair",
    "PairArrays",
    "PairFilter",
    "Tokenizer",
    "TrainBatches",
    "Vocabularies",
    "collate",
    "eval_batches",
    "format_links",
    "generate_summaries",
    "generate_translations",
    "parse_links",
    "read_parallel",
    "train_tokenizer",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Batch": "batching",
        "BatchOptions": "batching",
        "TrainBatches": "batching",
        "collate": "batching",
        "eval_batches": "batching",
        "EncodedPair": "dataset",
        "PairArrays": "dataset",
        "PairFilter": "filters",
        "LinkedPair": "readers",
        "Pair": "readers",
        "read_parallel": "readers",
        "Tokenizer": "tokenizer",
        "train_tokenizer": "tokenizer",
        "generate_summaries": "toy.summarization",
        "generate_translations": "toy.translation",
        "Vocabularies": "vocabulary",
        "GoldAlignment": "word_links",
        "format_links": "word_links",
        "parse_links": "word_links",
    },
)
