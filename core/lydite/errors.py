"""What can go wrong, by kind. Every error lydite raises on purpose is a `LyditeError`.

To add one: subclass `LyditeError` and the standard exception it refines, say in the docstring when it
is raised, and word the message as what was given, what was expected, and what to do.
"""

from __future__ import annotations


class LyditeError(Exception):
    """Any error that lydite raises on purpose; the command line prints it without a traceback."""

    told_elsewhere = False
    """True for one that came from another process of the run, which tells the user about it."""


class ConfigError(LyditeError, ValueError):
    """A run was asked for something that cannot be; raised before any model is loaded."""


class PluginError(LyditeError, RuntimeError):
    """A plugin failed to load, offers what another offers, or misspells a hook."""


class UnknownNameError(ConfigError, LookupError):
    """A name that nothing offers; carries the near misses in its message."""


class DataError(LyditeError, ValueError):
    """A data set is missing, empty, malformed, or its gold answers fail their own verifier."""


class RewardError(LyditeError, RuntimeError):
    """Rewards failed more often than the run allows, or returned what no reward may return."""


class ModelError(LyditeError, RuntimeError):
    """A model or tokenizer cannot be loaded or used as asked."""


class EngineError(LyditeError, RuntimeError):
    """An engine cannot start or failed while it sampled, or does not sample from what was learned."""


class ProcessError(LyditeError, RuntimeError):
    """A process of a run of several was lost, told to end, or went another way than the others."""


class SentinelError(LyditeError, RuntimeError):
    """A check on training failed: nothing is learned, or an engine samples from something else than the policy."""


class CheckpointError(LyditeError, RuntimeError):
    """A checkpoint cannot be written, read, or does not belong to this run."""


class WriteError(CheckpointError):
    """A file of a run cannot be written, for example on a full disk; `train` adds how to go on."""


class ExportError(LyditeError, RuntimeError):
    """A trained model cannot be written as asked, or what was written does not answer as the trained policy does."""


class MissingExtraError(LyditeError, ImportError):
    """A feature needs packages that an extra of lydite brings, and they are not installed."""
