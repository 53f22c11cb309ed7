"""A rubric made with verifiers itself, its functions under names of their own."""

from typing import Any

import verifiers as vf

parser = vf.XMLParser(["think", "answer"], answer_field="answer")


def correct(completion: Any, answer: str, parser: vf.Parser) -> float:
    return float(parser.parse_answer(completion) == answer)


def half_length(completion: Any, state: vf.State) -> float:
    return len(completion) / 2


rubric = vf.Rubric(funcs=[correct, half_length], weights=[1.0, 0.1], parser=parser)
format_reward = parser.get_format_reward_func()
