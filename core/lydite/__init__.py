"""Train language models against rewards that can be checked.

Importing this package loads no torch: writing and testing a verifier needs none of it. `train`,
`load_policy` and `Policy` load the training stack when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lydite.contracts import CallReward, Environment, Family, Format, Observer, RewardUse, reward
from lydite.errors import ConfigError, DataError, LyditeError
from lydite.hookspecs import hookimpl
from lydite.suggest import did_you_mean
from lydite.types import (
    Completion,
    Episode,
    Evidence,
    FormatError,
    Group,
    Message,
    Observation,
    Parsed,
    RunInfo,
    RunResult,
    Sample,
    Status,
    StepReport,
    Verdict,
)

if TYPE_CHECKING:
    from lydite.api import load_policy, train
    from lydite.config import RunConfig
    from lydite.exports import export
    from lydite.policy import Policy
    from lydite.tools import ToolEnvironment

__version__ = "0.1.0"

__all__ = [
    "CallReward",
    "Completion",
    "ConfigError",
    "DataError",
    "Environment",
    "Episode",
    "Evidence",
    "Family",
    "Format",
    "FormatError",
    "Group",
    "LyditeError",
    "Message",
    "Observation",
    "Observer",
    "Parsed",
    "Policy",
    "RewardUse",
    "RunConfig",
    "RunInfo",
    "RunResult",
    "Sample",
    "Status",
    "StepReport",
    "ToolEnvironment",
    "Verdict",
    "did_you_mean",
    "export",
    "hookimpl",
    "load_policy",
    "reward",
    "train",
]

_LAZY = {
    "export": "lydite.exports",
    "train": "lydite.api",
    "load_policy": "lydite.api",
    "Policy": "lydite.policy",
    "ToolEnvironment": "lydite.tools",
    "RunConfig": "lydite.config",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"lydite has no attribute {name!r}{did_you_mean(name, __all__)}")
    import warnings
    from importlib import import_module

    with warnings.catch_warnings():
        # tqdm, which others import, asks for ipywidgets in a notebook; the bars there are lydite's own.
        warnings.filterwarnings("ignore", message="IProgress not found")
        return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
