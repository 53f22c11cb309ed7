"""The judge that is the run's own model: asked through the server that the trainer opens for its workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field

from lydite import Message
from lydite_judges.asking import Patience, Server, ask
from lydite_judges.errors import JudgeError
from lydite_judges.limits import Limits

URL_VARIABLE: Final = "LYDITE_ENGINE_URL"
TOKEN_VARIABLE: Final = "LYDITE_ENGINE_TOKEN"  # noqa: S105 - a variable's name


async def engine(
    messages: Sequence[Message],
    *,
    adapter: bool = False,
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0,
    max_tokens: Annotated[int, Field(ge=1, le=1024)] = 64,
    timeout: Annotated[float, Field(gt=0.0)] = 60.0,
    retries: Annotated[int, Field(ge=0, le=10)] = 1,
    deadline: Annotated[float, Field(gt=0.0)] = 100.0,
    cache: Annotated[int, Field(ge=0)] = 1024,
) -> str:
    """The reply of the run's own model, as it was before training; with `adapter`, as it is now.

    Raises:
        JudgeError: outside a run, and when there is no reply.
    """
    url, token = os.environ.get(URL_VARIABLE), os.environ.get(TOKEN_VARIABLE)
    if not url or not token:
        raise JudgeError(
            "the judge 'engine' is the model of the run that asks it, and no run is going on here; "
            "outside a run take the judge 'openai'"
        )
    model = "policy" if adapter else "base"
    return await ask(
        Server(url, model, {"Authorization": f"Bearer {token}"}, account=f"{model} of this run"),
        messages,
        {"temperature": temperature},
        max_tokens=max_tokens,
        patience=Patience(timeout, retries, deadline),
        limits=Limits(),
        cache=cache if temperature == 0 and not adapter else 0,  # what is trained changes its mind
    )
