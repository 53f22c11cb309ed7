"""Asking a server that speaks the chat protocol: limits before, attempts within a deadline, accounts behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from lydite import Message
from lydite_judges.errors import JudgeError
from lydite_judges.http import Refused, post
from lydite_judges.ledger import Booking, ledger_of_this_run
from lydite_judges.limits import Limits

FIRST_WAIT: Final = 0.5
"""Seconds before the second attempt, give or take half of it; each further wait is twice as long."""
LOOK_AGAIN: Final = 2.0
"""Seconds at most between looks at a limit that leaves no room: other processes may give some back."""
BYTES_A_TOKEN: Final = 3
"""For estimates that are rather too high: most tokenizers take four bytes of English for a token."""
MOST_THREADS: Final = 64


@dataclass(frozen=True, slots=True)
class Server:
    """One model at one address."""

    base_url: str
    model: str
    headers: Mapping[str, str] = field(default_factory=dict)
    account: str = ""
    """Its name in the accounts."""

    @property
    def spoken(self) -> str:
        """As messages name it."""
        return f"the judge {self.model!r} at {self.base_url}"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try."""

    timeout: float
    """Seconds of one attempt, from first byte to last."""
    retries: int
    """Attempts after the first."""
    deadline: float
    """Seconds for everything: waits for limits, attempts, and waits between them."""


async def ask(
    server: Server,
    messages: Sequence[Message],
    settings: Mapping[str, Any],
    *,
    max_tokens: int,
    patience: Patience,
    limits: Limits,
    cache: int,
) -> str:
    """The text of the model's reply. `settings` are further fields of the request.

    With `cache` above 0, so many replies are remembered by what was asked.

    Raises:
        BudgetSpent: when `max_cost` leaves no room for the question.
        JudgeError: when there is no reply.
    """
    body = {
        **settings,
        "model": server.model,
        "messages": [{"role": one["role"], "content": one["content"]} for one in messages],
        "max_tokens": max_tokens,
    }
    key = hashlib.sha256(json.dumps([server.base_url, body], sort_keys=True).encode()).hexdigest()
    if cache and key in _replies:
        _replies.move_to_end(key)
        return _replies[key]
    ends = time.monotonic() + patience.deadline
    gate = _gate(server, limits.at_once)
    try:
        await asyncio.wait_for(gate.acquire(), patience.deadline)
    except TimeoutError:
        raise JudgeError(f"{server.spoken} was not asked: at_once = {limits.at_once} others took too long") from None
    try:
        text = await _asked(server, body, patience, limits, ends)
    finally:
        gate.release()
    if cache:
        _replies[key] = text
        while len(_replies) > cache:
            _replies.popitem(last=False)
    return text


async def _asked(server: Server, body: Mapping[str, Any], patience: Patience, limits: Limits, ends: float) -> str:
    loop = asyncio.get_running_loop()
    url, wait, why = f"{server.base_url}/chat/completions", FIRST_WAIT, "the deadline had passed before it was asked"
    tries = 0
    for attempt in range(patience.retries + 1):
        booking = await _booking(server, body, limits, ends)
        left = ends - time.monotonic()
        if left <= 0:  # the wait for its turn, or a busy machine, has taken all of it
            ledger_of_this_run().failed(booking, billed=False)
            break
        tries = attempt + 1
        try:
            reply = await loop.run_in_executor(_threads(), post, url, body, server.headers, min(patience.timeout, left))
            text = _text_of(reply)
        except Refused as refused:
            ledger_of_this_run().failed(booking, billed=refused.served)
            why, pause = str(refused), max(wait * random.uniform(0.5, 1.5), refused.wait)  # noqa: S311 - spreads load
            if not refused.again or attempt == patience.retries or time.monotonic() + pause >= ends:
                break
        else:
            asked, said = _usage_of(reply, body, text)
            ledger_of_this_run().replied(booking, limits, prompt_tokens=asked, completion_tokens=said)
            return text
        await asyncio.sleep(pause)
        wait *= 2
    spoken = f" after {tries} attempts" if tries > 1 else ""
    raise JudgeError(f"{server.spoken} gave no reply{spoken}: {why}")


async def _booking(server: Server, body: Mapping[str, Any], limits: Limits, ends: float) -> Booking:
    """A booking, once the limits leave room for the request.

    Raises:
        JudgeError: when that takes until the deadline.
    """
    while True:
        found = ledger_of_this_run().book(
            server.account or f"{server.model} at {server.base_url}",
            limits,
            prompt_tokens=_estimate(body),
            completion_tokens=body["max_tokens"],
        )
        if isinstance(found, Booking):
            return found
        if time.monotonic() + min(found, LOOK_AGAIN) >= ends:
            raise JudgeError(
                f"{server.spoken} was not asked: requests_per_minute or tokens_per_minute leave no room before the "
                "deadline; raise the limit, or let fewer completions be judged in a step"
            )
        await asyncio.sleep(min(found, LOOK_AGAIN))


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Threads that wait for replies. asyncio's own few would queue a step's questions behind one another."""
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="lydite-judge")


_replies: OrderedDict[str, str] = OrderedDict()
_gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, int], asyncio.Semaphore]] = (
    weakref.WeakKeyDictionary()
)


def _gate(server: Server, at_once: int) -> asyncio.Semaphore:
    """The semaphore of this server in this event loop."""
    there = _gates.setdefault(asyncio.get_running_loop(), {})
    return there.setdefault((f"{server.model} at {server.base_url}", at_once), asyncio.Semaphore(at_once))


def _text_of(reply: Any) -> str:
    """The content of the first choice.

    Raises:
        Refused: when the reply has none.
    """
    try:
        content = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        why = f"the reply holds no choices[0].message.content: {str(reply)[:120]}"
        raise Refused(why, again=True, served=True) from None
    if not isinstance(content, str):
        raise Refused(f"the reply's content is {type(content).__name__}, not text", again=True, served=True)
    return content


def _usage_of(reply: Any, body: Mapping[str, Any], text: str) -> tuple[int, int]:
    """Tokens of question and reply as the server counts them, estimated where it does not."""
    usage = reply.get("usage")
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    asked, said = (one if isinstance(one, int) and not isinstance(one, bool) and one >= 0 else None for one in counts)
    return (_estimate(body) if asked is None else asked, _tokens(text) if said is None else said)


def _estimate(body: Mapping[str, Any]) -> int:
    """Tokens of the messages, rather too many than too few."""
    return sum(_tokens(one["content"]) + 8 for one in body["messages"])


def _tokens(text: str) -> int:
    return -(-len(text.encode(errors="surrogatepass")) // BYTES_A_TOKEN)
