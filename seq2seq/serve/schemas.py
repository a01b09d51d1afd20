"""What requests and answers hold, as pydantic models, which OpenAPI is made from. Only this module imports pydantic."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seq2seq.errors import unknown
from seq2seq.serve.refusals import RefusedError

B = TypeVar("B", bound=BaseModel)
TEXTS = ("q", "text")  # fields that hold a text, or a list of texts


class TranslateBody(BaseModel):
    """A request for a translation, as LibreTranslate takes it."""

    q: str | list[str] = Field(description="text, or a list of texts")
    source: str = Field(description="language of the text: a code or a name; auto: as it is detected")
    target: str = Field(description="language to translate to")
    format: Literal["text", "html"] = "text"
    alternatives: int = Field(0, ge=0, le=100, description="further translations of each text")
    api_key: str = ""


class DetectBody(BaseModel):
    """A request for the language of a text, as LibreTranslate takes it."""

    q: str
    api_key: str = ""


class DetailedBody(BaseModel):
    """What the two requests below have in common."""

    model_config = ConfigDict(extra="forbid")

    text: str | list[str] = Field(description="text, or a list of texts")
    model: str = Field("", description="name of the model; empty: the one of the languages, or the only one")
    search: dict[str, Any] = Field({}, description="search settings, such as beam and n_best")
    alignment: bool = Field(False, description="whether hypotheses come with their word alignment")
    attention: bool = Field(False, description="whether hypotheses come with their attention")
    api_key: str = ""
    layer: int = Field(0, ge=0, description="whose attention, counted from 1; 0: the last layer's")
    head: int = Field(0, ge=0, description="whose attention, counted from 1; 0: the mean of the layer's heads")


class TranslateDetailsBody(DetailedBody):
    """A request for translations with all that is known of them."""

    source: str = Field("", description="language of the text; auto: as it is detected; empty: that of the model")
    target: str = Field("", description="language to translate to; empty: that of the model")
    format: Literal["text", "html"] = "text"


class SummarizeBody(DetailedBody):
    """A request for summaries."""


class ClassifyBody(DetailedBody):
    """A request for labels; search.beam and search.n_best choose how many answers of each text."""


class DetectedLanguage(BaseModel):
    """A language that a text may be in."""

    language: str
    confidence: float = Field(description="in percent")


class TranslateAnswer(BaseModel):
    """A translation, or those of a list of texts."""

    translatedText: str | list[str]  # noqa: N815
    alternatives: list[str] | list[list[str]] | None = None
    detectedLanguage: DetectedLanguage | list[DetectedLanguage] | None = None  # noqa: N815


class HypothesisAnswer(BaseModel):
    """One of the translations of a sentence."""

    text: str
    score: float | None = Field(description="what hypotheses are ranked by")
    log_prob: float | None = Field(description="natural logarithm of the probability")
    source: list[str] = Field(description="subwords of the sentence, the end as an empty one")
    target: list[str] = Field(description="subwords of the translation")
    finished: bool = Field(description="false: it was ended at its maximum length")
    truncated: bool = Field(description="whether only the first words of the sentence were read")
    alignment: str | None = Field(None, description="source-target pairs of words, counted from 0")
    attention: list[list[float]] | None = Field(None, description="of each target subword to each source subword")


class SentenceAnswer(BaseModel):
    """A sentence and its translations, the best first."""

    sentence: str
    hypotheses: list[HypothesisAnswer]


class TextAnswer(BaseModel):
    """The best translation of a text, and all of its sentences."""

    text: str
    sentences: list[SentenceAnswer]


class TranslateDetailsAnswer(BaseModel):
    """Translations with all that is known of them."""

    model: str
    source: str
    target: str
    translations: list[TextAnswer]


class SummarizeAnswer(BaseModel):
    """Summaries with all that is known of them."""

    model: str
    summaries: list[TextAnswer]


class ClassifyAnswer(BaseModel):
    """Labels with all that is known of them; exp(log_prob) is their probability."""

    model: str
    labels: list[TextAnswer]


class SettingAnswer(BaseModel):
    """A search setting that a request may choose."""

    name: str
    type: Literal["bool", "int", "float", "str"]
    value: bool | int | float | str = Field(description="what it is unless a request chooses another")
    least: float | None = Field(description="of a number")
    most: float | None
    choices: list[str]
    help: str


class ModelLanguageAnswer(BaseModel):
    """A language of a model."""

    code: str
    name: str
    direction: Literal["ltr", "rtl", "auto"]


class ModelAnswer(BaseModel):
    """A model and what a request may choose of it."""

    name: str
    task: str
    source: ModelLanguageAnswer | None
    target: ModelLanguageAnswer | None
    layers: int = Field(description="whose attention a request may choose; 0: none, as of a bundle of graphs")
    heads: int = Field(description="in each layer")
    search: list[SettingAnswer]


class ModelsAnswer(BaseModel):
    """All models, and the limits of a request."""

    models: list[ModelAnswer]
    characters: int = Field(description="that a request may have")
    key_required: bool


class LanguageAnswer(BaseModel):
    """A language that is translated from."""

    code: str
    name: str
    targets: list[str]


class ErrorAnswer(BaseModel):
    """Why a request was refused, and what to do."""

    error: str


def parsed(kind: type[B], values: object) -> B:
    """A request of this kind. Raises RefusedError, which names the first field that is missing or wrong."""
    if not isinstance(values, Mapping):
        raise RefusedError("the request is not a JSON object, or a form, with named fields")
    try:
        return kind.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "request"
        if first["type"] == "missing":
            raise RefusedError(f"the request has no field {name}: {kind.model_fields[name].description}") from None
        if first["type"] == "extra_forbidden":
            raise RefusedError(unknown("field", name, list(kind.model_fields))) from None
        if name in TEXTS:
            raise RefusedError(f"{name} is neither a text nor a list of texts") from None
        raise RefusedError(f"{name} is wrong: {first['msg']}") from None
