"""Is an answer the prompt once more?"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

RUN: Final = 12
"""Words in a row that also stand in the prompt: below that, the same words are the same subject and no copy."""
SHORTEST: Final = 20
"""Words that an answer must have to be called a copy: a short one may be a citation and little else."""
MOST: Final = 0.8
"""Share of an answer's words that may stand in such runs."""
PART: Final = 0.5
"""Share of the prompt that an answer must reach to be called a copy: one that states the prompt's rule is none."""
_WORD: Final = re.compile(r"[^\W_]+")


def is_copy(answer: str, prompt: str) -> bool:
    """Whether nearly all of an answer was taken from the prompt, in long runs, and it is half of the prompt."""
    words = _WORD.findall(answer.casefold())
    length, runs = _runs(prompt)
    if len(words) < SHORTEST:
        return False
    taken = [False] * len(words)
    for start in range(len(words) - RUN + 1):
        if " ".join(words[start : start + RUN]) in runs:
            taken[start : start + RUN] = [True] * RUN
    return sum(taken) > MOST * len(words) and sum(taken) >= PART * length


@lru_cache(maxsize=64)
def _runs(prompt: str) -> tuple[int, frozenset[str]]:
    words = _WORD.findall(prompt.casefold())
    return len(words), frozenset(" ".join(words[start : start + RUN]) for start in range(len(words) - RUN + 1))
