"""Hostile verifiers in real worker processes: contained, named, and the others still get their verdicts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lydite.errors import RewardError
from lydite.rewards.verdicts import explain
from lydite.types import Scored, Status, Verdict

Make = Callable[..., Any]


def hang(text: str) -> float:
    while True:
        pass


def sleep(text: str) -> float:
    time.sleep(600)
    return 1.0


def hang_holding_the_gil(text: str) -> float:
    import re

    return float(bool(re.match(r"^(\w+\s?)*$", "a" * 60 + "!")))


def ignore_signals(text: str) -> float:
    for one in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    while True:
        time.sleep(0.01)


def refuse_to_exit(text: str) -> float:
    while True:
        try:
            sys.exit(3)
        except SystemExit:
            time.sleep(0.01)


def eat_8_gb(text: str) -> float:
    return float(len(bytearray(8 * 2**30)))


def exit_at_once(text: str) -> float:
    os._exit(7)


def exit_as_if_well(text: str) -> float:
    os._exit(0)


def abort(text: str) -> float:
    os.abort()


def system_exit(text: str) -> float:
    raise SystemExit("enough")


class Odd(BaseException):
    pass


def odd_exception(text: str) -> float:
    raise Odd("not an Exception")


def keyboard_interrupt(text: str) -> float:
    raise KeyboardInterrupt


def nan(text: str) -> float:
    return float("nan")


def words(text: str) -> Any:
    return "1.0"


def lock(text: str) -> Any:
    return threading.Lock()


def print_a_megabyte(text: str) -> float:
    print("x" * 2**20)
    print("y" * 2**20, file=sys.stderr)
    os.write(1, b"z" * 2**20)
    return 1.0


def close_the_pipes(text: str) -> float:
    os.closerange(0, 256)
    return 1.0


def fork_and_return_twice(text: str) -> float:
    os.fork()
    return 1.0


def burn_cpu(text: str) -> float:
    began = time.process_time()
    while time.process_time() - began < 30:
        pass
    return 1.0


@pytest.fixture
def judge_beside(make_stack: Make, kit: Any) -> Callable[..., tuple[Verdict, Scored, Any]]:
    """Judges five texts, the third of which gets the hostile treatment; says what the third one got."""

    def judge(hostile: Callable[[str], Any], *, timeout: float = 1.0, **stack: Any) -> tuple[Verdict, Scored, Any]:
        def mixed(text: str) -> Any:
            return hostile(text) if text == "evil" else 0.5

        made = make_stack({"mixed": mixed}, {"mixed": {"timeout": timeout}}, stack={"max_error_share": 1.0, **stack})
        scored = made.score([kit.rollout(["a", "b", "evil", "c", "d"])], 1)
        verdicts = [one.components["mixed"].verdict for one in scored.groups[0].completions]
        innocent = [one for place, one in enumerate(verdicts) if place != 2]
        assert [(one.status, one.score) for one in innocent] == [(Status.OK, 0.5)] * 4
        again = made.score([kit.rollout(["fresh"])], 2)  # the pool is alive
        assert again.groups[0].completions[0].reward == 0.5
        return verdicts[2], scored, made

    return judge


@pytest.mark.parametrize("hostile", [hang, sleep, hang_holding_the_gil, ignore_signals, refuse_to_exit])
def test_a_hang_costs_its_own_completion(judge_beside: Any, hostile: Callable[[str], Any]) -> None:
    began = time.monotonic()
    verdict, scored, _ = judge_beside(hostile, timeout=1.0)
    assert (verdict.status, verdict.reason) == (Status.TIMEOUT, "deadline")
    assert scored.groups[0].completions[2].reward == 0.0
    assert time.monotonic() - began < 60  # far from the verifier's own ten minutes; not a measure of speed


@pytest.mark.parametrize(
    ("hostile", "reason", "said"),
    [
        (eat_8_gb, "worker.memory", "memory_mb"),
        (exit_at_once, "worker.died", "exit code 7"),
        (exit_as_if_well, "worker.died", "exit code 0"),
        (abort, "worker.died", "signal 6"),
        (system_exit, "raised.SystemExit", "enough"),
        (odd_exception, "raised.Odd", "not an Exception"),
        (keyboard_interrupt, "raised.KeyboardInterrupt", ""),
        (nan, "returned.nan", "finite"),
        (words, "returned.str", "'1.0'"),
        (lock, "returned.lock", "lock"),
        (close_the_pipes, "worker.died", ""),
    ],
)
def test_a_failure_is_an_error_of_its_own_completion(
    judge_beside: Any, hostile: Callable[[str], Any], reason: str, said: str
) -> None:
    verdict, scored, _ = judge_beside(hostile, timeout=20.0)
    assert (verdict.status, verdict.reason) == (Status.ERROR, reason)
    assert said in explain(verdict)
    assert "'mixed'" in explain(verdict)
    assert scored.groups[0].completions[2].components["mixed"].value is None


@pytest.mark.parametrize("harmless", [print_a_megabyte, fork_and_return_twice])
def test_noise_does_no_harm(judge_beside: Any, capfd: Any, harmless: Callable[[str], Any]) -> None:
    verdict, _, _ = judge_beside(harmless, timeout=20.0)
    assert verdict.score == 1.0
    assert capfd.readouterr() == ("", "")


def test_cpu_time_has_a_limit_of_its_own(judge_beside: Any) -> None:
    verdict, _, _ = judge_beside(burn_cpu, timeout=60.0, cpu_seconds=1)
    assert (verdict.status, verdict.reason) == (Status.TIMEOUT, "deadline.cpu")


def test_several_guilty_ones_in_one_chunk_are_all_found(make_stack: Make, kit: Any) -> None:
    def mixed(text: str) -> float:
        if "hang" in text:
            time.sleep(600)
        if "die" in text:
            os._exit(1)
        return 1.0

    stack = make_stack({"mixed": mixed}, {"mixed": {"timeout": 1.0}})
    texts = ["a", "hang 1", "b", "die 1", "c", "hang 2", "d", "die 2"]
    group = stack.score([kit.rollout(texts)], 1).groups[0]
    statuses = [one.components["mixed"].verdict.status.value for one in group.completions]
    assert statuses == ["ok", "timeout", "ok", "error", "ok", "timeout", "ok", "error"]


def test_a_forked_child_dies_with_the_worker(make_stack: Make, kit: Any, tmp_path: Path) -> None:
    note = tmp_path / "child"

    def forks(text: str) -> float:
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
        Path(note).write_text(str(child))
        if text == "hang":
            time.sleep(600)
        return 1.0

    stack = make_stack({"forks": forks}, {"forks": {"timeout": 1.0}})
    assert stack.score([kit.rollout(["hang"])], 1).metrics["verdicts/forks/timeout"] == 1.0
    assert gone(int(note.read_text()))
    assert stack.score([kit.rollout(["fine"])], 1).metrics["verdicts/forks/ok"] == 1.0
    child = int(note.read_text())
    assert not gone(child, within=0.0)
    stack.close()
    assert gone(child)


def test_a_forked_child_that_returns_from_the_verifier_ends_there(make_stack: Make, kit: Any, tmp_path: Path) -> None:
    note = tmp_path / "child"

    def forks(text: str) -> float:
        child = os.fork()
        if child:
            Path(note).write_text(str(child))
        return 1.0

    assert make_stack({"forks": forks}).score([kit.rollout(["a"])], 1).metrics["reward"] == 1.0
    assert gone(int(note.read_text()))


@pytest.mark.parametrize("evil", ["stubborn", "memory"])
def test_a_worker_with_leftovers_is_replaced(make_stack: Make, kit: Any, evil: str) -> None:
    async def leaves(text: str) -> float:
        while text == "stubborn":
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(600)
        if text == "memory":
            raise MemoryError
        return os.getpid()

    def process(text: str) -> float | None:
        verdict: Verdict = stack.score([kit.rollout([text])], 1).groups[0].completions[0].components["r"].verdict
        return verdict.score

    stack = make_stack({"r": leaves}, {"r": {"timeout": 1.0}}, stack={"workers": 1})
    before = process("a")
    assert process("b") == before
    assert process(evil) is None
    assert process("c") not in (None, before)


def gone(process: int, within: float = 20.0) -> bool:
    """Whether the process has ended, or is a zombie that nobody has collected yet."""
    deadline = time.monotonic() + within
    while True:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)


async def stubborn(text: str) -> float:
    if text == "block":
        time.sleep(600)
    while text == "stubborn":
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(600)
    if text == "slow":
        await asyncio.sleep(600)
    if text == "odd":
        raise Odd("in a coroutine")
    if text == "exit":
        sys.exit(1)
    await asyncio.sleep(0.01)
    return 1.0


@pytest.mark.parametrize(
    ("evil", "status", "reason"),
    [
        ("slow", "timeout", "deadline"),
        ("stubborn", "timeout", "deadline"),
        ("block", "timeout", "deadline"),
        ("odd", "error", "raised.Odd"),
        ("exit", "error", "raised.SystemExit"),
    ],
)
def test_coroutines_are_contained_as_well(make_stack: Make, kit: Any, evil: str, status: str, reason: str) -> None:
    stack = make_stack({"r": stubborn}, {"r": {"timeout": 1.0}})
    group = stack.score([kit.rollout(["a", evil, "b", "c"])], 1).groups[0]
    verdicts = [one.components["r"].verdict for one in group.completions]
    assert [one.status.value for one in verdicts] == ["ok", status, "ok", "ok"]
    assert verdicts[1].reason == reason
    assert stack.score([kit.rollout(["fresh"])], 2).metrics["reward"] == 1.0


def test_coroutines_of_a_chunk_wait_together(make_stack: Make, kit: Any) -> None:
    async def meets(completion: Any, *, folder: str) -> float:
        Path(folder, str(completion.index)).touch()
        while len(list(Path(folder).iterdir())) < 4:  # nobody leaves before all of the chunk have come
            await asyncio.sleep(0.005)
        return 1.0

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        stack = make_stack({"r": meets}, {"r": {"options": {"folder": folder}}}, stack={"workers": 1})
        assert stack.score([kit.rollout(["a", "b", "c", "d", "e", "f", "g", "h"])], 1).metrics["reward"] == 1.0


def test_a_group_reward_that_hangs_times_out_for_its_group(no_plugins: Any, kit: Any) -> None:
    from dataclasses import replace

    from lydite.builtin import Plain
    from lydite.plugins import Offer
    from lydite.rewards import build_stack

    def ranks(group: Any) -> list[float]:
        if any(one.text == "hang" for one in group.completions):
            time.sleep(600)
        if any(one.text == "short" for one in group.completions):
            return [1.0]
        return [1.0] * len(group.completions)

    owner = no_plugins.with_functions({"x": ranks}).offers["rewards"]["x"].owner
    offers = {**no_plugins.offers, "group_rewards": {"ranks": Offer("group_rewards", "ranks", ranks, owner)}}
    config = kit.run_config({"r": {"use": "ranks", "timeout": 0.2}}, stack={"max_error_share": 1.0})
    stack = build_stack(config, replace(no_plugins, offers=offers), Plain())
    try:
        rollouts = [kit.rollout(["a", "hang"]), kit.rollout(["b", "c"]), kit.rollout(["short", "d"])]
        groups = stack.score(rollouts, 1).groups
    finally:
        stack.close()
    said = [[one.components["r"].verdict.status.value for one in group.completions] for group in groups]
    assert said == [["timeout", "timeout"], ["ok", "ok"], ["error", "error"]]


def test_errors_beyond_their_share_stop_the_run_from_a_worker_too(make_stack: Make, kit: Any) -> None:
    stack = make_stack({"dies": exit_at_once}, stack={"max_error_share": 0.0})
    with pytest.raises(RewardError, match=r"reward 'dies'.*sample 's'.*worker.died.*exit code 7"):
        stack.score([kit.rollout(["a"])], 1)
