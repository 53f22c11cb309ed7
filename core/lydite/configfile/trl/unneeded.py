"""Arguments of `trl grpo` that change nothing of what is learned here, by the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

UNNEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "every step is written to metrics.jsonl and timings.jsonl, and every completion to completions.jsonl": (
        "logging_strategy", "logging_steps", "logging_first_step", "log_on_each_node", "logging_nan_inf_filter",
        "include_num_input_tokens_seen", "log_level", "log_level_replica", "disable_tqdm", "log_completions",
        "log_multimodal", "num_completions_to_print", "log_unique_prompts", "skip_memory_metrics",
    ),
    "the options of a tracker stand in [observers.NAME]": (
        "run_name", "project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id",
    ),
    "the held-out evaluation asks each question once, greedily, and has a reward of its own": (
        "eval_delay", "per_device_eval_batch_size", "eval_on_start", "eval_do_concat_batches",
        "eval_use_gather_object", "eval_accumulation_steps", "num_generations_eval", "do_eval", "bf16_full_eval",
        "fp16_full_eval", "prediction_loss_only", "include_for_metrics", "batch_eval_metrics",
    ),
    "the adapter of the best held-out evaluation is always kept, and the last one": (
        "load_best_model_at_end", "metric_for_best_model", "greater_is_better",
    ),
    "checkpoints are whole, written after steps, and hold everything that a resumed run needs": (
        "save_only_model", "save_on_each_node", "enable_jit_checkpoint", "ignore_data_skip",
        "restore_callback_states_from_checkpoint",
    ),
    "nothing is sent to a hub": (
        "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push", "hub_revision",
    ),
    "one seed is that of everything, and a run repeats bit for bit": ("data_seed", "full_determinism"),
    "samples are read once, before the first step; there is no data loader": (
        "dataloader_drop_last", "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers",
        "dataloader_prefetch_factor", "dataloader_multiprocessing_context", "dataloader_in_order",
        "remove_unused_columns", "label_names", "train_sampling_strategy", "length_column_name", "pad_to_multiple_of",
    ),
    "how attention is computed, and the kernels, are chosen by the machine": (
        "attn_implementation", "use_liger_kernel", "liger_kernel_config", "tf32", "use_cache",
        "cache_implementation", "use_transformers_continuous_batching", "transformers_continuous_batching_config",
        "use_transformers_paged", "torch_compile", "torch_compile_backend", "torch_compile_mode",
    ),
    "memory is planned before every update (lydite plan)": (
        "activation_checkpointing", "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs",
        "torch_empty_cache_steps", "auto_find_batch_size",
    ),
    "vLLM runs in this process, on the trainer's own weights, and is sized by the same plan": (
        "vllm_mode", "vllm_enable_sleep_mode", "vllm_server_base_url", "vllm_server_host", "vllm_server_port",
        "vllm_server_timeout", "vllm_group_port", "vllm_gpu_memory_utilization", "vllm_max_model_length",
    ),
    "it belongs to DDP or DeepSpeed, which are set up elsewhere": (
        "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph", "ddp_backend",
        "ddp_timeout", "local_rank", "ds3_gather_for_generation", "average_tokens_across_devices",
        "ignore_bias_buffers",
    ),
    "NF4 is always double-quantised here, packed in bytes": ("use_bnb_nested_quant", "bnb_4bit_quant_storage"),
    "it says what the command does, which is training": ("do_train", "do_predict", "lora_task_type"),
    "it has a meaning only beside an argument that lydite does not have": (
        "ref_model_mixup_alpha", "ref_model_sync_steps", "max_tool_calling_iterations",
    ),
}  # fmt: skip
