"""The settings that lydite's arms differ in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Profile:
    """What an arm sets apart from the work itself."""

    engine: dict[str, Any] = field(default_factory=dict)
    """Of the engine vllm."""
    train: dict[str, Any] = field(default_factory=dict)
    micro_batch: int | None = None
    """Completions of one forward pass; None: as asked for on the command line."""
    shares: bool = True
    """Whether a group's completions are trained behind one prompt."""
    on_card: bool = False
    """Whether it runs on a card of `--card` GiB."""


BURST: Final = 16
"""Decode steps for each plan of vLLM's scheduler, where an arm has them."""

LARGE: Final = 16384
"""Tokens of a forward pass where memory is no concern: products are at their speed from about 8,000 on."""

ROOM: Final = 9216
"""The same on a card of 7 GiB: two groups of 8 x 512 tokens, or four completions of 2,048."""

RECORDED: Final = 2176
"""Tokens of a pass whose layers are replayed: four completions of 512 tokens after 128, or one of 2,048."""

RECORDED_WIDE: Final = 4224
"""The same for twice as many completions."""

SMALL: Final = Profile(
    engine={"unpack_weights": "never", "release_kv_cache": "always"},
    train={
        "micro_batch_tokens": 2048,
        "gradient_checkpointing": True,
        "activation_offloading": True,
        "optim": "paged_adamw_8bit",
        "logprob_chunk_size": 256,
    },
    micro_batch=4,
    on_card=True,
)
"""Nothing is kept that can be had again, for a card of `--card` GiB."""

_RECORDED: Final = {"cuda_graphs": True, "gradient_checkpointing": True}

PROFILES: Final = {
    # lydite's own choices; the size of a forward pass is the user's.
    "defaults": Profile(train={"micro_batch_tokens": LARGE}),
    "small": SMALL,
    # The same for 70B, in passes of half as many tokens: one layer's activations are 0.2 GiB for 1,000 of them.
    "big": replace(SMALL, train=SMALL.train | {"micro_batch_tokens": 1024}),
    # lydite's own choices on a card of `--card` GiB, in passes that such a card has room for.
    "card": Profile(train={"micro_batch_tokens": ROOM}, on_card=True),
    "card-compiled": Profile(engine={"compile": True}, train={"micro_batch_tokens": ROOM}, on_card=True),
    # Layers recorded as CUDA graphs, in passes as small as they may be, and in ones of twice the size.
    "card-recorded": Profile(train=_RECORDED | {"micro_batch_tokens": RECORDED}, on_card=True),
    "card-recorded-wide": Profile(train=_RECORDED | {"micro_batch_tokens": RECORDED_WIDE}, on_card=True),
    "bursts": Profile(engine={"num_scheduler_steps": BURST}, train={"micro_batch_tokens": LARGE}),
    "card-bursts": Profile(engine={"num_scheduler_steps": BURST}, train={"micro_batch_tokens": ROOM}, on_card=True),
    # Nothing is computed again: 8B keeps about 3 MB for each token, so half as many of them stand beside the weights.
    "fast": Profile(
        engine={"unpack_weights": "always"},
        train={"micro_batch_tokens": LARGE // 2, "gradient_checkpointing": False},
    ),
    # As before the step was made faster, with LYDITE_KERNELS=off beside it.
    "plain": Profile(
        engine={"release_kv_cache": "always"},
        train={"gradient_checkpointing": True, "share_prompts": False},
        shares=False,
    ),
}
