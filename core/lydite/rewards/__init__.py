"""From rollouts to scored completions: who judges them, where, and how judgements become one number.

`build_stack` checks everything that a configuration says about rewards; the `RewardStack` it returns judges
a step's rollouts. The names are loaded when first asked for, so that a worker process, which imports only
`lydite.rewards.serve`, starts without the configuration's machinery. Nothing in here imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lydite.rewards.build import build_eval_stack, build_stack
    from lydite.rewards.stack import RewardStack

__all__ = ["RewardStack", "build_eval_stack", "build_stack"]

_LAZY = {
    "RewardStack": "lydite.rewards.stack",
    "build_eval_stack": "lydite.rewards.build",
    "build_stack": "lydite.rewards.build",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"lydite.rewards has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
