"""A step's updates made again from its saved rollouts, and compared with what the run recorded."""

from lydite.replay.comparison import Comparison, Figure, Replay
from lydite.replay.redo import replay_step

__all__ = ["Comparison", "Figure", "Replay", "replay_step"]
