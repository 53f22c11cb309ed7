"""Samples, from where a configuration says they come to the order of an epoch; `lydite.pool` chooses those of a step.

    load_data -> check_references -> drop_long_prompts -> prompt_order

Loads no torch, so that a dry run checks all of it.
"""

from __future__ import annotations

from lydite.data.checks import Data, Skipped, check_references, drop_long_prompts, repeated_prompts
from lydite.data.difficulty import difficulties
from lydite.data.load import load_data
from lydite.data.order import prompt_order

__all__ = [
    "Data",
    "Skipped",
    "check_references",
    "difficulties",
    "drop_long_prompts",
    "load_data",
    "prompt_order",
    "repeated_prompts",
]
