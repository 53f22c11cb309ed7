"""What [sampling] refuses, before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lydite import api
from lydite.config import RunConfig
from lydite.data import load_data
from lydite.errors import ConfigError, DataError
from lydite.plugins import load_plugins

Settings = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("sampling", "says"),
    [
        ({"difficulty_column": "level"}, 'sampling.difficulty_column = .* without sampling.order = "curriculum"'),
        ({"order": "curriculum", "target": 0.3}, 'sampling.target = 0.3 .* without sampling.order = "frontier"'),
        ({"exploration": 0.3}, 'sampling.exploration = 0.3 .* without sampling.order = "frontier"'),
        ({"retest_every": 5}, "sampling.retest_every = 5 .* without sampling.retire_at"),
        ({"pass_by": ["vowel"]}, "sampling.pass_by names 'vowel', .*did you mean 'vowels'"),
        ({"order": "hardest"}, "order"),
        ({"max_refills": -1}, "max_refills"),
        ({"exploration": 1.5, "order": "frontier"}, "exploration"),
        ({"retire_at": 0.0}, "retire_at"),
    ],
)
def test_what_does_not_fit_together_is_refused(settings: Settings, sampling: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RunConfig.model_validate(settings(2, **sampling))


@pytest.mark.parametrize("sampling", [{"max_refills": 2}, {"flat_groups": "drop"}], ids=["refills", "drop"])
@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"algorithm": "ppo"}, 'algorithm = "ppo", whose baseline is a value head'),
        ({"train": {"advantage_estimator": "reinforce_plus_plus"}}, "whose baseline is the mean of the step"),
    ],
    ids=["ppo", "reinforce++"],
)
def test_flat_groups_are_not_taken_for_useless_where_they_teach(
    settings: Settings, sampling: dict[str, Any], changes: dict[str, Any], because: str
) -> None:
    given = settings(2, **sampling)
    changed = {name: {**given[name], **value} if name in given else value for name, value in changes.items()}
    with pytest.raises(ValueError, match=because):
        RunConfig.model_validate({**given, **changed})
    RunConfig.model_validate({**given, **changed, "sampling": {"order": "frontier"}})


def test_a_difficulty_column_must_be_there_and_hold_numbers(
    settings: Settings, write_data: Callable[..., None]
) -> None:
    def checked(column: str) -> Any:
        return api.check(settings(2, order="curriculum", difficulty_column=column))

    write_data(["easy"] * 3, level=[1, 2.5, 2], note=["a", "b", "c"], hole=[1, None, 2])
    with pytest.raises(ConfigError, match=r"difficulty_column = 'levels': sample 's0' has no such column.* 'level'"):
        checked("levels")
    with pytest.raises(DataError, match="must be a finite number in every sample, and sample 's0' has 'a'"):
        checked("note")
    with pytest.raises(DataError, match="sample 's1' has None"):
        checked("hole")


def test_an_endless_source_is_read_as_far_as_refills_may_go(
    settings: Settings, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "endless.py").write_text(
        "import itertools\nimport lydite\n"
        "def endless():\n    for n in itertools.count():\n        yield lydite.Sample(str(n), f'{n}?')\n"
        "@lydite.hookimpl\ndef lydite_datasets():\n    return {'mine/endless': endless}\n"
    )
    given = {**settings(8), "plugin_files": ["endless.py", "mine.py"], "data": {"use": "mine/endless"}}
    sizes = []
    for refills in (0, 3):
        config = RunConfig.model_validate({**given, "sampling": {"max_refills": refills}})
        sizes.append(len(load_data(config, load_plugins(allow=config.plugins, files=config.plugin_files)).train))
    assert sizes[0] < 6 * 8 * 4 <= sizes[1]
