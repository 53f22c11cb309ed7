"""From a policy and a micro-batch to its part of the loss. Pure: no optimiser, no state, no backward pass.

An update is, for each of its micro-batches, `micro_batch_loss(...)[0].loss.backward()`, then one step of
the optimiser. The first update after a sampling needs no old log-probabilities: the policy that is trained
is the one that sampled. Every later update on the same sampling does: those that `micro_batch_loss`
returned the first time, or `policy_logps` taken before the first update.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from lydite.objective.batch import Batch
from lydite.objective.correction import CorrectionSettings, importance_weights
from lydite.objective.logprobs import TokenLogps, predictors_of, scattered_logps
from lydite.objective.losses import LOSSES, LossInputs, LossOutput, LossSettings, UpdateTotals
from lydite.objective.packed import pack

if TYPE_CHECKING:
    from lydite.config import TrainConfig
    from lydite.policy.head import Head
    from lydite.policy.layout import Layout


class HiddenStatePolicy(Protocol):
    """What the objective needs of a policy."""

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        """The last hidden states [B, L, H], after the final norm, of tokens [B, L]."""
        ...

    @property
    def packs(self) -> bool:
        """True when `packed_hidden_states` gives what `hidden_states` does."""
        ...

    def packed_hidden_states(self, input_ids: Tensor, position_ids: Tensor, layout: Layout) -> Tensor:
        """The last hidden states [S, H] of a packed micro-batch's tokens [S]."""
        ...

    def head(self) -> Head:
        """The layer that turns hidden states into logits."""
        ...

    def reference(self) -> AbstractContextManager[None]:
        """A context in which the policy is its own reference: the model without its adapter."""
        ...


def predictor_states(policy: HiddenStatePolicy, batch: Batch, config: TrainConfig) -> Tensor:
    """The hidden states [N, H] that predict a micro-batch's N trained tokens, row-major as in `completion_mask`.

    With `share_prompts`, and where the architecture allows it, completions are packed behind one copy of their prompt.
    """
    if config.share_prompts and policy.packs:
        packed = pack(batch)
        hidden = policy.packed_hidden_states(packed.input_ids, packed.position_ids, packed.layout)
        return hidden.index_select(0, packed.predictors)
    return predictors_of(policy.hidden_states(batch.input_ids, batch.attention_mask, batch.position_ids), batch)


def logps_of_states(states: Tensor, policy: HiddenStatePolicy, batch: Batch, config: TrainConfig) -> TokenLogps:
    """Log-probabilities and entropies [b, T] of a micro-batch's completions from what `predictor_states` gave."""
    return scattered_logps(
        states,
        batch,
        policy.head(),
        temperature=config.temperature,
        chunk_size=config.logprob_chunk_size,
        entropy_gradient=config.entropy_coef > 0.0,
    )


def policy_logps(policy: HiddenStatePolicy, batch: Batch, config: TrainConfig) -> TokenLogps:
    """Log-probabilities and entropies [b, T] of a micro-batch's completions under the policy as it is."""
    return logps_of_states(predictor_states(policy, batch, config), policy, batch, config)


def reference_logps(policy: HiddenStatePolicy, batch: Batch, config: TrainConfig) -> Tensor:
    """Log-probabilities [b, T] under the reference, without gradient."""
    with torch.no_grad(), policy.reference():
        return policy_logps(policy, batch, config).logps


def micro_batch_loss(
    policy: HiddenStatePolicy,
    batch_rows: Batch,
    totals: UpdateTotals,
    config: TrainConfig,
    old_logps: Tensor | None = None,
    ref_logps: Tensor | None = None,
) -> tuple[LossOutput, Tensor]:
    """The micro-batch's part of the update's loss, and the policy's log-probabilities [b, T], detached.

    `old_logps` [b, T] are those of the policy that sampled; None when that is the policy as it is now.
    `ref_logps` [b, T] spare a forward pass where they are known from an earlier iteration; None computes
    them under `policy.reference()` where the loss has a KL term. Where the engine gave log-probabilities, and the
    configuration wants it, tokens are weighed by how far those are from the old ones.

    Raises:
        ValueError: when the given log-probabilities are not of the micro-batch's shape.
    """
    shape = batch_rows.completion_mask.shape
    for name, given in (("old_logps", old_logps), ("ref_logps", ref_logps)):
        if given is not None and given.shape != shape:
            raise ValueError(f"{name} of the micro-batch's shape {tuple(shape)} was expected, got {tuple(given.shape)}")
    if config.loss_beta > 0.0 and ref_logps is None:  # before the forward pass whose activations are kept
        ref_logps = reference_logps(policy, batch_rows, config)
    found = policy_logps(policy, batch_rows, config)
    detached = found.logps.detach()
    return surrogate(
        found, batch_rows, totals, config, detached if old_logps is None else old_logps, ref_logps
    ), detached


def surrogate(
    found: TokenLogps,
    batch_rows: Batch,
    totals: UpdateTotals,
    config: TrainConfig,
    old_logps: Tensor,
    ref_logps: Tensor | None = None,
) -> LossOutput:
    """The loss that the configuration names, from what `policy_logps` found and the log-probabilities [b, T] known."""
    logps, entropy = found
    weights = correction_weights(old_logps, batch_rows, config)
    inputs = LossInputs(
        logps=logps,
        old_logps=old_logps,
        advantages=batch_rows.advantages,
        mask=batch_rows.completion_mask,
        totals=totals,
        ref_logps=ref_logps,
        importance_weights=weights,
        entropy=entropy,
        sampler_logps=None if weights is None else batch_rows.sampler_logps,
    )
    return LOSSES[config.loss_type](inputs, LossSettings.of(config))


def correction_weights(old_logps: Tensor, batch_rows: Batch, config: TrainConfig) -> Tensor | None:
    """What a micro-batch's tokens are weighed by [b, T] to make up for the engine, from the log-probabilities [b, T] of
    the policy that sampled; None where the engine gave none, or the configuration wants no correction.
    """
    settings, sampler_logps = CorrectionSettings.of(config), batch_rows.sampler_logps
    if settings is None or sampler_logps is None:
        return None
    return importance_weights(old_logps, sampler_logps, batch_rows.completion_mask, settings)
