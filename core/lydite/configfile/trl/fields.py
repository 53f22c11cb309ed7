"""Every argument of `trl grpo` and of `trl rloo`, and what becomes of it here.

The arguments are the fields of TRL 1.16's GRPOScriptArguments, GRPOConfig (RLOOConfig), ModelConfig and
DatasetMixtureConfig; a test compares this table with the installed classes, so that none is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from lydite.configfile.fields import find_field
from lydite.configfile.trl.missing import MISSING
from lydite.configfile.trl.rloo import DEFAULTS, ONLY_GRPO, OWN
from lydite.configfile.trl.unneeded import UNNEEDED

Command: TypeAlias = Literal["grpo", "rloo"]
"""TRL's command that a file is for: `trl grpo` or `trl rloo`."""
Fate: TypeAlias = Literal["same", "renamed", "worked out", "not needed", "missing"]


@dataclass(frozen=True, slots=True)
class TrlField:
    """One argument of TRL's command."""

    name: str
    fate: Fate
    """same: lydite's key has the name. renamed: the value goes to another key. worked out: it has a part in one or
    more keys. not needed: it changes nothing that is learned, or lydite always does it its own way. missing: lydite
    cannot do it, so that any value but a neutral one is an error."""
    keys: tuple[str, ...] = ()
    """lydite's keys, with their tables."""
    default: Any = None
    """TRL's default, which holds where the file says nothing; of same and renamed ones."""
    neutral: tuple[Any, ...] = ()
    """Values that ask for nothing, TRL's default among them; of missing ones."""
    why: str = ""
    """What is done instead, or what to do."""


# TRL's default behind each name that means the same in [train].
_SAME: Final[Mapping[str, Any]] = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "learning_rate": 1e-6,
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "save_total_limit": None,
    "num_generations": 8,
    "max_completion_length": 512,
    "steps_per_generation": None,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": None,
    "beta": 0.0,
    "num_iterations": 1,
    "epsilon": 0.2,
    "delta": None,
    "epsilon_high": None,
    "loss_type": "dapo",
    "importance_sampling_level": "token",
    "sapo_temperature_neg": 1.05,
    "sapo_temperature_pos": 1.0,
    "vespo_k_pos": 2.0,
    "vespo_lambda_pos": 3.0,
    "vespo_k_neg": 3.0,
    "vespo_lambda_neg": 2.0,
    "mask_truncated_completions": False,
    "top_entropy_quantile": 1.0,
    "entropy_coef": 0.0,
    "use_adaptive_entropy": False,
    "entropy_coef_min": 0.0,
    "entropy_coef_max": 1.0,
    "entropy_coef_delta": 0.005,
    "entropy_target": 0.2,
    "off_policy_mask_threshold": None,
    "use_bias_correction_kl": True,
    "vllm_importance_sampling_correction": True,
    "vllm_importance_sampling_mode": "sequence_mask",
    "vllm_importance_sampling_clip_min": None,
}
_RENAMED: Final[Mapping[str, tuple[str, Any, str]]] = {
    "model_name_or_path": ("model.path", None, ""),
    "seed": ("seed", 42, ""),
    "shuffle_dataset": ("data.shuffle", True, ""),
    "multi_objective_aggregation": ("stack.aggregate", "sum_then_normalize", ""),
    "use_peft": ("lora.enabled", False, "without it TRL trains every weight"),
    "lora_r": ("lora.r", 16, ""),
    "lora_alpha": ("lora.alpha", 32, ""),
    "lora_dropout": ("lora.dropout", 0.05, ""),
    "dataset_name": ("data.options.path", None, ""),
    "dataset_config": ("data.options.name", None, ""),
    "dataset_train_split": ("data.options.split", "train", ""),
    "dataset_streaming": ("data.options.streaming", False, ""),
}
_WORKED_OUT: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "max_steps": (("train.max_steps",), "TRL counts updates; a step here is one sampling with all its updates"),
    "num_train_epochs": (("train.max_steps",), "without max_steps, from the number of rows"),
    "warmup_steps": (("train.warmup_steps",), "counted in updates; below 1 it is a share of them"),
    "save_steps": (("train.save_steps",), "in steps; below 1 it is a share of the run"),
    "generation_batch_size": (("train.steps_per_generation",), "divided by per_device_train_batch_size"),
    "scale_rewards": (("train.scale_rewards",), 'true is "group", false is "none"'),
    "lr_scheduler_type": (("train.lr_scheduler_type",), "constant_with_warmup is constant; constant has no warm-up"),
    "optim": (("train.optim",), "the names of AdamW and of bitsandbytes' forms of it"),
    "gradient_checkpointing": (("train.gradient_checkpointing",), 'left at "auto" where the file says nothing'),
    "vllm_importance_sampling_clip_max": (("train.vllm_importance_sampling_clip_max",), "null, no limit, is 1e9"),
    "vllm_importance_sampling_cap": (("train.vllm_importance_sampling_clip_max",), "its old name"),
    "output_dir": (("output_dir", "name"), "the folder of the run, and the folder that is in"),
    "model_revision": (("model.revision",), "main is what is taken anyway"),
    "dtype": (("model.dtype",), "the type of the computation, with bf16 and fp16"),
    "bf16": (("model.dtype",), "TRL computes in bfloat16 unless it is told otherwise"),
    "fp16": (("model.dtype",), ""),
    "model_init_kwargs": (("model.dtype", "model.revision"), "of its keys, those that are arguments elsewhere"),
    "use_cpu": (("model.device",), ""),
    "load_in_4bit": (("model.quantization",), ""),
    "lora_target_modules": (
        ("lora.target_modules",),
        "without it peft chooses few layers, and lydite every linear one",
    ),
    "use_vllm": (("engine.use",), "left at auto where the file says nothing"),
    "report_to": (("plugins",), "wandb, tensorboard and mlflow, each a plugin"),
    "reward_funcs": (("rewards",), "each through adapters/trl"),
    "reward_weights": (("rewards.NAME.weight",), ""),
    "datasets": (("data.use", "data.options"), "one entry"),
    "streaming": (("data.options.streaming",), "of an entry of datasets"),
    "eval_strategy": (("eval", "eval.every"), "steps or epoch: held-out evaluation on dataset_test_split"),
    "eval_steps": (("eval.every",), "in steps"),
    "dataset_test_split": (("eval.data.options.split",), "where eval_strategy asks for an evaluation"),
    "save_strategy": (("train.save_steps",), "epoch: a checkpoint after each; no: one, after the last step"),
}


@cache
def trl_fields(command: Command = "grpo") -> Mapping[str, TrlField]:
    """What becomes of each argument of `trl grpo` or `trl rloo`, by its name, in the order same to missing.

    A name of [train] that this version of lydite does not have counts as missing.
    """
    fields = {one.name: one for one in _every_field()}
    if command == "grpo":
        return fields
    changed = {name: TrlField(name, "renamed", (key,), default, why=why) for name, (key, default, why) in OWN.items()}
    changed |= {name: replace(fields[name], default=default) for name, default in DEFAULTS.items()}
    return {name: one for name, one in {**fields, **changed}.items() if name not in ONLY_GRPO}


def _every_field() -> Iterator[TrlField]:
    for name, default in _SAME.items():
        if find_field(("train", name)) is not None:
            yield TrlField(name, "same", (f"train.{name}",), default)
    for name, (key, default, why) in _RENAMED.items():
        yield TrlField(name, "renamed", (key,), default, why=why)
    for name, (keys, why) in _WORKED_OUT.items():
        yield TrlField(name, "worked out", keys, why=why)
    for why, names in UNNEEDED.items():
        for name in names:
            yield TrlField(name, "not needed", why=why)
    for name, default in _SAME.items():
        if find_field(("train", name)) is None:
            yield TrlField(name, "missing", neutral=(default,), why="lydite has no such part of the loss")
    for name, (neutral, why) in MISSING.items():
        yield TrlField(name, "missing", neutral=neutral, why=why)
