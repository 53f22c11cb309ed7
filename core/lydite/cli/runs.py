"""Finding the folder of a run from what was typed."""

from __future__ import annotations

from pathlib import Path

from lydite.config import RunConfig
from lydite.errors import ConfigError
from lydite.suggest import did_you_mean

CONFIG = "config.toml"


def find_run(given: Path) -> Path:
    """The run's folder: the path itself, or the run of that name in the usual place.

    Raises:
        ConfigError: when there is none, with the nearest run there is.
    """
    usual = Path(str(RunConfig.model_fields["output_dir"].default))
    for folder in (given, usual / given):
        if (folder / CONFIG).is_file():
            return folder
    if given.is_dir():
        raise ConfigError(f"{given} is not the folder of a run: it has no {CONFIG}")
    runs = [str(one.parent) for place in {given.parent, usual} for one in place.glob(f"*/{CONFIG}")]
    nearest = did_you_mean(str(given), runs) if runs else ""
    raise ConfigError(f"{given}: there is no such run{nearest}")
