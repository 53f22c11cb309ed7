"""Assert statements as data sets have them, read as data: nothing of a statement is ever run.

Read are `assert f(1, [2]) == 3`, also the other way round, with `is` before True, False and None, with
`set`, `sorted`, `list`, `tuple` or `len` around the call, `assert f(1)`, `assert not f(1)`,
`assert abs(f(1) - 0.5) < 1e-6` and `assert math.isclose(f(1), 0.5, rel_tol=1e-6)`. Arguments and expected values are
literals; sets, tuples and lists may be made by their names, and `float("inf")` is one.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

LONGEST: Final = 100_000
"""Characters of a statement."""
_AROUND: Final = ("set", "sorted", "list", "tuple", "len")
_MAKERS: Final[Mapping[str, Any]] = {"set": set, "frozenset": frozenset, "tuple": tuple, "list": list}
_FLOATS: Final = frozenset({"inf", "-inf", "+inf", "infinity", "-infinity", "nan"})
_FORMS: Final = "assert f(1) == 2, assert f(1), assert not f(1), assert abs(f(1) - 0.5) < 1e-6"


@dataclass(frozen=True, slots=True)
class ReadAssert:
    """What a statement says, as values."""

    call: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    expected: Any = True
    check: Literal["equal", "identical", "true", "false"] = "equal"
    through: Literal["", "set", "sorted", "list", "tuple", "len"] = ""
    tolerance: float | None = None
    """Relative."""
    within: float | None = None
    """Absolute."""


def read_assert(statement: str) -> ReadAssert:
    """The meaning of an assert statement.

    Raises:
        ValueError: when it is none, or of a form that is not read.
    """
    if len(statement) > LONGEST:
        raise ValueError(f"an assert statement of {len(statement)} characters, and {LONGEST} is the most")
    try:
        body = ast.parse(statement.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{statement[:80]!r} is no assert statement ({type(error).__name__}: {error})") from None
    if len(body) != 1 or not isinstance(body[0], ast.Assert):
        raise ValueError(f"{statement[:80]!r} must be one assert statement and nothing else")
    try:
        return _read(body[0].test)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{statement[:80]!r} is not of a form that is read ({error}); such are {_FORMS}") from None


def _read(test: ast.expr) -> ReadAssert:
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _comparison(test.left, test.ops[0], test.comparators[0])
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return replace(_call(test.operand), check="false")
    if _name(test) in ("math.isclose", "isclose"):
        return _close(test)
    return replace(_call(test), check="true")


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr) -> ReadAssert:
    if isinstance(op, ast.Lt | ast.LtE) and _name(left) == "abs":
        return _difference(left, right)
    if isinstance(op, ast.Is):
        return replace(_call(left), expected=_constant(right), check="identical")
    if not isinstance(op, ast.Eq):
        raise ValueError("only ==, is, and a difference below a bound are compared")
    if _is_literal(left):
        left, right = right, left
    through: Any = ""
    if _name(left) in _AROUND and isinstance(left, ast.Call) and len(left.args) == 1 and not left.keywords:
        through, left = _name(left), left.args[0]
    return replace(_call(left), expected=_literal(right), through=through)


def _difference(left: ast.expr, bound: ast.expr) -> ReadAssert:
    inner = left.args[0] if isinstance(left, ast.Call) and len(left.args) == 1 else None
    if isinstance(inner, ast.Call):
        return replace(_call(inner), expected=0.0, tolerance=0.0, within=_positive(bound))
    if not isinstance(inner, ast.BinOp) or not isinstance(inner.op, ast.Sub):
        raise ValueError("within abs() stands a difference of a call and a number")
    call, value = (inner.right, inner.left) if _is_literal(inner.left) else (inner.left, inner.right)
    return replace(_call(call), expected=_number(value), tolerance=0.0, within=_positive(bound))


def _close(test: ast.expr) -> ReadAssert:
    assert isinstance(test, ast.Call)
    given = {one.arg: _positive(one.value) for one in test.keywords}
    if len(test.args) != 2 or set(given) - {"rel_tol", "abs_tol"}:
        raise ValueError("isclose() takes a call, a number, rel_tol and abs_tol here")
    call, value = (test.args[1], test.args[0]) if _is_literal(test.args[0]) else test.args
    relative, absolute = given.get("rel_tol", 1e-9), given.get("abs_tol", 0.0)
    return replace(_call(call), expected=_number(value), tolerance=relative, within=absolute)


def _call(node: ast.expr) -> ReadAssert:
    name = _name(node)
    if not isinstance(node, ast.Call) or not name or name in _AROUND or name in _MAKERS:
        raise ValueError("no call of the program's function was found where one belongs")
    kwargs = {}
    for one in node.keywords:
        if one.arg is None:
            raise ValueError("arguments behind ** are not read")
        kwargs[one.arg] = _literal(one.value)
    return ReadAssert(name, [_literal(one) for one in node.args], kwargs)


def _name(node: ast.expr) -> str:
    """The dotted name that a call goes to, `Class().method` as Class.method; empty for everything else."""
    if not isinstance(node, ast.Call):
        return ""
    parts: list[str] = []
    function: ast.expr = node.func
    while isinstance(function, ast.Attribute):
        parts.insert(0, function.attr)
        function = function.value
        if isinstance(function, ast.Call) and not function.args and not function.keywords:
            function = function.func
    return ".".join([function.id, *parts]) if isinstance(function, ast.Name) else ""


def _is_literal(node: ast.expr) -> bool:
    try:
        _literal(node)
    except (ValueError, TypeError):
        return False
    return True


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        name = _name(node)
        if node.keywords or len(node.args) > 1:
            raise ValueError(f"{ast.unparse(node)[:60]} is no literal")
        if name in _MAKERS:
            return _MAKERS[name](*(_literal(one) for one in node.args))
        if name == "float" and node.args:
            word = _literal(node.args[0])
            if isinstance(word, str) and word.strip().lower() in _FLOATS:
                return float(word)
        raise ValueError(f"{ast.unparse(node)[:60]} is no literal")
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        inside = [_literal(one) for one in node.elts]
        return inside if isinstance(node, ast.List) else tuple(inside) if isinstance(node, ast.Tuple) else set(inside)
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError("** within a dict is not read")
        return {_literal(k): _literal(v) for k, v in zip(node.keys, node.values, strict=True) if k is not None}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Call):
        return -_number(node.operand)
    return ast.literal_eval(node)


def _number(node: ast.expr) -> float:
    value = _literal(node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{ast.unparse(node)[:60]} is no number")
    return float(value)


def _positive(node: ast.expr) -> float:
    value = _number(node)
    if not 0 <= value < math.inf:
        raise ValueError(f"{value} is no tolerance")
    return value


def _constant(node: ast.expr) -> Any:
    value = _literal(node)
    if value is not None and not isinstance(value, bool):
        raise ValueError("`is` is read before True, False and None")
    return value
