"""A GGUF file opened by llama.cpp itself, through the package xllamacpp."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from lydite.errors import ExportError
from lydite.exports.readers.answer import Answer

PACKAGE = "xllamacpp"
_QUIET = -1
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
        self._file = file
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

    def chat_template(self) -> str | None:
        """See `Reader.chat_template`."""
        import gguf

        field = gguf.GGUFReader(self._file).get_field("tokenizer.chat_template")
        return None if field is None else str(field.contents())

    def reads(self, text: str, token_ids: Sequence[int]) -> bool:
        """Whether llama.cpp makes as many tokens of the text, or one more: the start token, which it adds by itself."""
        made = int(self._ask(text, 1)["usage"]["prompt_tokens"])
        return made - len(token_ids) in (0, 1)

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
            more = _told(self._ask([*prompt, *(token for token, _ in told)], 1))
            if not more:
                return _until(told, stops, cut=True)
            told += more
        return _until(told, stops, cut=False)

    def _ask(self, prompt: str | list[int], limit: int) -> Any:
        reply = self._server.handle_completions(
            {
                **_UNTOUCHED,
                "prompt": prompt,
                "max_tokens": limit,
                "logprobs": 1,
                "ignore_eos": False,
                "cache_prompt": False,
            }
        )
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
