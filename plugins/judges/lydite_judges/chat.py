"""A judge behind the chat protocol that OpenAI's API, vLLM, llama.cpp, Ollama and others speak."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from lydite import LyditeError, Message
from lydite_judges.http import Refused, post

FIRST_WAIT: Final = 0.5
"""Seconds before the second attempt; each further wait is twice as long."""


AT_ONCE: Final = 64
"""Requests that one process has open."""


class JudgeError(LyditeError, RuntimeError):
    """The judge gave no opinion: it cannot be reached, refuses, or replies with something else than text."""


def _web_address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("an address starts with http:// or https://")
    return url.rstrip("/")


async def openai(
    messages: Sequence[Message],
    *,
    base_url: Annotated[str, AfterValidator(_web_address)],
    model: str,
    api_key_env: str | None = None,
    temperature: Annotated[float, Field(ge=0.0)] = 0.0,
    max_tokens: Annotated[int, Field(ge=1)] = 64,
    timeout: Annotated[float, Field(gt=0.0)] = 30.0,
    retries: Annotated[int, Field(ge=0, le=10)] = 2,
) -> str:
    """The text of the model's reply to these messages.

    `base_url` ends where `/chat/completions` begins, usually in `/v1`. `api_key_env` names the environment
    variable that holds the key. Each attempt has `timeout` seconds; outages, overload and broken replies are
    tried again `retries` times.

    Raises:
        JudgeError: when there is no reply. A judge that is down has no opinion.
    """
    headers = {}
    if api_key_env is not None:
        key = os.environ.get(api_key_env, "")
        if not key:
            raise JudgeError(f"the judge's key belongs in the environment variable {api_key_env}, which is not set")
        headers["Authorization"] = f"Bearer {key}"
    url = f"{base_url}/chat/completions"
    body = {
        "model": model,
        "messages": [{"role": one["role"], "content": one["content"]} for one in messages],
        "temperature": temperature,
        "max_tokens": max_tokens,
    }
    loop = asyncio.get_running_loop()
    wait = FIRST_WAIT
    for attempt in range(retries + 1):
        try:
            return _text_of(await loop.run_in_executor(_threads(), post, url, body, headers, timeout))
        except Refused as refused:
            if not refused.again or attempt == retries:
                tries = f" after {attempt + 1} attempts" if attempt else ""
                raise JudgeError(f"the judge {model!r} at {base_url} gave no reply{tries}: {refused}") from None
        await asyncio.sleep(wait)
        wait *= 2
    raise AssertionError("the last attempt returns or raises")


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Threads that wait for replies. asyncio's own few would queue a step's questions behind one another."""
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="lydite-judge")


def _text_of(reply: Any) -> str:
    """The content of the first choice.

    Raises:
        Refused: when the reply has none.
    """
    try:
        content = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise Refused(f"the reply holds no choices[0].message.content: {str(reply)[:120]}", again=True) from None
    if not isinstance(content, str):
        raise Refused(f"the reply's content is {type(content).__name__}, not text", again=True)
    return content
