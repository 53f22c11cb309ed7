"""What a verdict costs inline and in a worker: `python benchmarks/verdicts.py`.

Prints milliseconds for a step of 64 completions, the median of several steps with new texts each time, so that
no verdict comes from the cache; and the ratio between the two places.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import lydite
from lydite.builtin import Plain
from lydite.config import RunConfig
from lydite.plugins import load_plugins
from lydite.rewards import build_stack
from lydite.types import Generated, Prompt, Rollout, Sample

P, G, STEPS = 8, 8, 25


def same_words(text: str, reference: str) -> float:
    """The share of the reference's words that the text has: cheap, so that what is measured is the way to it."""
    wanted = set(reference.split())
    return len(wanted & set(text.split())) / len(wanted)


def rollouts(step: int) -> list[Rollout]:
    """P prompts with G completions of about a thousand characters, no two of them equal."""
    prompts = [Prompt(Sample(f"{step}/{one}", "say it again", "a b c"), "say it again", (1,)) for one in range(P)]
    texts = [f"{step} {one} " + "word " * 200 for one in range(G)]
    return [Rollout(prompt, tuple(Generated((1,) * 200, text, text, "stop") for text in texts)) for prompt in prompts]


def milliseconds(functions: dict[str, Callable[..., float]]) -> float:
    """The median time of a warm step."""
    config = RunConfig.model_validate(
        {"model": {"path": "none"}, "data": {"use": "none"}, "rewards": {name: {"use": name} for name in functions}}
    )
    stack = build_stack(config, load_plugins(allow=()).with_functions(functions), Plain())
    measured = []
    try:
        for step in range(STEPS):
            batch = rollouts(step)
            began = time.perf_counter()
            stack.score(batch, step)
            measured.append(1000 * (time.perf_counter() - began))
    finally:
        stack.close()
    return statistics.median(measured[1:])  # the first step starts the workers


def main() -> None:
    """Measures both places and prints the table."""

    def worker(text: str, reference: str) -> float:
        return same_words(text, reference)

    @lydite.reward(isolation="inline")
    def inline(text: str, reference: str) -> float:
        return same_words(text, reference)

    one, other = milliseconds({"inline": inline}), milliseconds({"worker": worker})
    print(f"{P * G} completions, one reward: inline {one:.1f} ms, worker {other:.1f} ms, ratio {other / one:.1f}")
    print(f"{P * G} completions, two rewards in workers: {milliseconds({'a': worker, 'b': worker}):.1f} ms")


if __name__ == "__main__":
    main()
