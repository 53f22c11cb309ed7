"""Rewards that are asked only about what another one did not pass: a cheap verifier before a dear one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lydite.rewards.compose import Rule, fallback_places, wants_fallback
from lydite.rewards.requests import Place
from lydite.types import Verdict

Verdicts: TypeAlias = Mapping[str, Mapping[Place, Verdict]]
"""Of all completions, by reward."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """A reward that is asked only about what another did not pass."""

    after: str
    """Name of the other reward."""
    share: float
    """At most this share of a step's completions."""


@dataclass(frozen=True, slots=True)
class Cascades:
    """The cascades of a run by the name of their second reward, and the rules of all its rewards."""

    by_name: Mapping[str, Cascade]
    rules: Mapping[str, Rule]

    def asked(self, name: str, places: Sequence[Place], verdicts: Verdicts) -> list[Place]:
        """Those of the places that a reward is asked about, once the reward before it has judged them all."""
        cascade = self.by_name.get(name)
        if cascade is None:
            return list(places)
        before = [verdicts[cascade.after][place] for place in places]
        chosen = fallback_places(before, self.rules[cascade.after].pass_at, cascade.share)
        return [places[one] for one in chosen]

    def not_asked(self, name: str, place: Place, verdicts: Verdicts) -> Verdict:
        """The abstention of the second reward of a cascade on a completion that it was not asked about."""
        after = self.by_name[name].after
        over = wants_fallback(verdicts[after][place], self.rules[after].pass_at)
        return Verdict.abstain("fallback.share" if over else "fallback.not_asked")

    def with_what_they_stand_on(self, names: Sequence[str]) -> frozenset[str]:
        """The names, and every reward that one of them falls back from or counts only beside."""
        found: set[str] = set()
        left = list(names)
        while left:
            name = left.pop()
            if name in found:
                continue
            found.add(name)
            cascade, only_if = self.by_name.get(name), self.rules[name].only_if
            left += [one for one in (cascade.after if cascade else None, only_if) if one is not None]
        return frozenset(found)
