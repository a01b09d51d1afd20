"""The formats that models are exported to, and why the settings of a model may rule one out.

Only settings are read, and torch is not imported, so that a format is refused before anything is trained or loaded.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from seq2seq.config import Config, TransformerConfig
from seq2seq.config.languages import find_language
from seq2seq.errors import ConfigError, choose

# Scores that are an inner product of two linear maps, which are multiplied into the projections of queries and keys;
# with `uniform`, which is the same as a score of 0, these projections are 0.
LINEAR_SCORERS = ("dot", "scaled_dot", "general", "scaled_general", "uniform")

LIBRARY_SETTINGS = "seq2seq.yaml"  # a run's settings in a folder of another library, so that it can be verified


class Format(NamedTuple):
    """A format of exported models."""

    title: str  # for messages and tables
    dtypes: tuple[str, ...]  # the first is the default
    reasons: Callable[[Config], Iterator[str]]  # why it cannot represent a model, one sentence each
    left_out: Callable[[Config], Iterator[str]]  # what else has no counterpart in its library
    packages: tuple[str, ...]  # that write it, and translate with it
    bundle: bool = False  # a bundle, not a folder of another library
    one_file: bool = False  # by default; torch.export.load reads the files of a folder
    ensembles: bool = False  # whether it holds several models


def reasons(name: str, config: Config) -> list[str]:
    """Why the format `name` cannot represent the model of `config`: one sentence for each setting that rules it out.

    [] if it can. Raises ConfigError for a name that is not in FORMATS."""
    return list(choose(FORMATS, name, "format").reasons(config))


def ruled_out(config: Config) -> list[str]:
    """The exports that settings of the model rule out, for the log of its training: one line for each setting."""
    titles: dict[str, list[str]] = {}
    for name, form in FORMATS.items():
        for reason in reasons(name, config)[:1]:
            if reason.startswith("model."):
                titles.setdefault(reason.partition(" cannot be")[0], []).append(form.title)
    return [
        f"{setting} rules out exports to {', '.join(names)}: `seq2seq check` says why"
        for setting, names in titles.items()
    ]


def left_out(name: str, config: Config) -> list[str]:
    """Settings of `config`, such as search.length_penalty=gnmt, that the library of the format `name` does not have.

    Its translations may differ from ours. Raises ConfigError for a name that is not in FORMATS."""
    return list(choose(FORMATS, name, "format").left_out(config))


def check_format(name: str, config: Config, dtype: str) -> None:
    """Raise ConfigError, with the first of `reasons`, for a model that the format cannot represent, or a dtype that it
    does not have."""
    for reason in reasons(name, config):
        raise ConfigError(reason)
    dtypes = FORMATS[name].dtypes
    if dtype not in dtypes and any(dtype in form.dtypes for form in FORMATS.values()):
        raise ConfigError(f"dtype={dtype} does not exist in format={name}; choose one of: {', '.join(dtypes)}")
    choose(dict.fromkeys(dtypes), dtype, "dtype")


def nothing(config: Config) -> Iterator[str]:
    """Our own formats represent everything."""
    yield from ()


def foreign_left_out(config: Config) -> Iterator[str]:
    """Settings that no other tool has."""
    search = config.search
    if search.length_penalty == "gnmt":
        yield f"search.length_penalty={search.length_penalty}"
    if search.coverage_penalty:
        yield f"search.coverage_penalty={search.coverage_penalty}"
    if search.min_ratio:
        yield f"search.min_ratio={search.min_ratio}"
    yield f"search.max_ratio={search.max_ratio}"
    if config.data.truncate_source:
        yield f"data.truncate_source={config.data.truncate_source}"


def huggingface_left_out(config: Config) -> Iterator[str]:
    """Settings that transformers does not have."""
    yield from foreign_left_out(config)
    if config.search.replace_unknown:
        yield "search.replace_unknown=true"


def argos_left_out(config: Config) -> Iterator[str]:
    """Settings that Argos Translate replaces by its own: all of the search."""
    yield "the search settings (it has its own)"
    if config.data.truncate_source:
        yield f"data.truncate_source={config.data.truncate_source}"


def plain_transformer(config: Config, title: str) -> Iterator[str]:
    """What is not in the Transformer of other tools, whose cross-attention is a softmax of scaled inner products."""
    model, attention = config.model, config.model.attention
    if not isinstance(model, TransformerConfig):
        yield f"model.name={model.name} cannot be exported to {title}, which has no recurrent decoders with attention"
        return
    if model.output != "text":
        yield f"model.output={model.output} cannot be exported to {title}, which has no models that give labels"
        return
    if model.head != "vocabulary":
        yield f"model.head={model.head} cannot be exported to {title}, which copies no source words"
    if attention.scorer not in LINEAR_SCORERS:
        yield (
            f"model.attention.scorer={attention.scorer} cannot be exported to {title},"
            f" whose attention scores are inner products: {', '.join(LINEAR_SCORERS)}"
        )
    if attention.window != "everywhere":
        yield (
            f"model.attention.window={attention.window} cannot be exported to {title},"
            " whose decoders attend to the whole source"
        )
    if attention.normalizer != "softmax":
        yield (
            f"model.attention.normalizer={attention.normalizer} cannot be exported to {title},"
            " whose attention is normalized by softmax"
        )


def ctranslate2_reasons(config: Config) -> Iterator[str]:
    """Why CTranslate2 cannot represent the model."""
    yield from plain_transformer(config, FORMATS["ctranslate2"].title)


def huggingface_reasons(config: Config) -> Iterator[str]:
    """Why neither Marian (post-norm) nor Pegasus (pre-norm) of transformers has the architecture."""
    title, model = FORMATS["huggingface"].title, config.model
    yield from plain_transformer(config, title)
    if not isinstance(model, TransformerConfig) or model.output != "text":
        return
    architecture = "whose Pegasus" if model.norm_order == "pre" else "whose Marian"
    if not model.source_end:
        yield f"model.source_end=false cannot be exported to {title}, {architecture} reads the end of a source"
    if model.norm != "layer":
        yield f"model.norm={model.norm} cannot be exported to {title}, {architecture} has LayerNorm"
    elif model.norm_epsilon != 1e-5:
        yield f"model.norm_epsilon={model.norm_epsilon} cannot be exported to {title}, {architecture} has 1e-05"
    if model.activation == "swiglu":
        yield f"model.activation=swiglu cannot be exported to {title}, {architecture} has no gated activations"
    if model.positions == "rotary":
        yield f"model.positions=rotary cannot be exported to {title}, {architecture} adds positions to embeddings"


def argos_reasons(config: Config) -> Iterator[str]:
    """Why no package for Argos Translate can be made: it holds a CTranslate2 model and one SentencePiece model."""
    title = FORMATS["argos"].title
    yield from plain_transformer(config, title)
    if not config.tokenizer.joint:
        yield f"tokenizer.joint=false cannot be exported to {title}, whose packages have one SentencePiece model"
    if config.task != "translation":
        yield f"task={config.task} cannot be exported to {title}, which only translates"
    for side, language in zip(("source", "target"), config.data.languages(), strict=True):
        found = find_language(language) if language else None
        if found is None or not found.known:
            given = f"data.{side}_language={language or 'none'}"
            yield f"{given} cannot be exported to {title}, which needs the code of a language: set data.{side}_language"


FORMATS: dict[str, Format] = {
    "onnx": Format(
        "ONNX",
        ("float32", "int8", "float16"),
        nothing,
        nothing,
        ("onnx", "onnxscript", "onnxruntime"),
        bundle=True,
        one_file=True,
        ensembles=True,
    ),
    "weights": Format("weights", ("float32",), nothing, nothing, (), bundle=True, one_file=True),
    "pt2": Format("torch.export", ("float32",), nothing, nothing, (), bundle=True, ensembles=True),
    "ctranslate2": Format(
        "CTranslate2",
        ("float32", "int8", "int8_bfloat16", "bfloat16", "float16"),
        ctranslate2_reasons,
        foreign_left_out,
        ("ctranslate2",),
    ),
    "huggingface": Format(
        "Hugging Face",
        ("float32", "bfloat16", "float16"),
        huggingface_reasons,
        huggingface_left_out,
        ("transformers",),
    ),
    "argos": Format(
        "Argos Translate", ("int8", "float32", "int8_bfloat16"), argos_reasons, argos_left_out, ("ctranslate2",)
    ),
}
