"""Keys and values of past tokens in memory that is laid out once, for a batch that only shrinks."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

# Layers whose whole past is keys and values; with any other kind transformers' own cache is used.
_PLAIN: Final = frozenset({"full_attention", "sliding_attention"})


class ReservedLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's past, [N, heads, capacity, D]; to the model it looks like `DynamicLayer`, without its copies.

    A sliding window is left to the attention mask, which transformers makes for a cache that keeps everything.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Lays out the memory, once the first keys show batch, heads, type and device."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = key_states.new_empty((*key_states.shape[:2], self.capacity, key_states.shape[-1]))
        self.values = value_states.new_empty((*value_states.shape[:2], self.capacity, value_states.shape[-1]))
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Appends the new tokens; returns all keys and values so far, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.length = self.length, self.length + key_states.shape[-2]
        self.keys[:, :, start : self.length] = key_states
        self.values[:, :, start : self.length] = value_states
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_seq_length(self) -> int:
        """Tokens so far, padding included."""
        return self.length

    def lay_out(self, keys: Tensor, values: Tensor, *, rows: int, length: int) -> None:
        """Zeros for `length` tokens of `rows` rows, to be filled with what is known of them; shapes as `keys` has."""
        self.lazy_initialization(keys[:1].expand(rows, -1, -1, -1), values[:1].expand(rows, -1, -1, -1))
        self.keys[:, :, :length].zero_()  # padding is hidden by a factor of 0, which leaves a NaN what it is
        self.values[:, :, :length].zero_()
        self.length = length

    def expand(self, repeats: int, capacity: int) -> None:
        """Each row `repeats` times, with room for `capacity` tokens: from prompts to their completions."""
        if not self.is_initialized:  # a layer that shares another's keys and values has none of its own
            self.capacity = capacity
            return
        if repeats == 1 and capacity <= self.capacity:
            return
        self.keys = self._laid_out(self.keys, repeats, capacity)
        self.values = self._laid_out(self.values, repeats, capacity)
        self.capacity = capacity

    def keep(self, rows: Tensor) -> None:
        """Only these rows of the batch."""
        if self.is_initialized:
            self.keys = self.keys.index_select(0, rows)
            self.values = self.values.index_select(0, rows)

    def _laid_out(self, old: Tensor, repeats: int, capacity: int) -> Tensor:
        new = old.new_empty((old.shape[0] * repeats, old.shape[1], capacity, old.shape[3]))
        by_prompt = new.view(old.shape[0], repeats, old.shape[1], capacity, old.shape[3])
        by_prompt[:, :, :, : self.length] = old[:, None, :, : self.length]
        return new


def make_cache(config: Any, capacity: int) -> Cache:
    """An empty cache for so many tokens of each row: of reserved layers where the architecture allows it."""
    text = config.get_text_config(decoder=True)
    kinds = set(getattr(text, "layer_types", None) or ("full_attention",))
    if kinds <= _PLAIN:
        return Cache(layers=[ReservedLayer(capacity) for _ in range(text.num_hidden_layers)])
    return DynamicCache(config=config)


def is_reserved(cache: Cache) -> bool:
    """True when rows of the cache can be repeated and dropped; recurrent states, for one, cannot."""
    return bool(cache.layers) and isinstance(cache.layers[0], ReservedLayer)


def expand_cache(cache: Cache, repeats: int, capacity: int) -> None:
    """Every row of a reserved cache `repeats` times over, with room for `capacity` tokens."""
    for layer in cache.layers:
        layer.expand(repeats, capacity)


def keep_rows(cache: Cache, rows: Tensor) -> None:
    """Only these rows of a reserved cache's batch, in this order."""
    for layer in cache.layers:
        layer.keep(rows)


def on_device(rows: list[int], device: torch.device) -> Tensor:
    """Row numbers as a tensor that indexes on that device."""
    return torch.tensor(rows, dtype=torch.long, device=device)
