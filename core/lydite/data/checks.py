"""Samples that a run leaves out, each with the reason why: broken gold, and prompts that are too long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lydite.errors import DataError
from lydite.types import Sample

NAMED_AT_MOST: Final = 5  # samples that an error names; the file of skipped samples has them all

FEW_COPIES: Final = 0.2
"""Share of the prompts that may be copies before it is worth a word: a small task that is drawn at random has some."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A sample that is left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Data:
    """What a run trains on, what it is judged by and never trains on, and what it leaves out."""

    train: tuple[Sample, ...]
    heldout: tuple[Sample, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def check_references(
    data: Data, judge: Callable[[Sequence[Sample]], Mapping[str, str]], policy: Literal["skip", "error", "off"]
) -> Data:
    """The data without the samples whose own reference fails the reward that judges correctness.

    `judge` gives the reason for each sample id that fails. It is asked about the training samples and the
    held-out samples apart, since their ids may be the same.

    Raises:
        DataError: under `error`, when any reference fails; under `skip`, when no training sample or no
            held-out sample is left.
    """
    if policy == "off":
        return data
    failed_train, failed_heldout = judge(data.train), judge(data.heldout) if data.heldout else {}
    failed = [Skipped(one.id, f"reference: {failed_train[one.id]}") for one in data.train if one.id in failed_train]
    failed += [
        Skipped(one.id, f"reference of a held-out sample: {failed_heldout[one.id]}")
        for one in data.heldout
        if one.id in failed_heldout
    ]
    if not failed:
        return data
    named = "; ".join(f"sample {one.id!r}: {one.reason}" for one in failed[:NAMED_AT_MOST])
    rest = f"; and {len(failed) - NAMED_AT_MOST} more" if len(failed) > NAMED_AT_MOST else ""
    if policy == "error":
        raise DataError(
            f"{len(failed)} of {len(data.train) + len(data.heldout)} references fail the reward that judges them: "
            f'{named}{rest} (check_reference = "skip" leaves such samples out)'
        )
    train = tuple(one for one in data.train if one.id not in failed_train)
    heldout = tuple(one for one in data.heldout if one.id not in failed_heldout)
    for kind, before, left in (("training", data.train, train), ("held-out", data.heldout, heldout)):
        if before and not left:
            raise DataError(
                f"every one of {len(before)} {kind} samples has a reference that fails the reward that judges it, so "
                f"reward and data do not belong together: {named}{rest}"
            )
    return Data(train, heldout, (*data.skipped, *failed))


def repeated_prompts(samples: Sequence[Sample]) -> str | None:
    """A sentence on prompts that stand in the data more than once, word for word; None where they are few.

    Takes a microsecond for each sample.
    """
    first: dict[int, int] = {}  # by hashes, which are small; two of 64 bits that are alike by chance are no matter here
    copies = 0
    pair: tuple[str, str] | None = None
    for place, sample in enumerate(samples):
        earlier = first.setdefault(_hash_of(sample), place)
        if earlier != place:
            copies += 1
            pair = pair or (samples[earlier].id, sample.id)
    if pair is None or copies <= FEW_COPIES * len(samples):
        return None
    return (
        f"{copies} of {len(samples)} prompts to train on are copies of another one, word for word "
        f"({100 * copies / len(samples):.0f}%), such as sample {pair[1]!r} of {pair[0]!r}: what stands there twice is "
        "asked twice as often; leave the copies out of the data if that is not meant"
    )


def _hash_of(sample: Sample) -> int:
    if isinstance(sample.prompt, str):
        return hash(sample.prompt)
    return hash(tuple((one["role"], one["content"]) for one in sample.prompt))


def drop_long_prompts(
    samples: Sequence[Sample], length_of: Callable[[Sample], int], limit: int
) -> tuple[tuple[Sample, ...], tuple[Skipped, ...]]:
    """The samples whose prompt takes at most `limit` tokens, and the others as skipped; nothing is ever cut.

    `length_of` gives the tokens of a sample's prompt as the model sees it, template and instructions included.

    Raises:
        DataError: when no sample is left.
    """
    kept: list[Sample] = []
    skipped: list[Skipped] = []
    shortest: int | None = None
    for sample in samples:
        length = length_of(sample)
        shortest = length if shortest is None else min(shortest, length)
        if length <= limit:
            kept.append(sample)
        else:
            skipped.append(Skipped(sample.id, f"prompt: {length} tokens, max_prompt_length is {limit}"))
    if shortest is not None and not kept:
        raise DataError(
            f"all {len(samples)} prompts are longer than max_prompt_length = {limit}; the shortest has {shortest}"
        )
    return tuple(kept), tuple(skipped)
