"""Tasks of reasoning-gym as data, and their scorers as a reward."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import reasoning_gym
from hypothesis import given
from hypothesis import strategies as st
from reasoning_gym.factory import DATASETS

from lydite import DataError, Sample, Status
from lydite.config import RunConfig
from lydite.contracts import spec_of
from lydite.data import load_data
from lydite.options import check_options
from lydite.plugins import load_plugins
from lydite_reasoning_gym import gym, score, tasks
from lydite_reasoning_gym.screen import EVALUATES_FORMULAS, EVALUATES_LISTS, is_fit

README = (Path(__file__).parent.parent / "README.md").read_text()
ONE_OF_EACH_KIND = ["basic_arithmetic", "countdown", "n_queens", "word_sorting", "knights_knaves", "spell_backward"]


def first(task: str, **options: Any) -> Sample:
    return next(iter(tasks(task=task, **options)))


@pytest.mark.parametrize("task", ONE_OF_EACH_KIND)
def test_entries_become_samples_that_their_own_gold_solves(task: str) -> None:
    samples = list(islice(tasks(task=task, seed=3), 5))
    assert samples == list(islice(tasks(task=task, seed=3), 5))
    assert samples != list(islice(tasks(task=task, seed=4), 5))
    assert [one.id for one in samples] == [f"{task}-{index}" for index in range(5)]
    for one in samples:
        assert isinstance(one.prompt, str)
        assert one.prompt
        verdict = score(one.reference, one.columns["task"])
        assert (verdict.score, verdict.passed, verdict.reason) == (1.0, True, "task.solved")
        assert score("no idea", one.columns["task"]).score == 0.0
        json.dumps([one.reference, one.columns])


def test_the_config_of_a_task_reaches_it_and_its_scorer() -> None:
    sample = first("chain_sum", config={"min_terms": 6, "max_terms": 6})
    assert len(re.findall(r" [+-] ", str(sample.prompt))) == 5
    assert sample.columns["task"]["config"] == {"min_terms": 6, "max_terms": 6}
    assert len(list(tasks(task="chain_sum", size=7))) == 7


def test_the_run_reads_only_as_many_entries_as_it_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    task = type(gym.make_task("chain_sum", {}))
    original = task.__getitem__

    def counted(self: Any, index: int) -> Any:
        made.append(index)
        return original(self, index)

    monkeypatch.setattr(task, "__getitem__", counted)
    config = RunConfig.model_validate(
        {
            "model": {"path": "nowhere"},
            "data": {"use": "reasoning-gym", "options": {"task": "chain_sum"}},
            "rewards": {"correct": {"use": "reasoning-gym/score"}},
            "train": {"max_steps": 4, "num_generations": 8},
        }
    )
    data = load_data(config, load_plugins(allow=["lydite-reasoning-gym"]))
    assert len(data.train) == len(made) == 4 + 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "chain_sums"}, r"no task 'chain_sums'; did you mean 'chain_sum'"),
        ({"task": "chain_sum", "config": {"min_term": 2}}, r"no setting 'min_term'; did you mean 'min_terms'"),
        ({"task": "chain_sum", "config": {"min_terms": 0}}, r"'chain_sum' refuses its config .*'min_terms': 0"),
        ({"task": "chain_sum", "config": {"seed": 1}}, r"give seed as an option"),
        ({"task": "composite"}, r"'composite' refuses its config"),
    ],
)
def test_a_wrong_task_or_setting_is_told_at_once(options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tasks(**options)


def test_options_are_checked_when_the_configuration_is_read() -> None:
    with pytest.raises(ValueError, match="needs the option 'task'"):
        check_options("data set 'reasoning-gym'", tasks, {})
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        check_options("data set 'reasoning-gym'", tasks, {"task": "ab", "size": 0})


def entry(task: str, answer: str = "1", **metadata: Any) -> dict[str, Any]:
    return {"name": task, "config": {}, "entry": {"question": "?", "answer": answer, "metadata": metadata}}


def test_an_answer_that_only_holds_the_right_one_earns_nothing_unless_asked_for() -> None:
    task = entry("basic_arithmetic", "1")
    assert (score("10", task).score, score("10", task).reason) == (0.0, "task.partial")
    assert score("10", task, partial=True).score == 0.5
    assert score(" 1\n", task).score == 1.0
    assert score("2", task, partial=True).score == 0.0


@pytest.mark.parametrize("answer", ["", "  \n"])
def test_an_empty_answer_earns_nothing(answer: str) -> None:
    verdict = score(answer, first("countdown").columns["task"], partial=True)
    assert (verdict.score, verdict.reason) == (0.0, "answer.empty")


@pytest.mark.parametrize("task", [None, "x", {}, {"name": "ab"}])
def test_a_sample_of_another_data_set_is_the_prompts_error(task: Any) -> None:
    verdict = score("1", task)
    assert (verdict.status, verdict.scope, verdict.reason) == (Status.ERROR, "prompt", "task.not_reasoning_gym")


def test_a_task_that_is_gone_is_the_prompts_error() -> None:
    verdict = score("1", entry("no_such_task"))
    assert (verdict.status, verdict.scope, verdict.reason) == (Status.ERROR, "prompt", "task.unknown")


class Scorer:
    def __init__(self, points: Any) -> None:
        self.points = points

    def score_answer(self, answer: str, entry: Any) -> Any:
        found = self.points(answer)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (lambda answer: 1.0 if answer == "1" else ValueError("cannot read"), (0.0, Status.OK, "answer.unreadable")),
        (lambda answer: ValueError("always"), (None, Status.ERROR, "scorer.broken")),
        (lambda answer: float("nan"), (None, Status.ERROR, "scorer.broken")),
        (lambda answer: 2.0, (None, Status.ERROR, "scorer.broken")),
        (lambda answer: None, (None, Status.ERROR, "scorer.broken")),
        (lambda answer: 0.3, (0.3, Status.OK, "task.partial")),
    ],
)
def test_a_scorer_that_breaks_is_the_answers_fault_only_if_the_gold_passes(
    monkeypatch: pytest.MonkeyPatch, points: Any, expected: Any
) -> None:
    monkeypatch.setattr(sys.modules["lydite_reasoning_gym.score"], "scorer", lambda name, config: Scorer(points))
    verdict = score("2", entry("basic_arithmetic"), partial=True)
    assert (verdict.score, verdict.status, verdict.reason) == expected


MARK = "lydite_was_here"
ATTACKS = [
    f"__import__('pathlib').Path('{MARK}').touch()",
    f"exec(\"open('{MARK}','w')\")",
    f"[open('{MARK}','w')]",
    "().__class__.__base__.__subclasses__()",
    "x.func.__globals__",
    "x.T",
    "1.5 .n",
    "S('1')",
    "eval(input())",
    "9**9**9**9",
    "9**(9**(9**9))",
    "2**99999",
    "1" * 5000,
    "lambda: 0",
]


@pytest.mark.parametrize("task", sorted(EVALUATES_LISTS | EVALUATES_FORMULAS))
@pytest.mark.parametrize("attack", ATTACKS)
def test_text_that_would_be_evaluated_never_reaches_a_scorer(
    task: str, attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    verdict = score(attack, first(task).columns["task"], partial=True)
    if task in EVALUATES_FORMULAS or "(" in attack or "*" in attack or len(attack) > 4000:
        assert verdict.reason == "answer.unfit"
    assert verdict.score == 0.0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", sorted(EVALUATES_LISTS | EVALUATES_FORMULAS))
def test_the_gold_of_every_evaluating_task_is_fit(task: str) -> None:
    for sample in islice(tasks(task=task, seed=1), 25):
        # Where sympy could not integrate, the gold is the question again: such a sample fails its own check.
        assert is_fit(task, str(sample.reference)) is ("Integral" not in str(sample.reference)), sample.reference


@given(st.text())
def test_a_fit_formula_calls_nothing_but_functions(text: str) -> None:
    if is_fit("countdown", text):
        assert "_" not in text
        assert not re.search(r"\.\s*[A-Za-z]", text)


def test_every_task_that_evaluates_text_is_known() -> None:
    # A new release of the package may bring more of them: this test says which.
    package = Path(reasoning_gym.__file__).parent
    found = set()
    for name, (task, _) in DATASETS.items():
        source = Path(inspect.getsourcefile(task) or "").read_text()
        assert Path(inspect.getsourcefile(task) or "").is_relative_to(package)
        body = source[source.find("def score_answer") :] if "def score_answer" in source else ""
        if re.search(r"\beval\((?!entry)|\bexec\(|\bsympify\(|parse_expr\((?!expr\))", body):
            found.add(name)
    assert found - {"bitwise_arithmetic", "propositional_logic"} == EVALUATES_LISTS | EVALUATES_FORMULAS


def test_the_reward_runs_in_a_worker_and_the_readme_lists_its_reasons() -> None:
    assert spec_of(score).isolation == "worker"
    assert spec_of(score).range == (0.0, 1.0)
    module = inspect.getsource(inspect.getmodule(score))  # type: ignore[arg-type]
    reasons = set(re.findall(r'"((?:task|answer|scorer)\.\w+)"', module))
    assert len(reasons) == 9
    for reason in reasons:
        assert f"`{reason}`" in README


def test_the_plugin_is_listed_without_importing_reasoning_gym() -> None:
    code = (
        "import sys, lydite.plugins as p; q = p.load_plugins(allow=['lydite-reasoning-gym']);"
        "print(list(q.offers['datasets']), list(q.offers['rewards']),"
        "sorted({'reasoning_gym', 'sympy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['reasoning-gym'] ['reasoning-gym/score'] []"
