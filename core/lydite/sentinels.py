"""Checks that a run really learns, and that its engine really samples from what was learned.

A trainer can go through all its motions while nothing happens: an optimiser that holds other parameters than the
model's, a backward pass that does not reach the adapter, an engine that goes on with an older adapter or with
keys and values that an older one left in its cache. Rewards then stay flat for hours. Each of these shows in the
first steps, at the price of a sum over the adapter and one short answer. What drifts apart slowly shows to a canary now
and then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import torch
from torch import Tensor

from lydite.config import SentinelsConfig
from lydite.errors import SentinelError
from lydite.objective import Batch
from lydite.policy import Policy
from lydite.policy.answers import answer_logps
from lydite.rollout import Engine
from lydite.types import Prompt, Sample

CANARY_TEXT: Final = (
    "An old lighthouse stands on a cliff above a small harbour. Every evening its keeper climbs the narrow stairs, "
    "cleans the great lamp, writes the weather into a thick green book, and waits for the boats to come home. One "
    "winter night the lamp goes out while a storm is coming up from the west. What should the keeper do first, and "
    "why? Answer in one short sentence."
)
"""What every canary is asked. About 75 tokens, so that it fills more than two blocks of 16 of a prefix cache."""
_FIRST_CANARIES: Final = 3
"""The first adapter that is not zero, the first that replaces such a one, and one more, for what goes by turns."""
_CANCELS: Final = 1e-6  # of advantages, which are float32 and of size 1
_GO_ON: Final = "sentinels.enabled = false trains without these checks"


class Live(Protocol):
    """What a micro-batch came to, as far as it is looked at here."""

    @property
    def live(self) -> Tensor:
        """How many of its tokens have a gradient, as a scalar."""
        ...


class Sentinels:
    """The checks of one run. With `enabled = false` none of them does anything."""

    def __init__(self, config: SentinelsConfig, policy: Policy, engine: Engine) -> None:
        self._config = config
        self._policy = policy
        self._engine = engine
        self._before: Tensor | None = None
        self._had_gradient = False

    def before_updates(self) -> None:
        """Takes note of what is trained as it is before a step's updates."""
        if self._config.enabled:
            self._before = fingerprint(self._policy.trainable().values())
            self._had_gradient = False

    def saw_gradient(self, norm: float, parts: Sequence[Live], rows: Batch, step: int) -> None:
        """Looks at the gradient of an update on these rows, whose micro-batches said `parts` of their losses.

        Raises:
            SentinelError: when it is exactly 0 although some token's loss has one.
        """
        if not self._config.enabled:
            return
        self._had_gradient |= norm > 0.0
        live = sum(float(part.live) for part in parts) if norm == 0.0 else 0.0
        if live and not _advantages_cancel(rows):
            raise SentinelError(
                f"step {step}: every gradient is exactly 0, although {live:.0f} tokens of the update have an advantage "
                "and are in the loss: the backward pass does not reach the weights that are trained, so nothing would "
                "be learned. Look at lora.target_modules (do these layers take part in the forward pass?), at a model "
                "or family whose code detaches its hidden states, at train.gradient_checkpointing, and at "
                f'model.dtype = "float16", in which small gradients vanish. {_GO_ON}'
            )

    def after_updates(self, step: int) -> None:
        """Compares what is trained with what it was before the step's updates.

        Raises:
            SentinelError: when some update had a gradient, and every number is as it was.
        """
        if self._before is None or not self._had_gradient:
            return
        if torch.equal(self._before, fingerprint(self._policy.trainable().values())):
            raise SentinelError(
                f"step {step}: there was a gradient, and yet not one of the {self._before.numel()} tensors that are "
                "trained has changed: the optimiser does not reach them, so nothing is learned. Look at whether the "
                "policy's weights were replaced after the run began (the optimiser holds the parameters of its start), "
                "and at train.learning_rate, which may be too small to change a number in float32. "
                f"{_GO_ON}"
            )

    def after_hand_over(self, step: int) -> dict[str, float]:
        """What `canary` says after a step's updates, in the first 3 steps and every `canary_steps`; else nothing.

        After the first step alone of an engine that shares the weights: it cannot fall behind them, and what else may
        be wrong with it shows once the adapter is not zero. The step alone decides, so that all processes, and a run
        that is resumed, ask after the same ones.
        """
        if self._engine.shares_weights:
            due = step == 1
        else:
            due = step <= _FIRST_CANARIES or step % self._config.canary_steps == 0
        return self.canary(step) if due else {}

    def canary(self, step: int) -> dict[str, float]:
        """`sampling/canary_logp_difference/{mean,max}` in nats, right after the engine took the adapter.

        The engine answers a fixed prompt greedily, and the trainer works out its own log-probabilities of that
        answer. Nothing where the engine has none.

        Raises:
            SentinelError: when the engine read the prompt from a cache, which an older adapter filled, or when the
                two are further apart on a token than `max_logp_gap`.
        """
        if not self._config.enabled:
            return {}
        prompt = canary_prompt(self._policy)
        answer = self._engine.canary(prompt, self._config.canary_tokens)
        if answer is None:
            return {}
        name = self._engine.name
        if answer.cached_tokens:
            raise SentinelError(
                f"step {step}: right after it took the new adapter, the engine {name} read {answer.cached_tokens} of "
                f"the {len(prompt.token_ids)} tokens of a fixed prompt from its prefix cache: it answers from keys "
                "and values that an older adapter made. Look at whether the engine empties its prefix cache in "
                f"take_adapter. {_GO_ON}"
            )
        own = answer_logps(self._policy, prompt.token_ids, answer.token_ids)
        gap = (own - torch.tensor(answer.logps, dtype=torch.float64)).abs()
        if not answer.token_ids or not bool((gap <= self._config.max_logp_gap).all()):  # not: NaN is no agreement
            worst = f"up to {float(gap.max()):.3g} nats" if answer.token_ids else "on everything: it gave no token"
            raise SentinelError(
                f"step {step}: the engine {name} and the trainer differ {worst} in the log-probabilities of the "
                "engine's answer to a fixed prompt, more than sentinels.max_logp_gap = "
                f"{self._config.max_logp_gap:g}: the engine does not sample from the policy that is trained. Look at "
                "whether take_adapter brings it the adapter's present weights, and at what makes its numbers others "
                "than the trainer's: engine.kv_cache_dtype, engine.head_dtype, model.quantization, another version of "
                "the model. Where the two are meant to be so far apart, raise sentinels.max_logp_gap. "
                f"{_GO_ON}"
            )
        return {
            "sampling/canary_logp_difference/mean": float(gap.mean()),
            "sampling/canary_logp_difference/max": float(gap.max()),
        }


def canary_prompt(policy: Policy) -> Prompt:
    """The fixed prompt under the policy's chat template; an engine has to have room for it and a short answer."""
    return policy.encode(Sample("lydite/canary", CANARY_TEXT))


def fingerprint(parameters: Iterable[Tensor]) -> Tensor:
    """One int64 for each float32 tensor: the sum of its numbers' bits, which any update of them changes.

    A norm would not do: it is rounded, and hides a small change of one number.
    """
    return torch.stack([one.detach().view(torch.int32).sum(dtype=torch.int64) for one in parameters])


def _advantages_cancel(rows: Batch) -> bool:
    """True when equal completions of equal prompts have advantages that add up to 0, each token's by itself.

    Then so do their gradients, exactly: a policy that gives one answer only, and a reward that is not sure of it.
    """
    mask = rows.completion_mask
    of_tokens = rows.advantages if rows.advantages.dim() > 1 else rows.advantages[:, None].expand(mask.shape)
    counted = torch.where(mask, of_tokens, 0.0).cpu()
    sums: dict[tuple[int, ...], Tensor] = {}
    seen = [ids[kept].tolist() for ids, kept in zip(rows.input_ids, rows.attention_mask.bool(), strict=True)]
    for ids, advantages in zip(seen, counted, strict=True):
        sums[tuple(ids)] = sums.get(tuple(ids), torch.zeros(mask.shape[1])) + advantages
    return all(bool((total.abs() < _CANCELS * rows.size).all()) for total in sums.values())
