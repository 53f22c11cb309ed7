"""The completion is written in the language that is asked for."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, Field

from lydite import Completion, Verdict, did_you_mean, reward
from lydite_text.prose import without_code, without_tags

LONGEST: Final = 5_000
"""Characters that a guess is made from; more change nothing."""
CODES: Final = {
    "ar": "ARABIC", "bg": "BULGARIAN", "cs": "CZECH", "da": "DANISH", "de": "GERMAN", "el": "GREEK", "en": "ENGLISH",
    "es": "SPANISH", "et": "ESTONIAN", "fi": "FINNISH", "fr": "FRENCH", "he": "HEBREW", "hi": "HINDI",
    "hu": "HUNGARIAN", "id": "INDONESIAN", "it": "ITALIAN", "ja": "JAPANESE", "ko": "KOREAN", "lt": "LITHUANIAN",
    "lv": "LATVIAN", "nl": "DUTCH", "pl": "POLISH", "pt": "PORTUGUESE", "ro": "ROMANIAN", "ru": "RUSSIAN",
    "sk": "SLOVAK", "sl": "SLOVENE", "sv": "SWEDISH", "th": "THAI", "tr": "TURKISH", "uk": "UKRAINIAN",
    "vi": "VIETNAMESE", "zh": "CHINESE",
}  # fmt: skip
"""Languages by their ISO 639-1 codes, and what the detector calls them."""
COMMON: Final = ("de", "en", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "zh")


def _known(code: str) -> str:
    if code not in CODES:
        raise ValueError(f"{code!r} is no language code that is known here{did_you_mean(code, CODES)}")
    if find_spec("lingua") is None:
        raise ValueError('the language detector is not installed; pip install "lydite-text[language]"')
    return code


Code: TypeAlias = Annotated[str, AfterValidator(_known)]


@reward(range=(0.0, 1.0), timeout=30.0, pays_for="form")
def language(
    completion: Completion,
    language: str | None = None,
    *,
    code: Code | None = None,
    among: Annotated[tuple[Code, ...], Field(min_length=2)] = COMMON,
    min_letters: Annotated[int, Field(ge=1)] = 20,
    confidence: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5,
) -> Verdict:
    """1 when the text's language is the one asked for, with this confidence against the others, else 0.

    The language is the option `code` or the column `language`, as ISO 639-1. Code blocks and addresses are not
    looked at. `among` are the languages to tell apart: the more, the slower and the less certain.
    """
    wanted = code if code is not None else language
    if wanted not in CODES:
        return Verdict.error("language.unknown", scope="prompt")
    text = without_tags(without_code(completion.text[:LONGEST]))
    if sum(one.isalpha() for one in text) < min_letters:
        return Verdict(0.0, passed=False, reason="text.short")
    ranked = _detector(tuple(sorted({*among, wanted}))).compute_language_confidence_values(text)
    best = ranked[0]
    found = next(code for code, name in CODES.items() if name == best.language.name)
    if best.value < confidence:
        return Verdict(0.0, passed=False, reason="language.unclear", parsed=found)
    right = found == wanted
    return Verdict(float(right), passed=right, reason="language.right" if right else "language.other", parsed=found)


@lru_cache(maxsize=8)
def _detector(codes: tuple[str, ...]) -> Any:
    from lingua import Language, LanguageDetectorBuilder

    languages = [getattr(Language, CODES[code]) for code in codes]
    return LanguageDetectorBuilder.from_languages(*languages).with_low_accuracy_mode().build()
