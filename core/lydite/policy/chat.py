"""From a sample to the text that the model reads: its chat template, or plain paragraphs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from lydite.errors import ModelError
from lydite.types import Message, Prompt, Sample

PROBE: Final = "touchstone"
"""An ordinary word that no template contains."""
_CALLING: Final = (
    "You can call tools. To call one, reply with this and nothing behind it, and its result comes back to you:\n"
    '<tool_call>\n{"name": "the tool", "arguments": {"an argument": "its value"}}\n</tool_call>\nThe tools are:\n'
)


class Chat:
    """A tokenizer with its chat template: from messages to tokens, and from tokens to text."""

    def __init__(self, tokenizer: Any, *, shown: Collection[str] = ()) -> None:
        """Special tokens are left out of a text, except for those that `shown` names."""
        vocabulary = tokenizer.get_vocab()
        self._tokenizer = tokenizer
        self._left_out = _special_ids(tokenizer) - {vocabulary.get(one) for one in shown}
        self.has_template = bool(tokenizer.chat_template)
        self.has_system_role = self.has_template and self._shows_system()

    def prompt(
        self,
        sample: Sample,
        *,
        instructions: str,
        system: str | None,
        opening: Sequence[Message] = (),
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Prompt:
        """The sample as the model reads it, and its tokens.

        `system`, the sample's own system message and the format's `instructions` become one system message, or
        where the template knows no system role the first paragraphs of the first user message. `opening` comes
        behind the sample's own messages. `tools`, JSON schemas, are shown as the template shows tools; where it
        knows none, they and how to call them are part of the system message.

        Raises:
            ModelError: when the template refuses the conversation.
        """
        given: list[Message] = (
            [{"role": "user", "content": sample.prompt}] if isinstance(sample.prompt, str) else list(sample.prompt)
        )
        given += opening
        own = [one["content"] for one in given if one["role"] == "system"]
        turns = [one for one in given if one["role"] != "system"]
        shown = bool(tools) and self._shows_tools(tools)
        listed = _CALLING + "\n".join(map(json.dumps, tools)) if tools and not shown else ""
        preface = "\n\n".join(part.strip() for part in (system or "", *own, listed, instructions) if part.strip())
        if not self.has_template:
            text = "\n\n".join(part for part in (preface, *(one["content"] for one in turns)) if part)
            return Prompt(sample, text, tuple(self._tokenizer(text).input_ids), tuple(opening))
        messages = _with_preface(turns, preface, as_system=self.has_system_role)
        text = self._render(sample, messages, tools if shown else ())
        # The template writes its own start token, so the tokenizer must not add another.
        token_ids = tuple(self._tokenizer(text, add_special_tokens=False).input_ids)
        return Prompt(sample, text, token_ids, tuple(opening))

    def text(self, token_ids: Sequence[int]) -> tuple[str, str]:
        """The text of tokens without special ones, and with them."""
        shown = [one for one in token_ids if one not in self._left_out]
        raw: str = self._tokenizer.decode(list(token_ids), skip_special_tokens=False)
        if len(shown) == len(token_ids):
            return raw, raw
        text: str = self._tokenizer.decode(shown, skip_special_tokens=False)
        return text, raw

    def end_of_turn(self) -> int | None:
        """The special token that the template puts behind an answer, or None."""
        if not self.has_template:
            return None
        try:
            text = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": "a"}, {"role": "assistant", "content": PROBE}], tokenize=False
            )
        except Exception:  # noqa: BLE001 - a template is a program of its own; what it raises is not to be foreseen
            return None
        behind = text.rpartition(PROBE)[2].lstrip()
        ids = self._tokenizer(behind, add_special_tokens=False).input_ids if behind else []
        return ids[0] if ids and ids[0] in _special_ids(self._tokenizer) else None

    def _render(self, sample: Sample, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> str:
        unfinished = bool(messages) and messages[-1]["role"] == "assistant"
        try:
            text: str = self._tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=not unfinished,
                continue_final_message=unfinished,
            )
        except Exception as error:
            if len(fewer := alternating(messages)) < len(messages):
                return self._render(sample, fewer, tools)
            roles = ", ".join(one["role"] for one in messages)
            raise ModelError(
                f"the model's chat template refuses sample {sample.id!r} (roles: {roles}): {error}"
            ) from error
        return text

    def _shows_system(self) -> bool:
        try:
            text = self._tokenizer.apply_chat_template(
                [{"role": "system", "content": PROBE}, {"role": "user", "content": "a"}], tokenize=False
            )
        except Exception:  # noqa: BLE001 - this is how a template says that it has no system role
            return False
        return PROBE in text

    def _shows_tools(self, tools: Sequence[Mapping[str, Any]]) -> bool:
        try:
            text = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": "a"}], tools=list(tools), tokenize=False, add_generation_prompt=True
            )
        except Exception:  # noqa: BLE001 - a template that takes no tools may say so in its own way
            return False
        return all(_named(tool) in text for tool in tools)


def _named(tool: Mapping[str, Any]) -> str:
    return str(tool.get("function", {}).get("name", ""))


def _special_ids(tokenizer: Any) -> set[int]:
    """Ids of every token that is a mark and no text."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)


def alternating(messages: Sequence[Message]) -> list[Message]:
    """Messages of one role behind each other as one, for templates that want the speakers to take turns."""
    found: list[Message] = []
    for one in messages:
        if found and found[-1]["role"] == one["role"]:
            found[-1] = {"role": one["role"], "content": f"{found[-1]['content']}\n\n{one['content']}"}
        else:
            found.append(one)
    return found


def _with_preface(turns: Sequence[Message], preface: str, *, as_system: bool) -> list[Message]:
    if not preface:
        return list(turns)
    if as_system:
        return [{"role": "system", "content": preface}, *turns]
    if turns and turns[0]["role"] == "user":
        first: Message = {"role": "user", "content": f"{preface}\n\n{turns[0]['content']}"}
        return [first, *turns[1:]]
    return [{"role": "user", "content": preface}, *turns]
