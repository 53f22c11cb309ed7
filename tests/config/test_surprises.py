"""What a configuration may say, and hardly means."""

from __future__ import annotations

from typing import Any

import pytest

from lydite.config_checks import surprises
from lydite.configfile import read_config
from lydite.optimizer import learning_rate


@pytest.mark.parametrize("warmup", [0, 1, 7, 8, 9, 50])
def test_a_warm_up_that_never_ends_is_told_with_the_rate_that_the_run_gets_to(
    tables: dict[str, Any], warmup: int
) -> None:
    train = {"max_steps": 4, "num_iterations": 2, "learning_rate": 0.003, "warmup_steps": warmup}
    config = read_config({**tables, "train": train})
    updates = 4 * config.train.updates_per_step
    assert updates == 8
    highest = max(learning_rate(update, config.train) for update in range(updates))
    said = surprises(config)
    assert bool(said) == (highest < 0.003)
    if said:
        assert said == [
            f"train.warmup_steps = {warmup}, and the run makes 8 updates: the rate rises to {highest:.3g} and never "
            "reaches train.learning_rate = 0.003; take fewer warmup_steps or more max_steps"
        ]
