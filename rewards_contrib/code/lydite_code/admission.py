"""May a task be admitted? Its own program must pass, and programs that do nothing must fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lydite import Verdict
from lydite_code.function_tests import function_tests
from lydite_code.stdio import stdio

IDLE: Final[Mapping[str, str]] = {
    "says nothing": "pass",
    "leaves at once": "import sys\nsys.exit(0)",
    "leaves at once, without clearing up": "import os\nos._exit(0)",
}
"""Programs that no test may let through."""


def admit_tests(tests: Any, gold: str, *, options: Mapping[str, Any] | None = None) -> str:
    """Why a task with these tests cannot be trained on, or an empty string.

    `gold` is a program that solves it, `options` are those of the reward `code/tests`.
    """

    def ask(program: str) -> Verdict:
        return function_tests(_fenced(program), None, tests, **(options or {}))

    return _objection(ask, gold)


def admit_stdio(cases: Any, gold: str, *, options: Mapping[str, Any] | None = None) -> str:
    """The same for a task with cases of standard input and output, and the options of `code/stdio`."""

    def ask(program: str) -> Verdict:
        return stdio(_fenced(program), None, cases, **(options or {}))

    return _objection(ask, gold)


def _objection(ask: Any, gold: str) -> str:
    verdict = ask(gold)
    if verdict.score is None:
        return "; ".join([verdict.reason, *(one.text for one in verdict.evidence)])
    if not verdict.passed:
        failed = [f"{name} ({part.reason})" for name, part in verdict.parts.items() if not part.passed]
        return f"its own program does not pass ({verdict.reason}): {', '.join(failed[:5])}"
    for what, program in IDLE.items():
        if ask(program).score != 0:
            return f"a program that {what} earns something"
    return ""


def _fenced(program: str) -> str:
    fence = "`" * 3
    while fence in program:
        fence += "`"
    return f"{fence}python\n{program}\n{fence}"
