"""vLLM's linear layers and embeddings on the trainer's tensors, through vLLM's interface for quantisation methods."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import torch
from torch import Tensor, nn

from lydite.kernels import nf4_linear
from lydite.kernels.nf4_linear import FUSED_ROWS
from lydite.kernels.switch import is_on
from lydite.policy.head import head_product
from lydite.rollout.vllm.binding import Binding, Group

NAME: Final = "lydite"


class Shared:
    """The binding of the engine that is being started: vLLM makes its layers itself, and they ask here."""

    binding: Binding | None = None
    float32_head: bool = False


def bound() -> Binding:
    """The binding of the engine that is being started."""
    assert Shared.binding is not None, "vLLM makes layers while no engine is being started"
    return Shared.binding


def product(group: Group, x: Tensor, bias: Tensor | None) -> Tensor:
    """The layer's output [..., out] of x [..., in]: the frozen product, plus `alpha / r * B A x`."""
    out = _frozen_product(group, x, bias)
    if group.lora_a is None or group.lora_b is None:
        return out
    flat = x.reshape(-1, x.shape[-1])
    low = nn.functional.linear(flat, group.lora_a)
    # In place: a sum of its own would begin with a copy of the product, one more launch for each layer and token.
    out.view(-1, out.shape[-1]).addmm_(low, group.lora_b.t(), alpha=group.scaling)
    return out


def _frozen_product(group: Group, x: Tensor, bias: Tensor | None) -> Tensor:
    if group.whole is not None:
        return nn.functional.linear(x, group.whole, bias)
    few = x.numel() // x.shape[-1] <= FUSED_ROWS and is_on("nf4_linear", x.device)
    if few and all(one is not None for one in group.nf4):
        return _few_rows_product(group, x, bias)
    whole = torch.empty(group.shape, dtype=x.dtype, device=x.device)
    group.unpack_into(whole)
    return nn.functional.linear(x, whole, bias)


def _few_rows_product(group: Group, x: Tensor, bias: Tensor | None) -> Tensor:
    """The product without the weight in memory: at few rows its bytes are what takes the time."""
    columns = group.shape[0]
    out = torch.empty((*x.shape[:-1], columns), dtype=x.dtype, device=x.device)
    parts = out.view(-1, columns).split([part.rows for part in group.parts], dim=1)
    for packed, part in zip(group.nf4, parts, strict=True):
        assert packed is not None
        nf4_linear(x, packed, part)
    return out if bias is None else out.add_(bias)


@cache
def register() -> None:
    """Makes the method known to vLLM under its name."""
    from vllm.model_executor.layers.linear import LinearBase, LinearMethodBase
    from vllm.model_executor.layers.quantization import register_quantization_config
    from vllm.model_executor.layers.quantization.base_config import QuantizationConfig, QuantizeMethodBase
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

    class LinearMethod(LinearMethodBase):  # type: ignore[misc]
        """A linear layer whose weight is the trainer's."""

        def __init__(self, prefix: str, names: Any) -> None:
            self._prefix, self._names = prefix, names

        def create_weights(
            self,
            layer: nn.Module,
            input_size_per_partition: int,
            output_partition_sizes: list[int],
            input_size: int,
            output_size: int,
            params_dtype: torch.dtype,
            **extra_weight_attrs: Any,  # vLLM's interface
        ) -> None:
            binding = bound()
            group = binding.group(self._prefix, output_partition_sizes, self._names)
            if group.packed and binding.unpack:
                binding.make_copy(group)
            self.group = group
            if group.packed:
                for place, part in enumerate(group.parts):
                    held = nn.Parameter(part.linear.weight.data, requires_grad=False)
                    layer.register_parameter("weight" if place == 0 else f"weight_{place}", held)
            else:
                assert group.whole is not None
                layer.register_parameter("weight", nn.Parameter(group.whole, requires_grad=False))

        def apply(self, layer: nn.Module, x: Tensor, bias: Tensor | None = None) -> Tensor:
            return product(self.group, x, bias)

    class EmbeddingMethod(QuantizeMethodBase):  # type: ignore[misc]
        """Embeddings and the output head, whose weight is the trainer's."""

        def create_weights(self, layer: nn.Module, *weight_args: Any, **extra_weight_attrs: Any) -> None:
            held = bound().embedded(head=isinstance(layer, ParallelLMHead))
            layer.register_parameter("weight", nn.Parameter(held, requires_grad=False))

        def embedding(self, layer: nn.Module, input_: Tensor) -> Tensor:
            return nn.functional.embedding(input_, layer.weight)  # type: ignore[arg-type]

        def apply(self, layer: nn.Module, x: Tensor, bias: Tensor | None = None) -> Tensor:
            weight: Any = layer.weight
            if Shared.float32_head and not x.is_cuda:  # on a GPU they are float32 anyway
                return nn.functional.linear(x.float(), weight.float(), None if bias is None else bias.float())
            return head_product(x, weight, bias)

    @register_quantization_config(NAME)
    class Config(QuantizationConfig):  # type: ignore[misc]
        """Every linear layer and embedding of a model, on the trainer's tensors."""

        def get_name(self) -> str:
            return NAME

        def get_supported_act_dtypes(self) -> list[torch.dtype]:
            return [torch.bfloat16, torch.float16, torch.float32]

        @classmethod
        def get_min_capability(cls) -> int:
            return 70

        @staticmethod
        def get_config_filenames() -> list[str]:
            return []

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            return cls()

        def get_quant_method(self, layer: nn.Module, prefix: str) -> Any:
            if isinstance(layer, LinearBase):
                return LinearMethod(prefix, self.packed_modules_mapping)
            return EmbeddingMethod() if isinstance(layer, VocabParallelEmbedding) else None
