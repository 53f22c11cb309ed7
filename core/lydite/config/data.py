"""Where samples come from, and how answers are written."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lydite.config.section import Options, Section


class FormatConfig(Section):
    """How an answer is written."""

    use: str = "plain"
    """Name of a format that a plugin offers."""
    options: Options = {}
    """Options of that format."""
    instruct: bool = True
    """Puts the format's instructions in front of each prompt, as the system message or its first paragraph."""


class DataConfig(Section):
    """Where the samples come from."""

    use: str
    """Name of a data set that a plugin offers, such as `jsonl` or `arithmetic`."""
    options: Options = {}
    """Options of that data set: path, split, column mapping, ..."""
    system: str | None = None
    """A system message for every prompt."""
    limit: int | None = Field(None, ge=1)
    """At most this many samples."""
    shuffle: bool = True
    """A new order each epoch, from the run's seed."""
    max_prompt_length: int = Field(1024, ge=1)
    """In tokens. Longer prompts are listed and left out, never cut."""
    check_reference: Literal["skip", "error", "off"] = "skip"
    """What to do with a sample whose own reference fails the reward that judges correctness."""
