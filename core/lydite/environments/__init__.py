"""Completions of several turns: the model and an environment speak in turn.

`offered` finds the environment that a configuration names. `episodes` is an engine that plays on another engine:
`playing` is one episode under way, `speech` what the model reads of its environment, `lanes` calls environments within
their time, `failures` says what they raised. Nothing that is imported here loads torch.
"""

from lydite.environments.figures import episode_figures
from lydite.environments.offered import Environments, make_environments

__all__ = ["Environments", "episode_figures", "make_environments"]
