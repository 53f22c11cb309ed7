"""Sums made up on the spot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import DataError
from lydite.options import check_options
from lydite_datasets import arithmetic


def test_every_sum_of_the_default_range_once() -> None:
    samples = arithmetic()
    assert len(samples) == 29 * 29
    assert {(one.columns["a"], one.columns["b"]) for one in samples} == {
        (a, b) for a in range(2, 31) for b in range(2, 31)
    }
    for one in samples:
        a, b = one.columns["a"], one.columns["b"]
        assert one.prompt == f"What is {a} + {b}? Reply with the number only."
        assert one.reference == str(a + b)
        assert one.id == f"{a}+{b}"


@given(
    operations=st.lists(st.sampled_from(["+", "-", "*"]), min_size=1, max_size=3, unique=True),
    low=st.integers(-50, 50),
    span=st.integers(0, 10**6),
    seed=st.integers(0, 100),
    share=st.floats(0, 1),
)
def test_questions_differ_lie_in_range_and_depend_on_the_options_alone(
    operations: Any, low: int, span: int, seed: int, share: float
) -> None:
    possible = len(operations) * (span + 1) ** 2
    size = max(1, min(200, int(share * possible)))
    samples = arithmetic(operations=operations, low=low, high=low + span, size=size, seed=seed)
    assert samples == arithmetic(operations=operations, low=low, high=low + span, size=size, seed=seed)
    assert len({one.prompt for one in samples}) == len({one.id for one in samples}) == size
    for one in samples:
        a, b, operation = one.columns["a"], one.columns["b"], one.columns["operation"]
        assert low <= a <= low + span
        assert low <= b <= low + span
        assert operation in operations
        assert one.reference == str(eval(f"({a}) {operation} ({b})"))


def test_the_seed_draws_the_order_and_every_operation_is_used() -> None:
    assert arithmetic(seed=0) != arithmetic(seed=1)
    assert sorted(one.id for one in arithmetic(seed=0)) == sorted(one.id for one in arithmetic(seed=1))
    assert {one.columns["operation"] for one in arithmetic(operations=["+", "-", "*"], size=50)} == {"+", "-", "*"}


def test_without_a_size_a_large_range_gives_ten_thousand() -> None:
    assert len(arithmetic(high=10**9)) == 10_000


def test_a_template_of_its_own() -> None:
    (sample,) = arithmetic(low=5, high=5, operations=["*"], template="{a} times {b} {{=}}")
    assert (sample.prompt, sample.reference) == ("5 times 5 {=}", "25")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 5, "high": 4}, "low = 5 is above high = 4"),
        ({"low": 1, "high": 3, "size": 10}, "size = 10, and there are 9 different questions"),
        ({"size": 0}, "from 1 to 841"),
        ({"template": "{a} and {c}"}, r"not \['c'\]"),
        ({"template": "{a}"}, r"must name \['a', 'b'\]"),
        ({"template": "{a} {b}", "operations": ["+", "-"]}, r"must name .*'operation'"),
        ({"operations": []}, "one or more different signs"),
        ({"operations": ["+", "+"]}, "one or more different signs"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        arithmetic(**options)


def test_an_unknown_operation_is_refused_when_the_configuration_is_read() -> None:
    with pytest.raises(ValueError, match="'/'"):
        check_options("data set 'arithmetic'", arithmetic, {"operations": ["/"]})
