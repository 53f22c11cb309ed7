"""A judge behind the chat protocol that OpenAI's API, vLLM, llama.cpp, Ollama and others speak."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from lydite import Message
from lydite_judges.asking import Patience, Server, ask
from lydite_judges.errors import JudgeError
from lydite_judges.limits import Limits

OURS: Final = ("model", "messages", "max_tokens", "temperature", "stream", "n")
"""Fields of a request that have options of their own, or that a judge needs as they are."""


def _web_address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("an address starts with http:// or https://")
    return url.rstrip("/")


def _not_ours(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in fields:
        if name in OURS:
            raise ValueError(f"{name!r} cannot be set here")
    return fields


async def openai(
    messages: Sequence[Message],
    *,
    base_url: Annotated[str, AfterValidator(_web_address)],
    model: str,
    api_key_env: str | None = None,
    temperature: Annotated[float, Field(ge=0.0)] = 0.0,
    max_tokens: Annotated[int, Field(ge=1)] = 64,
    extra_body: Annotated[dict[str, Any], AfterValidator(_not_ours)] = {},  # noqa: B006 - never changed
    timeout: Annotated[float, Field(gt=0.0)] = 30.0,
    retries: Annotated[int, Field(ge=0, le=10)] = 2,
    deadline: Annotated[float, Field(gt=0.0)] = 100.0,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    cache: Annotated[int, Field(ge=0)] = 1024,
) -> str:
    """The text of the model's reply to these messages.

    `base_url` ends where `/chat/completions` begins, usually in `/v1`. `api_key_env` names the environment
    variable that holds the key. Each attempt has `timeout` seconds; outages, overload and broken replies are
    tried again `retries` times, all of it within `deadline` seconds. At temperature 0 the last `cache` replies
    are remembered.

    Raises:
        BudgetSpent: when `limits.max_cost` leaves no room for the question.
        JudgeError: when there is no reply. A judge that is down has no opinion.
    """
    headers = {}
    if api_key_env is not None:
        key = os.environ.get(api_key_env, "")
        if not key:
            raise JudgeError(f"the judge's key belongs in the environment variable {api_key_env}, which is not set")
        headers["Authorization"] = f"Bearer {key}"
    return await ask(
        Server(base_url, model, headers),
        messages,
        {**extra_body, "temperature": temperature},
        max_tokens=max_tokens,
        patience=Patience(timeout, retries, deadline),
        limits=limits,
        cache=cache if temperature == 0 else 0,
    )
