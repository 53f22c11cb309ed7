"""The policy of a run, as each of its processes holds it."""

from __future__ import annotations

from lydite.config import RunConfig
from lydite.distributed.processes import current
from lydite.distributed.sharding import Lockstep, share_out
from lydite.plugins import Plugins
from lydite.policy import Policy, load_policy


def load_shared_policy(config: RunConfig, plugins: Plugins) -> Policy:
    """The run's policy, whole in every process, or its base shared out among them.

    Raises:
        ConfigError, ModelError: as `load_policy`, and when the model's layers cannot be shared out.
    """
    processes = current()
    if config.distributed.strategy != "fsdp2" or processes.count == 1:
        return load_policy(config.model, config.lora, plugins, config.seed)
    policy = load_policy(
        config.model, config.lora, plugins, config.seed,
        share_out=lambda causal, device: share_out(causal, device, processes),
    )  # fmt: skip
    processes.in_step = Lockstep(policy).in_step
    return policy
