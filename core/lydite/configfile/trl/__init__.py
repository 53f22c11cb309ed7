"""Configurations written for TRL's `trl grpo` and `trl rloo`, as configurations of lydite."""

from lydite.configfile.trl.fields import Command, TrlField, trl_fields
from lydite.configfile.trl.reading import FromTrl, from_trl

__all__ = ["Command", "FromTrl", "TrlField", "from_trl", "trl_fields"]
