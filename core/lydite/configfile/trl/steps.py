"""Counts: TRL's are of updates, and lydite's of steps, each of which samples once and makes all its updates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from lydite.configfile.trl.fields import trl_fields
from lydite.configfile.trl.given import Translation
from lydite.suggest import did_you_mean

_EPOCHS: Final = 3.0  # TRL's default
NO_LIMIT: Final = 1e9
"""Stands for none where a file of lydite's needs a number."""
_STRATEGIES: Final = ("no", "steps", "epoch", "best")
_OPTIMISERS: Final = {
    "adamw": "adamw", "adamw_hf": "adamw", "adamw_torch": "adamw", "adamw_torch_fused": "adamw",
    "adamw_8bit": "adamw_8bit", "adamw_bnb_8bit": "adamw_8bit",
    "paged_adamw": "paged_adamw_32bit", "paged_adamw_32bit": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Batches:
    """How TRL cuts its batches, on one process."""

    per_device: int
    passes: int
    """Forward passes that one sampling feeds."""
    accumulation: int
    iterations: int
    group: int

    @property
    def updates_per_step(self) -> int:
        """Updates that are made between two samplings."""
        return max(self.iterations * self.passes // self.accumulation, 1)

    @property
    def prompts_per_step(self) -> int:
        """Prompts of one sampling."""
        return max(self.per_device * self.passes // self.group, 1)


def put_counts(work: Translation, rows: Callable[[], int] | None) -> None:
    """Steps, warm-up, checkpoints and evaluations; `rows` counts the data, for runs that are measured in epochs."""
    batches = _batches(work)
    if batches is None:
        return
    work.updates_per_step = per_step = batches.updates_per_step
    if _asks_for_epochs(work) and rows is not None and not _streams(work):
        work.updates_per_epoch = _epoch(batches, rows())
    updates = _updates(work)
    if updates is None:
        return
    work.updates = updates
    steps = math.ceil(updates / per_step)
    why = f"{updates} updates, {per_step} a step" if per_step > 1 else ""
    if _limit(work) > 0:
        work.take("max_steps", ("train", "max_steps"), steps, why)
        if "num_train_epochs" in work.given:
            work.dropped.append("num_train_epochs: max_steps comes before it, as in TRL")
    else:
        epochs = work.value("num_train_epochs", _EPOCHS)
        work.take(
            "num_train_epochs", ("train", "max_steps"), steps, f"{epochs:g} times the data{', ' + why if why else ''}"
        )
    _put_warmup(work, updates)
    _put_saving(work, updates, per_step, steps)


def put_ways_of_training(work: Translation) -> None:
    """Optimiser, schedule, scaling of rewards, checkpointing of activations, and the cap of the correction."""
    optimiser = str(work.value("optim", "adamw_torch_fused"))
    if optimiser not in _OPTIMISERS:
        work.refuse("optim", f"lydite has AdamW; take one of {', '.join(_OPTIMISERS)}")
    elif "optim" in work.given:
        work.take("optim", ("train", "optim"), _OPTIMISERS[optimiser])
    schedule = str(work.value("lr_scheduler_type", "linear"))
    if schedule not in ("linear", "cosine", "constant", "constant_with_warmup"):
        work.refuse("lr_scheduler_type", "take linear, cosine, constant or constant_with_warmup")
    elif "lr_scheduler_type" in work.given:
        work.take("lr_scheduler_type", ("train", "lr_scheduler_type"), schedule.partition("_")[0])
    if "scale_rewards" in work.given:
        value = work.given["scale_rewards"]
        named = {True: "group", False: "none"}
        work.take("scale_rewards", ("train", "scale_rewards"), named.get(value, value))
    if "gradient_checkpointing" in work.given:
        key = ("train", "gradient_checkpointing")
        work.take("gradient_checkpointing", key, bool(work.given["gradient_checkpointing"]))
    for name in ("vllm_importance_sampling_cap", "vllm_importance_sampling_clip_max"):
        if name in work.given:
            value = work.value(name, 3.0)
            key = ("train", "vllm_importance_sampling_clip_max")
            work.take(name, key, NO_LIMIT if value is None else float(value))
            break


def _limit(work: Translation) -> Any:
    return work.value("max_steps", -1)


def _batches(work: Translation) -> Batches | None:
    """The cut, with `steps_per_generation` put down where the file says it as a batch size; None when it is none."""
    group_size = trl_fields(work.command)["num_generations"].default
    numbers = {
        name: work.value(name, default)
        for name, default in (("per_device_train_batch_size", 8), ("gradient_accumulation_steps", 1),
                              ("num_iterations", 1), ("num_generations", group_size), ("max_steps", -1))
    }  # fmt: skip
    wrong = [name for name, value in numbers.items() if isinstance(value, bool) or not isinstance(value, int)]
    for name in wrong:
        work.refuse(name, "expected a whole number")
    if wrong:
        return None
    per_device, accumulation, iterations, group, _ = (max(value, 1) for value in numbers.values())
    passes = work.value("steps_per_generation", 0) or accumulation
    whole = work.value("generation_batch_size", 0) or 0
    if whole:
        if work.given.get("steps_per_generation") is not None:
            work.refuse("generation_batch_size", "steps_per_generation says the same; leave one of them out")
            return None
        if not isinstance(whole, int) or whole % per_device:
            work.refuse("generation_batch_size", f"expected a multiple of per_device_train_batch_size = {per_device}")
            return None
        passes = whole // per_device
        work.take("generation_batch_size", ("train", "steps_per_generation"), passes, f"{whole} / {per_device}")
    if not isinstance(passes, int):
        work.refuse("steps_per_generation", "expected a whole number")
        return None
    return Batches(per_device, passes, accumulation, iterations, group)


def _asks_for_epochs(work: Translation) -> bool:
    strategies = [work.value(name, "no") for name in ("eval_strategy", "save_strategy")]
    return int(_limit(work)) <= 0 or "epoch" in strategies


def _streams(work: Translation) -> bool:
    return bool(work.given.get("dataset_streaming") or work.given.get("streaming"))


def _epoch(batches: Batches, rows: int) -> int:
    """Updates of once through the data. TRL leaves its last samples out where they are too few for a sampling."""
    passes = rows // batches.prompts_per_step * batches.passes * batches.iterations
    return max(math.ceil(passes / batches.accumulation), 1)


def _updates(work: Translation) -> int | None:
    """Updates of the whole run, as TRL counts them."""
    limit = int(_limit(work))
    if limit > 0:
        return limit
    epochs = work.value("num_train_epochs", _EPOCHS)
    if isinstance(epochs, bool) or not isinstance(epochs, int | float) or epochs <= 0:
        work.refuse("num_train_epochs", "expected a number greater than 0")
        return None
    if work.updates_per_epoch is None:
        work.problems.append(
            f"max_steps is needed: {epochs:g} epochs of data whose rows are not counted have no length"
        )
        return None
    return max(math.ceil(epochs * work.updates_per_epoch), 1)


def _put_warmup(work: Translation, updates: int) -> None:
    warmup = work.value("warmup_steps", 0)
    if "warmup_steps" not in work.given:
        return
    if isinstance(warmup, bool) or not isinstance(warmup, int | float) or warmup < 0:
        work.refuse("warmup_steps", "expected a number of at least 0")
    elif work.value("lr_scheduler_type", "linear") == "constant":
        work.dropped.append("warmup_steps: the schedule constant has no warm-up in TRL; constant_with_warmup has one")
    else:
        work.take("warmup_steps", ("train", "warmup_steps"), counted(warmup, updates))


def _put_saving(work: Translation, updates: int, per_step: int, steps: int) -> None:
    strategy = named_strategy(work.value("save_strategy", "steps"))
    if strategy == "no":
        work.take("save_strategy", ("train", "save_steps"), steps, "one checkpoint, after the last step")
        return
    if strategy == "epoch":
        if work.updates_per_epoch is None:
            work.refuse("save_strategy", "the rows of this data are not counted; take steps, and save_steps")
            return
        every = max(math.ceil(work.updates_per_epoch / per_step), 1)
        work.take("save_strategy", ("train", "save_steps"), every, "after each epoch")
        return
    if strategy == "best":
        work.dropped.append("save_strategy: the best adapter by the held-out evaluation is always kept")
    elif strategy != "steps":
        work.refuse("save_strategy", f"take steps, epoch or no{did_you_mean(strategy, _STRATEGIES)}")
    saving = work.value("save_steps", 500)
    if isinstance(saving, bool) or not isinstance(saving, int | float) or saving <= 0:
        work.refuse("save_steps", "expected a number greater than 0")
        return
    value = max(math.ceil(counted(saving, updates) / per_step), 1)
    if "save_strategy" in work.given and strategy == "steps":
        work.taken.append(f"save_strategy: train.save_steps = {value}")
    if "save_steps" in work.given:
        work.take("save_steps", ("train", "save_steps"), value)
    else:
        work.take_default("save_steps", ("train", "save_steps"), value)


def named_strategy(value: Any) -> str:
    """`save_strategy` or `eval_strategy` by its name: YAML takes a bare no for false."""
    return "no" if value is False else str(value)


def counted(value: float, updates: int) -> int:
    """A count that may be a share of all updates, where it is below 1."""
    return math.ceil(value * updates) if 0 < value < 1 else int(value)
