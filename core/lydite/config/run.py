"""A whole run."""

from __future__ import annotations

from pydantic import Field, model_validator

from lydite.config.data import DataConfig, FormatConfig
from lydite.config.engine import EngineConfig
from lydite.config.evaluation import EvalConfig, ProbesConfig, SentinelsConfig
from lydite.config.model import LoraConfig, ModelConfig
from lydite.config.rewards import LengthConfig, RewardConfig, StackConfig
from lydite.config.section import Section, Texts
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
    rewards: dict[str, RewardConfig] = Field(min_length=1)
    length: LengthConfig | None = None
    stack: StackConfig = StackConfig()
    eval: EvalConfig | None = None
    probes: ProbesConfig = ProbesConfig()
    train: TrainConfig = TrainConfig()
    engine: EngineConfig = EngineConfig()
    sentinels: SentinelsConfig = SentinelsConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> RunConfig:
        problems = cross_problems(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self
