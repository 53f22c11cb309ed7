import json

import pytest

from lydite_code.calls import read_tests
from lydite_code.inside.wire import encode
from lydite_code.problems import BadTests


def passes(test, value, tolerance=0.0):
    item = read_tests([test])[0]
    return item.passes(json.dumps(encode(value)).encode(), tolerance)


@pytest.mark.parametrize(
    ("statement", "call", "right", "wrong"),
    [
        ("assert f(1) == 2", ("f", [1], {}), [2, 2.0], [3, "2", None]),
        ("assert 2 == f(1)", ("f", [1], {}), [2], [3]),
        ("assert f([1, (2, {'a': None})], k={3}) == [(1, 2)]", ("f", [[1, (2, {"a": None})]], {"k": frozenset({3})}),
         [[(1, 2)]], [[[1, 2]], ((1, 2),)]),
        ("assert f() == -1.5", ("f", [], {}), [-1.5], [1.5]),
        ("assert f(-1, +2, 1j) == float('inf')", ("f", [-1, 2, 1j], {}), [float("inf")], [1e308]),
        ("assert f(1) is True", ("f", [1], {}), [True], [1, False]),
        ("assert f(1) is None", ("f", [1], {}), [None], [0, False]),
        ("assert f(1), 'message'", ("f", [1], {}), [True, 5, "x"], [False, 0, [], None, object()]),
        ("assert not f(1)", ("f", [1], {}), [False, 0, []], [True, 1, object()]),
        ("assert set(f(1)) == {1, 2}", ("f", [1], {}), [[1, 2, 2], (2, 1), {1, 2}], [[1], 3, None, [1, 2, 3]]),
        ("assert sorted(f(1)) == [1, 2, 2]", ("f", [1], {}), [[2, 1, 2], (2, 2, 1)], [[1, 2], [1, 1, 2], 5]),
        ("assert tuple(f(1)) == (1, 2)", ("f", [1], {}), [[1, 2], (1, 2)], [[2, 1]]),
        ("assert list(f(1)) == ['a', 'b']", ("f", [1], {}), ["ab", ("a", "b"), {"a": 1, "b": 2}], ["ba"]),
        ("assert len(f(1)) == 2", ("f", [1], {}), ["ab", [0, 0], {1: 1, 2: 2}], [2, "a", None]),
        ("assert f(1) == set()", ("f", [1], {}), [set(), frozenset()], [[], {}]),
        ("assert f(set([1]), tuple()) == frozenset([2])", ("f", [frozenset({1}), ()], {}), [{2}], [[2]]),
        ("assert abs(f(1) - 0.5) < 1e-3", ("f", [1], {}), [0.5, 0.5005], [0.502, "x", None]),
        ("assert abs(0.0 - f(1)) <= 0.1", ("f", [1], {}), [0, 0.05, -0.05], [0.2]),
        ("assert abs(f(1)) < 1e-3", ("f", [1], {}), [0.0, 1e-4], [1]),
        ("assert math.isclose(f(1), 2.0)", ("f", [1], {}), [2.0, 2.0 + 1e-10], [2.001]),
        ("assert isclose(f(1), 2.0, abs_tol=0.1)", ("f", [1], {}), [2.05], [2.2]),
        ("assert Stack().size(1) == 0", ("Stack.size", [1], {}), [0], [1]),
        ("assert Solution.solve(1) == 0", ("Solution.solve", [1], {}), [0], [1]),
    ],
)  # fmt: skip
def test_assert_statements(statement, call, right, wrong):
    item = read_tests([statement])[0]
    name, args, kwargs = call
    assert item.case() == {"call": name, "args": encode(args), "kwargs": encode(kwargs)}
    for value in right:
        assert passes(statement, value), value
    for value in wrong:
        assert not passes(statement, value), value


@pytest.mark.parametrize(
    "statement",
    [
        "f(1) == 2", "assert f(1) != 2", "assert 1 == 2", "assert f(x) == 2", "assert f(1) == g(2)",
        "assert f(1)[0] == 2", "assert f(1) == 2; import os", "assert f(*[1]) == 2", "assert f(**{}) == 2", "assert",
        "assert f(1) == [x for x in (1,)]", "assert f(1) == __import__('os').getpid()", "assert f(1) == float('1e5')",
        "assert f(1) < f(2)", "assert (lambda: 1)() == 1", "assert f(1) == 'a' * 10**9", "assert 1 < f(1) < 3",
        "assert abs(f(1) - 2) < -1", "assert math.isclose(f(1), 2, foo=3)", "assert f(1) is 5", "\0",
        "assert f({**{}}) == 1",
    ],
)  # fmt: skip
def test_statements_that_are_not_read(statement):
    with pytest.raises(BadTests, match="test 1") as caught:
        read_tests([statement])
    assert caught.value.reason == "tests.malformed"


def test_tables():
    test = {"call": "f", "args": [1], "kwargs": {"k": 2}, "expected": [0.5]}
    assert passes(test, [0.5])
    assert passes(test, (0.5,))
    assert not passes(test, [0.5000001])
    assert passes(test, [0.5000001], tolerance=1e-6)
    assert passes({**test, "tolerance": 0.1}, [0.52])
    assert passes({**test, "within": 0.1, "tolerance": 0}, [0.59])
    assert not passes({**test, "within": 0.1}, [0.61])
    assert read_tests(json.dumps([test])) == read_tests([test])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([], "empty"),
        (None, "empty"),
        ("[]", "empty"),
        ("{", "no JSON"),
        ({"call": "f"}, "must be a list, got dict"),
        (7, "must be a list, got int"),
        ('"abc"', "must be a list, got str"),
        ([7], "test 1 must be a table or an assert statement, got int"),
        ([{"call": "f", "expected": 1}, {"expected": 1}], "test 2: `call` must name a function"),
        ([{"call": "f(", "expected": 1}], "`call` must name a function"),
        ([{"call": "f"}], "`expected` is missing"),
        ([{"call": "f", "arg": [1], "expected": 1}], "no field 'arg'.*args"),
        ([{"call": "f", "args": 1, "expected": 1}], "`args` must be a list"),
        ([{"call": "f", "kwargs": [1], "expected": 1}], "`kwargs` must be a table"),
        ([{"call": "f", "expected": 1, "tolerance": "x"}], "`tolerance` must be a number"),
        ([{"call": "f", "expected": object()}], "plain data"),
    ],
)
def test_columns_that_cannot_be_used(column, message):
    with pytest.raises(BadTests, match=message) as caught:
        read_tests(column)
    verdict = caught.value.verdict()
    assert verdict.scope == "prompt"
    assert verdict.reason in ("tests.malformed", "tests.missing")


@pytest.mark.parametrize(
    "payload", [b"", b"{", b'["l"', b"[]", b'["i"]', b'["d", 1]', b"[" * 100_000, b"1" * 10_000, b'"\\ud800"']
)
def test_payloads_that_are_no_values(payload):
    for test in ("assert f(1) == {1: 2}", "assert sorted(f(1)) == [1]", "assert not f(1)", "assert f(1) == 5"):
        item = read_tests([test])[0]
        assert not item.passes(payload, 0.0)
