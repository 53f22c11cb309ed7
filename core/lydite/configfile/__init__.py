"""Configurations as people write them: TOML files, `--set key=value`, and errors that say what to do."""

from lydite.configfile.reading import Source, read_config
from lydite.configfile.writing import config_difference, write_config

__all__ = ["Source", "config_difference", "read_config", "write_config"]
