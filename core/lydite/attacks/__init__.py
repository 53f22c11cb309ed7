"""Texts that no verifier may be taken in by, made from a prompt and its gold answer.

The same matrix serves the kit for authors (`lydite.testing`) and the probes of a run. Nothing in here imports torch.
"""

from lydite.attacks.forms import FORMS, PLAIN, AnswerForm, Located, form_of_format, locate
from lydite.attacks.matrix import ATTACK_NAMES, Attack, attacks_on

__all__ = [
    "ATTACK_NAMES",
    "FORMS",
    "PLAIN",
    "AnswerForm",
    "Attack",
    "Located",
    "attacks_on",
    "form_of_format",
    "locate",
]
