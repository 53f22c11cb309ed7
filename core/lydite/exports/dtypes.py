"""The type of merged weights, where the user states none: the run's own, or the one that keeps what was learned."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import torch
from torch import Tensor

from lydite.exports.merging import plain_model
from lydite.exports.parity import Comparison, compare, greedy_answers
from lydite.exports.readers.hf import TransformersReader
from lydite.exports.target import Precision
from lydite.exports.trained import Trained
from lydite.policy import Policy
from lydite.policy.dtypes import DTYPES, Dtype

LITTLE: Final = 0.1
"""Drift beside what training changed that is not worth another type."""
_LITTLE_BY_ITSELF: Final = 0.02  # nats: where what training changed is not known
_ENOUGH: Final = 16  # prompts to choose by
_HALF_RANGE: Final = float(torch.finfo(torch.float16).max)
_SPARE: Final = 2.0  # texts that were not looked at may reach further


def chosen_dtype(trained: Trained, limit: int, precision: Precision) -> tuple[Dtype, str | None]:
    """The type for merged weights, and why it is not the run's own; None where it is.

    A sum of base and adapter loses in bfloat16, with its 8 significant bits, what is smaller than a step. Where that is
    more than a tenth of what training changed, in log-probabilities of up to 16 answers of up to `limit` tokens, the
    weights are float16 with 11 bits, unless the model's activations come near the end of that type's range.
    """
    own = trained.dtype
    if own != "bfloat16":
        return own, None
    some = dataclasses.replace(trained, texts=trained.texts[:_ENOUGH], prompts=trained.prompts[:_ENOUGH])
    rounded = TransformersReader(own, _rounded(trained.policy, own, precision), trained.policy.tokenizer, plain=False)
    found = compare(some, rounded, greedy_answers(some.policy, some.prompts, limit), limit, own)
    rounded.close()
    if rounds_little(found):
        return own, None
    kept = "" if found.kept is None else f" and keep {found.kept:.0%} of what training changed"
    lost = f"in bfloat16 they would be {found.mean_drift:.4f} nats a token from the policy{kept}"
    largest = largest_activation(trained.policy, trained.long_prompt)
    if not largest * _SPARE <= _HALF_RANGE:
        return own, f"weights: {lost}; activations of {largest:.3g} forbid float16; --dtype float32 keeps all"
    return "float16", f"weights are float16: {lost}; --dtype bfloat16 takes that all the same"


def rounds_little(found: Comparison) -> bool:
    """Whether an export's drift is small beside what training changed or, where that is not known, by itself."""
    changed = found.changed_by_training
    return found.mean_drift <= (_LITTLE_BY_ITSELF if changed is None else LITTLE * changed)


@torch.no_grad()
def largest_activation(policy: Policy, prompt: tuple[int, ...]) -> float:
    """The largest absolute number that a module of the model puts out while it reads a prompt."""
    largest = 0.0

    def look(_: Any, __: Any, output: Any) -> None:
        nonlocal largest
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, Tensor) and first.is_floating_point() and first.numel():
            largest = max(largest, float(first.abs().max()))

    hooks = [module.register_forward_hook(look) for module in policy.causal.modules()]
    try:
        ids = torch.tensor([list(prompt)], device=policy.device)
        policy.causal(input_ids=ids, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return largest


def _rounded(policy: Policy, dtype: Dtype, precision: Precision) -> Any:
    """The plain model as it would be written, with the buffers that no file has, so that it can compute."""
    model = plain_model(policy, DTYPES[dtype])
    for name, buffer in policy.causal.named_buffers():
        owner, _, last = name.replace(".base_layer", "").rpartition(".")
        if ".lora_" not in name and getattr(model.get_submodule(owner), last).is_meta:
            setattr(model.get_submodule(owner), last, buffer)
    return (model.float() if precision == "float32" else model).to(policy.device)
