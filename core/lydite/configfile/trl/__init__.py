"""Configurations written for TRL's `trl grpo`, as configurations of lydite."""

from lydite.configfile.trl.fields import TrlField, trl_fields
from lydite.configfile.trl.reading import FromTrl, from_trl

__all__ = ["FromTrl", "TrlField", "from_trl", "trl_fields"]
