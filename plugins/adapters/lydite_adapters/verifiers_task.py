"""Tasks of verifiers (v1): their `@reward` methods over a trace that holds the prompt and the completion."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from lydite import Completion, Sample, Verdict, reward
from lydite_adapters.imported import checked, imported


@reward(uses=checked("task", "package.module:MyTask"), timeout=30.0)
async def verifiers_task(
    completion: Completion, sample: Sample, *, task: str = "", reference_field: str = "answer"
) -> Verdict:
    """The weighted sum of a task's rewards, each of which is a part of the verdict.

    `task` is the import path of a `verifiers.v1.Task`. The fields of its data are filled from the columns of
    their names, and `reference_field` with the sample's reference where no column has that name. Rewards that
    need a runtime are left out, as verifiers does offline; a task that is left with none abstains.
    """
    kind = imported(task)
    made = kind(_data(kind, sample, reference_field))
    trace = _trace(made, sample, completion)
    await made.score(trace)
    given = {name: one for name, one in trace.rewards.items() if one is not None}
    if not given:
        return Verdict.abstain("reward.none", scope="prompt")
    parts = {name: Verdict(float(one.score), verifier=name) for name, one in given.items()}
    return Verdict(float(trace.reward), reason="scored", parts=parts)


def _data(kind: Any, sample: Sample, reference_field: str) -> Any:
    data = kind.data_type()
    fields = data.model_fields
    filled: dict[str, Any] = {name: value for name, value in sample.columns.items() if name in fields}
    if reference_field in fields and reference_field not in filled:
        filled[reference_field] = sample.reference
    prompt = sample.prompt if isinstance(sample.prompt, str) else [dict(one) for one in sample.prompt]
    return data(**{"id": sample.id, "prompt": prompt, **filled})


def _trace(task: Any, sample: Sample, completion: Completion) -> Any:
    v1, graph, trace = (import_module(name) for name in ("verifiers.v1", "verifiers.v1.graph", "verifiers.v1.trace"))
    nodes = []
    asked: Any = (
        [{"role": "user", "content": sample.prompt}] if isinstance(sample.prompt, str) else [*map(dict, sample.prompt)]
    )
    said: list[Mapping[str, Any]] = [*asked, {"role": "assistant", "content": completion.text}]
    for place, message in enumerate(said):
        last = place == len(said) - 1
        nodes.append(graph.MessageNode(parent=place - 1 if place else None, message=message, sampled=last))
    return trace.Trace(
        task=trace.TraceTask(type=type(task).__name__, data=task.data),
        agent=trace.AgentInfo(config=v1.AgentConfig()),
        nodes=nodes,
        is_completed=True,
        ok=True,
        stop_condition="max_output_tokens" if completion.truncated else None,
    )
