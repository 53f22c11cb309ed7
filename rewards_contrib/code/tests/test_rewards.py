import json
import re
import time
from pathlib import Path

import pytest

from lydite import Completion, ConfigError, Group, Parsed, Sample, Status
from lydite.config import RewardConfig
from lydite.plugins import load_plugins
from lydite.rewards.binding import bind
from lydite.rewards.calls import Call
from lydite.rewards.spawn import Limits
from lydite.rewards.worker import Work, WorkerPool
from lydite_code import bubblewrap as bubblewrap_module
from lydite_code import function_tests, running, stdio
from lydite_code.sandbox import SandboxFault

FOLDER = Path(__file__).parent.parent
README = (FOLDER / "README.md").read_text()
PLUGINS = load_plugins(allow=["lydite-code"])
TESTS = ["assert double(2) == 4", "assert double('ab') == 'abab'", "assert double(-1) == -2", "assert double([]) == []"]
DOUBLE = "```python\ndef double(x):\n    return x + x\n```"
NUMBERS_ONLY = "```python\ndef double(x):\n    return x + x if x != [] and x != 'ab' else None\n```"


@pytest.fixture
def no_bwrap(monkeypatch):
    monkeypatch.setattr(bubblewrap_module.shutil, "which", lambda name: None)
    bubblewrap_module._problem.cache_clear()
    yield
    bubblewrap_module._problem.cache_clear()


def test_fraction_and_all(sandbox):
    half = function_tests(NUMBERS_ONLY, None, TESTS, sandbox=sandbox)
    assert (half.score, half.passed, half.reason) == (0.5, False, "code.some_failed")
    assert {name: part.reason for name, part in half.parts.items()} == {
        "1": "case.passed", "2": "case.wrong", "3": "case.passed", "4": "case.wrong",
    }  # fmt: skip
    none = function_tests(NUMBERS_ONLY, None, TESTS, sandbox=sandbox, scoring="all")
    assert (none.score, none.passed, len(none.parts)) == (0.0, False, 2)
    whole = function_tests(DOUBLE, None, TESTS, sandbox=sandbox, scoring="all")
    assert (whole.score, whole.passed, whole.reason) == (1.0, True, "code.passed")
    assert whole.parsed == "def double(x):\n    return x + x\n"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("", "code.missing"),
        ("```python\ndef double(x): return x", "code.unclosed"),
        ("x" * 200_000, "code.long"),
        ("def double(x", "code.syntax"),
        ("def other(x): return x", "code.undefined"),
        ("def double(x): return None", "code.none_passed"),
        ("def double(x): 1 / 0", "code.raised"),
        ("exit()", "code.raised"),  # no site, no exit
        ("raise SystemExit", "code.exited"),
        ("def double(x): return 'x' * 3 * 10 ** 6", "code.output_limit"),
        ("def double(x): return bytes(10 ** 10)", "code.memory"),
        ("import ctypes\nctypes.string_at(0)", "code.crashed"),
        ("while True: pass", "code.timeout"),
    ],
)
def test_reasons(program, reason, sandbox):
    verdict = function_tests(program, None, TESTS, sandbox=sandbox, case_seconds=0.5 if "while" in program else 5.0)
    assert (verdict.score, verdict.passed, verdict.reason) == (0.0, False, reason)


def test_what_is_printed_besides_does_not_matter(sandbox):
    chatty = (
        "import sys\ndef double(x):\n    print('x' * 5000)\n    print('y' * 5000, file=sys.stderr)\n    return x + x"
    )
    assert function_tests(chatty, None, TESTS, sandbox=sandbox).reason == "code.passed"
    cases = [{"stdin": "1", "stdout": "2"}, {"stdin": "2", "stdout": "3"}]
    script = "import sys\nprint('y' * 5000, file=sys.stderr)\nprint(int(input('')) + 1)"
    assert stdio(script, None, cases, sandbox=sandbox).reason == "code.passed"


def test_large_inputs_and_outputs(sandbox):
    words = "word " * 100_000
    cases = [{"stdin": words, "stdout": words.upper()}, {"stdin": "x", "stdout": "X"}]
    assert stdio("print(input().upper())", None, cases, sandbox=sandbox).reason == "code.passed"
    tests = [
        {"call": "f", "args": [list(range(50_000))], "expected": list(range(49_999, -1, -1))},
        "assert f([1, 2]) == [2, 1]",
    ]
    assert function_tests("def f(x): return x[::-1]", None, tests, sandbox=sandbox).reason == "code.passed"


def test_every_reason_is_in_the_readme():
    for reason in running.REASONS:
        assert f"`{reason}`" in README
    for word in ("passed", *running.FAILURES.values()):
        assert f"`case.{word}`" in README


def test_two_programs(sandbox):
    answer = "```python\nx = 1\n```\n" + DOUBLE
    assert function_tests(answer, None, TESTS, sandbox=sandbox).score == 1.0
    assert function_tests(answer, None, TESTS, sandbox=sandbox, only_one=True).reason == "code.several"


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ([], "tests.missing"),
        ("nonsense", "tests.malformed"),
        ([{"call": "f"}], "tests.malformed"),
        (["assert f(1) == 2"], "tests.weak"),
        (["assert f(1) == 2", "assert f(2) == 2.0"], "tests.weak"),
        (["assert f(1) == 1", "assert f(2) == 2"], "tests.weak"),
        (["assert f(1)", "assert f(2) is True"], "tests.weak"),
        (["assert not f(1)", "assert f(2) == 0"], "tests.weak"),
    ],
)
def test_tests_that_judge_nobody(tests, reason):
    verdict = function_tests(DOUBLE, None, tests)
    assert (verdict.status, verdict.reason, verdict.scope) == (Status.ERROR, reason, "prompt")
    assert verdict.evidence[0].note == "error"


@pytest.mark.parametrize(
    ("cases", "reason"),
    [
        (None, "tests.missing"),
        ([{"stdin": "1"}], "tests.malformed"),
        ([{"stdout": 1}], "tests.malformed"),
        ([{"stdin": "", "stdout": "x", "output": "y"}], "tests.malformed"),
        ([{"stdin": "", "stdout": "x" * 2**21}], "tests.malformed"),
        ([7], "tests.malformed"),
        ("7", "tests.malformed"),
        ([{"stdin": "1", "stdout": "x"}, {"stdin": "2", "stdout": "x "}], "tests.weak"),
        ([{"stdin": "1", "stdout": "1\n"}, {"stdin": "2", "stdout": "2\n"}], "tests.weak"),
        ([{"stdin": "1", "stdout": " "}, {"stdin": "2", "stdout": ""}], "tests.weak"),
    ],
)
def test_cases_that_judge_nobody(cases, reason):
    verdict = stdio("print(1)", None, cases)
    assert (verdict.status, verdict.reason, verdict.scope) == (Status.ERROR, reason, "prompt")


def test_a_constant_can_be_the_task(sandbox):
    assert stdio("print(1)", None, [{"stdout": "1"}], sandbox=sandbox, allow_constant=True).score == 1.0
    assert function_tests("def f(x): return 2", None, ["assert f(1) == 2"], sandbox=sandbox, allow_constant=True).passed


def test_options_of_the_comparison(sandbox):
    cases = [{"stdin": "1", "stdout": "0.5 x"}, {"stdin": "2", "stdout": "1.0 x"}]
    program = "print(int(input()) / 2 + 1e-9, 'x', sep='\\n')"
    assert stdio(program, None, cases, sandbox=sandbox).score == 0.0
    assert stdio(program, None, cases, sandbox=sandbox, whitespace="tokens", tolerance=1e-6).score == 1.0
    near = "def double(x):\n    return x + x + (1e-9 if isinstance(x, float) else 0)"
    tests = ["assert double(1.0) == 2.0", "assert double(3) == 6"]
    assert function_tests(near, None, tests, sandbox=sandbox).score == 1.0
    assert function_tests(near, None, tests, sandbox=sandbox, tolerance=0.0).score == 0.5


def test_without_bubblewrap_nothing_is_run(no_bwrap):
    verdict = function_tests(DOUBLE, None, TESTS)
    assert (verdict.status, verdict.reason, verdict.scope) == (Status.ERROR, "sandbox.missing", "prompt")
    assert "not installed" in verdict.evidence[0].text


def test_without_bubblewrap_a_configuration_is_refused(no_bwrap):
    for use in ("code/tests", "code/stdio"):
        with pytest.raises(ConfigError, match=re.escape('sandbox = "rlimits"')):
            bind("code", RewardConfig(use=use), PLUGINS)
        bind("code", RewardConfig(use=use, options={"sandbox": "rlimits"}), PLUGINS)


def test_a_sandbox_that_breaks_is_an_error(sandbox, monkeypatch):
    def run(job):
        raise SandboxFault("no more mounts")
        yield

    monkeypatch.setitem(
        running.SANDBOXES, sandbox, type("Broken", (), {"problem": lambda self: "", "run": staticmethod(run)})()
    )
    verdict = function_tests(DOUBLE, None, TESTS, sandbox=sandbox)
    assert (verdict.status, verdict.reason, verdict.scope) == (Status.ERROR, "sandbox.failed", "prompt")


def test_a_bwrap_that_fails_says_why(monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'No permissions to create a new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(bubblewrap_module.shutil, "which", lambda name: str(fake))
    bubblewrap_module._problem.cache_clear()
    assert "No permissions" in bubblewrap_module.Bubblewrap().problem()
    bubblewrap_module._problem.cache_clear()


@pytest.mark.parametrize(
    ("option", "value"),
    [("sandbox", "docker"), ("scoring", "some"), ("case_seconds", 0), ("total_seconds", 31), ("memory_mb", 1),
     ("tolerance", 1), ("case_secs", 1)],
)  # fmt: skip
def test_wrong_options_are_refused(option, value):
    with pytest.raises(ConfigError, match=option):
        bind("code", RewardConfig(use="code/tests", options={option: value}), PLUGINS)


def work_of(use, sandbox, answers, columns, options=None, timeout=None):
    config = RewardConfig(use=use, options={"sandbox": sandbox, **(options or {})}, timeout=timeout)
    binding = bind("code", config, PLUGINS)
    calls = [Call({"answer": answer, "reference": None, **columns}) for answer in answers]
    return Work(f"{use} {sandbox} {options}", binding.in_worker, calls, binding.timeout)


@pytest.fixture(scope="module")
def pool():
    pool = WorkerPool(workers=2, limits=Limits(memory_mb=1024, cpu_seconds=10))
    yield pool
    pool.close()


def test_in_lydites_worker_processes(sandbox, pool):
    bad = [
        "while True: pass",
        "import os\nos._exit(0)",
        "def double(x): return bytes(10 ** 10)",
        "import os\nos.kill(os.getppid(), 9)",
    ]
    works = [work_of("code/tests", sandbox, [DOUBLE, *bad, NUMBERS_ONLY], {"tests": TESTS}, {"case_seconds": 1.0})]
    outcomes = pool.run(works)[0]
    scores = [one.verdicts[0].score for one in outcomes]
    assert scores == [1.0, 0.0, 0.0, 0.0, 0.0, 0.5]
    assert [one.verdicts[0].reason for one in outcomes[1:4]] == ["code.timeout", "code.exited", "code.memory"]


def test_lydites_own_deadline_is_kept_by_the_reward(sandbox, pool):
    began = time.monotonic()
    cases = [{"stdin": str(n), "stdout": str(n + 1)} for n in range(40)]
    options = {"case_seconds": 10.0, "total_seconds": 1.0}
    outcome = pool.run([work_of("code/stdio", sandbox, ["while True: pass"], {"cases": cases}, options)])[0][0]
    assert (outcome.verdicts[0].status, outcome.verdicts[0].reason) == (Status.OK, "code.timeout")
    assert time.monotonic() - began < 10


def test_a_worker_that_is_killed_takes_the_program_with_it(sandbox, pool, descendants):
    before = descendants()
    columns = {"cases": [{"stdin": "1", "stdout": "2"}, {"stdout": "3"}]}
    work = work_of("code/stdio", sandbox, ["while True: pass"], columns, {"case_seconds": 10.0}, timeout=1.0)
    outcome = pool.run([work])[0][0]
    assert outcome.verdicts[0].status is Status.TIMEOUT
    pool.close()
    deadline = time.monotonic() + 5
    while descendants() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in descendants() - before if b"inside" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize("name", ["tests", "stdio"])
def test_the_data_that_is_shipped(name):
    rows = [json.loads(line) for line in (FOLDER / f"lydite_code/cases/{name}.jsonl").read_text().splitlines()]
    assert len(rows) >= 20
    assert {"pass", "fail", "error", "0.0"} <= {str(row["expected"]) for row in rows}
    assert sum(row.get("gold", False) for row in rows) >= 3
    labelled = [json.loads(line) for line in (FOLDER / f"calibration/{name}.jsonl").read_text().splitlines()]
    assert len(labelled) >= 60
    assert {row["expected"] for row in labelled} == {True, False}


def test_a_samples_own_program_is_tried_before_training(bubblewrap):
    from lydite.rewards.compose import Rule
    from lydite.rewards.gold import compares_with_gold, gold_groups

    binding = bind("code", RewardConfig(use="code/tests"), PLUGINS)
    assert compares_with_gold(binding, Rule(weight=1.0))
    sample = Sample("1", "Double it.", reference="def double(x):\n    return x + x\n", columns={"tests": TESTS})
    (group,) = gold_groups([sample])
    assert isinstance(group, Group)
    completion = group.completions[0]
    assert isinstance(completion, Completion)
    assert isinstance(completion.parsed, Parsed)
    assert function_tests(completion.parsed.answer, sample.reference, TESTS).passed
