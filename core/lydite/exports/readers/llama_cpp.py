"""A GGUF file opened by llama.cpp itself, through the package xllamacpp."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from lydite.errors import ExportError
from lydite.exports.readers.answer import Answer
from lydite.types import Message

PACKAGE = "xllamacpp"
_QUIET = -1
_FORCED: Final = 1000.0  # added to a logit, so that the token is the likeliest
_SAME: Final = 1e-3  # nats: what reading one prompt as text and as tokens may differ by
_SAME_IN_PIECES: Final = 1e-2  # the same where layers look through a window, and prompts are read in other pieces
_UNTOUCHED = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0}


def has_llama_cpp() -> bool:
    """True when llama.cpp is installed as the package that is used here."""
    return importlib.util.find_spec(PACKAGE) is not None


class LlamaCppReader:
    """llama.cpp's own server, in this process and on no port that anybody is told of."""

    def __init__(self, file: Path, longest: int) -> None:
        """Opens the file; `longest` is the most tokens that a prompt and its answer have.

        Raises:
            ExportError: when llama.cpp refuses the file.
        """
        import xllamacpp

        self.name = f"llama.cpp (xllamacpp {metadata.version(PACKAGE)})"
        settings = xllamacpp.CommonParams()
        settings.model.path = str(file)
        settings.n_ctx = longest + 8
        settings.n_parallel = 1
        settings.verbosity = _QUIET
        settings.warmup = False
        settings.fit_params = False
        settings.ui = False
        try:
            self._server: Any = xllamacpp.Server(settings)
        except Exception as error:
            raise ExportError(f"llama.cpp cannot load {file.name}: {error}") from error
        self._template, start, end, architecture = _fields(
            file, "tokenizer.chat_template", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
            "general.architecture",
        )  # fmt: skip
        (window,) = _fields(file, f"{architecture}.attention.sliding_window")
        self._same = _SAME_IN_PIECES if window else _SAME
        self._start: int | None = start
        self._end: int = 0 if end is None else end

    def chat_template(self) -> str | None:
        """See `Reader.chat_template`."""
        template: str | None = self._template
        return template

    def reads(self, text: str, token_ids: Sequence[int]) -> bool:
        """Whether llama.cpp makes these tokens of the text, behind the start token where it adds that by itself."""
        told = self._mark(text)
        return told.is_near(self._mark(list(token_ids)), self._same) or (
            self._start is not None and told.is_near(self._mark([self._start, *token_ids]), self._same)
        )

    def renders(self, messages: Sequence[Message], token_ids: Sequence[int]) -> bool:
        """See `Reader.renders`; the template is run by llama.cpp itself."""
        reply = self._server.handle_chat_completions({"messages": list(messages), **self._marking()})
        return _mark_of(reply).is_near(self._mark(list(token_ids)), self._same)

    def ends_at(self, token_id: int) -> bool:
        """See `Reader.ends_at`: the token is made the likeliest, and llama.cpp goes on or not."""
        forced = {**_UNTOUCHED, "prompt": [token_id], "max_tokens": 2, "logit_bias": [[token_id, _FORCED]]}
        return bool(_checked(self._server.handle_completions(forced))["choices"][0]["finish_reason"] == "stop")

    def weights(self) -> Mapping[str, Tensor] | None:
        """None: llama.cpp shows none."""
        return None

    def answers(self, prompts: Sequence[Sequence[int]], limit: int, stops: Collection[int]) -> list[Answer]:
        """See `Reader.answers`."""
        return [self._answer(list(prompt), limit, stops) for prompt in prompts]

    def close(self) -> None:
        """See `Reader.close`."""
        del self._server

    def _answer(self, prompt: list[int], limit: int, stops: Collection[int]) -> Answer:
        """The answer up to the first token that ended an answer in training; llama.cpp may know others.

        Tokens that are half a character are not told, and hide where they stood: then one token is asked at a time,
        up to the first of them.
        """
        reply = self._ask(prompt, limit)
        told = _told(reply)
        if len(told) == int(reply["usage"]["completion_tokens"]):
            return _until(told, stops, cut=False)
        told = []
        while len(told) < limit and not (told and told[-1][0] in stops):
            more = _told(self._ask([*prompt, *(token for token, _ in told)], 1, again=True))
            if not more:
                return _until(told, stops, cut=True)
            told += more
        return _until(told, stops, cut=False)

    def _ask(self, prompt: list[int], limit: int, *, again: bool = False) -> Any:
        """The reply to a prompt; `again` spares llama.cpp what it has just read of it."""
        asked = {"prompt": prompt, "max_tokens": limit, "logprobs": 1, "ignore_eos": False, "cache_prompt": again}
        return _checked(self._server.handle_completions({**_UNTOUCHED, **asked}))

    def _mark(self, prompt: str | list[int]) -> _Mark:
        return _mark_of(self._server.handle_completions({**self._marking(), "prompt": prompt, "logprobs": 1}))

    def _marking(self) -> dict[str, Any]:
        """What is asked to tell two prompts apart: how likely the end token is behind them.

        llama.cpp does not say what tokens it reads, and hides answers of half a character; an end token it tells.
        """
        forced = [[self._end, _FORCED]]
        return {**_UNTOUCHED, "max_tokens": 1, "logprobs": True, "cache_prompt": False, "logit_bias": forced}


def _fields(file: Path, *names: str) -> list[Any]:
    """Metadata of a file; None for what it does not say."""
    import gguf

    reader = gguf.GGUFReader(file)
    return [None if (field := reader.get_field(name)) is None else field.contents() for name in names]


@dataclass(frozen=True, slots=True)
class _Mark:
    """How many tokens a prompt has, and the log-probability of one and the same token behind it."""

    tokens: int
    logp: float | None

    def is_near(self, other: _Mark, nats: float) -> bool:
        """Whether the two are of one prompt: as many tokens, and log-probabilities no further apart than `nats`."""
        if self.tokens != other.tokens:
            return False
        if self.logp is None or other.logp is None:
            return self.logp is other.logp
        return abs(self.logp - other.logp) <= nats


def _mark_of(reply: Any) -> _Mark:
    told = _told(_checked(reply))
    return _Mark(int(reply["usage"]["prompt_tokens"]), told[0][1] if told else None)


def _checked(reply: Any) -> Any:
    if "choices" not in reply:
        raise ExportError(f"llama.cpp gives no answer: {reply}")
    return reply


def _told(reply: Any) -> list[tuple[int, float]]:
    """The tokens of a reply with their log-probabilities."""
    said = (reply["choices"][0].get("logprobs") or {}).get("content") or []
    return [(int(one["id"]), float(one["logprob"])) for one in said]


def _until(told: Sequence[tuple[int, float]], stops: Collection[int], *, cut: bool) -> Answer:
    ends = next((place for place, (token, _) in enumerate(told, 1) if token in stops), len(told))
    return Answer(tuple(token for token, _ in told[:ends]), tuple(logp for _, logp in told[:ends]), cut)
