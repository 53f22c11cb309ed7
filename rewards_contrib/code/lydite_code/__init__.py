"""Rewards on programs for lydite: hidden tests and input/output cases in a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lydite import hookimpl
from lydite_code.admission import admit_stdio, admit_tests
from lydite_code.bubblewrap import Bubblewrap
from lydite_code.function_tests import function_tests
from lydite_code.rlimits import RLimits
from lydite_code.sandbox import CaseRun, Job, Sandbox, SandboxFault
from lydite_code.stdio import stdio

__all__ = [
    "Bubblewrap",
    "CaseRun",
    "Job",
    "RLimits",
    "Sandbox",
    "SandboxFault",
    "admit_stdio",
    "admit_tests",
    "function_tests",
    "stdio",
]


@hookimpl
def lydite_rewards() -> Mapping[str, Callable[..., Any]]:
    """The rewards, by name."""
    return {"code/tests": function_tests, "code/stdio": stdio}
