"""A new plugin package, complete: it builds, installs and passes `lydite check` before anything in it is changed."""

from __future__ import annotations

from lydite.scaffold.writing import Written, write_reward_package

__all__ = ["Written", "write_reward_package"]
