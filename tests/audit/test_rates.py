"""Intervals and quantiles, against published values and laws."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.audit import Rate, difference_interval, quantile, wilson_interval


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_in_newcombes_table(hits: int, n: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3."""
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_the_difference_in_newcombes_table(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 10."""
    assert difference_interval(Rate(*one), Rate(*other)) == pytest.approx((low, high), abs=5e-5)


def test_nothing_has_no_rate() -> None:
    nothing = Rate(0, 0)
    assert (nothing.value, nothing.interval) == (None, None)
    assert difference_interval(nothing, Rate(1, 2)) is None
    assert difference_interval(Rate(1, 2), nothing) is None


counts = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_an_interval_holds_its_share_and_mirrors(pair: tuple[int, int]) -> None:
    hits, n = pair
    low, high = wilson_interval(hits, n)
    assert 0.0 <= low <= hits / n <= high <= 1.0
    assert low < high
    mirrored = wilson_interval(n - hits, n)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))


@given(counts, counts)
def test_the_interval_of_a_difference_holds_it_and_turns_round(one: tuple[int, int], other: tuple[int, int]) -> None:
    forth, back = difference_interval(Rate(*one), Rate(*other)), difference_interval(Rate(*other), Rate(*one))
    assert forth is not None
    assert back is not None
    assert forth[0] <= one[0] / one[1] - other[0] / other[1] <= forth[1]
    assert (-back[1], -back[0]) == pytest.approx(forth)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=60))
def test_quantiles_are_those_of_the_standard_library(values: list[float]) -> None:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    assert quantile(values, 0.5) == pytest.approx(cuts[49])
    assert quantile(values, 0.99) == pytest.approx(cuts[98])
    assert quantile(values, 1.0) == max(values)


def test_quantiles_of_one_and_of_nothing() -> None:
    assert quantile([3.0], 0.99) == 3.0
    assert quantile([], 0.5) is None
