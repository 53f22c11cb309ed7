"""Reward functions as authors write them for other trainers, found by import path."""

from typing import Any


def same(completions: list[Any], solution: list[str], **kwargs: Any) -> list[float | None]:
    texts = [one if isinstance(one, str) else one[0]["content"] for one in completions]
    return [None if gold == "?" else float(text == gold) for text, gold in zip(texts, solution, strict=True)]


def strict(prompts: list[Any], completions: list[Any]) -> list[float]:
    return [1.0] * len(prompts)


def too_few(completions: list[Any], **kwargs: Any) -> list[float]:
    return [1.0] * (len(completions) - 1)


def breaks(completions: list[Any], **kwargs: Any) -> list[float]:
    raise RuntimeError("no such luck")


async def waits(completions: list[Any], **kwargs: Any) -> list[float]:
    return [0.25] * len(completions)


def logs(completions: list[Any], log_extra: Any, log_metric: Any, **kwargs: Any) -> list[float]:
    log_extra("length", [len(one) for one in completions])
    log_metric("own/batch", float(len(completions)))
    return [0.0] * len(completions)


def maker(value: float) -> Any:
    def made(completions: list[Any], **kwargs: Any) -> list[float]:
        return [value] * len(completions)

    return made


NOT_A_FUNCTION = 3


def compute_score(data_source: str, solution_str: str, ground_truth: Any, extra_info: Any = None) -> Any:
    """verl's signature; what is asked for comes in extra_info."""
    kind = (extra_info or {}).get("kind", "float")
    if kind == "raise":
        raise RuntimeError("broken")
    if kind == "unknown":
        raise NotImplementedError(data_source)
    right = float(solution_str == ground_truth)
    given: dict[str, Any] = {
        "float": right,
        "dict": {"score": 0.25 - right, "acc": bool(right), "pred": solution_str, "note": "n" * 2000},
        "none": None,
        "no score": {"acc": True},
        "nan": float("nan"),
        "list": [right, 7],
    }
    return given[kind]


async def compute_score_async(data_source: str, solution_str: str, ground_truth: Any, extra_info: Any = None) -> float:
    return float(solution_str == ground_truth)


def rubric_answer(completion: Any, answer: str, **kwargs: Any) -> float:
    text = completion if isinstance(completion, str) else completion[-1]["content"]
    return 1.0 if text == answer else 0.0


def rubric_state(state: dict[str, Any], task: str, info: dict[str, Any], level: int) -> float:
    assert state["prompt"]
    assert state["input"]["answer"] == state["answer"]
    return level + info["bonus"] + (0.5 if task == "adding" else 0.0)


def rubric_parsed(parser: Any, completion: Any, answer: str) -> float:
    return float(parser.parse_answer(completion) == answer)


async def rubric_async(completion: Any, answer: str) -> float:
    return float(completion == answer)


def rubric_breaks(completion: Any) -> float:
    raise KeyError("nope")


def rubric_group(completions: list[Any], answers: list[str], states: list[Any]) -> list[float]:
    assert len(states) == len(completions)
    longest = max(len(one) for one in completions)
    return [float(len(one) == longest) for one in completions]


def rubric_group_short(completions: list[Any]) -> list[float]:
    return [1.0]
