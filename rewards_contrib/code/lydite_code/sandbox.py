"""What a sandbox is asked, what it answers, and which ones there are."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["call", "script"]
"""`call`: functions of the program are called. `script`: the program is run and given standard input."""


class SandboxFault(Exception):  # noqa: N818 - the sandbox's own, never the program's
    """The sandbox could not be started, so that nothing can be said of the program."""


@dataclass(frozen=True, slots=True)
class Job:
    """A program and what it is run on. Nothing in it says what should come out."""

    program: str
    kind: Kind
    cases: Sequence[Mapping[str, Any]]
    """For `call`: `call`, and `args` and `kwargs` in tagged form. For `script`: `stdin`."""
    case_seconds: float
    """Wall time of one case."""
    total_seconds: float
    """Wall time of all cases."""
    memory_mb: int
    """Address space of the program, the interpreter's own 30 MB included."""
    output_kb: int
    """What a case may print or return."""
    scratch_mb: int = 16
    """Size of the folder for temporary files, and of any file."""


@dataclass(frozen=True, slots=True)
class CaseRun:
    """How the program fared on one case. All of it is the program's word."""

    status: str
    """`value` or `done` when it came to an end, else a reason: see `inside.child.STATUSES` and `session`."""
    payload: bytes = b""
    """The value that was returned, as JSON in tagged form, or the output."""


class Sandbox(Protocol):
    """A place in which a stranger's program can be run."""

    @property
    def name(self) -> str:
        """As options name it."""
        ...

    def problem(self) -> str:
        """Why this sandbox does not work on this machine, or an empty string. Found out once per process."""
        ...

    def run(self, job: Job) -> Generator[CaseRun, None, None]:
        """A run for each case, in order, as they end. Closing the generator ends the program.

        Raises:
            SandboxFault: when the sandbox does not start.
        """
        ...
