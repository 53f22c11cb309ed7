"""Saved completions, judged again: with other rewards or other weights, and without a model.

    read_stack -> open_saved -> rescore -> what changed

Nothing in here imports torch.
"""

from __future__ import annotations

from lydite.rescore.compare import rescore
from lydite.rescore.gold import Golds, read_golds
from lydite.rescore.saved import Saved, SavedCompletions
from lydite.rescore.sources import open_saved
from lydite.rescore.stackfile import read_stack, with_stack

__all__ = ["Golds", "Saved", "SavedCompletions", "open_saved", "read_golds", "read_stack", "rescore", "with_stack"]
