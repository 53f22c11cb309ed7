"""Names that files for TRL have and TRL 1.16 has not: of its earlier versions, of accelerate, open-r1 and Unsloth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lydite.configfile.problems import shown
from lydite.configfile.trl.given import Translation, as_number

RENAMED: Final[Mapping[str, str]] = {
    "torch_dtype": "dtype",
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
    "warmup_ratio": "warmup_steps",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "wandb_log_unique_prompts": "log_unique_prompts",
    "vllm_max_model_len": "vllm_max_model_length",
    "vllm_guided_decoding_regex": "vllm_structured_outputs_regex",
}
"""What is the same argument today under another name."""

_OWN_KEYS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "max_prompt_length": (("data", "max_prompt_length"), "a longer prompt is left out, where TRL cut its beginning"),
    "system_prompt": (("data", "system"), "open-r1's"),
    "dataset_prompt_column": (("data", "options", "prompt"), "open-r1's"),
    "wandb_project": (("observers", "wandb", "project"), "open-r1's"),
    "wandb_entity": (("observers", "wandb", "entity"), "open-r1's"),
    "wandb_run_group": (("observers", "wandb", "group"), "open-r1's"),
}
"""What is no argument of TRL's today, and has a key here."""

_DROPPED: Final[Mapping[str, tuple[str, ...]]] = {
    "checkpoints and adapters are safetensors, in the run's folder, which --overwrite alone empties": (
        "save_safetensors", "overwrite_output_dir", "logging_dir",
    ),
    "nothing is sent to a hub": ("push_to_hub_token", "push_to_hub_model_id", "hub_model_revision",
                                 "push_to_hub_revision", "benchmarks", "callbacks"),
    "samples are read once, before the first step; there is no data loader": (
        "group_by_length", "dataset_num_proc", "shuffle_generation_inputs", "split_batches", "dispatch_batches",
    ),
    "vLLM runs in this process, on the trainer's own weights, and is sized by the plan (lydite plan)": (
        "vllm_device", "vllm_dtype", "vllm_enable_prefix_caching", "fast_inference", "gpu_memory_utilization",
        "max_lora_rank",
    ),
    "how it is computed is chosen by the machine": (
        "use_liger_loss", "half_precision_backend", "fp16_backend", "fp16_opt_level", "use_ipex", "use_mps_device",
        "jit_mode_eval", "torchdynamo", "mp_parameters", "tpu_num_cores",
    ),
    "every step is written to metrics.jsonl and timings.jsonl": (
        "include_tokens_per_second", "include_inputs_for_metrics",
    ),
    "passes are cut by per_device_train_batch_size, or by micro_batch_tokens": ("local_rollout_forward_batch_size",),
}  # fmt: skip
"""What changes nothing of what is learned here, by the reason."""

_MORE_PROCESSES: Final = (
    "TRL's batch is as many times as large, and lydite's is the same for any number of processes; multiply "
    "gradient_accumulation_steps by it, take the line out, and train with --processes"
)
_LAUNCHER: Final = "it belongs to `accelerate launch`; take it out, and see docs/multi-gpu.md for several GPUs"
_INSTEAD: Final[Mapping[str, tuple[tuple[Any, ...], str]]] = {
    "num_processes": ((1,), _MORE_PROCESSES),
    "num_machines": ((1,), _MORE_PROCESSES),
    "accelerate_config": ((None,), _LAUNCHER),
    "distributed_type": (("NO",), _LAUNCHER),
    "deepspeed_config": ((None,), _LAUNCHER),
    "mixed_precision": ((None,), f"bf16 and fp16 say it to TRL; {_LAUNCHER}"),
    "main_process_port": ((None,), _LAUNCHER),
    "machine_rank": ((0,), _LAUNCHER),
    "gpu_ids": (("all",), "set CUDA_VISIBLE_DEVICES before the command"),
    "sft_model_path": ((None,), "the reference is model_name_or_path without its adapter, and the policy starts there"),
    "reward_model_path": ((None,), "a reward is a function; a model can be asked through a judge, lydite-judges"),
    "judge": ((None,), "a judge belongs to a reward here: rewards.NAME.judge, and lydite-judges"),
    "rloo_k": ((), "write num_generations"),
    "kl_coef": ((), "write beta"),
    "num_ppo_epochs": ((), "write num_iterations"),
    "num_mini_batches": ((1,), "write steps_per_generation, as a multiple of gradient_accumulation_steps"),
    "cliprange": ((), "write epsilon"),
    "response_length": ((), "write max_completion_length"),
    "max_new_tokens": ((), "write max_completion_length"),
    "max_length": ((None,), "write max_prompt_length and max_completion_length"),
    "max_seq_length": ((None,), "write max_prompt_length and max_completion_length"),
    "total_episodes": ((None,), "write max_steps, or num_train_epochs"),
    "stop_token": ((None, "eos"), "a completion ends at the model's end of turn"),
    "missing_eos_penalty": (
        (None,), "RLOO has none; [online_dpo] and [ppo] have missing_eos_penalty, and [length] makes length cost"
    ),
    "generation_batches": ((None,), "write steps_per_generation"),
    "model_name": ((), "write model_name_or_path"),
    "lora_rank": ((), "write lora_r, and use_peft: true"),
    "target_modules": ((), "write lora_target_modules, and use_peft: true"),
    "lora_bias": (("none",), "the adapter is plain LoRA on linear layers"),
    "use_gradient_checkpointing": ((), "write gradient_checkpointing: true"),
    "random_state": ((), "write seed"),
}  # fmt: skip
"""What is an error unless it asks for nothing, and what to write."""


def with_todays_names(work: Translation) -> None:
    """Reads arguments under the names that they have today, and puts or drops those that TRL no longer has.

    What stays in `work.given` is for the table of arguments; unknown names stay too.
    """
    reasons = {name: why for why, names in _DROPPED.items() for name in names}
    kept: dict[str, Any] = {}
    for name, value in work.given.items():
        if name in RENAMED:
            today = RENAMED[name]
            if today in work.given:
                work.refuse(name, f"its name today is {today}, which is given as well; leave one of them out")
                continue
            kept[today] = value
            work.taken.append(f"{name}: read as {today}, its name today")
        elif name in _OWN_KEYS:
            _put_own(work, name, value)
        elif name in reasons:
            work.dropped.append(f"{name}: {reasons[name]}")
        elif name in _INSTEAD:
            neutral, why = _INSTEAD[name]
            if value in neutral:
                work.dropped.append(f"{name}: {shown(value)} asks for nothing")
            else:
                work.refuse(name, why)
        else:
            kept[name] = value
    work.given = kept


def _put_own(work: Translation, name: str, value: Any) -> None:
    key, note = _OWN_KEYS[name]
    trackers = work.given.get("report_to") or ()
    if value is None:
        work.dropped.append(f"{name}: null asks for nothing; {'.'.join(key)} has a default of its own")
    elif key[:2] == ("observers", "wandb") and "wandb" not in ([trackers] if isinstance(trackers, str) else trackers):
        work.dropped.append(f"{name}: report_to does not name wandb")
    else:
        work.take(name, key, as_number(value) if isinstance(value, str) and key[-1].endswith("length") else value, note)
