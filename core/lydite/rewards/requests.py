"""What a reward is asked in a step: which calls, about whom, and which verdicts need no call at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lydite.rewards.arguments import arguments_for, shared_arguments, unasked
from lydite.rewards.binding import Binding
from lydite.rewards.cache import key_of
from lydite.rewards.calls import Call
from lydite.rewards.trl_style import Row, batch_call
from lydite.types import Group, Verdict

Place: TypeAlias = tuple[int, int]
"""Of a completion: number of its group, index in it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call, and the completions that its verdicts are about, in order."""

    places: tuple[Place, ...]
    call: Call
    key: str | None = None
    """Equal for calls that must give equal verdicts; None where nothing can be said."""


@dataclass(frozen=True, slots=True)
class Requests:
    """All that is to be asked of one reward."""

    calls: tuple[Request, ...]
    known: Mapping[Place, Verdict]
    """Verdicts that are certain without a call."""


def requests_for(
    binding: Binding,
    groups: Sequence[Group],
    token_ids: Sequence[Sequence[tuple[int, ...]]],
    asked: Sequence[Place],
    *,
    worst: float,
    step: int,
    max_steps: int,
) -> Requests:
    """The calls of a reward about the completions that it is asked about.

    `worst` is the score of a completion that broke its format, where the reward wants a plain answer. A group
    reward sees whole groups, even where it is asked only about some of their completions.
    """
    known: dict[Place, Verdict] = {}
    calls: list[Request] = []
    present = []
    for place in asked:
        group = groups[place[0]]
        verdict = unasked(binding.wants, binding.spoken, group.sample, group.completions[place[1]], worst)
        if verdict is not None:
            known[place] = verdict
        else:
            present.append(place)
    if binding.kind == "batch":
        if present:
            calls.append(_batch_request(binding, groups, token_ids, present, step, max_steps))
    elif binding.kind == "group":
        for number in dict.fromkeys(number for number, _ in present):
            group = groups[number]
            places = tuple((number, index) for index in range(len(group.completions)))
            call = Call(shared_arguments(binding.wants, group), len(places))
            calls.append(Request(places, call, _key(binding, call.arguments)))
    else:
        for number, index in present:
            call = Call(arguments_for(binding.wants, groups[number], groups[number].completions[index]))
            calls.append(Request(((number, index),), call, _key(binding, call.arguments)))
    return Requests(tuple(calls), known)


def split_batch(request: Request) -> list[Request]:
    """The call of a batch function cut into one call for each completion."""
    pieces = []
    for place, where in enumerate(request.places):
        arguments = {
            name: value[place : place + 1] if isinstance(value, list) else value
            for name, value in request.call.arguments.items()
        }
        pieces.append(Request((where,), Call(arguments)))
    return pieces


def _batch_request(
    binding: Binding,
    groups: Sequence[Group],
    token_ids: Sequence[Sequence[tuple[int, ...]]],
    places: Sequence[Place],
    step: int,
    max_steps: int,
) -> Request:
    rows = [
        Row(groups[number].sample, groups[number].completions[index], token_ids[number][index])
        for number, index in places
    ]
    call = batch_call(
        rows,
        takes=binding.columns,
        takes_all=binding.all_columns,
        optional=binding.optional_columns,
        step=step,
        max_steps=max_steps,
    )
    return Request(tuple(places), call)


def _key(binding: Binding, arguments: Mapping[str, Any]) -> str | None:
    if not binding.repeatable:
        return None
    offer = binding.offer
    identity = (offer.name, offer.owner.distribution, binding.version, binding.in_worker.options, binding.range)
    return key_of(*identity, arguments=arguments)
