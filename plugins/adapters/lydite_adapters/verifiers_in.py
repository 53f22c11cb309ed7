"""Rubric functions of verifiers (v0), which are given what they name: prompt, completion, answer, state, ...

A name in the plural makes a function of a whole group. In verifiers an exception counts as 0; here it is an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from lydite import Completion, Group, Sample, reward
from lydite_adapters.imported import checked, function_at, imported, named_arguments

OWN_COLUMNS: Final = ("task", "info")
"""Columns that verifiers hands over under their own names, and not only inside the state."""


@reward(uses=checked("function", "package.module:function"), timeout=30.0)
def verifiers(completion: Completion, sample: Sample, *, function: str = "", parser: str | None = None) -> Any:
    """What a rubric function gives for one completion: a number, or None where it cannot tell.

    `function` is its import path. `parser` is the path of a parser or of a class of one, for functions that name
    `parser`; without it they get a `verifiers.Parser`. The sample's reference is their `answer`, and every
    column is known by its name.
    """
    called = function_at(function)
    known = _known(sample, completion)
    return called(**named_arguments(called, _with_parser(called, known, parser)))


@reward(uses=checked("function", "package.module:function"), timeout=30.0)
def verifiers_group(group: Group, *, function: str = "", parser: str | None = None) -> Any:
    """What a group function gives: a list with a number for each completion, in order.

    The function names any of prompts, completions, answers, states, tasks and infos.
    """
    called = function_at(function)
    states = [_known(group.sample, one) for one in group.completions]
    known = {
        f"{name}s": [one[name] for one in states] for name in ("prompt", "completion", "answer", "state", *OWN_COLUMNS)
    }
    return called(**named_arguments(called, _with_parser(called, known, parser)))


def _known(sample: Sample, completion: Completion) -> dict[str, Any]:
    """All that verifiers would pass on about a rollout, by name."""
    chat = not isinstance(sample.prompt, str)
    own = {
        "prompt": [dict(one) for one in sample.prompt] if not isinstance(sample.prompt, str) else sample.prompt,
        "completion": [{"role": "assistant", "content": completion.text}] if chat else completion.text,
        "answer": "" if sample.reference is None else sample.reference,
        "task": sample.columns.get("task", "default"),
        "info": sample.columns.get("info") or {},
    }
    columns = dict(sample.columns)
    state = {
        **columns,
        **own,
        "id": sample.id,
        "is_truncated": completion.truncated,
        "input": {**columns, "prompt": own["prompt"], "answer": own["answer"], "info": own["info"]},
    }
    return {**columns, **own, "state": state}


def _with_parser(called: Any, known: Mapping[str, Any], parser: str | None) -> dict[str, Any]:
    if parser is None and "parser" not in inspect.signature(called).parameters:
        return dict(known)
    return {**known, "parser": _parser(parser or "verifiers:Parser")}


@lru_cache(maxsize=16)
def _parser(path: str) -> Any:
    found = imported(path)
    return found() if inspect.isclass(found) or inspect.isfunction(found) else found
