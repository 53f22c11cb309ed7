"""What training made of a model, found where it lies and put into a policy.

Three kinds of folder hold it: an adapter in peft's format, a checkpoint of a run, and a whole model, which is
what a run leaves that trained every weight.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from lydite.checkpoint import Checkpoint, is_checkpoint, newest_checkpoint, read_checkpoint
from lydite.config import ModelConfig, RunConfig
from lydite.configfile import read_config
from lydite.errors import ConfigError
from lydite.policy import Policy
from lydite.policy.adapter_files import SETTINGS, load_adapter, read_adapter_settings
from lydite.suggest import did_you_mean
from lydite.trainer import ADAPTER, BEST, CHECKPOINTS

logger = logging.getLogger("lydite")
_CONFIG: Final = "config.toml"


@dataclass(frozen=True, slots=True)
class Learned:
    """Weights on disk. Made by `find_learned` and `learned_by_run`."""

    path: Path
    kind: Literal["adapter", "checkpoint", "model"]
    base: str | None = None
    """The model that was trained, as it was called then; None where nothing tells."""
    r: int | None = None
    alpha: float | None = None
    checkpoint: Checkpoint | None = None

    def __str__(self) -> str:
        return str(self.path)


def find_learned(folder: Path) -> Learned:
    """What lies in a folder: an adapter, a checkpoint or a whole model.

    Raises:
        ConfigError: when it is neither, or an adapter of a kind that is not known here.
        CheckpointError: when it is a damaged checkpoint.
    """
    if not folder.is_dir():
        beside = [one.name for one in folder.parent.iterdir() if one.is_dir()] if folder.parent.is_dir() else []
        near = did_you_mean(folder.name, beside) if beside else ""
        raise ConfigError(f"{folder}: there is no such folder{near}; expected one with a trained adapter")
    if (folder / SETTINGS).is_file():
        settings = read_adapter_settings(folder)
        return Learned(folder, "adapter", settings.base, settings.r, settings.alpha)
    if is_checkpoint(folder):
        return _of_checkpoint(folder, folder.parent.parent / _CONFIG, read_checkpoint(folder))
    if (folder / "config.json").is_file():
        return Learned(folder, "model")
    if (folder / _CONFIG).is_file():
        raise ConfigError(f"{folder} is a run and no adapter; take --run {folder}, or its {folder / ADAPTER}")
    raise ConfigError(
        f"{folder} holds no adapter; expected {SETTINGS} in it, as in a run's {ADAPTER}/ or {CHECKPOINTS}/{BEST}/, or "
        "a checkpoint of a run"
    )


def learned_by_run(run: Path) -> Learned:
    """What a run has learned: its adapter at the end or, where it did not come to that, its newest checkpoint.

    Raises:
        ConfigError: when the run has neither.
    """
    if (run / ADAPTER).is_dir():
        return find_learned(run / ADAPTER)
    found = newest_checkpoint(run / CHECKPOINTS)
    if found.checkpoint is None:
        damaged = f" ({found.damaged[0]})" if found.damaged else ""
        raise ConfigError(f"the run {run} has no adapter and no checkpoint yet{damaged}: it has learned nothing")
    path = run / CHECKPOINTS / f"step-{found.checkpoint.step:06d}"
    return _of_checkpoint(path, run / _CONFIG, found.checkpoint)


def starting_from(config: RunConfig, learned: Learned) -> RunConfig:
    """The configuration whose model `put_into` can complete; a whole model stands in place of the configuration's.

    Raises:
        ConfigError: when what was learned does not go with the configuration's [lora].
    """
    lora = config.lora
    if learned.kind == "model":
        if lora.enabled:
            raise ConfigError(
                f"{learned} is a whole model and no adapter; name it as model.path, with lora.enabled = false"
            )
        model = ModelConfig(path=str(learned.path), dtype=config.model.dtype, device=config.model.device)
        return config.model_copy(update={"model": model})
    if learned.kind == "adapter" and not lora.enabled:
        raise ConfigError(
            f"{learned} is an adapter, and the configuration trains every weight; set lora.enabled = true"
        )
    for key, then, now in (("r", learned.r, lora.r), ("alpha", learned.alpha, lora.alpha)):
        if then is not None and then != now:
            raise ConfigError(
                f"{learned} was trained with lora.{key} = {then:g}, and the configuration has {now}; "
                f"set lora.{key} = {then:g}"
            )
    if learned.base is not None and learned.base != config.model.path:
        logger.warning(
            "%s was trained on the model %s, and the configuration's is %s", learned, learned.base, config.model.path
        )
    return config


def put_into(policy: Policy, learned: Learned) -> None:
    """Gives the policy the weights; it must come from the configuration that `starting_from` returned.

    Raises:
        ModelError: when they do not fit the policy.
    """
    if learned.checkpoint is not None:
        policy.load_adapter_state(learned.checkpoint.adapter)
    elif learned.kind == "adapter":
        load_adapter(policy, learned.path)


def _of_checkpoint(path: Path, config: Path, checkpoint: Checkpoint) -> Learned:
    """A checkpoint with what the configuration of its run says about it, where that still lies beside it."""
    if not config.is_file():
        return Learned(path, "checkpoint", checkpoint=checkpoint)
    run = read_config(config)
    if not run.lora.enabled:
        return Learned(path, "checkpoint", run.model.path, checkpoint=checkpoint)
    return Learned(path, "checkpoint", run.model.path, run.lora.r, run.lora.alpha, checkpoint)
