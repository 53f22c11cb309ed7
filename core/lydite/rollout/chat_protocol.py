"""The part of OpenAI's chat-completions protocol that an engine of lydite can answer, as data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from lydite.errors import LyditeError
from lydite.suggest import did_you_mean
from lydite.types import Message

BASE: Final = "base"
"""The model as it was before training."""
POLICY: Final = "policy"
"""The model with all that it has learned so far."""
MODELS: Final = (BASE, POLICY)

LARGEST: Final = 1_000_000
"""Bytes of a request; a question with a long answer in it takes a hundredth."""
MOST_MESSAGES: Final = 64
MOST_TOKENS: Final = 1024
"""Tokens of a reply. A judge's is short, and the run waits for it."""


class Refusal(LyditeError, ValueError):  # noqa: N818 - an answer of the server, not a mistake of the program
    """A request that gets an error instead of a reply; carries the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


_LIMIT: Final = AliasChoices("max_tokens", "max_completion_tokens")
"""The protocol's old and new name."""


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds half of a surrogate pair, which no tokenizer reads") from None
    return text


_Text: TypeAlias = Annotated[str, AfterValidator(_encodable)]


class _Part(BaseModel):
    """A piece of a message's content; only text is understood."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    type: Literal["text"]
    text: _Text


class _Turn(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: _Text | list[_Part]

    def message(self) -> Message:
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message(role=self.role, content=content)


class ChatRequest(BaseModel):
    """What is asked. Fields that would be ignored are refused, so that nobody relies on them."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    model: Literal["base", "policy"]
    messages: Annotated[list[_Turn], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS, validation_alias=_LIMIT)] = 64
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """0 takes the likeliest token each time."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    seed: int = 0
    """Decides what a temperature above 0 draws; the same request with the same seed has the same reply."""
    n: Literal[1] = 1
    stream: Literal[False] = False

    def conversation(self) -> tuple[Message, ...]:
        """The messages, each with its content as one text."""
        return tuple(turn.message() for turn in self.messages)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What the model said."""

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int


def read_request(body: bytes) -> ChatRequest:
    """The request that a body of JSON holds.

    Raises:
        Refusal: with 404 for a model that is not served, with 400 for whatever else is wrong.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the request is not JSON: {str(error)[:200]}") from None
    if not isinstance(content, dict):
        raise Refusal(400, f"a request is a JSON object, got {type(content).__name__}")
    model = content.get("model")
    if isinstance(model, str) and model not in MODELS:
        raise Refusal(404, f"no model {model[:80]!r} here, only {', '.join(MODELS)}{did_you_mean(model[:80], MODELS)}")
    try:
        return ChatRequest.model_validate(content)
    except ValidationError as error:
        problems = [_told(one["loc"], one["msg"]) for one in error.errors(include_url=False, include_input=False)[:3]]
        raise Refusal(400, "; ".join(problems)) from None


def reply_body(request: ChatRequest, reply: ChatReply, *, number: int, created: int) -> dict[str, Any]:
    """The reply as the protocol writes it; `created` in seconds since 1970."""
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": created,
        "model": request.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": reply.text},
                "finish_reason": reply.finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        },
    }


def models_body() -> dict[str, Any]:
    """The models that can be asked for."""
    return {"object": "list", "data": [{"id": one, "object": "model", "owned_by": "lydite"} for one in MODELS]}


def error_body(status: int, message: str) -> dict[str, Any]:
    """An error as the protocol writes it."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "code": status}}


def _told(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(str(one) for one in place)}: {message}"
