"""Language and readability: measures of prose, not of code or tags."""

from __future__ import annotations

import pytest

from lydite import Completion, Parsed, Status, Verdict
from lydite.errors import ConfigError
from lydite.options import check_options
from lydite_text import language, readability

GERMAN = "Das Gericht hält den Vertrag für nichtig, weil er unter Zwang geschlossen wurde."
ENGLISH = "The court holds that the contract is void, because it was made under duress."


def completion(text: str) -> Completion:
    return Completion(text, Parsed(text))


def test_a_language_is_told_from_others() -> None:
    assert language(completion(GERMAN), code="de").passed
    assert language(completion(ENGLISH), "en").passed
    assert language(completion(GERMAN), code="en").reason == "language.other"
    assert language(completion(GERMAN), code="en").parsed == "de"


def test_code_in_english_is_no_english_prose() -> None:
    block = "```python\nprint('the court holds that this is a contract and it is void')\n```\n"
    assert language(completion(block + GERMAN), code="de").passed
    assert language(completion(block), code="en").reason == "text.short"


def test_a_language_nobody_knows() -> None:
    verdict = language(completion(GERMAN), "xx")
    assert (verdict.status, verdict.scope) == (Status.ERROR, "prompt")
    with pytest.raises(ConfigError, match=r"'dee'.*did you mean 'de'"):
        check_options("reward 'r'", language, {"code": "dee"})


def graded(text: str, band: tuple[float, float], margin: float = 0.0) -> Verdict:
    return readability(completion(text), band=band, margin=margin)


def test_a_grade_outside_of_the_band_falls_to_nothing() -> None:
    text = "The dog ran to the park and sat in the sun. " * 4
    grade = float(readability(completion(text), band=(-99.0, 99.0)).parsed or "nan")
    assert graded(text, (grade - 1, grade + 1)).score == 1.0
    assert graded(text, (grade + 1, grade + 2), margin=4.0).score == pytest.approx(0.75, abs=0.03)
    assert graded(text, (grade + 1, grade + 2)).score == 0.0
    assert graded(text, (grade + 9, grade + 12), margin=4.0).score == 0.0
    assert graded(text, (grade + 1, grade + 2)).reason == "grade.simple"


def test_a_band_goes_upwards() -> None:
    with pytest.raises(ConfigError, match="low to a high grade"):
        check_options("reward 'r'", readability, {"band": [9, 3]})
