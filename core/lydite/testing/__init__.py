"""The kit for authors of verifiers: everything that a reward should withstand before somebody trains on it.

In a test::

    from lydite.testing import check

    def test_my_reward():
        check("my/reward").raise_for_failures()

On the command line it is `lydite check my/reward`, and with pytest `--lydite-check my/reward`. Names are loaded when
they are first asked for, since pytest imports this package in every project where lydite is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lydite.testing.cases import Case, CaseFile, read_cases
    from lydite.testing.checking import ITEM_NAMES, SECTIONS, check
    from lydite.testing.results import CheckFailed, CheckReport, Item, Section
    from lydite.testing.subject import worker_pool

__all__ = [
    "ITEM_NAMES",
    "SECTIONS",
    "Case",
    "CaseFile",
    "CheckFailed",
    "CheckReport",
    "Item",
    "Section",
    "check",
    "read_cases",
    "worker_pool",
]

_LAZY = {
    "ITEM_NAMES": "checking",
    "SECTIONS": "checking",
    "Case": "cases",
    "CaseFile": "cases",
    "CheckFailed": "results",
    "CheckReport": "results",
    "Item": "results",
    "Section": "results",
    "check": "checking",
    "read_cases": "cases",
    "worker_pool": "subject",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"lydite.testing has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"lydite.testing.{_LAZY[name]}"), name)
