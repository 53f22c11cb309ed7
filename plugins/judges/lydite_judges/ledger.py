"""What a run has asked of its judges, in one file that all its processes share.

The file is JSON: `{"judges": {"<model> at <address>": {...}}}` with the counts of `FIELDS` and, second by second,
what was asked in the last minute. Changes are made under a lock that ends with its process, on a copy that takes
the file's place in one go, so that a worker killed halfway leaves the file whole. A request is booked at its
highest cost before it is sent: what a killed worker had asked stays booked, because it may have been billed.
"""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lydite_judges.errors import BudgetSpent, JudgeError
from lydite_judges.limits import Limits

FOLDER_VARIABLE: Final = "LYDITE_RUN_FOLDER"
"""The run's folder, which lydite tells its workers."""
NAME: Final = "judges.json"
MINUTE: Final = 60
FIELDS: Final = ("requests", "replies", "failed", "refused", "prompt_tokens", "completion_tokens", "cost")
"""requests sent, replies that were text, failed requests, questions that the budget refused, tokens as the server
counts them, and cost: that of replies, and the highest of requests whose reply never came."""


@dataclass(frozen=True, slots=True)
class Booking:
    """A request that may be sent now."""

    account: str
    second: int
    tokens: int
    cost: float


class Ledger:
    """The accounts of a run's judges."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def book(self, account: str, limits: Limits, *, prompt_tokens: int, completion_tokens: int) -> Booking | float:
        """A booking, or the seconds after which there may be room for one. The tokens are an upper estimate.

        Raises:
            BudgetSpent: when the cost would pass `max_cost`.
            JudgeError: when the request is larger than a minute's tokens, or the file cannot be used.
        """
        tokens, cost = prompt_tokens + completion_tokens, limits.cost(prompt_tokens, completion_tokens)
        if limits.tokens_per_minute is not None and tokens > limits.tokens_per_minute:
            raise JudgeError(
                f"a question of about {tokens} tokens can never be asked with tokens_per_minute = "
                f"{limits.tokens_per_minute}"
            )
        with self._open(account) as entry:
            if limits.max_cost is not None and entry["cost"] + cost > limits.max_cost:
                entry["refused"] += 1
                spent = f"{entry['cost']:.6g} of max_cost = {limits.max_cost:g} is spent or under way on {account}"
            else:
                wait = _seconds_until_free(entry["by_second"], limits, tokens)
                if wait > 0:
                    return wait
                second = int(time.time())
                count = entry["by_second"].setdefault(str(second), [0, 0])
                count[0] += 1
                count[1] += tokens
                entry["requests"] += 1
                entry["cost"] += cost
                return Booking(account, second, tokens, cost)
        raise BudgetSpent(spent)

    def replied(self, booking: Booking, limits: Limits, *, prompt_tokens: int, completion_tokens: int) -> None:
        """Puts what the request really took in the place of the estimate."""
        with self._open(booking.account) as entry:
            entry["replies"] += 1
            entry["prompt_tokens"] += prompt_tokens
            entry["completion_tokens"] += completion_tokens
            entry["cost"] += limits.cost(prompt_tokens, completion_tokens) - booking.cost
            _correct(entry, booking, prompt_tokens + completion_tokens)

    def failed(self, booking: Booking, *, billed: bool) -> None:
        """Notes that no reply came; `billed` keeps the estimated cost, for a request that may have been served."""
        with self._open(booking.account) as entry:
            entry["failed"] += 1
            if not billed:
                entry["cost"] -= booking.cost
                _correct(entry, booking, 0)

    def read(self) -> dict[str, dict[str, Any]]:
        """The accounts as they are now, with the counts of `FIELDS`."""
        content = self._content() if self.path.exists() else {"judges": {}}
        return {name: {key: entry[key] for key in FIELDS} for name, entry in content["judges"].items()}

    @contextmanager
    def _open(self, account: str) -> Iterator[dict[str, Any]]:
        """The account, to be changed; what it is changed to is written, unless an exception ends the change."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unusable(str(error)) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = self._content() if self.path.exists() else {"judges": {}}
            entry = content["judges"].setdefault(account, {**dict.fromkeys(FIELDS, 0), "by_second": {}})
            _forget_the_old(entry["by_second"])
            yield entry
            draft = self.path.with_name(f".{self.path.name}.draft")
            try:
                draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
                draft.replace(self.path)
            except OSError as error:
                raise self._unusable(str(error)) from None
        finally:
            os.close(lock)

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            complete = all(
                {*FIELDS, "by_second"} <= set(entry) and isinstance(entry["by_second"], dict)
                for entry in content["judges"].values()
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._unusable(f"{type(error).__name__}: {error}") from None
        if not complete:
            raise self._unusable("it lacks some of its fields")
        return dict(content)

    def _unusable(self, why: str) -> JudgeError:
        return JudgeError(
            f"the accounts of this run's judges in {self.path} cannot be used ({why}); without them no limit can be "
            "kept. Remove the file if it is damaged; what was spent is forgotten then"
        )


def ledger_of_this_run() -> Ledger:
    """The ledger in the run's folder; outside a run, one that this process shares with its own workers."""
    if folder := os.environ.get(FOLDER_VARIABLE):
        return Ledger(Path(folder) / NAME)
    parent = multiprocessing.parent_process()
    owner = parent.pid if parent is not None else os.getpid()
    return Ledger(Path(tempfile.gettempdir()) / f"lydite-judges-{os.getuid()}" / f"{owner}-{_start_of(owner)}.json")


def _start_of(process: int | None) -> str:
    """When a process was started, in the kernel's ticks, so that a number used twice is told apart; or `0`."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return "0"
    return stat.rpartition(")")[2].split()[19]


def _forget_the_old(by_second: dict[str, list[int]]) -> None:
    now = time.time()
    for second in [one for one in by_second if not now - MINUTE - 1 < int(one) <= now + 1]:
        del by_second[second]


def _seconds_until_free(by_second: dict[str, list[int]], limits: Limits, tokens: int) -> float:
    """0 when a request of so many tokens fits into the minute, else the time until the oldest second leaves it."""
    requests, used = sum(one[0] for one in by_second.values()), sum(one[1] for one in by_second.values())
    too_many = limits.requests_per_minute is not None and requests + 1 > limits.requests_per_minute
    too_much = limits.tokens_per_minute is not None and used + tokens > limits.tokens_per_minute
    if not (too_many or too_much):
        return 0.0
    return max(min(int(one) for one in by_second) + MINUTE + 1 - time.time(), 0.01)


def _correct(entry: dict[str, Any], booking: Booking, tokens: int) -> None:
    count = entry["by_second"].get(str(booking.second))
    if count is not None:
        count[1] += tokens - booking.tokens
