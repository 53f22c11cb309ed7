"""Exact match as other trainers would have it written: for the adapters' own checks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def same(text: str, gold: Any) -> float:
    return float(" ".join(text.split()).casefold() == " ".join(str(gold).split()).casefold() and bool(text.strip()))


def text_of(completion: Any) -> str:
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def trl_exact(completions: list[Any], solution: list[str], **columns: Any) -> list[float]:
    return [same(text_of(one), gold) for one, gold in zip(completions, solution, strict=True)]


def verl_exact(data_source: str, solution_str: str, ground_truth: Any, extra_info: Any = None) -> dict[str, Any]:
    score = same(solution_str, ground_truth)
    return {"score": score, "acc": bool(score), "pred": solution_str[:200]}


def verifiers_exact(completion: Any, answer: Any) -> float:
    return same(text_of(completion), answer)


def verifiers_group(completions: list[Any], answers: list[Any]) -> list[float]:
    return [same(text_of(one), gold) for one, gold in zip(completions, answers, strict=True)]


class TaggedAnswer:
    """A task as verifiers v1 has them, as far as the adapter looks at one: it compares the last `<answer>`."""

    def __init__(self, data: Any) -> None:
        self.data = data

    @classmethod
    def data_type(cls) -> type[_Row]:
        return _Row

    async def score(self, trace: Any) -> None:
        if isinstance(self.data.answer, str) and self.data.answer.strip():
            trace.reward = same(tagged(trace.nodes[-1].message["content"]), self.data.answer)
            trace.rewards = {"right": SimpleNamespace(score=trace.reward)}


class _Row(SimpleNamespace):
    model_fields = ("id", "prompt", "answer")


def tagged(text: str) -> str:
    """What stands in the last `<answer>` behind the thoughts, or nothing."""
    said, end, _ = text.rpartition("</think>")[2].rpartition("</answer>")
    _, start, inside = said.rpartition("<answer>")
    return inside if start and end else ""
