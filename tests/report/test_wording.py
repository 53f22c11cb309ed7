"""Numbers and prompts in words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.report.wording import (
    clock,
    duration,
    memory_text,
    number,
    one_line,
    percent,
    printable,
    question_of,
    shorten,
    shorten_front,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.0, "1"),
        (0.12345, "0.123"),
        (12.345, "12.35"),
        (684.24, "684.2"),
        (12345.6, "12,346"),
        (3e-7, "3.00e-07"),
        (-0.5, "-0.500"),
        (math.nan, "—"),
        (math.inf, "—"),
        (None, "—"),
        (True, "—"),
        ("1", "—"),
    ],
)
def test_numbers(value: object, text: str) -> None:
    assert number(value) == text


def test_durations_shares_and_bytes() -> None:
    assert [duration(one) for one in (0.44, 8, 59.6, 312, 11_100, None)] == [
        "0.4 s",
        "8.0 s",
        "1 min 00 s",
        "5 min 12 s",
        "3 h 05 min",
        "—",
    ]
    assert [clock(one) for one in (0, 65, 7209)] == ["0:00", "1:05", "2:00:09"]
    assert percent(0.756) == "75.6%"
    assert [memory_text(one) for one in (5e8, 2.17e9)] == ["500 MB", "2.17 GB"]


@pytest.mark.parametrize(
    "prompt",
    [
        "<|im_start|>system\nThink.<|im_end|>\n<|im_start|>user\nWhat is 3 + 4?<|im_end|>\n<|im_start|>assistant\n",
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhat is 3 + 4?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<bos><start_of_turn>user\nWhat is 3 + 4?<end_of_turn>\n<start_of_turn>model\n",
        "<s>[INST] What is 3 + 4? [/INST]",
        "<|system|>\nThink.<|end|>\n<|user|>\nWhat is\n3 + 4?<|end|>\n<|assistant|>\n",
        "What is 3 + 4?",
    ],
)
def test_the_question_is_found_under_every_chat_template(prompt: str) -> None:
    assert question_of(prompt) == "What is 3 + 4?"


@given(st.text(), st.integers(1, 40))
def test_shortened_text_fits_and_keeps_its_end_or_beginning(text: str, width: int) -> None:
    assert len(shorten(text, width)) <= width
    assert len(shorten_front(text, width)) <= width
    if len(text) > width:
        assert shorten(text, width).endswith("…")
        assert text.endswith(shorten_front(text, width).removeprefix("…"))
    else:
        assert shorten(text, width) == shorten_front(text, width) == text


@given(st.text())
def test_no_control_code_reaches_a_terminal(text: str) -> None:
    assert all(char.isprintable() for char in printable(text) + one_line(text))
    assert printable("\x1b[31mred") == "?[31mred"
