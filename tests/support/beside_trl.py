"""A small model that a trainer of TRL takes too, and the same as the objective sees it.

from support.beside_trl import BESIDE_TRL, LlamaPolicy, llama, words_tokenizer
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import torch
from torch import Tensor

from lydite.policy.head import Head
from lydite.policy.layout import Layout

V: Final = 64
BESIDE_TRL: Final = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:TRL currently supports vLLM versions:UserWarning"),  # none is used here
    pytest.mark.filterwarnings("ignore:You are importing from 'trl.experimental'"),
    pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing` is deprecated:FutureWarning"),
]
"""Marks of a test that has a trainer of TRL."""


def llama(seed: int, *, spread: float) -> Any:
    """A model of two layers with weights of this deviation."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=V, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, initializer_range=spread, pad_token_id=0, eos_token_id=1, bos_token_id=2,
        )
    )  # fmt: skip


def words_tokenizer() -> Any:
    """A tokenizer whose token i is the word wi."""
    from tokenizers import Tokenizer
    from tokenizers import models as kinds
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(kinds.WordLevel({f"w{i}": i for i in range(V)}, unk_token="w3"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1", unk_token="w3")


class LlamaPolicy:
    """A model and its reference, where it has one, as the objective sees them."""

    packs = False

    def __init__(self, model: Any, reference: Any = None) -> None:
        self.model, self.other, self.now = model, reference, model

    def packed_hidden_states(self, input_ids: Tensor, position_ids: Tensor, layout: Layout) -> Tensor:
        raise NotImplementedError

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        states: Tensor = self.now.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
        ).last_hidden_state
        return states

    def head(self) -> Head:
        return Head(self.now.lm_head.weight)

    @contextmanager
    def reference(self) -> Iterator[None]:
        assert self.other is not None, "this one was given none"
        self.now = self.other
        yield
        self.now = self.model
