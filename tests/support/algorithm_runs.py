"""A run of each algorithm, and of those forms of it that need something before the first update.

from support.algorithm_runs import RUNS
"""

from __future__ import annotations

from typing import Any

KL_IN_REWARD: dict[str, Any] = {"beta": 0.3, "use_kl_in_reward": True}
RUNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grpo": ({"algorithm": "grpo"}, {**KL_IN_REWARD, "vllm_importance_sampling_clip_max": 1.5}),
    "rloo": ({"algorithm": "rloo"}, {"vllm_importance_sampling_clip_max": 1.5}),
    "online_dpo": ({"algorithm": "online_dpo", "online_dpo": {"pairs": "ranked"}}, {}),
    "ppo": ({"algorithm": "ppo"}, {"vllm_importance_sampling_clip_max": 1.5}),
    "ppo, bootstrapped": ({"algorithm": "ppo", "ppo": {"bootstrap_truncated": True}}, {}),
}
"""The tables of the run and keys of [train], by a name."""
