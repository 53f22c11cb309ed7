"""Tests that no program needs to be written for: one answer, whatever the input, passes them all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from lydite_code.calls import CallTest
from lydite_code.printed import Whitespace, prints_the_same
from lydite_code.problems import BadTests
from lydite_code.stdio_cases import Case

_HINT = "add a test with another result, or set allow_constant = true where that is the task"
_CONSTANTS: Final = (None, True, False, 0, 1, "", ["l"], ["d"])
"""In tagged form. The result of the first test is tried besides."""


def check_tests(tests: Sequence[CallTest], tolerance: float) -> None:
    """Nothing, when no constant and no echo of the first argument passes all tests.

    Raises:
        BadTests: with the reason `tests.weak`.
    """
    for constant in (tests[0].expected, *_CONSTANTS):
        if all(test.passes(_payload(constant), tolerance) for test in tests):
            shown = str(_payload(constant).decode())[:60]
            raise BadTests("tests.weak", f"a function that always returns {shown} passes all tests; {_HINT}")
    if all(len(test.args) > 1 and test.passes(_payload(test.args[1]), tolerance) for test in tests):
        raise BadTests("tests.weak", f"a function that returns its first argument passes all tests; {_HINT}")


def check_cases(cases: Sequence[Case], whitespace: Whitespace, tolerance: float) -> None:
    """Nothing, when no constant output, an empty one among them, and no echo of the input passes all cases.

    Raises:
        BadTests: with the reason `tests.weak`.
    """
    for one in ("", cases[0].stdout):
        if all(_prints(case, one, whitespace, tolerance) for case in cases):
            what = "prints the output of the first case" if one.strip() else "prints nothing"
            raise BadTests("tests.weak", f"a program that always {what} passes all cases; {_HINT}")
    if all(_prints(case, case.stdin, whitespace, tolerance) for case in cases):
        raise BadTests("tests.weak", f"a program that prints its input passes all cases; {_HINT}")


def _payload(form: Any) -> bytes:
    return json.dumps(form).encode()


def _prints(case: Case, text: str, whitespace: Whitespace, tolerance: float) -> bool:
    output = text.encode("utf-8", "surrogatepass")
    return prints_the_same(case.stdout, output, whitespace=whitespace, tolerance=tolerance)
