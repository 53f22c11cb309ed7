from types import SimpleNamespace


class MessageNode(SimpleNamespace):
    """A message and the one before it."""
