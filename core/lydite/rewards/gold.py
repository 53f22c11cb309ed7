"""Does a sample's own gold answer pass the rewards that compare with it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lydite.rewards.binding import Binding
from lydite.rewards.compose import Rule
from lydite.rewards.verdicts import explain
from lydite.types import Completion, Group, Parsed, Sample, Status, Verdict


def compares_with_gold(binding: Binding, rule: Rule) -> bool:
    """Whether the gold must pass this reward: it looks at an answer and at the reference, and passing it pays.

    Judges are left out for what they cost, batch and group functions because they judge more than one answer.
    """
    pays = rule.gate or max(rule.weight, rule.weight_to or 0.0) > 0
    looks = "reference" in binding.given and not {"answer", "text", "completion"}.isdisjoint(binding.given)
    return binding.kind == "completion" and binding.judge is None and looks and pays


def gold_groups(samples: Sequence[Sample]) -> tuple[Group, ...]:
    """Each sample with its gold as the only completion; samples whose gold is no single text or number are left out.

    How a list or table would be written as an answer only its verifier knows.
    """
    return tuple(
        Group(sample, (Completion(str(sample.reference), Parsed(str(sample.reference)), str(sample.reference)),))
        for sample in samples
        if isinstance(sample.reference, (str, int, float))
    )


def misjudged(name: str, groups: Sequence[Group], verdicts: Mapping[tuple[int, int], Verdict]) -> dict[str, str]:
    """By sample id, why the gold fails the reward of that name; abstaining is no failure."""
    found = {}
    for (number, _), verdict in sorted(verdicts.items(), key=lambda item: item[0]):
        if verdict.status is Status.OK and verdict.passed:
            continue
        if verdict.status is Status.ABSTAIN:
            continue
        said = explain(verdict) or f"score {verdict.score:g}" if verdict.score is not None else explain(verdict)
        gold = str(groups[number].sample.reference)[:80]
        found[groups[number].sample.id] = f"its reference {gold!r} fails reward {name!r}: {said}"
    return found
