"""What a run is asked to do: frozen, checked, and complete without any other file.

Names and meanings follow TRL's `GRPOConfig` where the meaning is the same. A field's docstring is its
entry in the configuration reference, which is generated from these files.
"""

from lydite.config.algorithms import ALGORITHM_NAMES, OnlineDpoConfig, PpoConfig, RlooConfig
from lydite.config.data import DataConfig, FormatConfig
from lydite.config.distributed import DistributedConfig
from lydite.config.engine import EngineConfig
from lydite.config.environment import EnvironmentConfig
from lydite.config.evaluation import EvalConfig, ProbesConfig, SentinelsConfig
from lydite.config.model import LoraConfig, ModelConfig
from lydite.config.rewards import LengthConfig, RewardConfig, StackConfig
from lydite.config.run import RunConfig
from lydite.config.sampling import SamplingConfig
from lydite.config.section import Options, Section, Span, Texts
from lydite.config.train import TrainConfig

__all__ = [
    "ALGORITHM_NAMES",
    "DataConfig",
    "DistributedConfig",
    "EngineConfig",
    "EnvironmentConfig",
    "EvalConfig",
    "FormatConfig",
    "LengthConfig",
    "LoraConfig",
    "ModelConfig",
    "OnlineDpoConfig",
    "Options",
    "PpoConfig",
    "ProbesConfig",
    "RewardConfig",
    "RlooConfig",
    "RunConfig",
    "SamplingConfig",
    "Section",
    "SentinelsConfig",
    "Span",
    "StackConfig",
    "Texts",
    "TrainConfig",
]
