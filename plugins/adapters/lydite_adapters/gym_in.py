"""Entries of reasoning-gym that come from a file: {question, answer, metadata}, scored by the data set they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite import Sample, Verdict, reward


@reward(range=(0.0, 1.0), timeout=20.0)
def gym(answer: str, sample: Sample, *, dataset: str | None = None, partial: bool = False) -> Verdict:
    """What `score_answer` of the entry's data set says: 1 for a full score, else 0; with `partial`, its own score.

    The column `metadata` is the entry's; `dataset` names the data set where its `source_dataset` does not. The
    question is the prompt, and the answer the sample's reference, unless there are columns of those names. The
    same screen stands before the scorers as in `reasoning-gym/score`.
    """
    try:
        from lydite_reasoning_gym import score
    except ImportError:
        return Verdict.error("reasoning_gym.not_installed", scope="prompt")
    metadata = sample.columns.get("metadata")
    if not isinstance(metadata, Mapping):
        return Verdict.error("metadata.missing", scope="prompt")
    name = dataset or metadata.get("source_dataset")
    if not isinstance(name, str):
        return Verdict.error("dataset.missing", scope="prompt")
    entry: dict[str, Any] = {
        "question": sample.columns.get("question", sample.prompt),
        "answer": sample.columns.get("answer", sample.reference),
        "metadata": dict(metadata),
    }
    return score(answer, {"name": name, "config": {}, "entry": entry}, partial=partial)
