"""The trainer's tensors as vLLM's layers see them: which linear layers make up one of vLLM's, and their adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn

from lydite.errors import EngineError
from lydite.kernels import Nf4Weight, dequantise_into, nf4_weight_of
from lydite.policy import Policy
from lydite.policy.adapter import ADAPTER
from lydite.policy.nf4 import is_nf4, lend_copy

T = TypeVar("T")

_SPACING: Final = 128  # numbers of 2 bytes


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One linear layer of the trainer's model: all, or some rows, of one of vLLM's."""

    name: str
    linear: Any
    """The layer that holds the frozen weight: `nn.Linear`, or bitsandbytes' `Linear4bit`."""
    lora: Any
    """peft's layer around it, or None."""
    rows: int


class Group:
    """The parts of one of vLLM's linear layers, end to end, and what is computed with them."""

    def __init__(self, parts: Sequence[Part], dtype: torch.dtype, device: torch.device) -> None:
        self.parts = tuple(parts)
        self.whole: Tensor | None = None
        """[out, in] in 16 bit: the trainer's own weights, or a copy of the 4-bit ones while it lasts."""
        self.lora_a: Tensor | None = None
        """[parts * r, in]"""
        self.lora_b: Tensor | None = None
        """[out, parts * r], each part's B in its rows and columns, zeros elsewhere."""
        self.scaling = 1.0
        self.nf4: tuple[Nf4Weight | None, ...] = tuple(
            nf4_weight_of(part.linear) if is_nf4(part.linear) else None for part in parts
        )
        """What a kernel needs of each 4-bit part."""
        self.packed = any(one is not None for one in self.nf4)
        self._dtype, self._device = dtype, device
        if not self.packed:
            self.whole = self._joined()
        if any(part.lora is not None for part in parts):
            self._make_adapter()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the group's weight."""
        return sum(part.rows for part in self.parts), int(self.parts[0].linear.in_features)

    def adapter_plan(self) -> list[tuple[Tensor, nn.Parameter]]:
        """Where each of the adapter's parameters goes."""
        if self.lora_a is None or self.lora_b is None:
            return []
        plan, rank = [], self.lora_a.shape[0] // len(self.parts)
        for place, (part, rows) in enumerate(self._rows_of(self.lora_b)):
            if part.lora is not None:
                own = slice(place * rank, (place + 1) * rank)
                plan.append((self.lora_a[own], part.lora.lora_A[ADAPTER].weight))
                plan.append((rows[:, own], part.lora.lora_B[ADAPTER].weight))
        return plan

    def weight_plan(self) -> list[tuple[Tensor, nn.Parameter]]:
        """Where each part's own weight goes, for a model all of whose weights are trained."""
        assert self.whole is not None
        return [(rows, part.linear.weight) for part, rows in self._rows_of(self.whole)]

    def copies(self) -> Iterator[tuple[Part, Tensor]]:
        """The 4-bit parts, each with its rows of the 16-bit copy; none without a copy."""
        if self.packed and self.whole is not None:
            yield from ((part, rows) for part, rows in self._rows_of(self.whole) if is_nf4(part.linear))

    def unpack_into(self, whole: Tensor) -> None:
        """Fills [out, in] with the parts' weights, 4-bit ones unpacked: the numbers that training uses."""
        for (part, rows), packed in zip(self._rows_of(whole), self.nf4, strict=True):
            if packed is None:
                rows.copy_(part.linear.weight.data)
            else:
                dequantise_into(packed, rows)

    def _rows_of(self, whole: Tensor) -> Iterator[tuple[Part, Tensor]]:
        """Each part with its rows, a view of something that has a row for each of the group's outputs."""
        return zip(self.parts, whole.split([part.rows for part in self.parts]), strict=True)

    def _joined(self) -> Tensor:
        """The parts' 16-bit weights in one storage, which the trainer's layers are views of from now on."""
        if len(self.parts) == 1 and self.parts[0].linear.weight.dtype is self._dtype:
            weight: Tensor = self.parts[0].linear.weight.data
            return weight
        whole = outside_pool(lambda: torch.empty(self.shape, dtype=self._dtype, device=self._device))
        for part, rows in self._rows_of(whole):
            weight = part.linear.weight
            rows.copy_(weight.data)
            if weight.dtype is self._dtype:  # trained weights are float32 and stay where they are
                weight.data = rows
        return whole

    def _make_adapter(self) -> None:
        layer = next(part.lora for part in self.parts if part.lora is not None)
        rank = layer.r[ADAPTER] * len(self.parts)
        self.scaling = float(layer.scaling[ADAPTER])
        out, columns = self.shape
        self.lora_a = outside_pool(lambda: torch.zeros(rank, columns, dtype=self._dtype, device=self._device))
        self.lora_b = outside_pool(lambda: torch.zeros(out, rank, dtype=self._dtype, device=self._device))


class Binding:
    """A policy's weights by the names that vLLM's model gives its layers."""

    def __init__(self, policy: Policy, *, unpack: bool) -> None:
        self.policy = policy
        self.unpack = unpack
        """True when 4-bit layers get a 16-bit copy to roll out with."""
        self.groups: dict[str, Group] = {}
        self._copies: Tensor | None = None
        """One piece of memory for the 16-bit copies of all 4-bit layers, and how much of it is given out."""
        self._given = 0
        causal = policy.causal
        self._linears: dict[str, tuple[Any, Any]] = {}
        for name, module in causal.named_modules():
            if ADAPTER in getattr(module, "lora_A", ()):
                self._linears[name] = (module.base_layer, module)
            elif isinstance(module, nn.Linear) and not name.endswith(".base_layer") and ".lora_" not in name:
                self._linears[name] = (module, None)
        self.embedding: nn.Parameter = causal.get_input_embeddings().weight
        self.head: nn.Parameter = causal.get_output_embeddings().weight
        self.embedding_plan: list[tuple[Tensor, nn.Parameter]] = []
        """Where embeddings and head go, for a model all of whose weights are trained."""

    def group(self, name: str, sizes: Sequence[int], packed_names: Mapping[str, Sequence[str]]) -> Group:
        """The parts that make up vLLM's linear layer of this name, whose outputs are of these sizes.

        Raises:
            EngineError: when the trainer's model has no such layers, or they are of other sizes.
        """
        before, _, last = name.rpartition(".")
        names = [name] if name in self._linears else [f"{before}.{one}" for one in packed_names.get(last, ())]
        if not names or any(one not in self._linears for one in names):
            raise EngineError(
                f"vLLM's model has a linear layer {name!r} that the trained model lacks (expected {names or name}); "
                "this architecture cannot be shared with vLLM: set engine.use = 'hf'"
            )
        parts = []
        for one in names:
            linear, lora = self._linears[one]
            parts.append(Part(one, linear, lora, int(linear.out_features)))
        if sum(part.rows for part in parts) != sum(sizes):
            raise EngineError(
                f"vLLM's layer {name!r} has {sum(sizes)} outputs and the trained model's {names} have "
                f"{sum(part.rows for part in parts)}; set engine.use = 'hf'"
            )
        group = Group(parts, self.policy.dtype, self.policy.device)
        self.groups[name] = group
        return group

    def other_weights(self) -> dict[str, nn.Parameter]:
        """Norms, biases and whatever else is neither a linear layer's weight nor an embedding, by its name on disk."""
        taken = {id(linear.weight) for linear, _ in self._linears.values()} | {id(self.embedding), id(self.head)}
        return {
            name.replace(".base_layer.", "."): parameter
            for name, parameter in self.policy.causal.named_parameters()
            if id(parameter) not in taken and ".lora_" not in name
        }

    def other_weights_in(self, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
        """The same, detached and in this type."""
        return ((name, one.data.to(dtype)) for name, one in self.other_weights().items())

    def embedded(self, *, head: bool) -> Tensor:
        """The weight of the embedding or of the head in the engine's type: the trainer's own where it has that type."""
        weight = self.head if head else self.embedding
        if weight.dtype is self.policy.dtype:
            return weight.data
        held = outside_pool(lambda: weight.data.to(self.policy.dtype))
        self.embedding_plan.append((held, weight))
        return held

    def addresses(self) -> set[int]:
        """Where the tensors start that vLLM's parameters share with the trainer."""
        shared = [self.embedding.data, self.head.data, *(place for place, _ in self.embedding_plan)]
        for group in self.groups.values():
            shared += [part.linear.weight.data for part in group.parts]
            shared += [group.whole] if group.whole is not None else []
        return {tensor.data_ptr() for tensor in shared}

    def make_copy(self, group: Group) -> None:
        """Gives the group room for a 16-bit copy of its weights, in the memory pool of the thread that asks.

        All groups' copies lie in one piece: where the engine gives its memory back between rollouts, vLLM hands every
        piece to the driver and fetches it again by itself.
        """
        rows, columns = group.shape
        size = _spaced(rows * columns)
        if self._copies is None:
            packed = (one for one, _ in self._linears.values() if is_nf4(one))
            whole = sum(_spaced(one.out_features * one.in_features) for one in packed)
            self._copies = torch.zeros(whole, dtype=self.policy.dtype, device=self.policy.device)
        if self._given + size <= len(self._copies):
            group.whole = self._copies[self._given : self._given + rows * columns].view(rows, columns)
            self._given += size
        else:  # it has parts in 16 bit as well, which the piece was not sized for
            group.whole = torch.zeros(rows, columns, dtype=self.policy.dtype, device=self.policy.device)

    def lend_copies(self) -> None:
        """Lets training multiply by the 16-bit copies, which hold its own numbers, instead of unpacking in each pass.

        For copies that stay where they are until they are dropped.
        """
        for group in self.groups.values():
            for part, rows in group.copies():
                lend_copy(part.linear, rows)

    def drop_copies(self) -> None:
        """Forgets the 16-bit copies, and with them their memory."""
        self._copies = None
        for group in self.groups.values():
            for part, _ in group.copies():
                lend_copy(part.linear, None)
            if group.packed:
                group.whole = None

    def unpack_all(self) -> None:
        """Fills the 16-bit copies anew."""
        for group in self.groups.values():
            if group.packed and group.whole is not None:
                group.unpack_into(group.whole)


def _spaced(numbers: int) -> int:
    """The numbers up to where the next copy may begin: products read fastest from multiples of 256 bytes."""
    return -(-numbers // _SPACING) * _SPACING


def outside_pool(make: Callable[[], T]) -> T:
    """What `make` returns, allocated outside the memory pool that vLLM loads a model in.

    vLLM's pool is that of the thread which loads; what it holds vanishes when the engine gives memory back, and
    what the trainer uses must not.
    """
    with ThreadPoolExecutor(max_workers=1) as other_thread:
        return other_thread.submit(make).result()
