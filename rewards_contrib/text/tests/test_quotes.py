"""Quotations that stand in the sources, and those that do not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import Completion, Parsed, Status, Verdict
from lydite_text import quotes

SOURCE = "The tenant shall keep the garden in good order and the fences mended at his own cost."


def of(text: str, prompt: object = SOURCE, **settings: object) -> Verdict:
    return quotes(Completion(text, Parsed(text)), prompt, **settings)  # type: ignore[arg-type]


@given(st.integers(0, 12), st.integers(3, 8))
def test_any_span_of_the_source_is_found(start: int, length: int) -> None:
    words = SOURCE.split()[start : start + length]
    if len(words) >= 3:
        assert of(f"It says “{' '.join(words)}”.").passed
        assert not of(f"It says “{' '.join([*words, 'forever', 'and', 'ever'])}”.").passed


@given(st.integers(0, 12))
def test_a_changed_word_is_noticed(place: int) -> None:
    words = SOURCE.split()[place : place + 5]
    if len(words) == 5:
        words[2] = "zebra"
        assert not of(f'"{" ".join(words)}"').passed


def test_parts_between_ellipses_must_come_in_order() -> None:
    assert of('"keep the garden ... fences mended"').passed
    assert of('"keep the garden […] his own cost"').passed
    assert not of('"fences mended ... keep the garden"').passed


def test_what_is_missing_is_shown() -> None:
    verdict = of('"keep the garden in good order" and "pay every tax on it"')
    assert verdict.reason == "quotes.strange"
    assert [one.text for one in verdict.evidence] == ["pay every tax on it"]
    assert of('"keep the garden in good order" and "pay every tax on it"', scoring="share").score == 0.5


def test_messages_and_sources_are_read() -> None:
    messages = [{"role": "system", "content": "Quote."}, {"role": "user", "content": SOURCE}]
    assert of('"keep the garden in good order"', messages).passed
    assert quotes(Completion('"b c d"', Parsed("")), "x", ["a b c d", "e"]).passed
    assert not quotes(Completion('"keep the garden in"', Parsed("")), SOURCE, ["other"]).passed


def test_no_source_is_the_prompts_error() -> None:
    verdict = of('"a b c"', "")
    assert (verdict.status, verdict.scope) == (Status.ERROR, "prompt")


@pytest.mark.parametrize(
    "text", ['"' * 49_999, '"a b c" ' * 6_000, "“" * 50_000, '"' + "a " * 25_000 + '"', "[" * 50_000]
)
def test_hostile_text_takes_little_time(text: str) -> None:
    began = time.perf_counter()
    assert not of(text, SOURCE * 500).passed
    assert time.perf_counter() - began < 4
