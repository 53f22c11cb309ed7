"""A whole run."""

from __future__ import annotations

from pydantic import Field, model_validator

from lydite.config.algorithms import OnlineDpoConfig, PpoConfig, RlooConfig, algorithm_problems
from lydite.config.data import DataConfig, FormatConfig
from lydite.config.distributed import DistributedConfig
from lydite.config.engine import EngineConfig
from lydite.config.environment import EnvironmentConfig
from lydite.config.evaluation import EvalConfig, ProbesConfig, SentinelsConfig
from lydite.config.model import LoraConfig, ModelConfig
from lydite.config.rewards import LengthConfig, RewardConfig, StackConfig
from lydite.config.sampling import SamplingConfig
from lydite.config.section import Options, Section, Texts
from lydite.config.train import TrainConfig
from lydite.config_checks import cross_problems


class RunConfig(Section):
    """A whole run."""

    name: str = "run"
    """Name of the run's folder; from the command line, the configuration file's own name."""
    output_dir: str = "runs"
    """Where run folders are made."""
    seed: int = Field(42, ge=0)
    """Of everything: order of the data, sampling, the adapter's start."""
    plugins: Texts = ()
    """Distributions that this run trusts. No other plugin is imported."""
    plugin_files: Texts = ()
    """Local Python files that are plugins of this run."""
    model: ModelConfig
    lora: LoraConfig = LoraConfig()
    data: DataConfig
    format: FormatConfig = FormatConfig()
    environment: EnvironmentConfig | None = None
    rewards: dict[str, RewardConfig] = Field(min_length=1)
    length: LengthConfig | None = None
    stack: StackConfig = StackConfig()
    eval: EvalConfig | None = None
    probes: ProbesConfig = ProbesConfig()
    algorithm: str = "grpo"
    """What is done with a step's completions: `grpo`, `rloo`, `online_dpo`, `ppo`, or one that a plugin offers."""
    algorithm_options: Options = {}
    """Options of a plugin's algorithm; those of lydite's own are in [rloo], [online_dpo] and [ppo]."""
    rloo: RlooConfig | None = None
    online_dpo: OnlineDpoConfig | None = None
    ppo: PpoConfig | None = None
    sampling: SamplingConfig = SamplingConfig()
    train: TrainConfig = TrainConfig()
    engine: EngineConfig = EngineConfig()
    distributed: DistributedConfig = DistributedConfig()
    observers: Options = {}
    """Tables [observers.NAME] with options of what watches the run, such as a tracker. Every observer that an allowed
    plugin offers takes part."""
    sentinels: SentinelsConfig = SentinelsConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> RunConfig:
        problems = [*cross_problems(self), *algorithm_problems(self)]
        if problems:
            raise ValueError("\n".join(problems))
        return self
