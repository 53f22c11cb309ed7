"""The attention that packed micro-batches go through, made known to transformers, and which models it is right for.

A packed forward pass hands the layout to the trunk as a keyword, and transformers hands it on to every layer and
from there to the attention function. Not a context variable: with gradient checkpointing, layers are computed again
in the backward pass. Without a layout the function is transformers' own for `sdpa`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from lydite.policy.grouped_attention import bounded_attention
from lydite.policy.layout import Layout, PackedGroup
from lydite.policy.packed_attention import packed_attention

NAME: Final = "lydite"
_KINDS: Final = frozenset({"full_attention", "sliding_attention"})
_UNKNOWN: Final = ("s_aux", "position_bias", "cache")  # what else transformers' attentions can be given
_SHORT_WINDOW: Final = 3  # tokens; less than a prompt of the trial, so that a window that is forgotten shows
_TRIAL: Final = (PackedGroup(4, (3, 3)), PackedGroup(4, (3,)))
_ALONE: Final = ((0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 7, 8, 9), (10, 11, 12, 13, 14, 15, 16))  # places of the trial


class PackingPolicy(Protocol):
    """What the trial needs of a policy."""

    device: torch.device
    dtype: torch.dtype

    @property
    def causal(self) -> Any:
        """The causal model of transformers."""
        ...

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        """The last hidden states [B, L, H]."""
        ...

    def packed_hidden_states(self, input_ids: Tensor, position_ids: Tensor, layout: Layout) -> Tensor:
        """The last hidden states [S, H] of a packed micro-batch."""
        ...


def may_pack(config: Any) -> bool:
    """True for models whose layers all attend to everything before or to a window of it, by a plain softmax."""
    text = config.get_text_config(decoder=True)
    kinds = getattr(text, "layer_types", None) or ["full_attention"]
    return set(kinds) <= _KINDS and text._attn_implementation in ("sdpa", "eager", NAME)


def attend_packed(causal: Any) -> None:
    """From now on the model's attention takes a layout; without one it computes what it did."""
    config = causal.get_decoder().config
    if config._attn_implementation != NAME:
        _register()
        config._attn_implementation = NAME


def unread_mask(device: torch.device) -> Tensor:
    """A mask [1, 1, 1, 1] that keeps transformers from making one of [S, S], and hides nothing if it is read."""
    return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)


def agree_on_a_trial(policy: PackingPolicy) -> bool:
    """Whether two small groups have the hidden states that each prompt with each completion has alone.

    A model that has a window is tried with a short one as well. The model is left with the attention that takes a
    layout where they agree, and as it was where they do not. The tolerance is relative, 1e-4 in float32; in 16 bit,
    whose products round by their shape, a twentieth for half of the completions' tokens, of which single ones may be
    far off by rounding alone, and all are where what they see is wrong.
    """
    config = policy.causal.get_decoder().config
    before = config._attn_implementation
    try:
        with torch.no_grad():
            agree = _agree(policy)
            if agree and _windowed(policy.causal):
                with _short_windows(policy.causal):
                    agree = _agree(policy)
    except (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError):  # it takes no layout
        agree = False
    if not agree:
        config._attn_implementation = before
    return agree


def _agree(policy: PackingPolicy) -> bool:
    layout, device = Layout(_TRIAL), policy.device
    # From all over the vocabulary: its first tokens are often reserved, and untrained ones make nothing but noise.
    vocabulary = policy.causal.get_decoder().config.vocab_size
    ids = (torch.arange(layout.tokens, device=device) + 1) * vocabulary // (layout.tokens + 1)
    positions = torch.tensor(layout.positions(), device=device)
    rows = torch.tensor(_ALONE, device=device)
    alone = policy.hidden_states(ids[rows], torch.ones_like(rows), positions[rows]).float()
    packed = policy.packed_hidden_states(ids, positions, layout)[rows].float()
    if policy.dtype is torch.float32:
        return bool((packed - alone).norm() <= 1e-4 * alone.norm())
    deviations = (packed - alone).norm(dim=-1) / alone.norm(dim=-1)
    return bool(deviations[:, _TRIAL[0].prompt :].median() <= 0.05)


def _windowed(causal: Any) -> bool:
    return isinstance(getattr(causal.get_decoder().config, "sliding_window", None), int)


@contextmanager
def _short_windows(causal: Any) -> Iterator[None]:
    """While open, every window of the model is so short that the trial's prompts are longer."""
    trunk = causal.get_decoder()
    holders = [one for one in (trunk.config, *trunk.modules()) if isinstance(getattr(one, "sliding_window", None), int)]
    before = [one.sliding_window for one in holders]
    try:
        for one in holders:
            one.sliding_window = _SHORT_WINDOW
        yield
    finally:
        for one, window in zip(holders, before, strict=True):
            one.sliding_window = window


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **given: Any,  # transformers' own interface: each architecture hands over what it has
) -> tuple[Tensor, None]:
    """Transformers' attention function: [B, L, Hq, D] of q [B, Hq, L, D], and no weights."""
    layout, softcap = given.pop("layout", None), given.pop("softcap", None)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if layout is None and softcap is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **given
        )
        return found
    for name in _UNKNOWN:
        if given.get(name) is not None:
            raise ValueError(f"{type(module).__name__} gives its attention {name!r}, which a packed one does not know")
    if layout is None:
        if attention_mask is None and query.shape[2] > 1:
            attention_mask = torch.ones(
                query.shape[2], key.shape[2], dtype=torch.bool, device=query.device
            ).tril()  # as sdpa's `is_causal`
        output = bounded_attention(
            query, key, value, attention_mask, scale=scale, softcap=float(softcap or 0.0), dropout=dropout
        )
        return output.transpose(1, 2).contiguous(), None
    window = given.get("sliding_window")
    return packed_attention(
        query, key, value, layout, scale=scale, window=window, softcap=softcap, dropout=dropout
    ), None


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
