"""The model that is trained: where it comes from, its adapter, its chat template, its head.

Importing this package loads no torch, so that a model's source can be checked before anything heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lydite.policy.source import Source, check_source, resolve_source

if TYPE_CHECKING:
    from lydite.policy.head import Head
    from lydite.policy.load import load_policy
    from lydite.policy.policy import Policy
    from lydite.policy.quiet import quiet_libraries

__all__ = ["Head", "Policy", "Source", "check_source", "load_policy", "quiet_libraries", "resolve_source"]

_LAZY = {
    "Head": "lydite.policy.head",
    "Policy": "lydite.policy.policy",
    "load_policy": "lydite.policy.load",
    "quiet_libraries": "lydite.policy.quiet",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"lydite.policy has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
