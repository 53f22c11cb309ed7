"""What all processes of a run must have alike, and what is said when they lose each other."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lydite.distributed.processes import ToldToEnd, current
from lydite.errors import LyditeError, ProcessError
from lydite.policy import Policy
from lydite.types import Scored


def check_same_step(scored: Scored) -> None:
    """Nothing, when all processes train on the same completions with the same advantages.

    Raises:
        ProcessError: when they do not, which would pull their policies apart without anybody noticing.
    """
    processes = current()
    if processes.count == 1:
        return
    digest = hashlib.sha256()
    for group in scored.groups:
        for one in group.completions:
            digest.update(repr((group.prompt.sample.id, one.generated.token_ids, one.advantage)).encode())
    processes.check_same("what was sampled", digest.hexdigest())


def check_same_policy(policy: Policy) -> None:
    """Nothing, when what is trained is the same in all processes, to the last bit.

    Raises:
        ProcessError: when it is not.
    """
    processes = current()
    if processes.count > 1:
        processes.check_same("the policy", policy.adapter_hash())


def with_way_back(error: LyditeError | ToldToEnd, folder: Path, step: int, saved_step: int) -> LyditeError:
    """The error with the step that it stopped, what is saved, and how to go on."""
    saved = (
        f"everything up to step {saved_step} is saved in {folder}"
        if saved_step
        else f"no step is saved yet in {folder}"
    )
    kind = ProcessError if isinstance(error, ToldToEnd) else type(error)
    told: LyditeError = kind(f"step {step}: {error}\n{saved}; to go on: lydite train --resume {folder}")
    told.told_elsewhere = isinstance(error, LyditeError) and error.told_elsewhere
    return told
