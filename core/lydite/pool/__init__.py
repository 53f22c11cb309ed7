"""Which prompts a step asks: their order, how hard they are, and which of their groups teach something."""

from lydite.pool.chooser import Chooser
from lydite.pool.difficulty import DifficultyPool, Standing, pass_share
from lydite.pool.frontier import Frontier
from lydite.pool.groups import refill_size, teaches
from lydite.pool.laps import Laps, curriculum_laps, shuffled_laps

__all__ = [
    "Chooser",
    "DifficultyPool",
    "Frontier",
    "Laps",
    "Standing",
    "curriculum_laps",
    "pass_share",
    "refill_size",
    "shuffled_laps",
    "teaches",
]
