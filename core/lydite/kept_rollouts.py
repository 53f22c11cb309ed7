"""What a run's steps were trained on, a file each: tokens, log-probabilities, rewards and advantages, bit for bit."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from lydite.errors import CheckpointError, ConfigError
from lydite.records import plain_columns
from lydite.runfolder import RunFolder
from lydite.types import Scored, ScoredGroup

ROLLOUTS: Final = "rollouts"
_LEVEL: Final = 6  # of 9: higher ones take twice the time and win a few percent


@dataclass(frozen=True, slots=True)
class KeptStep:
    """One step's groups, as its updates saw them."""

    step: int
    groups: tuple[ScoredGroup, ...]


_KEPT: Final = TypeAdapter(KeptStep)


def save_rollouts(folder: RunFolder, step: int, trained: Scored) -> Path:
    """Writes what a step is trained on, and returns the file: JSON with floats that read back the same, compressed.

    Columns of samples that have no form in JSON are left out; no update looks at them.

    Raises:
        WriteError: when it cannot be written.
    """
    kept = KeptStep(step, tuple(_portable(group) for group in trained.groups))
    # Without a time in its head, so that the same step gives the same file.
    return folder.write_bytes(_name(step), gzip.compress(_KEPT.dump_json(kept), _LEVEL, mtime=0))


def read_rollouts(folder: Path, step: int) -> Scored:
    """What a step was trained on; without metrics and timings, which the run's logs have.

    Raises:
        ConfigError: when the run kept nothing of that step.
        CheckpointError: when the file is damaged, or of another step.
    """
    path = folder / _name(step)
    try:
        kept = _KEPT.validate_json(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        raise ConfigError(f"{folder} has no rollouts of step {step}: {_what_is_kept(folder)}") from None
    except (OSError, EOFError, zlib.error, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path} cannot be read: {reason}; copy it again from where the run was made") from None
    if kept.step != step:
        raise CheckpointError(f"{path} holds the rollouts of step {kept.step}; it was renamed")
    return Scored(kept.groups, {}, {})


def kept_steps(folder: Path) -> list[int]:
    """The steps whose rollouts a run has kept, in order."""
    names = [path.name.removeprefix("step-").removesuffix(".json.gz") for path in (folder / ROLLOUTS).glob("*.json.gz")]
    return sorted(int(name) for name in names if name.isdigit())


def _portable(group: ScoredGroup) -> ScoredGroup:
    sample = group.prompt.sample
    return replace(group, prompt=replace(group.prompt, sample=replace(sample, columns=plain_columns(sample))))


def _name(step: int) -> str:
    return f"{ROLLOUTS}/step-{step:06d}.json.gz"


def _what_is_kept(folder: Path) -> str:
    steps = kept_steps(folder)
    if not steps:
        return "a run keeps them with sampling.keep_rollouts = true, from its start"
    return f"it has those of {len(steps)} steps, from {steps[0]} to {steps[-1]}"
