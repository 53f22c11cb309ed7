from types import SimpleNamespace


class TraceTask(SimpleNamespace):
    """The task that a trace is of."""


class AgentInfo(SimpleNamespace):
    """Who acted."""


class Trace(SimpleNamespace):
    """What happened, message by message, and what it earned."""

    def __init__(self, **fields: object) -> None:
        super().__init__(rewards={}, reward=0.0, **fields)
