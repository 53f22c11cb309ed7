"""The arithmetic against a plain reading of its definition, in fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite_rubric.arithmetic import adjusted, dropped_share, total, worst

worths = st.floats(-100, 100, allow_nan=False).filter(lambda one: abs(one) > 1e-3)
rows = st.lists(st.tuples(worths, st.sampled_from([True, False, None])), min_size=1, max_size=12)


def reference(points: list[float], met: list[bool | None]) -> Fraction | None:
    """HealthBench's sum over the decided criteria; for penalties alone, 1 less the share that was incurred."""
    above = below = Fraction(0)
    only_penalties = all(worth < 0 for worth in points)
    for worth, one in zip(points, met, strict=True):
        if one is None:
            continue
        if only_penalties or worth > 0:
            below += abs(Fraction(worth))
        if one:
            above += Fraction(worth)
    if below == 0:
        return None
    return 1 + above / below if only_penalties else above / below


@given(rows)
def test_the_score_is_what_its_definition_says(rows: list[tuple[float, bool | None]]) -> None:
    points, met = [one for one, _ in rows], [one for _, one in rows]
    expected, found = reference(points, met), total(points, met)
    assert (expected is None) == (found is None)
    if expected is not None and found is not None:
        assert found == pytest.approx(float(expected), rel=1e-9, abs=1e-9)
        assert found <= 1.0 + 1e-9


@given(rows)
def test_a_dropped_criterion_is_as_if_it_had_never_been_there(rows: list[tuple[float, bool | None]]) -> None:
    decided = [(worth, one) for worth, one in rows if one is not None]
    same_kind = {worth > 0 for worth, _ in decided if worth > 0} == {worth > 0 for worth, _ in rows if worth > 0}
    if decided and same_kind:
        whole = total([one for one, _ in rows], [one for _, one in rows])
        assert whole == total([one for one, _ in decided], [one for _, one in decided])


@given(st.lists(st.tuples(worths, st.booleans()), min_size=1, max_size=12), st.data())
def test_doing_better_never_earns_less(rows: list[tuple[float, bool]], data: st.DataObject) -> None:
    points, met = [one for one, _ in rows], [one for _, one in rows]
    place = data.draw(st.integers(0, len(rows) - 1))
    better = [*met]
    better[place] = points[place] > 0
    before, after = total(points, met), total(points, better)
    assert before is not None
    assert after is not None
    assert after >= before - 1e-9
    assert worst(points) - 1e-9 <= before
    assert total(points, [one > 0 for one in points]) == pytest.approx(1.0)


@given(rows)
def test_the_dropped_share(rows: list[tuple[float, bool | None]]) -> None:
    points, met = [one for one, _ in rows], [one for _, one in rows]
    lost = sum(abs(Fraction(worth)) for worth, one in rows if one is None)
    assert dropped_share(points, met) == pytest.approx(float(lost / sum(abs(Fraction(one)) for one in points)))


@pytest.mark.parametrize(
    ("points", "met", "expected"),
    [
        ([5, 3, -4], [True, False, True], 1 / 8),  # negative points lower the score, and do not widen the line
        ([5, 3, -10], [False, False, True], -10 / 8),  # below 0: not clipped
        ([5, 3, -4], [True, None, False], 1.0),
        ([5, 3, -4], [True, True, None], 1.0),  # a dropped penalty is not taken for incurred, nor for avoided
        ([-2, -3], [False, False], 1.0),
        ([-2, -3], [True, False], 1 - 2 / 5),
        ([-2, -3], [True, True], 0.0),
        ([-2, -3], [True, None], 0.0),
        ([2, -3], [None, False], None),  # nothing positive left to measure by
        ([-2], [None], None),
    ],
)
def test_worked_examples(points: list[float], met: list[bool | None], expected: float | None) -> None:
    assert total(points, met) == (expected if expected is None else pytest.approx(expected))


def test_length_costs_beyond_what_is_free_and_never_more_than_the_worst() -> None:
    assert adjusted(0.8, 5_000, free=None, cost=0.1, low=-1) == 0.8
    assert adjusted(0.8, 2_000, free=2_000, cost=0.1, low=-1) == 0.8
    assert adjusted(0.8, 4_000, free=2_000, cost=0.1, low=-1) == pytest.approx(0.6)
    assert adjusted(0.8, 90_000, free=2_000, cost=0.1, low=-1) == -1
    assert adjusted(-2.0, 90_000, free=2_000, cost=0.1, low=-1) == -2.0
