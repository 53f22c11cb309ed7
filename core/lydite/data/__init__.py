"""Samples, from where a configuration says they come to the order in which a run asks them.

    load_data -> check_references -> drop_long_prompts -> indices_for_step

Loads no torch, so that a dry run checks all of it.
"""

from __future__ import annotations

from lydite.data.checks import Data, Skipped, check_references, drop_long_prompts
from lydite.data.load import load_data
from lydite.data.order import indices_for_step, prompt_order

__all__ = ["Data", "Skipped", "check_references", "drop_long_prompts", "indices_for_step", "load_data", "prompt_order"]
