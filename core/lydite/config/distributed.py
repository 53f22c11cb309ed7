"""Several processes that train together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lydite.config.section import Section


class DistributedConfig(Section):
    """How the processes of a run share its work, where it has more than one: `lydite train --processes N`.

    How many there are is no part of the configuration: any number makes the same run.
    """

    strategy: Literal["ddp", "fsdp2"] = "ddp"
    """ddp: every process holds the whole model. fsdp2: each holds its part of the frozen base's layers, and fetches
    the others' layer by layer; for bases that do not fit one GPU in 16 bit, with engine hf, which it slows down."""
    timeout: float = Field(1800.0, gt=0.0)
    """Seconds that a process waits for the others before the run ends."""
