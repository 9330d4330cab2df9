"""A sentence as data: an English template with named parameters, put into a language only where a person reads it.

Everything that a person reads is written once, as a literal inside `say(...)`. `str()` gives the English; a door gives
it in the reader's language by `put(sentence, language)`. The catalogue is gettext's: `locale/<language>/LC_MESSAGES/`.
"""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Sentence:
    """An English template and what fills it; parameters may be sentences themselves."""

    template: str
    params: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return put(self, "en")

    def to_dict(self) -> dict[str, object]:
        """The template and its parameters as plain data, for a program that wants to word it itself."""
        return {"template": self.template, "params": {k: _plain(v) for k, v in self.params.items()}, "text": str(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Sentence:
        """The inverse of `to_dict`."""
        params = data.get("params", {})
        assert isinstance(params, Mapping)
        return cls(str(data["template"]), {k: _unplain(v) for k, v in params.items()})


def say(template: str, /, **params: object) -> Sentence:
    """A sentence for a person. The template is a literal, so that the catalogue's test finds it.

    >>> str(say("{n:,} events", n=1200))
    '1,200 events'
    """
    return Sentence(template, params)


def put(sentence: Sentence | str, language: str = "en") -> str:
    """The sentence in a language; English where the catalogue has no word for it.

    >>> put(say("{n} days", n=3), "en")
    '3 days'
    """
    if isinstance(sentence, str):
        return sentence
    filled = {name: put(value, language) if isinstance(value, Sentence) else value
              for name, value in sentence.params.items()}
    return catalogue(language).gettext(sentence.template).format_map(filled)


def word(text: str, language: str = "en") -> str:
    """A bare word or heading of the catalogue, in a language."""
    return catalogue(language).gettext(text) if text else text


@lru_cache(maxsize=8)
def catalogue(language: str) -> gettext.NullTranslations:
    """The message catalogue of a language; the empty one (English) where there is none."""
    folder = Path(__file__).parent / "locale"
    return gettext.translation("shopkeeper", folder, languages=[language], fallback=True)


def _plain(value: object) -> object:
    if isinstance(value, Sentence):
        return value.to_dict()
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _unplain(value: object) -> object:
    return Sentence.from_dict(value) if isinstance(value, Mapping) and "template" in value else value
