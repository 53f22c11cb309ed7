"""What the model plays or works in over several turns."""

from __future__ import annotations

from pydantic import Field

from lydite.config.section import Options, Section


class EnvironmentConfig(Section):
    """Completions of several turns: an environment answers the model, with a game's next state or a tool's output.

    Everything after the prompt counts towards `train.max_completion_length`, what the environment says included.
    """

    use: str
    """Name of the environment, from a plugin."""
    options: Options = {}
    """Options of the environment."""
    max_turns: int = Field(8, ge=1)
    """The model speaks at most so often in an episode."""
    max_reply_tokens: int | None = Field(None, ge=1)
    """One turn of the model is cut off after so many tokens, and answered as it is. None: as long as there is room."""
    max_observation_tokens: int = Field(256, ge=1)
    """A longer message of the environment is cut to this, with a note that says so."""
    deadline: float = Field(60.0, gt=0.0)
    """Seconds that the environment may take for its part of one episode; the model's time does not count."""
    concurrency: int = Field(1, ge=1)
    """Episodes of a step whose environments work at the same time; more than 1 for those that wait for something."""
