"""Results that a command writes to a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lydite.errors import ConfigError


def write_json(flag: str, path: Path, content: Mapping[str, Any]) -> None:
    """Writes the content as JSON in ASCII, so that any text of a model survives any reader.

    Raises:
        ConfigError: when the file cannot be written; `flag` names the option that asked for it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="ascii")
    except OSError as error:
        raise ConfigError(f"{flag} {path}: cannot be written: {error.strerror}") from None
