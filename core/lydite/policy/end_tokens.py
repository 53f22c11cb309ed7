"""The tokens that end an answer, and the one that fills up rows behind or before it."""

from __future__ import annotations

from typing import Any

from lydite.contracts import Family
from lydite.errors import ModelError
from lydite.policy.chat import Chat


def pad_token(tokenizer: Any) -> int:
    """The token that fills up a batch's shorter rows: the tokenizer's own, else its end token."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    return 0  # never seen by the model: padding is masked


def stop_tokens(tokenizer: Any, causal: Any, family: Family | None, chat: Chat) -> tuple[int, ...]:
    """Every token that ends a turn, by the tokenizer, the model's files, its family or its chat template; sorted.

    Raises:
        ModelError: when there is none.
    """
    found: list[Any] = [tokenizer.eos_token_id, chat.end_of_turn()]
    for holder in (getattr(causal, "generation_config", None), causal.config):
        ends = getattr(holder, "eos_token_id", None)
        found += ends if isinstance(ends, list | tuple) else [ends]
    vocabulary = tokenizer.get_vocab()
    found += [vocabulary[token] for token in (family.stop_tokens if family is not None else ()) if token in vocabulary]
    stops = tuple(sorted({int(one) for one in found if one is not None}))
    if not stops:
        raise ModelError("the model's tokenizer has no end token, so that no answer would ever end; set its eos_token")
    return stops
