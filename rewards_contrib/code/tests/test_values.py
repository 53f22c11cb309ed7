import json
import math
from collections import Counter, OrderedDict, namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite_code.equality import TINY, Leeway, is_true, key, matches, same
from lydite_code.inside.wire import DEEPEST, MOST_ITEMS, NoForm, decode, encode

EXACT = Leeway()
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.complex_numbers(allow_nan=False)
)  # fmt: skip
KEYS = st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.frozensets(KEYS, max_size=4)
    ),
    max_leaves=15,
)
FORMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from("iflcbtsdo"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def through_the_pipe(value):
    return json.loads(json.dumps(encode(value)))


@given(VALUES)
def test_plain_values_cross_unchanged(value):
    back = decode(through_the_pipe(value))
    assert back == value
    assert type(back) is type(value)


@given(VALUES, VALUES)
def test_equality_is_pythons(one, other):
    strict = Leeway(alike=False)
    assert matches(encode(one), through_the_pipe(one), strict)
    assert matches(encode(one), through_the_pipe(other), strict) == (one == other)


@given(VALUES, FORMS)
def test_whatever_comes_back_is_compared(value, form):
    assert matches(encode(value), form, Leeway(1e-6, TINY)) in (True, False)


@given(KEYS, KEYS)
def test_keys_are_shared_by_equal_values(one, other):
    assert (key(encode(one)) == key(encode(other))) == (one == other)


@pytest.mark.parametrize(
    ("expected", "given", "leeway", "result"),
    [
        ([1, 2], (1, 2), EXACT, True),
        ([1, 2], (1, 2), Leeway(alike=False), False),
        ((1, [2, (3,)]), [1, (2, [3])], EXACT, True),
        ({1, 2}, [1, 2], EXACT, False),
        (True, 1, EXACT, True),
        (1, True, EXACT, True),
        ("1", 1, EXACT, False),
        (None, 0, EXACT, False),
        ("", None, EXACT, False),
        ({"1": 2}, {1: 2}, EXACT, False),
        ({1: 2}, {1.0: 2}, EXACT, True),
        (0.3, 0.1 + 0.2, EXACT, False),
        (0.3, 0.1 + 0.2, Leeway(1e-9), True),
        (0.0, 1e-13, Leeway(1e-6, TINY), True),
        (0.0, 1e-7, Leeway(1e-6, TINY), False),
        (1e-9, 2e-9, Leeway(1e-6, TINY), False),
        (3, 3.0000000001, Leeway(1e-6, TINY), False),
        (3, 3.0, EXACT, True),
        (3.0, 3, EXACT, True),
        (10**30, 10**30 + 1, Leeway(1e-6, TINY), False),
        (1.0, math.inf, Leeway(0.5), False),
        (math.inf, math.inf, EXACT, True),
        (math.nan, math.nan, EXACT, True),
        (math.nan, 1.0, Leeway(1e-6), False),
        ({"a": [0.5]}, {"a": [0.5 + 1e-9]}, Leeway(1e-6), True),
        (1 + 2j, 1 + 2j, EXACT, True),
        (b"x", "x", EXACT, False),
        ({(1, 2), (3, 4)}, {(3, 4), (1, 2)}, EXACT, True),
    ],
)
def test_equal_or_not(expected, given, leeway, result):
    assert matches(encode(expected), through_the_pipe(given), leeway) is result


def test_objects_that_claim_to_equal_everything_equal_nothing():
    class Equal:
        def __eq__(self, other):
            return True

        __hash__ = None

        @property
        def __class__(self):
            return int

    class Int(int):
        def __eq__(self, other):
            return True

        def __hash__(self):
            return 0

        def __index__(self):
            return 7

    class Text(str):
        def __str__(self):
            return "right"

        def __iter__(self):
            return iter("right")

    class Items(list):
        def __iter__(self):
            return iter([1, 2])

        def __len__(self):
            return 2

    for expected in (1, 1.5, "a", None, True, [], {}, [1]):
        assert not matches(encode(expected), through_the_pipe(Equal()), EXACT)
    assert through_the_pipe(Int(3)) == 3
    assert through_the_pipe(Text("wrong")) == "wrong"
    assert through_the_pipe(Items([9])) == ["l", 9]


def test_values_of_subclasses_cross_as_what_is_beneath():
    point = namedtuple("Point", "x y")
    assert decode(through_the_pipe(Counter("aab"))) == {"a": 2, "b": 1}
    assert decode(through_the_pipe(OrderedDict(a=1))) == {"a": 1}
    assert decode(through_the_pipe(point(1, 2))) == (1, 2)


def test_values_without_a_form():
    ring = []
    ring.append(ring)
    with pytest.raises(NoForm):
        encode(ring)
    with pytest.raises(NoForm):
        encode([0] * (MOST_ITEMS + 1))
    inner = 1
    for _ in range(DEEPEST):
        inner = [inner]
    encode(inner)
    with pytest.raises(NoForm):
        encode([inner])
    with pytest.raises(ValueError, match="none of the tags"):
        decode(["q", 1])


@pytest.mark.parametrize(
    ("value", "true"),
    [(1, True), (0, False), ("", False), ("0", True), ([], False), ([0], True), (0.0, False), (2**80, True),
     (None, False), (b"", False), (b"x", True), (0j, False), ({}, False), (set(), False), (object(), False)],
)  # fmt: skip
def test_truth(value, true):
    assert is_true(through_the_pipe(value)) is true


def test_identity_tells_types_apart():
    assert same(encode(True), True)
    assert not same(encode(True), 1)
    assert same(None, None)


def test_a_deep_answer_is_no_trouble():
    hostile = json.loads("[" * 900 + "]" * 900)
    assert matches(encode([1]), hostile, EXACT) is False
