"""Rows of JSON as saved completions: those of a run folder, and plain ones."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from lydite.errors import DataError
from lydite.rescore.saved import (
    Saved,
    number_of,
    prompt_of,
    spoken_prompt,
    text_of,
    whole_number_of,
)
from lydite.suggest import close_to
from lydite.types import Episode, FormatError, Parsed, Sample

EXAMPLE: Final = '{"prompt": "2 + 2?", "completion": "4", "reference": "4"}'
_OWN: Final = frozenset(
    {"id", "group", "step", "prompt", "completion", "tokens", "finish_reason", "reward", "advantage"}
)
"""Keys of a plain row that are no columns."""

_EPISODE: Final = TypeAdapter(Episode)


def is_ours(content: Mapping[str, Any]) -> bool:
    """Whether a row is a record of a run's `completions.jsonl`."""
    return "completion" in content and "sample" in content and isinstance(content.get("rewards"), dict)


def our_row(content: Mapping[str, Any], where: str) -> Saved:
    """A record of a run's `completions.jsonl`.

    Raises:
        DataError: when something is missing, or of another kind.
    """
    missing = {"step", "sample", "prompt", "completion", "reward", "advantage", "rewards"} - set(content)
    if missing:
        raise DataError(
            f"{where}: expected a record of a run's completions.jsonl; it lacks {', '.join(sorted(missing))}"
        )
    rewards, columns = content["rewards"], content.get("columns") or {}
    if not isinstance(rewards, dict) or not isinstance(columns, dict):
        raise DataError(f"{where}: expected 'rewards' and 'columns' as objects")
    # Runs of earlier versions kept the prompt only as the model saw it.
    prompt = prompt_of(content.get("asked", content["prompt"]), where, "asked")
    sample = Sample(str(content["sample"]), prompt, content.get("reference"), columns)
    step = whole_number_of(content, "step", where)
    return Saved(
        where,
        (step, sample.id),
        sample,
        str(content["prompt"]),
        text_of(content["completion"], where, "completion"),
        has_reference=True,
        parsed=_parsed(content, where),
        tokens=whole_number_of(content, "tokens", where),
        finish_reason=_finish_reason(content, where),
        step=step,
        reward=number_of(content, "reward", where),
        advantage=number_of(content, "advantage", where),
        values={
            str(name): number_of(one, "value", f"{where}: rewards.{name}")
            for name, one in rewards.items()
            if isinstance(one, dict)
        },
        episode=_episode(content, where),
    )


def plain_row(content: Mapping[str, Any], where: str, reference: str) -> Saved:
    """A row {prompt, completion, ...}: `reference` names the key of the gold answer; what is left are columns.

    Rows of one group share `group`, or else `id`, or else `prompt`; where there is a `step`, within it.

    Raises:
        DataError: when something is missing, or of another kind.
    """
    for key in ("prompt", "completion"):
        if key not in content:
            near = close_to(key, content)
            meant = f" (is {near!r} meant to be it?)" if near is not None and near not in _OWN else ""
            raise DataError(f"{where}: {key!r} is missing{meant}; expected a row such as {EXAMPLE}")
    prompt = prompt_of(content["prompt"], where, "prompt")
    nested = content.get("columns")
    columns = {key: value for key, value in content.items() if key not in _OWN and key != reference}
    if isinstance(nested, dict):
        columns = {**{key: value for key, value in columns.items() if key != "columns"}, **nested}
    named = next((_hashable(content[one]) for one in ("group", "id") if content.get(one) is not None), None)
    step = whole_number_of(content, "step", where)
    text = spoken_prompt(prompt)
    gold = content.get(reference, columns.get(reference))
    sample = Sample(str(content.get("id", content.get("group", text))), prompt, gold, columns)
    return Saved(
        where,
        (step, text if named is None else named),
        sample,
        text,
        text_of(content["completion"], where, "completion"),
        has_reference=reference in content or reference in columns,
        tokens=whole_number_of(content, "tokens", where),
        finish_reason=_finish_reason(content, where),
        step=step,
        reward=number_of(content, "reward", where),
        advantage=number_of(content, "advantage", where),
    )


def _parsed(content: Mapping[str, Any], where: str) -> Parsed | FormatError | None:
    broken, answer = content.get("format_error"), content.get("answer")
    if broken is not None:
        return FormatError(str(broken))
    if answer is None:
        return None
    if not isinstance(answer, str):
        raise DataError(f"{where}: 'answer' is the parsed answer as text, got {answer!r:.80}")
    return Parsed(answer, str(content.get("reasoning") or ""))


def _episode(content: Mapping[str, Any], where: str) -> Episode | None:
    played = content.get("episode")
    if played is None:
        return None
    try:
        return _EPISODE.validate_python({**played, "turns": content.get("turns")})
    except TypeError:
        reason = f"'episode' is an object, got {played!r:.80}"
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise DataError(f"{where}: expected the 'turns' and 'episode' of a run's completions.jsonl; {reason}")


def _finish_reason(content: Mapping[str, Any], where: str) -> Literal["stop", "length"]:
    given = content.get("finish_reason") or "stop"
    if given not in ("stop", "length"):
        raise DataError(f'{where}: \'finish_reason\' is "stop" or "length", got {given!r:.80}')
    return "length" if given == "length" else "stop"


def _hashable(given: Any) -> Hashable:
    return given if isinstance(given, (str, int)) else json.dumps(given, sort_keys=True, default=str)
