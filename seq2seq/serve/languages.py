"""Which of the languages that are served a text is in. Only this module imports py3langid, on first use."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from seq2seq.config.languages import find_language

LEAST = 1.0  # percent; languages that are less likely are left out, unless all are


class Detected(NamedTuple):
    """A language that a text may be in."""

    language: str
    confidence: float  # in percent


class Detector:
    """Chooses between languages, given as tags. If there is only one, that is it, whatever the text."""

    def __init__(self, languages: Sequence[str]) -> None:
        self.languages = list(dict.fromkeys(languages))

    def detect(self, text: str) -> list[Detected]:
        """The languages that the text may be in, the likeliest first; at least one.

        Languages that py3langid does not know are never found, unless it knows none of them."""
        if len(self.known) < 2:
            return [Detected(next(iter(self.known.values()), self.languages[0]), 100.0)]
        found = [Detected(self.known[code], round(100 * float(p), 1)) for code, p in self._identifier.rank(text)]
        return [one for one in found if one.confidence >= LEAST] or found[:1]

    @cached_property
    def known(self) -> dict[str, str]:
        """The languages by the codes that py3langid has for them; of two scripts of a language the first."""
        codes: dict[str, str] = {}
        if len(self.languages) > 1:
            labels = set(self._identifier.labels)
            for tag in self.languages:
                if (code := base_language(tag)) in labels:
                    codes.setdefault(code, tag)
        if len(codes) > 1:
            self._identifier.set_languages(list(codes))
        return codes

    @cached_property
    def _identifier(self) -> Any:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_tag(name: str) -> str:
    """The BCP 47 tag of a language, such as zh-Hant; `name` itself if it is none."""
    language = find_language(name)
    return language.tag if language else name


def base_language(tag: str) -> str:
    """zh for zh-Hant."""
    return tag.partition("-")[0].lower()


def match_language(name: str, tags: Sequence[str]) -> str | None:
    """The one of `tags` that is the language `name`, or, if only one is, another variety of it; None if none is."""
    tag = language_tag(name)
    if tag in tags:
        return tag
    near = [other for other in dict.fromkeys(tags) if base_language(other) == base_language(tag)]
    return near[0] if len(near) == 1 else None
