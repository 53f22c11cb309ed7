"""A program run on all its cases in a sandbox, and the verdict that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from lydite import RewardUse, Verdict
from lydite_code.bubblewrap import Bubblewrap
from lydite_code.problems import broken
from lydite_code.programs import Found
from lydite_code.rlimits import RLimits
from lydite_code.sandbox import CaseRun, Job, Kind, Sandbox, SandboxFault

SandboxName: TypeAlias = Literal["bubblewrap", "rlimits"]
Scoring: TypeAlias = Literal["fraction", "all"]
"""`fraction`: the share of cases that pass. `all`: 1 when every case passes, else 0, and the first failure ends it."""
CaseSeconds: TypeAlias = Annotated[float, Field(gt=0, le=10)]
TotalSeconds: TypeAlias = Annotated[float, Field(gt=0, le=30)]
MemoryMb: TypeAlias = Annotated[int, Field(ge=64)]
OutputKb: TypeAlias = Annotated[int, Field(ge=1, le=65536)]
Tolerance: TypeAlias = Annotated[float, Field(ge=0, lt=1)]

REWARD_SECONDS: Final = 45.0
"""The rewards' own deadline: the most that the cases can have, a slow start of the sandbox and time to clear up."""
SANDBOXES: Final[Mapping[str, Sandbox]] = {"bubblewrap": Bubblewrap(), "rlimits": RLimits()}

MOST_TIMEOUTS: Final = 2
"""Cases that may run out of time before the others are given up: they count as out of time too."""

FAILURES: Final[Mapping[str, str]] = {
    "wrong": "wrong",
    "raised": "raised",
    "exited": "exited",
    "crashed": "crashed",
    "lost": "crashed",
    "timeout": "timeout",
    "memory": "memory",
    "output": "output_limit",
    "formless": "output_limit",
    "syntax": "syntax",
    "missing": "undefined",
}
"""What is said of a case that failed, by how its run ended."""
REASONS: Final = (
    "code.passed",
    "code.some_failed",
    "code.none_passed",
    *dict.fromkeys(f"code.{one}" for one in FAILURES.values() if one != "wrong"),
    "code.missing",
    "code.unclosed",
    "code.several",
    "code.long",
    "tests.missing",
    "tests.malformed",
    "tests.weak",
    "sandbox.missing",
    "sandbox.failed",
)
"""Every reason of a verdict. Those of its parts are `case.passed` and `case.` with a word of `FAILURES`."""


def needs_sandbox(options: Mapping[str, Any]) -> Mapping[str, RewardUse]:
    """No other rewards. Runs when the configuration is read, and refuses one whose sandbox does not work here.

    Raises:
        ValueError: saying what is wrong, and what can be done.
    """
    name = options.get("sandbox", "bubblewrap")
    problem = SANDBOXES[name].problem()
    if problem:
        raise ValueError(_refusal(name, problem))
    return {}


def judge(
    found: Found,
    kind: Kind,
    cases: Sequence[Mapping[str, Any]],
    right: Callable[[int, CaseRun], bool],
    *,
    sandbox: str,
    scoring: Scoring,
    case_seconds: float,
    total_seconds: float,
    memory_mb: int,
    output_kb: int,
) -> Verdict:
    """The verdict on a program. `right(index, run)` says whether a run that came to its end gave what it should."""
    if found.program is None:
        return Verdict(0.0, passed=False, reason=found.reason)
    problem = SANDBOXES[sandbox].problem()
    if problem:
        return broken("sandbox.missing", _refusal(sandbox, problem))
    job = Job(found.program, kind, cases, case_seconds, total_seconds, memory_mb, output_kb)
    said: list[str] = []
    try:
        with closing(SANDBOXES[sandbox].run(job)) as runs:
            for index, run in enumerate(runs):
                ended = run.status in ("value", "done")
                said.append("passed" if ended and right(index, run) else FAILURES.get(run.status, "wrong"))
                if said[-1] == "syntax" or (scoring == "all" and said[-1] != "passed"):
                    break
                if said.count("timeout") == MOST_TIMEOUTS:
                    said += ["timeout"] * (len(cases) - len(said))
                    break
    except SandboxFault as fault:
        return broken("sandbox.failed", f"the sandbox {sandbox!r} did not start: {fault}")
    return _verdict(found.program, said, len(cases), scoring)


def _verdict(program: str, said: Sequence[str], cases: int, scoring: Scoring) -> Verdict:
    passed = said.count("passed")
    complete = passed == cases
    share = passed / cases if scoring == "fraction" else float(complete)
    kinds = set(said)
    reason = (
        "code.passed"
        if complete
        else "code.some_failed"
        if passed
        else f"code.{said[0]}"
        if len(kinds) == 1 and "wrong" not in kinds
        else "code.none_passed"
    )
    parts = {
        str(number): Verdict(float(one == "passed"), passed=one == "passed", reason=f"case.{one}")
        for number, one in enumerate(said, start=1)
    }
    return Verdict(share, passed=complete, reason=reason, parsed=program, parts=parts)


def _refusal(name: str, problem: str) -> str:
    hint = "" if name == "rlimits" else (
        '. Install it, or allow sandbox = "rlimits", which protects from crashes and not from programs that mean harm '
        "or read the tests from the disk"
    )  # fmt: skip
    return f"the sandbox {name!r} does not work on this machine: {problem}{hint}"
