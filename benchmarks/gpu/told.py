"""Who is told of a step's end. A module of its own, since lydite imports a plugin's file under another name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TOLD: list[Callable[[Any], None]] = []
