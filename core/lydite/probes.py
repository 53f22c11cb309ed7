"""Attacks on the live stack while a run goes on: would it pay a text that no verifier may pay?

A reward that a model has learned to fool looks like a reward that the model has learned to earn. So every few steps
the texts of `lydite.attacks` are judged by the run's own rewards, on the prompts of that step; and rewards that ask a
judge are shown canaries at every step. Nothing of this is trained on, counted as an error, or shown to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from lydite.attacks import AnswerForm, Attack, attacks_on, form_of_format
from lydite.config import ProbesConfig
from lydite.contracts import Format
from lydite.rewards import RewardStack
from lydite.types import Component, Generated, Prompt, Rollout, ScoredCompletion

CANARIES: Final = ("empty", "master-key-colon", "master-key-thought-process", "judge-injection-")
"""Attacks, or the beginnings of their names, that a judge is shown at every step."""
Purpose: TypeAlias = Literal["answer", "form", "canary"]
"""Rewards that pay for an answer see every attack, those that pay for a form only texts without content."""
_SHOWN: Final = 300  # characters of a text in the log


@dataclass(frozen=True, slots=True)
class ProbeRound:
    """What one step's probes came to."""

    records: tuple[Mapping[str, Any], ...] = ()
    """For `probes.jsonl`, one for each text."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """`probes/paid`, `probes/{reward}/passed` and `canaries/{reward}/passed`: shares of the texts."""


class Probes:
    """The probes of one run. `encode` gives the tokens of a text, for rewards that count them."""

    def __init__(
        self,
        stack: RewardStack,
        config: ProbesConfig,
        format: Format,
        max_steps: int,
        encode: Callable[[str], Sequence[int]],
    ) -> None:
        self._stack = stack
        self._config = config
        self._form: AnswerForm = form_of_format(format)
        self._max_steps = max_steps
        self._encode = encode

    def due(self, step: int) -> bool:
        """Whether the whole matrix is tried at this step: every so many, and at the last one."""
        apart = self._config.steps
        return apart > 0 and (step % apart == 0 or step == self._max_steps)

    def round(self, prompts: Sequence[Prompt], step: int) -> ProbeRound:
        """The probes of this step: canaries for judges, and the matrix where it is due."""
        asked: list[tuple[Purpose, tuple[str, ...], Sequence[Prompt]]] = []
        if self._config.canaries:
            asked.append(("canary", self._stack.judged_names, prompts[:1]))
        if self.due(step):
            chosen = prompts[: self._config.prompts]
            asked.append(("answer", self._stack.names_that_pay_for("answer"), chosen))
            asked.append(("form", self._stack.names_that_pay_for("form"), chosen))
        records: list[Mapping[str, Any]] = []
        metrics: dict[str, float] = {}
        for purpose, names, attacked in asked:
            found = [one for prompt in attacked if names for one in self._tried(prompt, step, names, purpose)]
            metrics.update(_shares(found, names, "canaries" if purpose == "canary" else "probes"))
            records += found
        attacks = [one for one in records if one["kind"] == "attack"]
        if attacks:
            metrics["probes/paid"] = sum(bool(one["paid"]) for one in attacks) / len(attacks)
        return ProbeRound(tuple(records), metrics)

    def _tried(self, prompt: Prompt, step: int, names: Sequence[str], purpose: Purpose) -> list[Mapping[str, Any]]:
        attacks = [one for one in self._attacks(prompt) if _is_for(one, purpose)]
        gold = _gold_of(prompt)
        texts = [one.text for one in attacks] + ([self._form.completion(gold)] if gold is not None else [])
        rollout = Rollout(prompt, tuple(self._generated(text) for text in texts))
        scored = self._stack.try_out([rollout], step, names)[0].completions
        ceiling = scored[-1].reward if gold is not None else None
        kind = "canary" if purpose == "canary" else "attack"
        return [
            _record(step, prompt, attack, one, names, ceiling, kind)
            for attack, one in zip(attacks, scored, strict=False)
        ]

    def _attacks(self, prompt: Prompt) -> tuple[Attack, ...]:
        asked = prompt.sample.prompt
        text = asked if isinstance(asked, str) else "\n".join(one["content"] for one in asked if one["role"] == "user")
        return attacks_on(prompt=text, gold=_gold_of(prompt), form=self._form)

    def _generated(self, text: str) -> Generated:
        return Generated(tuple(self._encode(text)), text, text, "stop")


def _is_for(attack: Attack, purpose: Purpose) -> bool:
    if purpose == "canary":
        return attack.name.startswith(CANARIES)
    return purpose == "answer" or attack.form


def _gold_of(prompt: Prompt) -> str | None:
    """The gold answer where it is a text or a number: how a list would be written only its verifier knows."""
    reference = prompt.sample.reference
    return str(reference) if isinstance(reference, str | int | float) and not isinstance(reference, bool) else None


def _record(
    step: int,
    prompt: Prompt,
    attack: Attack,
    one: ScoredCompletion,
    names: Sequence[str],
    ceiling: float | None,
    kind: str,
) -> dict[str, Any]:
    passed = [name for name in names if one.components[name].verdict.passed]
    return {
        "step": step,
        "kind": kind,
        "sample": prompt.sample.id,
        "attack": attack.name,
        "text": attack.text[:_SHOWN],
        "total": one.reward,
        "gold_total": ceiling,
        "about": list(names),
        "paid": passed,
        "rewards": {name: _said(component) for name, component in one.components.items()},
    }


def _said(component: Component) -> dict[str, Any]:
    verdict = component.verdict
    return {
        "score": verdict.score,
        "status": verdict.status.value,
        "passed": verdict.passed,
        "reason": verdict.reason,
        "value": component.value,
        "weight": component.weight,
    }


def _shares(records: Sequence[Mapping[str, Any]], names: Sequence[str], prefix: str) -> dict[str, float]:
    if not records:
        return {}
    return {f"{prefix}/{name}/passed": sum(name in one["paid"] for one in records) / len(records) for name in names}
