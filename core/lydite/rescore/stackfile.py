"""A stack by itself: the tables of a run's configuration that say how completions are judged, without the rest."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lydite.config import RunConfig
from lydite.configfile import read_config

_NOT_NEEDED: Final[Mapping[str, str]] = {"model": "model.path='none'", "data": "data.use='none'"}
"""Tables that a run cannot do without and a stack can, as they are put in where they are missing."""


def read_stack(
    source: Path | str | Mapping[str, Any], *, overrides: Sequence[str] = (), plugin_files: Sequence[Path] = ()
) -> RunConfig:
    """The configuration in a file or mapping that holds at least [rewards.NAME].

    It may have any table of a run's configuration, so that a run's own file will do; a model or data that it
    does not name stand as "none".

    Raises:
        ConfigError: as `read_config` does.
    """
    tables = source if isinstance(source, Mapping) else _tables(Path(source))
    missing = [text for table, text in _NOT_NEEDED.items() if table not in tables]
    return read_config(source, overrides=[*missing, *overrides], plugin_files=plugin_files)


def with_stack(config: RunConfig, stack: RunConfig) -> RunConfig:
    """The configuration with the rewards of another one, and with the plugins of both.

    Raises:
        ConfigError: when they do not fit together.
    """
    tables = {**config.model_dump(), **{key: getattr(stack, key) for key in ("rewards", "length", "stack")}}
    for key in ("plugins", "plugin_files"):
        tables[key] = list(dict.fromkeys([*getattr(config, key), *getattr(stack, key)]))
    return read_config(tables)


def has_format(source: Path | Mapping[str, Any]) -> bool:
    """Whether the stack says by itself how answers are written."""
    return "format" in (source if isinstance(source, Mapping) else _tables(source))


def _tables(path: Path) -> Mapping[str, Any]:
    """The content, or nothing where it cannot be read: `read_config` says why."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except (OSError, ValueError):
        return {}
