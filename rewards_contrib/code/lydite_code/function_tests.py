"""A program whose functions give what hidden tests expect."""

from __future__ import annotations

from typing import Any

from lydite import Verdict, reward
from lydite_code.calls import read_tests
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
from lydite_code.weak import check_tests

__all__ = ["REASONS", "function_tests"]


@reward(range=(0.0, 1.0), isolation="worker", timeout=REWARD_SECONDS, uses=needs_sandbox)
def function_tests(
    answer: str,
    reference: Any,
    tests: Any,
    *,
    scoring: Scoring = "fraction",
    sandbox: SandboxName = "bubblewrap",
    case_seconds: CaseSeconds = 2.0,
    total_seconds: TotalSeconds = 20.0,
    memory_mb: MemoryMb = 512,
    output_kb: OutputKb = 1024,
    tolerance: Tolerance = 1e-6,
    only_one: bool = False,
    allow_constant: bool = False,
) -> Verdict:
    """The share of hidden tests that the program in the answer passes, or with `scoring = "all"` 1 for all of them.

    Every test is a call in a fresh process of the sandbox; the value that comes back is compared outside.
    """
    try:
        items = read_tests(tests)
        if not allow_constant:
            check_tests(items, tolerance)
    except BadTests as problem:
        return problem.verdict()

    def right(index: int, run: CaseRun) -> bool:
        return items[index].passes(run.payload, tolerance)

    return judge(
        find_program(answer, only_one=only_one),
        "call",
        [item.case() for item in items],
        right,
        sandbox=sandbox,
        scoring=scoring,
        case_seconds=case_seconds,
        total_seconds=total_seconds,
        memory_mb=memory_mb,
        output_kb=output_kb,
    )
