"""The life of the worker processes, and how they come by the rewards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lydite.errors import ConfigError, RewardError
from lydite.plugins import Offer, Owner, load_plugins
from lydite.rewards.calls import Call, Terms
from lydite.rewards.lane import Work
from lydite.rewards.recipe import Recipe, WorkerReward, load, recipe_for
from lydite.rewards.spawn import Limits
from lydite.rewards.worker import WorkerPool

Make = Callable[..., Any]

PLUGIN = """
import sys
import lydite

def torchless(text: str) -> bool:
    return "torch" not in sys.modules and "transformers" not in sys.modules

def echo(text: str, *, times: int = 1) -> float:
    return len(text) * times

async def polite(messages, *, mood: str = "good"):
    if mood == "down":
        raise ConnectionError("no route")
    return f"{mood}: {messages[0]['content']}"

async def asks(text: str, judge) -> lydite.Verdict:
    return lydite.Verdict(1.0, reason=await judge([{"role": "user", "content": text}]))

@lydite.hookimpl
def lydite_rewards():
    return {"mine/torchless": torchless, "mine/echo": echo, "mine/asks": asks}

@lydite.hookimpl
def lydite_judges():
    return {"mine/polite": polite}
"""


@pytest.fixture
def plugin_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


def children() -> set[int]:
    """Processes that this one has started and not collected, but for multiprocessing's own book-keeper."""
    listed = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True, check=False
    ).stdout
    rows = [line.split(None, 1) for line in listed.splitlines()]
    return {int(pid) for pid, what in rows if "resource_tracker" not in what and not what.startswith("ps ")}


def pids_of(stack: Any, kit: Any) -> set[int]:
    scored = stack.score([kit.rollout([f"{os.urandom(4).hex()}" for _ in range(8)])], 1)
    return {int(one.components["r"].verdict.score) for one in scored.groups[0].completions}


def own_pid(text: str) -> float:
    time.sleep(0.02)  # long enough for every worker to get a share
    return os.getpid()


def test_processes_start_when_needed_and_close_leaves_none(make_stack: Make, kit: Any) -> None:
    before = children()
    stack = make_stack({"r": own_pid})
    assert children() == before
    workers = pids_of(stack, kit)
    assert workers
    assert workers <= children()
    assert len(children() - before) <= 2
    stack.close()
    assert children() == before
    assert pids_of(stack, kit).isdisjoint(workers)  # a closed stack can be used again
    stack.close()
    assert children() == before


def test_workers_are_kept_and_then_replaced(make_stack: Make, kit: Any) -> None:
    kept = make_stack({"r": own_pid}, stack={"workers": 1})
    assert pids_of(kept, kit) == pids_of(kept, kit)
    replaced = make_stack({"r": own_pid}, stack={"workers": 1, "recycle_after": 8})
    assert pids_of(replaced, kit).isdisjoint(pids_of(replaced, kit))


def test_a_worker_that_died_while_idle_is_replaced(make_stack: Make, kit: Any) -> None:
    stack = make_stack({"r": own_pid}, stack={"workers": 1})
    for one in (signal.SIGKILL, signal.SIGTERM):
        (worker,) = pids_of(stack, kit)
        os.kill(worker, one)
        assert worker not in pids_of(stack, kit)


def test_all_rewards_share_the_processes(make_stack: Make, kit: Any) -> None:
    stack = make_stack({"r": own_pid, "q": own_pid}, stack={"workers": 1})
    group = stack.score([kit.rollout(["a", "b"])], 1).groups[0]
    assert len({one.components[name].verdict.score for one in group.completions for name in ("r", "q")}) == 1


def test_a_plugin_file_is_imported_in_the_worker_and_loads_no_torch(plugin_file: Path, kit: Any) -> None:
    from lydite.builtin import Plain
    from lydite.rewards import build_stack

    rewards = {
        "light": {"use": "mine/torchless"},
        "echo": {"use": "mine/echo", "options": {"times": 3}},
        "asks": {"use": "mine/asks", "judge": "mine/polite", "judge_options": {"mood": "fine"}},
        "down": {"use": "mine/asks", "judge": "mine/polite", "judge_options": {"mood": "down"}},
    }
    plugins = load_plugins(allow=(), files=[plugin_file])
    stack = build_stack(kit.run_config(rewards, stack={"max_error_share": 1.0}), plugins, Plain())
    try:
        group = stack.score([kit.rollout(["abc"])], 1).groups[0]
    finally:
        stack.close()
    components = group.completions[0].components
    assert components["light"].verdict.passed is True
    assert components["echo"].value == 9.0
    assert components["asks"].verdict.reason == "fine: abc"
    assert components["asks"].verdict.verifier == "mine/asks"
    assert components["asks"].verdict.version == plugins.offers["rewards"]["mine/asks"].owner.version
    down = components["down"].verdict
    assert (down.reason, down.scope) == ("judge.failed", "prompt")


def test_an_entry_point_is_imported_by_its_value(plugin_file: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(str(plugin_file.parent))
    owner = Owner("mine", "lydite-mine", "1.0", "entry_point", "mine")
    recipe = recipe_for(Offer("rewards", "mine/echo", lambda text: 0.0, owner))
    assert recipe == Recipe("entry_point", "mine", "lydite_rewards", "mine/echo")
    assert load(recipe)("ab", times=2) == 4
    with pytest.raises(LookupError, match="mine offers no 'mine/other'"):
        load(Recipe("entry_point", "mine", "lydite_rewards", "mine/other"))


def run_alone(recipe: Recipe, calls: list[Call]) -> list[Any]:
    pool = WorkerPool(workers=1, limits=Limits(memory_mb=512, cpu_seconds=20))
    try:
        reward = WorkerReward("completion", Terms("lost"), recipe)
        return pool.run([Work("k", reward, calls, 5.0, owner="lydite-mine 1.0")])[0]
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ValueError('half a plugin')", "half a plugin"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os._exit(0)", "process ended"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_there_stops_the_run(tmp_path: Path, source: str, said: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(source)
    with pytest.raises(RewardError, match=rf"reward 'lost' of lydite-mine 1.0 cannot be loaded.*{said}"):
        run_alone(Recipe("file", str(path), "lydite_rewards", "x"), [Call({"text": "a"})])


def test_arguments_that_cannot_be_sent_are_refused(plugin_file: Path) -> None:
    import threading

    recipe = Recipe("file", str(plugin_file), "lydite_rewards", "mine/echo")
    with pytest.raises(ConfigError, match="reward 'lost' is given cannot be sent"):
        run_alone(recipe, [Call({"text": threading.Lock()})])


@pytest.mark.parametrize("guard", ["if True:", "if __name__ == '__main__':"])
def test_a_script_needs_no_guard_and_may_import_torch_for_itself(tmp_path: Path, guard: str) -> None:
    """The workers do not run the script again: neither its prints nor its imports happen twice."""
    script = tmp_path / "script.py"
    body = """
    import sys
    sys.modules["torch"] = type(sys)("torch")  # stands for an import of the real one
    print("once")
    from lydite.builtin import Plain
    from lydite.config import RunConfig
    from lydite.plugins import load_plugins
    from lydite.rewards import build_stack
    from lydite.types import Generated, Prompt, Rollout, Sample

    class Helper:
        value = 0.25

    def mine(text: str) -> float:
        import sys
        assert "torch" not in sys.modules
        return Helper.value

    {guard}
        config = RunConfig.model_validate(
            {{"model": {{"path": "x"}}, "data": {{"use": "x"}}, "rewards": {{"mine": {{"use": "mine"}}}}}}
        )
        stack = build_stack(config, load_plugins(allow=()).with_functions({{"mine": mine}}), Plain())
        sample = Sample("s", "p")
        rollout = Rollout(Prompt(sample, "p", (1,)), (Generated((1,), "a", "a", "stop"),))
        print(stack.score([rollout], 1).groups[0].completions[0].reward)
    """
    script.write_text(textwrap.dedent(body).format(guard=guard))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "once\n0.25\n", done.stderr
    assert done.stderr == ""


def test_workers_do_not_outlive_a_trainer_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys, time
            from lydite.rewards.calls import Call, Terms
            from lydite.rewards.lane import Work
            from lydite.rewards.recipe import Recipe, WorkerReward
            from lydite.rewards.spawn import Limits
            from lydite.rewards.worker import WorkerPool
            import cloudpickle

            def sleeps(text):
                import os, time
                if os.fork() == 0:
                    time.sleep(600)
                with open(text, "w") as file:
                    file.write(str(os.getpid()))
                time.sleep(600)

            reward = WorkerReward("completion", Terms("r"), Recipe("pickle", pickled=cloudpickle.dumps(sleeps)))
            WorkerPool(workers=1, limits=Limits(512, 20)).run([Work("k", reward, [Call({"text": sys.argv[1]})], 600.0)])
            """
        )
    )
    note = tmp_path / "worker"
    trainer = subprocess.Popen([sys.executable, str(script), str(note)])
    try:
        deadline = time.monotonic() + 60
        while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        group = int(note.read_text())
    finally:
        trainer.kill()
        trainer.wait()
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the worker's process group outlived the trainer")


def test_importing_the_package_and_its_worker_side_loads_no_torch() -> None:
    code = (
        "import sys, lydite.rewards as r; r.build_stack; import lydite.rewards.serve;"
        "print([m for m in ('torch', 'transformers', 'numpy', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
