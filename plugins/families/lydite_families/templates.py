"""Chat templates for base models whose tokenizer has none, in the marks that each family documents.

A family's versions differ in their marks and share a model type; the tokenizer's own start or end token, which
every template is given, tells them apart.
"""

from __future__ import annotations

from typing import Final

CHATML: Final = """\
{%- for message in messages %}
{{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content | trim ~ '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

_LLAMA3: Final = """\
{{- bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' ~ message.content | trim ~ '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

# No system role: lydite puts a system text in front of the first user message where a template shows none.
MISTRAL: Final = """\
{{- bos_token if bos_token is defined and bos_token else '' }}
{%- for message in messages %}
{%- if message.role == 'user' %}{{ '[INST] ' ~ message.content | trim ~ ' [/INST]' }}
{%- elif message.role == 'assistant' %}{{ ' ' ~ message.content | trim ~ eos_token }}
{%- endif %}
{%- endfor %}"""

LLAMA: Final = (
    "{%- if bos_token is defined and bos_token == '<|begin_of_text|>' %}"
    f"{_LLAMA3}"
    "{%- elif bos_token is defined and bos_token == '<s>' %}"
    f"{MISTRAL}"
    "{%- else %}"
    f"{CHATML}"
    "{%- endif %}"
)

PHI: Final = """\
{%- set phi4 = eos_token == '<|im_end|>' %}
{%- for message in messages %}
{%- if phi4 %}{{ '<|im_start|>' ~ message.role ~ '<|im_sep|>' ~ message.content | trim ~ '<|im_end|>' }}
{%- else %}{{ '<|' ~ message.role ~ '|>\\n' ~ message.content | trim ~ '<|end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant<|im_sep|>' if phi4 else '<|assistant|>\\n' }}
{%- endif %}"""

# No system role, like Mistral's.
GEMMA: Final = """\
{{- bos_token if bos_token is defined and bos_token else '' }}
{%- for message in messages %}
{%- if message.role in ('user', 'assistant') %}
{{- '<start_of_turn>' ~ ('model' if message.role == 'assistant' else 'user') ~ '\\n' }}
{{- message.content | trim ~ '<end_of_turn>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""
