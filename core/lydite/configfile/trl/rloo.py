"""`trl rloo`: how its arguments differ from those of `trl grpo`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

ONLY_GRPO: Final = frozenset({
    "cast_lm_head_to_fp32", "delta", "sapo_temperature_neg", "sapo_temperature_pos", "vespo_k_pos", "vespo_lambda_pos",
    "vespo_k_neg", "vespo_lambda_neg", "importance_sampling_level", "multi_objective_aggregation", "scale_rewards",
    "loss_type", "top_entropy_quantile", "entropy_coef", "use_adaptive_entropy", "entropy_coef_min",
    "entropy_coef_max", "entropy_coef_delta", "entropy_target", "max_tool_calling_iterations",
    "vllm_importance_sampling_mode", "vllm_importance_sampling_clip_max", "vllm_importance_sampling_clip_min",
    "vllm_importance_sampling_cap", "vllm_importance_sampling_correction", "off_policy_mask_threshold",
    "use_bias_correction_kl", "log_completions_hub_repo",
})  # fmt: skip
"""Arguments that `trl rloo` does not have."""

OWN: Final[Mapping[str, tuple[str, Any, str]]] = {
    "beta": ("rloo.beta", 0.05, "taken off the reward"),
    "normalize_advantages": ("rloo.normalize_advantages", False, ""),
    "reward_clip_range": ("rloo.reward_clip_range", None, ""),
}
"""Arguments whose key is another than for GRPO, or that GRPO does not have: the key, TRL's default, a note."""

DEFAULTS: Final[Mapping[str, Any]] = {"num_generations": 2}
"""Defaults that are others than GRPO's."""

ONLY_RLOO: Final = ("normalize_advantages", "reward_clip_range")
"""Arguments that tell a file for `trl rloo`."""
