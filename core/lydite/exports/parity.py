"""How far an export's answers are from those of the policy that was trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import Tensor

from lydite.errors import ExportError
from lydite.exports.readers import Answer, Reader
from lydite.exports.rounding import ROUNDED, unlike_tensors
from lydite.exports.trained import CONVERSATION, LONG_ANSWER, Trained, rendered
from lydite.policy import Policy
from lydite.policy.answers import answer_logps
from lydite.policy.decode import decode
from lydite.policy.sampler import Draw

KEPT: Final = (0.5, 1.5)
"""How much of what training changed an export has to have: less is an adapter lost, more one that is scaled wrongly."""
DRIFT_TO_CHANGE: Final = 0.5
"""Drift beside what training changed, for weights of 16 bits and more."""
_READ: Final = 16  # prompts whose text is read by the export's tokenizer as well; llama.cpp takes seconds for them
_FEW: Final = 2.0  # times the bound of a mean, where it is one over few tokens
_LISTED: Final = 3
_TOLD_APART: Final = 0.01  # nats: with less than this changed by training, a share of it says nothing


@dataclass(frozen=True, slots=True)
class Bound:
    """What an export may be off by."""

    max_drift: float
    """Mean over tokens of |dlogp|, in nats."""
    kept: tuple[float, float] | None = KEPT
    """Least and most of what training changed; None: whatever it is."""
    drift_to_change: float | None = None
    """Most that the drift may be beside what training changed, both in nats; None: however much."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """An export's greedy answers beside the policy's, as one program gives them.

    Log-probabilities are those of the export's own answers: the program's, and the policy's of the same tokens.
    """

    reader: str
    prompts: int
    tokens: int
    mean_drift: float
    """Mean over all tokens of |logp of the export - logp of the policy|, in nats."""
    max_drift: float
    equal_answers: float
    """Share of prompts whose greedy answer is the policy's, token for token."""
    same_tokens: float
    """Share of the first prompts that the export's tokenizer reads as the policy's does."""
    same_template: bool
    """Whether the export carries the policy's chat template."""
    same_chat: bool | None
    """Whether the program makes the policy's tokens of a conversation; None where there is no template to render."""
    runs_past: tuple[int, ...]
    """Tokens that end the policy's answers, and that the program goes on after."""
    unlike: tuple[str, ...] | None
    """Tensors further from the policy's than their type rounds; None where the program or the type does not tell."""
    long_drift: float | None
    """Mean |dlogp| of the answer to one long prompt, whose far positions no short one has; None where none is told."""
    long_prompt: int
    """Its tokens."""
    changed_by_training: float | None
    """Mean |logp of the policy - logp of the model it started from|; None under full fine-tuning."""
    kept: float | None
    """How much of that the export has, see `share_kept`; None where training changed next to nothing."""

    def to_json(self) -> dict[str, Any]:
        """All of it, in JSON terms."""
        content = asdict(self)
        for name, one in content.items():
            content[name] = round(one, 6) if isinstance(one, float) else list(one) if isinstance(one, tuple) else one
        return content

    def __str__(self) -> str:
        kept = "" if self.kept is None else f"; {self.kept:.0%} of what training changed is kept"
        return (
            f"{self.reader}: |dlogp| {self.mean_drift:.4f} on average, {self.max_drift:.4f} at most, over "
            f"{self.tokens} tokens; {self.equal_answers:.0%} of {self.prompts} greedy answers equal{kept}"
        )


def greedy_answers(policy: Policy, prompts: Sequence[Sequence[int]], limit: int) -> list[tuple[int, ...]]:
    """The policy's likeliest answer to each prompt, as its run's evaluations ask for it."""
    uniform = torch.zeros((len(prompts), limit), dtype=torch.float64)  # never looked at: greedy
    with policy.sampling():
        return [one.token_ids for one in decode(policy, prompts, 1, limit, Draw(0.0), uniform)]


def compare(trained: Trained, reader: Reader, own: Sequence[Sequence[int]], limit: int, kind: str) -> Comparison:
    """The export beside the policy; `own` are the policy's greedy answers of at most `limit` tokens.

    `kind` is the type of the export's weights.

    Raises:
        ExportError: when the export gives a log-probability that is no number.
    """
    policy = trained.policy
    answers, export = _answers(reader, trained.prompts, limit, policy.stop_token_ids)
    if not export.numel():
        raise ExportError(f"{reader.name} answers the export's prompts with nothing")
    ours = _logps(policy, trained.prompts, answers)
    drifts = (export - ours).abs()
    start = _logps_of_the_start(policy, trained.prompts, answers)
    same = [reader.reads(*one) for one in zip(trained.texts[:_READ], trained.prompts[:_READ], strict=True)]
    chat = rendered(policy.tokenizer, CONVERSATION)
    tensors = reader.weights() if kind in ROUNDED else None
    return Comparison(
        reader.name,
        len(answers),
        export.numel(),
        float(drifts.mean()),
        float(drifts.max()),
        _share([one.equals(answer) for answer, one in zip(own, answers, strict=True)]),
        _share(same),
        reader.chat_template() == policy.tokenizer.chat_template,
        None if chat is None else reader.renders(CONVERSATION, chat),
        tuple(one for one in policy.stop_token_ids if not reader.ends_at(one)),
        None if tensors is None else unlike_tensors(policy, tensors, kind),
        _long_drift(trained, reader),
        len(trained.long_prompt),
        None if start is None else float((ours - start).abs().mean()),
        None if start is None else share_kept(export, ours, start),
    )


def _answers(
    reader: Reader, prompts: Sequence[Sequence[int]], limit: int, stops: Sequence[int]
) -> tuple[list[Answer], Tensor]:
    """A program's answers, and the log-probabilities of all their tokens, end to end, in float64."""
    answers = reader.answers(prompts, limit, stops)
    logps = [logp for answer in answers for logp in answer.logps]
    if not all(math.isfinite(one) for one in logps):
        raise ExportError(f"{reader.name} answers the export's prompts with numbers that are none")
    return answers, torch.tensor(logps, dtype=torch.float64)


def _long_drift(trained: Trained, reader: Reader) -> float | None:
    prompts, stops = (trained.long_prompt,), trained.policy.stop_token_ids
    answers, export = _answers(reader, prompts, LONG_ANSWER, stops)
    if not export.numel():
        return None
    return float((export - _logps(trained.policy, prompts, answers)).abs().mean())


def share_kept(export: Tensor, policy: Tensor, start: Tensor) -> float | None:
    """The share of what training changed that an export has, from the log-probabilities of n tokens, [n] each.

        sum (export - start) (policy - start) / sum (policy - start)^2

    1 for an export that is the policy, 0 for one that is the model it started from, 2 for one with twice the change.
    Rounding weights adds numbers that have nothing to do with the change, so that it moves this little, while it may
    well move each log-probability more than a short training has. None where training changed next to nothing.

    Source: the slope of a least-squares line through the origin.
    """
    changed = policy - start
    if float(changed.abs().mean()) < _TOLD_APART:
        return None
    return float(((export - start) * changed).sum() / changed.square().sum())


def problems(found: Comparison, bound: Bound) -> list[str]:
    """Why an export is not fit to leave, a sentence each; none when it is."""
    said = []
    if found.same_tokens < 1.0:
        said.append(
            f"{found.reader}: the export's tokenizer reads {1 - found.same_tokens:.0%} of the prompts as other tokens"
        )
    if not found.same_template:
        said.append(f"{found.reader}: the export's chat template is not the one that was trained with")
    if found.same_chat is False:
        said.append(f"{found.reader}: a conversation under the export's chat template is read as other tokens")
    if found.runs_past:
        said.append(
            f"{found.reader}: answers would not end: it goes on after {_listed(found.runs_past)}, at which the "
            "policy's answers end"
        )
    if found.unlike:
        said.append(
            f"{found.reader}: {len(found.unlike)} of the export's tensors are not the policy's, to within the rounding "
            f"of their type: {_listed(found.unlike)}"
        )
    if not found.mean_drift <= bound.max_drift:
        said.append(
            f"{found.reader}: the export's log-probabilities are {found.mean_drift:.4f} nats a token from the trained "
            f"policy's, and the bound is {bound.max_drift:g} (at most {found.max_drift:.4f}; "
            f"{found.equal_answers:.0%} of the answers are equal)"
        )
    if found.long_drift is not None and not found.long_drift <= _FEW * bound.max_drift:
        said.append(
            f"{found.reader}: behind a prompt of {found.long_prompt} tokens the export's log-probabilities are "
            f"{found.long_drift:.4f} nats a token from the policy's, and the bound is {_FEW * bound.max_drift:g}: "
            "other rotary positions, or another window of attention"
        )
    if bound.kept is not None and found.kept is not None and not bound.kept[0] <= found.kept <= bound.kept[1]:
        said.append(
            f"{found.reader}: {found.kept:.0%} of what training changed is in the export, and "
            f"{bound.kept[0]:.0%} to {bound.kept[1]:.0%} should be"
        )
    if not said and _drowns(found, bound.drift_to_change):  # else it is more than rounding
        said.append(
            f"{found.reader}: the export is {found.mean_drift:.4f} nats a token from the policy, and training changed "
            f"{found.changed_by_training:.4f}: what was learned drowns in the rounding of the weights; take a finer "
            "type, float16 or float32, or the adapter by itself"
        )
    return said


def _drowns(found: Comparison, most: float | None) -> bool:
    """Whether the drift is more than it may be beside what training changed, where that can be told."""
    changed = found.changed_by_training
    return most is not None and changed is not None and changed >= _TOLD_APART and found.mean_drift > most * changed


def _logps(policy: Policy, prompts: Sequence[Sequence[int]], answers: Sequence[Answer]) -> Tensor:
    """The policy's log-probabilities of all tokens of all answers, end to end, in float64."""
    return torch.cat(
        [
            answer_logps(policy, prompt, answer.token_ids)
            for prompt, answer in zip(prompts, answers, strict=True)
            if answer.token_ids
        ]
    )


def _logps_of_the_start(policy: Policy, prompts: Sequence[Sequence[int]], answers: Sequence[Answer]) -> Tensor | None:
    """Those of the model that training began from; None under full fine-tuning, where it is no longer in memory."""
    if not policy.adapted:
        return None
    with policy.reference():
        return _logps(policy, prompts, answers)


def _listed(names: Sequence[object]) -> str:
    return ", ".join(map(str, names[:_LISTED])) + (", ..." if len(names) > _LISTED else "")


def _share(truths: Sequence[bool]) -> float:
    return sum(truths) / len(truths)
