import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lydite_code.running import SANDBOXES

CHILD_SUBREAPER = 36
"""Linux's PR_SET_CHILD_SUBREAPER; see prctl(2)."""


def works(name: str) -> str:
    """The name, or a skipped test where the sandbox cannot be had; one that is there and leaks fails the test."""
    problem = SANDBOXES[name].problem()
    assert "not held back" not in problem, problem
    if problem:
        pytest.skip(f"the sandbox {name!r} does not work here: {problem}")
    return name


@pytest.fixture(params=["bubblewrap", "rlimits"])
def sandbox(request: pytest.FixtureRequest) -> str:
    """The name of each sandbox in turn."""
    return works(request.param)


@pytest.fixture
def bubblewrap() -> str:
    """The name of the sandbox that isolates."""
    return works("bubblewrap")


@pytest.fixture
def descendants() -> Iterator[Callable[[], set[int]]]:
    """A function that gives the living processes that this one started, directly or not.

    Orphans are counted: during the test this process is the parent of what its children leave behind. Afterwards it
    must not be, for it never waits for them, and a later test may want to see that they are gone.
    """
    prctl = ctypes.CDLL(None).prctl
    assert prctl(CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield _descendants
    assert prctl(CHILD_SUBREAPER, 0, 0, 0, 0) == 0


def _descendants() -> set[int]:
    parents = {}
    for one in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = one.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(one.parent.name)] = int(parent)
    found, wave = set(), {os.getpid()}
    while wave:
        wave = {pid for pid, parent in parents.items() if parent in wave}
        found |= wave
    return found
