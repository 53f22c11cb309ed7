"""The task once more is no answer to it."""

from __future__ import annotations

import pytest

from lydite import Completion, Parsed
from lydite_math import equivalent


def judged(text: str, gold: str, prompt: object, **options: object) -> str:
    return equivalent(Completion(text, Parsed(text)), gold, prompt, **options).reason  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "gold", "prompt"),
    [
        ("2 + 3", "5", "What is 2 + 3?"),
        ("\\boxed{2+3}", "5", "What is 2 + 3? Put the answer in a box."),
        ("$x + x + 3$", "2x + 3", "Simplify $x+x+3$."),
        ("\\boxed{(x-1)(x+1)}", "x^2-1", "Expand $(x - 1)(x + 1)$."),
        ("\\boxed{\\left(x-1\\right)^2}", "x^2-2x+1", [{"role": "user", "content": "Expand \\((x-1)^2\\)."}]),
        ("|x-2|<3", "(-1,5)", "Solve $|x-2| < 3$."),
    ],
)
def test_a_copy_of_the_task_is_refused(text: str, gold: str, prompt: object) -> None:
    assert judged(text, gold, prompt) == "answer.restated"
    assert judged(text, gold, prompt, restated="allowed") == "math.equal"
    assert judged(text, gold, "Another question.") == "math.equal"


@pytest.mark.parametrize(
    ("text", "gold", "prompt"),
    [
        ("5", "5", "Which is larger, 5 or 3?"),
        ("1/2", "0.5", "A coin falls with probability 1/2. What is that as a fraction?"),
        ("(1,2)", "(1, 2)", "Which of (1,2) and (3,4) is nearer?"),
        ("x+1", "x + 1", "Is it x+1 or x+2?"),
        ("\\boxed{x+1}", "1+x", "Halve 2x+1+1."),
        ("\\pi", "\\pi", "Is it \\pi or 3?"),
        ("5", "5", None),
    ],
)
def test_what_the_task_happens_to_mention_may_be_its_answer(text: str, gold: str, prompt: object) -> None:
    assert judged(text, gold, prompt) == "math.equal"
