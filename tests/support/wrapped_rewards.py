"""Exact match as other trainers would have it written: for the adapters' own checks."""

from __future__ import annotations

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
