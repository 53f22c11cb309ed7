"""Shapes over tokens, against plain references."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.rewards.lengths import cosine, soft_overlong, target

tokens = st.integers(0, 5000)


@given(tokens, st.integers(1, 2000), st.integers(0, 2000))
def test_soft_overlong_is_the_penalty_of_dapo(count: int, limit: int, cache: int) -> None:
    cache = min(cache, limit)
    got = soft_overlong(count, max_length=limit, cache=cache)
    if count > limit:
        expected = -1.0
    elif count <= limit - cache:
        expected = 0.0
    else:
        expected = ((limit - cache) - count) / cache
    assert got == pytest.approx(expected)


@given(tokens, st.integers(1, 2000))
def test_cosine_falls_once_and_stays_down(count: int, limit: int) -> None:
    got = cosine(count, max_length=limit)
    assert got == pytest.approx(math.cos(math.pi * min(count / limit, 1.0) / 2) ** 2, abs=1e-12)
    assert cosine(count + 1, max_length=limit) <= got
    assert cosine(2 * limit, max_length=limit) == pytest.approx(0.0, abs=1e-15)


@given(tokens, st.integers(2, 2000), st.data())
def test_target_peaks_at_the_target(count: int, limit: int, data: st.DataObject) -> None:
    peak = data.draw(st.integers(1, limit - 1))
    got = target(count, max_length=limit, target=peak)
    distance = (peak - count) / peak if count < peak else (count - peak) / (limit - peak)
    assert got == pytest.approx(max(0.0, 1.0 - distance))
    assert target(peak, max_length=limit, target=peak) == 1.0
    assert target(limit + count, max_length=limit, target=limit) == 1.0
