"""vLLM's model loader for a model that is in memory already."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn

from lydite.rollout.vllm.binding import outside_pool
from lydite.rollout.vllm.method import NAME, bound


@cache
def register() -> None:
    """Makes the loader known to vLLM under its name."""
    from vllm.model_executor.model_loader import register_model_loader
    from vllm.model_executor.model_loader.base_loader import BaseModelLoader

    @register_model_loader(NAME)
    class Loader(BaseModelLoader):  # type: ignore[misc]
        """Takes from the policy what the layers have not taken: norms and biases."""

        def download_model(self, model_config: Any) -> None:
            pass

        def load_weights(self, model: nn.Module, model_config: Any) -> None:
            binding = bound()
            others = binding.other_weights()
            loaded: Any = model
            loaded.load_weights(binding.other_weights_in(binding.policy.dtype))
            shared = binding.addresses()
            for name, parameter in model.named_parameters():
                own = others.get(name)
                if own is not None and own.shape == parameter.shape and own.dtype is parameter.dtype:
                    parameter.data = own.data
                elif parameter.data_ptr() not in shared:
                    parameter.data = outside_pool(parameter.data.clone)
