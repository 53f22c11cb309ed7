"""A program that prints what it should for each standard input."""

from __future__ import annotations

from typing import Any

from lydite import Verdict, reward
from lydite_code.printed import Whitespace, prints_the_same
from lydite_code.problems import BadTests
from lydite_code.programs import find_program
from lydite_code.running import (
    REASONS,
    REWARD_SECONDS,
    CaseSeconds,
    MemoryMb,
    OutputKb,
    SandboxName,
    Scoring,
    Tolerance,
    TotalSeconds,
    judge,
    needs_sandbox,
)
from lydite_code.sandbox import CaseRun
from lydite_code.stdio_cases import read_cases
from lydite_code.weak import check_cases

__all__ = ["REASONS", "stdio"]


@reward(range=(0.0, 1.0), isolation="worker", timeout=REWARD_SECONDS, uses=needs_sandbox)
def stdio(
    answer: str,
    reference: Any,
    cases: Any,
    *,
    scoring: Scoring = "fraction",
    sandbox: SandboxName = "bubblewrap",
    case_seconds: CaseSeconds = 2.0,
    total_seconds: TotalSeconds = 20.0,
    memory_mb: MemoryMb = 512,
    output_kb: OutputKb = 1024,
    whitespace: Whitespace = "trailing",
    tolerance: Tolerance = 0.0,
    only_one: bool = False,
    allow_constant: bool = False,
) -> Verdict:
    """The share of cases for which the program prints the expected output, or with `scoring = "all"` 1 for all.

    Every case is a fresh process of the sandbox; its whole output is compared outside.
    """
    try:
        items = read_cases(cases, most=output_kb * 1024)
        if not allow_constant:
            check_cases(items, whitespace, tolerance)
    except BadTests as problem:
        return problem.verdict()

    def right(index: int, run: CaseRun) -> bool:
        return prints_the_same(items[index].stdout, run.payload, whitespace=whitespace, tolerance=tolerance)

    return judge(
        find_program(answer, only_one=only_one),
        "script",
        [{"stdin": item.stdin} for item in items],
        right,
        sandbox=sandbox,
        scoring=scoring,
        case_seconds=case_seconds,
        total_seconds=total_seconds,
        memory_mb=memory_mb,
        output_kb=output_kb,
    )
