"""The column `tests`: what to call, with what, and what it must give. Read and compared here, outside the sandbox."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from lydite import did_you_mean
from lydite_code.asserts import read_assert
from lydite_code.equality import TINY, Leeway, is_true, key, matches, same
from lydite_code.inside.wire import NoForm, encode
from lydite_code.problems import BadTests, items_of

Check: TypeAlias = Literal["equal", "identical", "true", "false"]
Through: TypeAlias = Literal["", "set", "sorted", "list", "tuple", "len"]
"""What the value is put through before it is compared, as in `assert sorted(f(x)) == [1, 2]`."""
_FIELDS: Final = ("call", "args", "kwargs", "expected", "tolerance", "within")


@dataclass(frozen=True, slots=True)
class CallTest:
    """One call of the program and what it must give."""

    call: str
    """A function's name, or `Class.method`."""
    args: Any = field(default_factory=lambda: ["l"])
    """In tagged form, as are all values here."""
    kwargs: Any = field(default_factory=lambda: ["d"])
    expected: Any = None
    check: Check = "equal"
    through: Through = ""
    tolerance: float | None = None
    """Relative; None: the reward's."""
    within: float | None = None
    """Absolute; None: none to speak of."""
    alike: bool = True
    """A tuple may stand for a list."""

    def case(self) -> dict[str, Any]:
        """What the sandbox is told: the call, and nothing of what it should give."""
        return {"call": self.call, "args": self.args, "kwargs": self.kwargs}

    def passes(self, payload: bytes, tolerance: float) -> bool:
        """Whether a value, as the sandbox gave it, is right."""
        leeway = self._leeway(tolerance)
        try:
            given = json.loads(payload)
            if self.check in ("true", "false"):
                return not _has_object(given) and is_true(given) is (self.check == "true")
            if self.check == "identical":
                return same(self.expected, given)
            if self.through:
                expected = self.expected if self.through == "len" else _through(self.through, self.expected)
                return matches(expected, _through(self.through, given), leeway)
        except (ValueError, TypeError, IndexError, KeyError, AttributeError, RecursionError):
            return False  # no form that the sandbox's side can have written
        return matches(self.expected, given, leeway)

    def _leeway(self, tolerance: float) -> Leeway:
        relative = tolerance if self.tolerance is None else self.tolerance
        absolute = (TINY if relative else 0.0) if self.within is None else self.within
        return Leeway(relative, absolute, self.alike)


def read_tests(column: Any) -> tuple[CallTest, ...]:
    """The tests of a sample: a list, or the JSON text of one, of tables and assert statements.

    Raises:
        BadTests: naming the item, what was expected and what was given.
    """
    items = items_of(column, name="tests", one="test")
    return tuple(_read(item, number) for number, item in enumerate(items, start=1))


def _read(item: Any, number: int) -> CallTest:
    where = f"test {number}"
    try:
        if isinstance(item, str):
            read = read_assert(item)
            return CallTest(
                read.call,
                encode(list(read.args)),
                encode(dict(read.kwargs)),
                encode(read.expected),
                read.check,
                read.through,
                read.tolerance,
                read.within,
                alike=False,
            )
        if isinstance(item, Mapping):
            return _from_table(item)
    except NoForm as error:
        raise BadTests("tests.malformed", f"{where} holds {error}") from None
    except ValueError as error:
        raise BadTests("tests.malformed", f"{where}: {error}") from None
    raise BadTests("tests.malformed", f"{where} must be a table or an assert statement, got {type(item).__name__}")


def _from_table(item: Mapping[str, Any]) -> CallTest:
    for name in item:
        if name not in _FIELDS:
            raise ValueError(f"has no field {name!r}{did_you_mean(str(name), _FIELDS)}")
    call, args, kwargs = item.get("call"), item.get("args"), item.get("kwargs")
    if not isinstance(call, str) or not all(part.isidentifier() for part in call.split(".")):
        raise ValueError(f"`call` must name a function, as f or Class.method, got {call!r}")
    if "expected" not in item:
        raise ValueError("`expected` is missing; give null for a function that returns None")
    args, kwargs = [] if args is None else args, {} if kwargs is None else kwargs
    if not isinstance(args, list | tuple):
        raise ValueError(f"`args` must be a list, got {args!r:.80}")
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
        raise ValueError(f"`kwargs` must be a table, got {kwargs!r:.80}")
    for name in ("tolerance", "within"):
        value = item.get(name)
        if value is not None and not (isinstance(value, int | float) and 0 <= value < math.inf):
            raise ValueError(f"`{name}` must be a number that is not negative, got {value!r}")
    forms = [encode(one) for one in (list(args), dict(kwargs), item["expected"])]
    if any(_has_object(one) for one in forms):
        raise ValueError("`args`, `kwargs` and `expected` must be plain data")
    return CallTest(call, forms[0], forms[1], forms[2], tolerance=item.get("tolerance"), within=item.get("within"))


def _through(name: Through, given: Any) -> Any:
    """The value after `set`, `sorted`, `list`, `tuple` or `len`."""
    tag, inside = (given[0], given[1:]) if isinstance(given, list) else ("str", list(given))
    if tag == "d":
        inside = [pair[0] for pair in inside]
    elif tag not in ("l", "t", "s", "str"):
        raise ValueError("not a collection")
    if name == "len":
        return len(inside)
    if name == "set":
        return ["s", *{key(one): one for one in inside}.values()]
    if name == "sorted":  # by any order, as long as it is the same on both sides
        return ["l", *sorted(inside, key=key)]
    return ["l" if name == "list" else "t", *inside]


def _has_object(form: Any) -> bool:
    """Whether there is anything in a form that is no plain data."""
    return isinstance(form, list) and bool(form) and (form[0] == "o" or any(_has_object(one) for one in form))
