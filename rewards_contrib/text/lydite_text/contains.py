"""The answer holds given words, or the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from lydite import Verdict, reward
from lydite_text.normal import normalise


@reward(range=(0.0, 1.0), isolation="inline", pays_for="form")
def contains(
    answer: str,
    reference: Any,
    *,
    values: Sequence[str] = (),
    forbidden: Sequence[str] = (),
    mode: Literal["all", "any"] = "all",
    case: bool = False,
    max_words: Annotated[int, Field(ge=1)] = 20,
) -> Verdict:
    """1 when the answer holds all (or any) of the values as whole words and none that is forbidden; else 0.

    Without `values`, the reference, or each of a list of references, is looked for. An answer of more than
    `max_words` words earns nothing: one that names everything would hold every value.
    """
    wanted = [normalise(str(one), case=case) for one in (values or _several(reference))]
    if not wanted or not all(wanted):
        return Verdict.error("values.empty", scope="prompt")
    text = normalise(answer, case=case)
    if len(text.split()) > max_words:
        return Verdict(0.0, passed=False, reason="answer.long")
    if any(_holds(text, normalise(one, case=case)) for one in forbidden):
        return Verdict(0.0, passed=False, reason="contains.forbidden", parsed=text)
    found = [_holds(text, one) for one in wanted]
    right = all(found) if mode == "all" else any(found)
    return Verdict(float(right), passed=right, reason="contains.found" if right else "contains.missing", parsed=text)


def _several(reference: Any) -> list[Any]:
    if reference is None:
        return []
    return list(reference) if isinstance(reference, list | tuple) else [reference]


def _holds(text: str, value: str) -> bool:
    """Whether the value stands in the text with no letter or digit joined to its ends."""
    start = text.find(value) if value else -1
    while start >= 0:
        end = start + len(value)
        joined = (start and text[start - 1].isalnum() and value[0].isalnum()) or (
            end < len(text) and text[end].isalnum() and value[-1].isalnum()
        )
        if not joined:
            return True
        start = text.find(value, start + 1)
    return False
