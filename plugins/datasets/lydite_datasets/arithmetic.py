"""Sums made up on the spot: `What is 17 + 5?`, each question once."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from lydite import DataError, Sample
from lydite_datasets.template import fields_of, fill

Operation: TypeAlias = Literal["+", "-", "*"]
_RESULT: Final[Mapping[str, Callable[[int, int], int]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}
MANY: Final = 10_000  # questions where `size` is not given; more than any small run asks


def arithmetic(
    *,
    operations: Sequence[Operation] = ("+",),
    low: int = 2,
    high: int = 30,
    size: int | None = None,
    seed: int = 0,
    template: str = "What is {a} {operation} {b}? Reply with the number only.",
) -> list[Sample]:
    """`size` different questions with operands from `low` to `high`, both included, in an order drawn from `seed`.

    The reference is the result as text; the columns hold `a`, `b` and `operation`. Without `size`, every question
    there is, at most 10,000.

    Raises:
        DataError: when there are not so many questions, or the template would ask two of them in the same words.
    """
    if not operations or len(set(operations)) != len(operations):
        raise DataError(f"operations are one or more different signs out of + - *, got {list(operations)}")
    if low > high:
        raise DataError(f"low = {low} is above high = {high}")
    needed = {"a", "b"} | ({"operation"} if len(operations) > 1 else set())
    fields = set(fields_of(template))
    unknown = sorted(fields - {"a", "b", "operation"})
    if unknown:
        raise DataError(f"the template {template!r} may name {{a}}, {{b}} and {{operation}}, not {unknown}")
    if not needed <= fields:
        raise DataError(f"the template {template!r} must name {sorted(needed)}, or different questions look the same")
    span = high - low + 1
    possible = len(operations) * span * span
    size = min(possible, MANY) if size is None else size
    if not 1 <= size <= possible:
        raise DataError(f"size = {size}, and there are {possible} different questions (from 1 to {possible})")
    # Sampling from a range costs nothing for the questions that are not drawn.
    drawn = random.Random(f"arithmetic:{seed}").sample(range(possible), size)  # noqa: S311
    samples: list[Sample] = []
    for number in drawn:
        rest, b = divmod(number, span)
        which, a = divmod(rest, span)
        samples.append(_sample(a + low, operations[which], b + low, template))
    return samples


def _sample(a: int, operation: Operation, b: int, template: str) -> Sample:
    values = {"a": a, "b": b, "operation": operation}
    return Sample(f"{a}{operation}{b}", fill(template, values), str(_RESULT[operation](a, b)), values)
