from types import SimpleNamespace


class AgentConfig(SimpleNamespace):
    """How an agent is set up."""
