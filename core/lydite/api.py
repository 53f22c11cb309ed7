"""Training from Python: the same run as the command line's, with plain functions as rewards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from lydite.adapter_folder import save_adapter_atomically
from lydite.calibration import calibration_lines
from lydite.checkpoint import newest_checkpoint
from lydite.config import RunConfig
from lydite.configfile import config_difference, read_config, write_config
from lydite.distributed import Processes, SharedEngine, current, joined, load_shared_policy
from lydite.environments.episodes import with_environment
from lydite.errors import ConfigError, MissingExtraError, WriteError
from lydite.kernels.compiled import count_programs
from lydite.manifest import make_manifest, plugin_changes
from lydite.measure import settled_objects
from lydite.observers import tell_finish, tell_start
from lydite.plugins import load_plugins
from lydite.policy import Policy, check_source
from lydite.policy import load_policy as _load_policy
from lydite.policy.dtypes import name_of, settled, with_dtype
from lydite.policy.software_products import slowness
from lydite.prepare import Prepared, prepare, with_function_rewards
from lydite.progress import Progress
from lydite.prompts import Prompts, encode_prompts
from lydite.report.display import choose_display
from lydite.report.notebook import figure, result_html
from lydite.report.page import write_report
from lydite.rollout import make_engine
from lydite.rollout.chat_server import serving_judge
from lydite.runfolder import RunFolder
from lydite.summary import summary_of
from lydite.trainer import ADAPTER, CHECKPOINTS, Trainer
from lydite.types import RunInfo, RunResult
from lydite.unwritten import telling_way_on

logger = logging.getLogger("lydite")
_NAMED_AT_MOST = 10  # skipped samples that a dry run lists, and keys that differ on resuming
_FURTHER = (
    "; a run ends at the max_steps that it began with, since its learning rate falls to 0 there: to train its model "
    "further, `lydite export RUN --to merged`, and name that folder as model.path of a new run"
)

ConfigLike: TypeAlias = RunConfig | Mapping[str, Any] | str | Path
"""A configuration read already, its content as nested mappings, or the path of a TOML file."""
Functions: TypeAlias = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Result:
    """A run that has ended: its folder, its figures, and the policy as it was at the end."""

    folder: Path
    summary: Mapping[str, Any]
    policy: Policy

    @property
    def report(self) -> Path | None:
        """The run's page, or None when plotly is not installed."""
        name = self.summary["report"]
        return self.folder / name if name else None

    def plot(self) -> Any:
        """The run's main curves as a plotly figure."""
        return figure(self.folder)

    def _repr_html_(self) -> str:
        return result_html(self.folder)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found in order, a line each."""

    lines: tuple[str, ...]


def train(
    config: ConfigLike | None = None,
    *,
    rewards: Functions | None = None,
    policy: Policy | None = None,
    resume: str | Path | None = None,
    overwrite: bool = False,
    block: Sequence[str] = (),
    display: Literal["auto", "none"] = "auto",
) -> Result:
    """Trains, and returns what came of it.

    `rewards` adds plain functions as rewards; one that the configuration does not mention gets weight 1.
    `policy` is one that `load_policy` gave, trained on from where it is. `resume` is the folder of a run to go
    on with; its own configuration is used, and one given as well must be the same. `overwrite` empties the
    run's folder first. `block` names plugins to leave out.

    Raises:
        LyditeError: before any model is loaded, on whatever can be found wrong by then; see `lydite.errors`.
    """
    chosen = _resumed_config(config, resume, rewards) if resume else _config(config, rewards)
    with joined(chosen) as processes:
        chosen = processes.from_main(lambda: _typed(chosen, policy))
        prepared = prepare(chosen, block=block, functions=rewards, spread=processes.spread)
        try:
            check_source(chosen.model)
            for line in calibration_lines(chosen, prepared.plugins, uncalibrated=False):
                logger.info("%s", line)
            path = Path(resume) if resume else Path(chosen.output_dir) / chosen.name
            opened = _opened(path, processes, resumed=resume is not None, overwrite=overwrite)
            with opened as folder, telling_way_on(path):
                shown = choose_display() if display == "auto" and processes.is_main else None
                try:
                    if shown is not None:
                        prepared.plugins.observe(shown, "display")
                    return _train_in(folder, prepared, policy, resumed=resume is not None)
                finally:
                    if shown is not None:
                        shown.close()
        finally:
            prepared.close()


def check(config: ConfigLike, *, rewards: Functions | None = None, block: Sequence[str] = ()) -> CheckReport:
    """Everything that can be checked before a model is loaded; what is wrong is raised as in `train`."""
    chosen = _config(config, rewards)
    prepared = prepare(chosen, block=block, functions=rewards)
    prepared.close()
    check_source(chosen.model)
    data, steps = prepared.data, chosen.train
    unnamed = len(data.skipped) - _NAMED_AT_MOST
    used = [f"{name} ({reward.use}, weight {reward.weight:g})" for name, reward in chosen.rewards.items()]
    return CheckReport(
        (
            f"plugins: {', '.join(str(owner) for owner in prepared.plugins.owners)}",
            f"model: {chosen.model.path}",
            f"data: {len(data.train)} to train on, {len(data.heldout)} held out, {len(data.skipped)} skipped",
            *(f"skipped {one.id}: {one.reason}" for one in data.skipped[:_NAMED_AT_MOST]),
            *([f"and {unnamed} more are skipped; a run lists them in skipped.jsonl"] if unnamed > 0 else []),
            *([f"environment: {chosen.environment.use}"] if chosen.environment is not None else []),
            f"rewards: {', '.join(used)}",
            *(f"calibration: {line}" for line in calibration_lines(chosen, prepared.plugins)),
            f"steps: {steps.max_steps} of {steps.prompts_per_step} prompts x {steps.num_generations} completions",
        )
    )


def load_policy(config: ConfigLike) -> Policy:
    """The model of a configuration with a fresh adapter, for trying it before training.

    Raises:
        ConfigError, ModelError: when the model cannot be loaded as asked.
    """
    chosen = _config(config, None)
    plugins = load_plugins(allow=chosen.plugins, files=chosen.plugin_files)
    return _load_policy(chosen.model, chosen.lora, plugins, chosen.seed)


def _typed(config: RunConfig, policy: Policy | None) -> RunConfig:
    """The configuration with a type in place of `auto`; what is unusual is said."""
    if policy is not None:
        return with_dtype(config, name_of(policy.dtype))
    found = settled(config)
    slower = slowness(torch.bfloat16) if (config.model.dtype, found.model.dtype) == ("auto", "float32") else None
    if slower is not None:
        logger.info(
            "computing in float32: this processor takes %d times as long for products in bfloat16", round(slower)
        )
    return found


def _opened(path: Path, processes: Processes, *, resumed: bool, overwrite: bool) -> RunFolder:
    """The run's folder, held by the main process; the others write nothing."""
    held: list[RunFolder] = []

    def hold() -> None:
        held.append(RunFolder.open(path) if resumed else RunFolder.create(path, overwrite=overwrite))

    processes.from_main(hold)
    return held[0] if held else RunFolder(path, writes=False)


def _train_in(folder: RunFolder, prepared: Prepared, policy: Policy | None, *, resumed: bool) -> Result:
    config = prepared.config
    if policy is None:
        policy = load_shared_policy(config, prepared.plugins)
    count_programs(policy.device)  # the engine's start compiles some
    engine = player = make_engine(config, policy)
    try:
        player = with_environment(engine, prepared.environments, policy)
        prompts = encode_prompts(prepared, policy)
        if current().count > 1:
            player = SharedEngine(player, current())
        trainer = Trainer(prepared, policy, player, prompts, folder, Progress())
        manifest = make_manifest(config, prepared.plugins, policy.device)
        if resumed:
            _go_back(folder, trainer, manifest)
        else:
            folder.write_text("config.toml", write_config(config))
            folder.write_json("manifest.json", manifest)
        _write_skipped(folder, prompts)
        info = RunInfo(
            config.name, str(folder.path), config.train.max_steps, config.model_dump(mode="json"), manifest,
            trainer.progress.step,
        )  # fmt: skip
        tell_start(prepared.plugins, info)
        with (
            serving_judge(config, (prepared.stack, prepared.eval_stack), engine, policy, folder.path),
            settled_objects(),
        ):
            stopped = trainer.run()
        if folder.writes:
            save_adapter_atomically(policy, folder.path / ADAPTER)
        summary = summary_of(config, trainer.progress, manifest, stopped)
        folder.write_json("summary.json", summary)
        summary["report"] = _report(folder)
        folder.write_json("summary.json", summary)
        tell_finish(prepared.plugins, RunResult(str(folder.path), summary))
        return Result(folder.path, summary, policy)
    finally:
        player.close()


def _go_back(folder: RunFolder, trainer: Trainer, manifest: Mapping[str, Any]) -> None:
    """Puts the trainer and the logs where the newest whole checkpoint was, and says what is not as it was."""
    before = folder.read_json("manifest.json")
    if not before:  # killed between the writing of its configuration and of its manifest
        folder.write_json("manifest.json", manifest)
    for change in plugin_changes(before["plugins"], manifest["plugins"]) if before else ():
        logger.warning("since this run began: %s", change)
    found = current().from_main(lambda: newest_checkpoint(folder.path / CHECKPOINTS))
    for damage in found.damaged:
        logger.warning("the checkpoint %s; the one before it is taken", damage)
    if found.checkpoint is None:
        folder.rewind({})
        logger.warning("there is no checkpoint yet; the run starts from its first step")
    else:
        trainer.restore(found.checkpoint)
        done = found.checkpoint.step >= trainer.config.train.max_steps
        logger.info("going on after step %d%s", found.checkpoint.step, ", the last one" if done else "")


def _report(folder: RunFolder) -> str | None:
    if not folder.writes:
        return None
    try:
        return write_report(folder.path).name
    except (MissingExtraError, WriteError, OSError) as error:  # the run's numbers are safe without it
        logger.warning("no report was written: %s; lydite report %s writes it later", error, folder.path)
        return None


def _write_skipped(folder: RunFolder, prompts: Prompts) -> None:
    if not folder.writes:
        return
    (folder.path / "skipped.jsonl").unlink(missing_ok=True)
    if prompts.skipped:
        folder.append("skipped.jsonl", [{"sample": one.id, "reason": one.reason} for one in prompts.skipped])
        logger.warning("%d samples are left out; see %s", len(prompts.skipped), folder.path / "skipped.jsonl")


def _config(config: ConfigLike | None, rewards: Functions | None) -> RunConfig:
    if config is None:
        raise ConfigError("train needs a configuration, or the folder of a run to resume")
    if rewards and not isinstance(config, RunConfig):
        content = config if isinstance(config, Mapping) else read_config(Path(config)).model_dump()
        config = with_function_rewards(content, rewards)
    return read_config(Path(config) if isinstance(config, str) else config)


def _resumed_config(config: ConfigLike | None, resume: str | Path, rewards: Functions | None) -> RunConfig:
    """The configuration of the run that is gone on with.

    Raises:
        ConfigError: when another one is given, with every difference.
    """
    path = Path(resume) / "config.toml"
    if not path.is_file():
        raise ConfigError(f"{resume} is not a run folder: it has no config.toml")
    stored = read_config(path)
    if config is not None:
        given = with_dtype(_config(config, rewards), stored.model.dtype)  # what it came to when the run began
        differences = config_difference(stored, given)
        if differences:
            more = len(differences) - _NAMED_AT_MOST
            listed = "\n  ".join([*differences[:_NAMED_AT_MOST], *([f"and {more} more"] if more > 0 else [])])
            raise ConfigError(
                f"the run in {resume} was started with another configuration:\n  {listed}\n"
                f"leave the configuration out to go on as it was, or start a new run under another name"
                f"{_FURTHER if any(one.startswith('train.max_steps') for one in differences) else ''}"
            )
    return stored
