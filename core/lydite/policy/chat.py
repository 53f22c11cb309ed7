"""From a sample to the text that the model reads: its chat template, or plain paragraphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lydite.errors import ModelError
from lydite.types import Message, Prompt, Sample

_PROBE: Final = "touchstone"  # an ordinary word that no template contains


class Chat:
    """A tokenizer's chat template, and what it can do."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.has_template = bool(tokenizer.chat_template)
        self.has_system_role = self.has_template and self._shows_system()

    def prompt(self, sample: Sample, *, instructions: str, system: str | None) -> Prompt:
        """The sample as the model reads it, and its tokens.

        `system`, the sample's own system message and the format's `instructions` become one system message, or
        where the template knows no system role the first paragraphs of the first user message.

        Raises:
            ModelError: when the template refuses the conversation.
        """
        given: list[Message] = (
            [{"role": "user", "content": sample.prompt}] if isinstance(sample.prompt, str) else list(sample.prompt)
        )
        own = [one["content"] for one in given if one["role"] == "system"]
        turns = [one for one in given if one["role"] != "system"]
        preface = "\n\n".join(part.strip() for part in (system or "", *own, instructions) if part.strip())
        if not self.has_template:
            text = "\n\n".join(part for part in (preface, *(one["content"] for one in turns)) if part)
            return Prompt(sample, text, tuple(self._tokenizer(text).input_ids))
        text = self._render(sample, _with_preface(turns, preface, as_system=self.has_system_role))
        # The template writes its own start token, so the tokenizer must not add another.
        return Prompt(sample, text, tuple(self._tokenizer(text, add_special_tokens=False).input_ids))

    def end_of_turn(self) -> int | None:
        """The special token that the template puts behind an answer, or None."""
        if not self.has_template:
            return None
        try:
            text = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": "a"}, {"role": "assistant", "content": _PROBE}], tokenize=False
            )
        except Exception:  # noqa: BLE001 - a template is a program of its own; what it raises is not to be foreseen
            return None
        behind = text.rpartition(_PROBE)[2].lstrip()
        ids = self._tokenizer(behind, add_special_tokens=False).input_ids if behind else []
        return ids[0] if ids and ids[0] in special_ids(self._tokenizer) else None

    def _render(self, sample: Sample, messages: Sequence[Message]) -> str:
        unfinished = bool(messages) and messages[-1]["role"] == "assistant"
        try:
            text: str = self._tokenizer.apply_chat_template(
                list(messages),
                tokenize=False,
                add_generation_prompt=not unfinished,
                continue_final_message=unfinished,
            )
        except Exception as error:
            roles = ", ".join(one["role"] for one in messages)
            raise ModelError(
                f"the model's chat template refuses sample {sample.id!r} (roles: {roles}): {error}"
            ) from error
        return text

    def _shows_system(self) -> bool:
        try:
            text = self._tokenizer.apply_chat_template(
                [{"role": "system", "content": _PROBE}, {"role": "user", "content": "a"}], tokenize=False
            )
        except Exception:  # noqa: BLE001 - this is how a template says that it has no system role
            return False
        return _PROBE in text


def special_ids(tokenizer: Any) -> set[int]:
    """Ids of every token that is a mark and no text."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)


def _with_preface(turns: Sequence[Message], preface: str, *, as_system: bool) -> list[Message]:
    if not preface:
        return list(turns)
    if as_system:
        return [{"role": "system", "content": preface}, *turns]
    if turns and turns[0]["role"] == "user":
        first: Message = {"role": "user", "content": f"{preface}\n\n{turns[0]['content']}"}
        return [first, *turns[1:]]
    return [{"role": "user", "content": preface}, *turns]
