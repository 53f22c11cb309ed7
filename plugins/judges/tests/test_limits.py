"""Rates, cost and accounts: kept by all processes of a run together."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import lydite_judges.asking
import lydite_judges.ledger
from lydite import Message
from lydite.options import check_options
from lydite_judges import BudgetSpent, JudgeError, Limits, openai
from lydite_judges.ledger import FIELDS, Booking, Ledger, ledger_of_this_run


def ask(server: Any, text: str = "Is 2 even?", **options: Any) -> str:
    given = {"base_url": server.url, "model": "m", "retries": 0, "cache": 0, **options}
    return asyncio.run(openai([Message(role="user", content=text)], **given))


def account(server: Any) -> dict[str, Any]:
    return ledger_of_this_run().read()[f"m at {server.url}"]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(lydite_judges.ledger, "time", one)
    return one


def test_usage_is_counted_as_the_server_counts_it(server: Any, accounts: Path) -> None:
    server.replies, server.usage = ["yes"], {"prompt_tokens": 1000, "completion_tokens": 10}
    prices = Limits(price_in=2.0, price_out=8.0)
    ask(server, limits=prices)
    ask(server, limits=prices)
    assert json.loads(accounts.read_text())["judges"].keys() == {f"m at {server.url}"}
    found = account(server)
    assert found == {
        "requests": 2,
        "replies": 2,
        "failed": 0,
        "refused": 0,
        "prompt_tokens": 2000,
        "completion_tokens": 20,
        "cost": pytest.approx(2000 * 2e-6 + 20 * 8e-6),
    }
    assert tuple(found) == FIELDS


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": "many", "completion_tokens": -1}, {"prompt_tokens": True}]
)
def test_what_the_server_does_not_count_is_estimated(server: Any, usage: Any) -> None:
    server.replies, server.usage = ["yes"], usage
    ask(server, "x" * 300)
    assert (account(server)["prompt_tokens"], account(server)["completion_tokens"]) == (108, 1)


def test_a_remembered_reply_is_not_counted(server: Any) -> None:
    server.replies = ["yes"]
    ask(server, cache=8)
    ask(server, cache=8)
    assert account(server)["requests"] == 1


def test_a_spent_budget_refuses_before_anything_is_sent(server: Any) -> None:
    server.replies, server.usage = ["yes"], {"prompt_tokens": 400_000, "completion_tokens": 0}
    limits = Limits(max_cost=1.0, price_in=1.0)
    for _ in range(3):
        ask(server, limits=limits)
    with pytest.raises(BudgetSpent, match=r"1\.2 of max_cost = 1 is spent"):
        ask(server, limits=limits)
    assert len(server.requests) == 3
    assert account(server)["refused"] == 1


def test_what_could_cost_too_much_is_not_asked(server: Any) -> None:
    server.replies = ["yes"]
    with pytest.raises(BudgetSpent):
        ask(server, max_tokens=1000, limits=Limits(max_cost=0.9, price_out=1000.0))
    assert server.requests == []


def slow(handler: Any) -> None:
    time.sleep(0.5)


@pytest.mark.parametrize(
    ("reply", "billed"), [(500, False), (429, False), (401, False), (slow, True), (b"garbage", True), (b"{}", True)]
)
def test_a_failure_costs_only_where_the_server_may_have_served(server: Any, reply: Any, billed: bool) -> None:
    server.replies = [reply]
    with pytest.raises(JudgeError):
        ask(server, timeout=0.2, max_tokens=10, limits=Limits(price_out=1.0))
    found = account(server)
    assert (found["requests"], found["replies"], found["failed"]) == (1, 0, 1)
    assert found["cost"] == pytest.approx(1e-5 if billed else 0.0)


def test_a_minute_has_so_many_requests(tmp_path: Path, clock: Clock) -> None:
    ledger, limits = Ledger(tmp_path / "x" / "judges.json"), Limits(requests_per_minute=3)
    sent: list[float] = []
    for _ in range(2000):
        if isinstance(ledger.book("m", limits, prompt_tokens=1, completion_tokens=1), Booking):
            sent.append(clock.now)
        clock.now += 0.37
    assert len(sent) >= 3 * 10
    assert all(later - first >= 60 for first, later in zip(sent, sent[3:], strict=False))


def test_a_minute_has_so_many_tokens_and_real_counts_replace_estimates(tmp_path: Path, clock: Clock) -> None:
    ledger, limits = Ledger(tmp_path / "judges.json"), Limits(tokens_per_minute=100)
    first = ledger.book("m", limits, prompt_tokens=50, completion_tokens=40)
    assert isinstance(first, Booking)
    wait = ledger.book("m", limits, prompt_tokens=10, completion_tokens=10)
    assert isinstance(wait, float)
    assert 60 <= wait <= 61
    ledger.replied(first, limits, prompt_tokens=20, completion_tokens=5)
    assert isinstance(ledger.book("m", limits, prompt_tokens=60, completion_tokens=15), Booking)
    assert isinstance(ledger.book("other", limits, prompt_tokens=60, completion_tokens=15), Booking)
    clock.now += wait
    assert isinstance(ledger.book("m", limits, prompt_tokens=60, completion_tokens=15), Booking)


def test_a_clock_that_is_set_back_does_not_block_for_long(tmp_path: Path, clock: Clock) -> None:
    ledger, limits = Ledger(tmp_path / "judges.json"), Limits(requests_per_minute=1)
    ledger.book("m", limits, prompt_tokens=1, completion_tokens=1)
    clock.now -= 10_000
    assert isinstance(ledger.book("m", limits, prompt_tokens=1, completion_tokens=1), Booking)


def test_a_question_larger_than_a_minute_is_refused_at_once(server: Any) -> None:
    server.replies = ["yes"]
    with pytest.raises(JudgeError, match="can never be asked with tokens_per_minute = 50"):
        ask(server, "x" * 300, limits=Limits(tokens_per_minute=50))


def test_no_room_before_the_deadline_is_an_error_and_not_a_hang(server: Any) -> None:
    server.replies = ["yes"]
    limits = Limits(requests_per_minute=1)
    ask(server, limits=limits)
    before = time.monotonic()
    with pytest.raises(JudgeError, match="requests_per_minute or tokens_per_minute leave no room"):
        ask(server, limits=limits, deadline=0.3)
    assert time.monotonic() - before < 1.0
    assert len(server.requests) == 1


def test_only_so_many_requests_are_open_at_once(server: Any) -> None:
    open_, most = [0], [0]

    def counted(handler: Any) -> None:
        open_[0] += 1
        most[0] = max(most[0], open_[0])
        time.sleep(0.05)
        open_[0] -= 1
        handler.answer(200, handler.server.chat("yes"))

    server.replies = [counted]

    async def all_at_once(deadline: float) -> list[Any]:
        asked = [
            openai([Message(role="user", content=str(number))], base_url=server.url, model="m", retries=0, cache=0,
                   limits=Limits(at_once=2), deadline=deadline)
            for number in range(8)
        ]  # fmt: skip
        return list(await asyncio.gather(*asked, return_exceptions=True))

    assert asyncio.run(all_at_once(20.0)) == ["yes"] * 8
    assert most[0] == 2
    late = [one for one in asyncio.run(all_at_once(0.08)) if not isinstance(one, str)]
    assert late
    assert all(isinstance(one, JudgeError) for one in late)


def test_who_gets_its_turn_after_the_deadline_does_not_ask(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine keeping the accounts alone may take that long."""
    booked = lydite_judges.asking._booking

    async def slowly(*given: Any) -> Booking:
        booking = await booked(*given)
        time.sleep(0.2)
        return booking

    monkeypatch.setattr(lydite_judges.asking, "_booking", slowly)
    server.replies = ["yes"]
    with pytest.raises(JudgeError, match="gave no reply: the deadline had passed before it was asked"):
        ask(server, deadline=0.15, retries=3, limits=Limits(price_in=1.0, price_out=1.0))
    assert server.requests == []
    found = account(server)
    assert (found["failed"], found["replies"], found["cost"]) == (1, 0, 0.0)


def spend(path: Path, times: int) -> None:
    ledger, limits = Ledger(path), Limits(price_in=1.0, requests_per_minute=100_000)
    for _ in range(times):
        booking = ledger.book("m", limits, prompt_tokens=100, completion_tokens=100)
        assert isinstance(booking, Booking)
        ledger.replied(booking, limits, prompt_tokens=70, completion_tokens=30)


def test_two_processes_share_an_account_and_lose_nothing(tmp_path: Path) -> None:
    path, spawn = tmp_path / "judges.json", multiprocessing.get_context("spawn")
    others = [spawn.Process(target=spend, args=(path, 150)) for _ in range(2)]
    for one in others:
        one.start()
    for one in others:
        one.join()
    assert [one.exitcode for one in others] == [0, 0]
    found = Ledger(path).read()["m"]
    assert (found["requests"], found["replies"]) == (300, 300)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (300 * 70, 300 * 30)
    assert found["cost"] == pytest.approx(300 * 70e-6)


def spend_until_stopped(path: Path) -> None:
    while True:
        spend(path, 1)


def test_a_process_that_is_killed_leaves_whole_accounts_and_no_lock(tmp_path: Path) -> None:
    path, spawn = tmp_path / "judges.json", multiprocessing.get_context("spawn")
    for round_ in range(3):
        other = spawn.Process(target=spend_until_stopped, args=(path,))
        other.start()
        while not path.exists() or Ledger(path).read()["m"]["requests"] < 20 * (round_ + 1):
            time.sleep(0.01)
        assert other.pid is not None
        os.kill(other.pid, signal.SIGKILL)
        other.join()
        before = Ledger(path).read()["m"]
        spend(path, 1)
        after = Ledger(path).read()["m"]
        assert after["requests"] == before["requests"] + 1
        # What was under way stays booked at its highest cost: it may have been billed.
        assert after["cost"] >= after["replies"] * 70e-6 - 1e-9


def where(queue: Any) -> None:
    os.environ.pop("LYDITE_RUN_FOLDER", None)
    queue.put(str(ledger_of_this_run().path))


def test_outside_a_run_a_process_shares_its_accounts_with_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LYDITE_RUN_FOLDER")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    own = ledger_of_this_run().path
    assert own.is_relative_to(tmp_path)
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    other = spawn.Process(target=where, args=(queue,))
    other.start()
    assert queue.get(timeout=30) == str(own)
    other.join()
    queue.close()
    queue.join_thread()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"judges": {"m": {"requests": 1}}}', '{"judges": []}', "\x00" * 40]
)
def test_damaged_accounts_are_told_and_nothing_is_asked(server: Any, accounts: Path, content: str) -> None:
    accounts.parent.mkdir(parents=True)
    accounts.write_text(content)
    server.replies = ["yes"]
    with pytest.raises(JudgeError, match=r"judges\.json cannot be used .*Remove the file"):
        ask(server)
    assert server.requests == []
    assert accounts.read_text() == content


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_costs": 1}, "limits have no 'max_costs', did you mean 'max_cost'|did you mean 'max_cost'"),
        ({"max_cost": 1}, "max_cost needs price_in and price_out"),
        ({"max_cost": 0, "price_in": 1}, "max_cost is a number above 0, got 0"),
        ({"max_cost": float("nan"), "price_in": 1}, "max_cost is a number above 0, got nan"),
        ({"requests_per_minute": -1}, "requests_per_minute is a number above 0, got -1"),
        ({"tokens_per_minute": 0}, "tokens_per_minute is a number above 0, got 0"),
        ({"price_in": -1}, "price_in is a price of 0 or more, got -1"),
        ({"at_once": 0}, "at_once is a number above 0, got 0"),
        ({"at_once": "many"}, "valid integer"),
    ],
)
def test_wrong_limits_are_told_when_the_configuration_is_read(limits: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_options("judge", openai, {"model": "m", "base_url": "http://x", "limits": limits})


def test_limits_come_from_a_table() -> None:
    given = {"max_cost": 2.5, "price_in": 0.15, "price_out": 0.6, "requests_per_minute": 500}
    options = check_options("judge", openai, {"model": "m", "base_url": "http://x", "limits": given})
    assert options["limits"] == Limits(max_cost=2.5, price_in=0.15, price_out=0.6, requests_per_minute=500)
    assert options["limits"].cost(1_000_000, 500_000) == pytest.approx(0.45)
