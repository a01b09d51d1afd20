"""Encoder-decoders and their parts: attention with any score, window and normalizer; recurrent models, Transformers."""

from typing import TYPE_CHECKING

from seq2seq.utils.lazy import lazy_names

if TYPE_CHECKING:
    from seq2seq.nn.attention.attention import Attention as Attention
    from seq2seq.nn.attention.attention import AttentionOutput as AttentionOutput
    from seq2seq.nn.attention.attention import SourceMemory as SourceMemory
    from seq2seq.nn.attention.multihead import MultiHeadAttention as MultiHeadAttention
    from seq2seq.nn.attention.normalizers import NORMALIZERS as NORMALIZERS
    from seq2seq.nn.attention.normalizers import entmax as entmax
    from seq2seq.nn.attention.normalizers import softmax as softmax
    from seq2seq.nn.attention.normalizers import sparsemax as sparsemax
    from seq2seq.nn.attention.pooling import POOLINGS as POOLINGS
    from seq2seq.nn.attention.pooling import AttentionPooling as AttentionPooling
    from seq2seq.nn.attention.pooling import Pooled as Pooled
    from seq2seq.nn.attention.pooling import Pooling as Pooling
    from seq2seq.nn.attention.pooling import PoolingConfig as PoolingConfig
    from seq2seq.nn.attention.pooling import StructuredPooling as StructuredPooling
    from seq2seq.nn.attention.scorers import SCORERS as SCORERS
    from seq2seq.nn.attention.scorers import Additive as Additive
    from seq2seq.nn.attention.scorers import Concat as Concat
    from seq2seq.nn.attention.scorers import ConcatIdentity as ConcatIdentity
    from seq2seq.nn.attention.scorers import Cosine as Cosine
    from seq2seq.nn.attention.scorers import Coverage as Coverage
    from seq2seq.nn.attention.scorers import Dot as Dot
    from seq2seq.nn.attention.scorers import Euclidean as Euclidean
    from seq2seq.nn.attention.scorers import General as General
    from seq2seq.nn.attention.scorers import Location as Location
    from seq2seq.nn.attention.scorers import NormedAdditive as NormedAdditive
    from seq2seq.nn.attention.scorers import ScaledDot as ScaledDot
    from seq2seq.nn.attention.scorers import ScaledGeneral as ScaledGeneral
    from seq2seq.nn.attention.scorers import Scorer as Scorer
    from seq2seq.nn.attention.scorers import Sizes as Sizes
    from seq2seq.nn.attention.scorers import Uniform as Uniform
    from seq2seq.nn.attention.windows import WINDOWS as WINDOWS
    from seq2seq.nn.attention.windows import Everywhere as Everywhere
    from seq2seq.nn.attention.windows import Last as Last
    from seq2seq.nn.attention.windows import LocalM as LocalM
    from seq2seq.nn.attention.windows import LocalP as LocalP
    from seq2seq.nn.attention.windows import View as View
    from seq2seq.nn.attention.windows import Window as Window
    from seq2seq.nn.attention.windows import WindowConfig as WindowConfig
    from seq2seq.nn.build import EncoderDecoder as EncoderDecoder
    from seq2seq.nn.build import build_model as build_model
    from seq2seq.nn.interface import Memory as Memory
    from seq2seq.nn.interface import Model as Model
    from seq2seq.nn.interface import Output as Output
    from seq2seq.nn.interface import Searchable as Searchable
    from seq2seq.nn.interface import State as State

__all__ = [
    "NORMALIZERS",
    "POOLINGS",
    "SCORERS",
    "WINDOWS",
    "Additive",
    "Attention",
    "AttentionOutput",
    "AttentionPooling",
    "Concat",
    "ConcatIdentity",
    "Cosine",
    "Coverage",
    "Dot",
    "EncoderDecoder",
    "Euclidean",
    "Everywhere",
    "General",
    "Last",
    "LocalM",
    "LocalP",
    "Location",
    "Memory",
    "Model",
    "MultiHeadAttention",
    "NormedAdditive",
    "Output",
    "Pooled",
    "Pooling",
    "PoolingConfig",
    "ScaledDot",
    "ScaledGeneral",
    "Scorer",
    "Searchable",
    "Sizes",
    "SourceMemory",
    "State",
    "StructuredPooling",
    "Uniform",
    "View",
    "Window",
    "WindowConfig",
    "build_model",
    "entmax",
    "softmax",
    "sparsemax",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AttentionOutput": "attention.attention",
        "Attention": "attention.attention",
        "SourceMemory": "attention.attention",
        "MultiHeadAttention": "attention.multihead",
        "NORMALIZERS": "attention.normalizers",
        "entmax": "attention.normalizers",
        "softmax": "attention.normalizers",
        "sparsemax": "attention.normalizers",
        "POOLINGS": "attention.pooling",
        "AttentionPooling": "attention.pooling",
        "Pooled": "attention.pooling",
        "Pooling": "attention.pooling",
        "PoolingConfig": "attention.pooling",
        "StructuredPooling": "attention.pooling",
        "SCORERS": "attention.scorers",
        "Additive": "attention.scorers",
        "Concat": "attention.scorers",
        "ConcatIdentity": "attention.scorers",
        "Cosine": "attention.scorers",
        "Coverage": "attention.scorers",
        "Dot": "attention.scorers",
        "Euclidean": "attention.scorers",
        "General": "attention.scorers",
        "Location": "attention.scorers",
        "NormedAdditive": "attention.scorers",
        "ScaledDot": "attention.scorers",
        "ScaledGeneral": "attention.scorers",
        "Scorer": "attention.scorers",
        "Sizes": "attention.scorers",
        "Uniform": "attention.scorers",
        "WINDOWS": "attention.windows",
        "Everywhere": "attention.windows",
        "Last": "attention.windows",
        "LocalM": "attention.windows",
        "LocalP": "attention.windows",
        "View": "attention.windows",
        "Window": "attention.windows",
        "WindowConfig": "attention.windows",
        "EncoderDecoder": "build",
        "build_model": "build",
        "Memory": "interface",
        "Model": "interface",
        "Output": "interface",
        "Searchable": "interface",
        "State": "interface",
    },
)
