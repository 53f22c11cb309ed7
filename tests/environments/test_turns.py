"""What is written between two turns, by the chat templates that models have."""

from __future__ import annotations

from typing import Any

import pytest
from support.tiny_model import CHATML, END, make_tiny_tokenizer

import lydite_families.templates
from lydite import Sample
from lydite.errors import ModelError
from lydite.policy.chat import Chat
from lydite.policy.turns import Turns

TOOL = {"type": "function", "function": {"name": "look_up", "description": "Looks up.", "parameters": {}}}
NO_TOOL_ROLE = (
    "{% for message in messages %}{% if message['role'] not in ('user', 'assistant') %}"
    "{{ raise_exception('no such role') }}{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SILENT_ON_TOOLS = NO_TOOL_ROLE.replace("{{ raise_exception('no such role') }}{% endif %}", "{% else %}").replace(
    "<|im_end|>\n{% endfor %}", "<|im_end|>\n{% endif %}{% endfor %}"
)
TOOLS_IN_THE_SYSTEM_TURN = (
    "{% if tools %}<|im_start|>system\nTools: {{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'tool' %}<|im_start|>user\n<tool_response>\n"
    "{{ message['content'] }}\n</tool_response><|im_end|>\n{% else %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As Qwen3 does it: the last answer alone gets an empty thought.
THINKS_LAST = CHATML.replace(
    "{{ message['role'] }}\n",
    "{{ message['role'] }}\n{% if loop.last and message['role'] == 'assistant' %}<think></think>{% endif %}",
)
# The newest message first: what stands behind a turn is what was said before it.
BACKWARDS = CHATML.replace("in messages %}", "in messages | reverse %}")
# As Gemma and Mistral do it: a user and an assistant take turns, and nobody else speaks.
ALTERNATES = NO_TOOL_ROLE.replace(
    "('user', 'assistant') %}", "('user', 'assistant') or (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
)
# As Qwen3 does it: thoughts of earlier turns are dropped, tools answer within one turn of a user, and a thought is
# begun, or forbidden, at the end.
DROPS_THOUGHTS = (
    "{% set last = namespace(user=-1) %}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{% set last.user = loop.index0 %}{% endif %}{% endfor %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'tool' %}"
    "{% if loop.first or messages[loop.index0 - 1]['role'] != 'tool' %}<|im_start|>user{% endif %}"
    "{{ '\n' }}<tool_response>\n{{ message['content'] }}\n</tool_response>"
    "{% if loop.last or messages[loop.index0 + 1]['role'] != 'tool' %}<|im_end|>\n{% endif %}"
    "{% else %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' and loop.index0 > last.user and '</think>' not in message['content'] %}"
    "<think>\n\n</think>\n\n{{ message['content'] }}"
    "{% elif loop.index0 > last.user %}{{ message['content'] }}"
    "{% else %}{{ message['content'].split('</think>')[-1].lstrip('\n') }}{% endif %}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\nBEGUN{% endif %}"
)
COUNTS = CHATML.replace("<|im_start|>{{", "<|im_start|>{{ loop.index }} {{", 1)


def between(template: str, role: str, last: str = END) -> str:
    tokenizer = make_tiny_tokenizer(chat_template=template)
    token = tokenizer(last, add_special_tokens=False).input_ids[-1]
    return str(tokenizer.decode(list(Turns(tokenizer).between([{"role": role, "content": "touchstone 5"}], token))))


@pytest.mark.parametrize(
    ("template", "role", "written"),
    [
        (CHATML, "tool", "<|im_start|>tool\ntouchstone 5<|im_end|>"),
        (CHATML, "user", "<|im_start|>user\ntouchstone 5<|im_end|>"),
        (NO_TOOL_ROLE, "tool", "<|im_start|>user\ntouchstone 5<|im_end|>"),
        (SILENT_ON_TOOLS, "tool", "<|im_start|>user\ntouchstone 5<|im_end|>"),
        (
            TOOLS_IN_THE_SYSTEM_TURN,
            "tool",
            "<|im_start|>user\n<tool_response>\ntouchstone 5\n</tool_response><|im_end|>",
        ),
        (THINKS_LAST, "user", "<|im_start|>user\ntouchstone 5<|im_end|>"),
    ],
)
def test_messages_are_written_by_the_template_up_to_the_next_turn(template: str, role: str, written: str) -> None:
    assert between(template, role) == f"\n{written}\n<|im_start|>assistant\n"
    assert between(template, role, last="x") == f"<|im_end|>\n{written}\n<|im_start|>assistant\n"


@pytest.mark.parametrize("family", ["CHATML", "LLAMA", "MISTRAL", "PHI", "GEMMA"])
@pytest.mark.parametrize("role", ["user", "tool"])
def test_the_families_templates_can_be_continued(family: str, role: str) -> None:
    written = between(getattr(lydite_families.templates, family), role)
    assert written.count("touchstone 5") == 1
    assert written.index("touchstone 5") < len(written) - len("touchstone 5")  # the next turn is begun


@pytest.mark.parametrize("begun", ["", "<think>\n", "<think>\n\n</think>\n\n"])
def test_what_the_model_thought_stays_where_a_template_would_drop_it(begun: str) -> None:
    tokenizer = make_tiny_tokenizer(chat_template=DROPS_THOUGHTS.replace("BEGUN", begun))
    said = "<think>\nhm\n</think>\n\ncall"
    conversation: Any = [{"role": "user", "content": "?"}, {"role": "assistant", "content": said}]
    results: Any = [{"role": "tool", "content": one} for one in ("a", "b")]
    question: Any = [{"role": "user", "content": "and?"}]
    # The template itself drops the thought once there is another question: it would rewrite what was sampled.
    assert "hm" not in tokenizer.apply_chat_template([*conversation, *question], tokenize=False)

    turns = Turns(tokenizer)
    end = tokenizer(END, add_special_tokens=False).input_ids
    prompt = Chat(tokenizer).prompt(Sample("s", "?"), instructions="", system=None).token_ids
    sampled = tokenizer(said, add_special_tokens=False).input_ids + end
    for messages, written in (
        (results, "user\n<tool_response>\na\n</tool_response>\n<tool_response>\nb\n</tool_response>"),
        (question, "user\nand?"),
        (
            [*results, *question],
            "user\n<tool_response>\na\n</tool_response>\n<tool_response>\nb\n</tool_response>"
            "<|im_end|>\n<|im_start|>user\nand?",
        ),
    ):
        ids = [*prompt, *sampled, *turns.between(messages, sampled[-1])]
        assert tokenizer.decode(ids) == (
            f"<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n{begun}{said}<|im_end|>\n"
            f"<|im_start|>{written}<|im_end|>\n<|im_start|>assistant\n{begun}"
        )


def test_where_speakers_take_turns_several_messages_are_one() -> None:
    tokenizer = make_tiny_tokenizer(chat_template=ALTERNATES)
    results: Any = [
        {"role": "tool", "content": "a"},
        {"role": "tool", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    ids = Turns(tokenizer).between(results, tokenizer(END, add_special_tokens=False).input_ids[-1])
    assert tokenizer.decode(list(ids)) == "\n<|im_start|>user\na\n\nb\n\nc<|im_end|>\n<|im_start|>assistant\n"
    chat, opening = Chat(tokenizer), results[2:]
    opened = chat.prompt(Sample("s", "Who?"), instructions="", system=None, opening=opening)
    assert opened.text == "<|im_start|>user\nWho?\n\nc<|im_end|>\n<|im_start|>assistant\n"
    with pytest.raises(ModelError, match=r"refuses sample 's' \(roles: assistant, user\)"):
        chat.prompt(Sample("s", ({"role": "assistant", "content": "I"}, *opening)), instructions="", system=None)


@pytest.mark.parametrize("template", [BACKWARDS, COUNTS])
def test_a_template_that_does_not_write_front_to_back_is_refused(template: str) -> None:
    with pytest.raises(ModelError, match="one behind another"):
        Turns(make_tiny_tokenizer(chat_template=template))


def test_a_model_without_a_template_is_refused() -> None:
    with pytest.raises(ModelError, match="has none; take a model"):
        Turns(make_tiny_tokenizer(chat_template=None))


@pytest.mark.parametrize("template", [TOOLS_IN_THE_SYSTEM_TURN, CHATML])
def test_tools_are_in_the_prompt_by_the_template_or_else_in_words(template: str) -> None:
    chat = Chat(make_tiny_tokenizer(chat_template=template))
    sample = Sample("s", "Who?")
    opening: Any = [{"role": "user", "content": "Now."}]
    with_tools = chat.prompt(sample, instructions="", system=None, tools=[TOOL], opening=opening)
    assert "look_up" in with_tools.text
    assert ("<tool_call>" in with_tools.text) is (template == CHATML)
    assert with_tools.text.endswith("Who?<|im_end|>\n<|im_start|>user\nNow.<|im_end|>\n<|im_start|>assistant\n")
    assert with_tools.opening == tuple(opening)
    assert "look_up" not in chat.prompt(sample, instructions="", system=None).text
