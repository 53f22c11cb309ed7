"""Verifiers on a Ray cluster, here one of this host: they are held to deadline and memory, and killed, as they are
without it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from lydite.config import RunConfig
from lydite.errors import MissingExtraError, RewardError
from lydite.rewards import RewardStack, ray_pool
from lydite.types import Status


def graded(text: str) -> float:
    if text == "hang":
        time.sleep(60)
    if text == "die":
        os._exit(3)
    if text == "greedy":
        bytearray(3 * 10**9)
    if text == "host":
        next(one for one in psutil.Process().parents() if one.cmdline()[0].startswith("ray::Host")).kill()
    if text == "variable":
        return float(os.environ["LYDITE_TRIED"])
    return float(text == "good")


class Unloadable:
    """Cannot be unpickled anywhere."""

    def __reduce__(self) -> Any:
        return (eval, ("1 / 0",))

    def __call__(self, text: str) -> float:
        return 0.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason='Ray is not installed: pip install "lydite[ray]"')
    patched = pytest.MonkeyPatch()
    patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patched.setenv("LYDITE_TRIED", "0.25")
    ray.init(num_cpus=2, log_to_driver=False, configure_logging=False, include_dashboard=False)
    yield ray
    ray.shutdown()
    patched.undo()


@pytest.mark.slow
def test_verifiers_run_on_the_cluster_and_are_killed_there(
    cluster: Any, kit: Any, make_stack: Callable[..., RewardStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack({"graded": graded}, {"graded": {"timeout": 1.0}}, stack={"executor": "ray", "memory_mb": 512})
    texts = ["good", "bad", "hang", "die", "greedy", "variable", "good again", "good"]
    (group,) = stack.score([kit.rollout(texts)], 1).groups
    verdicts = [one.components["graded"].verdict for one in group.completions]
    assert [one.score for one in verdicts] == [1.0, 0.0, None, None, None, 0.25, 0.0, 1.0]
    assert verdicts[2].status is Status.TIMEOUT
    assert [one.reason for one in verdicts[2:5]] == ["deadline", "worker.died", "worker.memory"]
    assert len(actors()) == 2

    for actor in actors():  # their host goes down
        actor.kill()
    (group,) = stack.score([kit.rollout(["good", "new"])], 2).groups
    assert [one.components["graded"].verdict.score for one in group.completions] == [1.0, 0.0]

    # Long enough for the actors that take their places to come up.
    monkeypatch.setattr(ray_pool, "longest", lambda work, portion: 5.0)
    for actor in actors():  # their host is there, and says nothing
        actor.suspend()
    (group,) = stack.score([kit.rollout(["good", "newer"])], 3).groups
    assert [one.components["graded"].verdict.score for one in group.completions] == [1.0, 0.0]

    stack.close()
    deadline = time.monotonic() + 10
    while actors() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not actors()


@pytest.mark.slow
def test_workers_without_a_cpu_of_the_cluster_keep_nobody_waiting(
    cluster: Any, kit: Any, make_stack: Callable[..., RewardStack]
) -> None:
    texts = [*("good", "bad") * 10, *map(str, range(20))]
    groups = []
    for settings in ({"executor": "ray", "workers": 5}, {"workers": 1}):
        stack = make_stack({"graded": graded}, stack=settings)
        groups.append(stack.score([kit.rollout(texts)], 1).groups[0])
        stack.close()
    on_cluster, here = ([one.components["graded"].verdict.score for one in group.completions] for group in groups)
    assert on_cluster == here
    assert sum(here) == 10


@pytest.mark.slow
def test_a_call_that_takes_every_actor_along_has_failed_and_the_others_have_not(
    cluster: Any, kit: Any, make_stack: Callable[..., RewardStack]
) -> None:
    stack = make_stack({"graded": graded}, stack={"executor": "ray", "workers": 2})
    (group,) = stack.score([kit.rollout(["good", "bad", "host", "good or bad", "neither"])], 1).groups
    verdicts = [one.components["graded"].verdict for one in group.completions]
    assert [one.score for one in verdicts] == [1.0, 0.0, None, 0.0, 0.0]
    assert verdicts[2].reason == "worker.died"


@pytest.mark.slow
def test_a_reward_that_cannot_be_loaded_there_names_the_host(
    cluster: Any, kit: Any, make_stack: Callable[..., RewardStack]
) -> None:
    stack = make_stack({"odd": Unloadable()}, stack={"executor": "ray", "workers": 1})
    with pytest.raises(RewardError, match=rf"on {os.uname().nodename}: .*odd.*ZeroDivisionError"):
        stack.score([kit.rollout(["text"])], 1)


def test_without_ray_the_extra_is_named(
    make_stack: Callable[..., RewardStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lydite\[ray\]"'):
        make_stack({"graded": graded}, stack={"executor": "ray"})


def test_the_runs_own_model_cannot_be_asked_from_another_host() -> None:
    judged = {"a": {"use": "a", "judge": "engine"}}
    tables = {"model": {"path": "none"}, "data": {"use": "none"}, "rewards": judged}
    RunConfig.model_validate(tables)
    with pytest.raises(ValueError, match='executor = "ray" runs verifiers on other hosts'):
        RunConfig.model_validate({**tables, "stack": {"executor": "ray"}})


def actors() -> list[psutil.Process]:
    """The processes of lydite's actors on this host."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["cmdline"] and process.info["cmdline"][0].startswith("ray::Host"):
            found.append(process)
    return found
