"""What a model may try instead of solving the task. Every one of these must earn exactly nothing."""

import json
import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from lydite import Status, Verdict
from lydite_code import Job, function_tests, stdio
from lydite_code.running import SANDBOXES

TESTS = [
    {"call": "f", "args": [[3, 1, 2]], "expected": [1, 2, 3]},
    {"call": "f", "args": [["b", "a"]], "expected": ["a", "b"]},
    {"call": "f", "args": [[0.5, -1.5]], "expected": [-1.5, 0.5]},
]
CASES = [{"stdin": "2\n1 2\n3 4\n", "stdout": "3\n7\n"}, {"stdin": "3\n1 1\n5 5\n0 1\n", "stdout": "2\n10\n1\n"}]
SOLVED = "for _ in range(int(input())):\n    print(sum(map(int, input().split())))\n"
QUICK = {"case_seconds": 0.25, "total_seconds": 3.0}
PATIENT = {"case_seconds": 5.0, "total_seconds": 20.0}
"""For what has to pass on a busy machine."""


def fenced(program: str) -> str:
    return f"```python\n{program}\n```"


def called(program: str, sandbox: str, **options) -> Verdict:
    return function_tests(fenced(program), None, TESTS, sandbox=sandbox, **QUICK | options)


def run(program: str, sandbox: str, **options) -> Verdict:
    return stdio(fenced(program), None, CASES, sandbox=sandbox, **QUICK | options)


def test_what_is_right_passes(sandbox):
    assert called("def f(xs):\n    return sorted(xs)", sandbox, **PATIENT).score == 1.0
    assert run(SOLVED, sandbox, **PATIENT).score == 1.0


def programs_of(file: str) -> dict[str, str]:
    """The programs of a list of tricks, by name."""
    sections = (Path(__file__).parent / file).read_text().split("\n## ")[1:]
    found = {}
    for section in sections:
        name, _, rest = section.partition("\n")
        found[name] = rest.partition("```python\n")[2].rpartition("\n```")[0].replace("SOLVED\n", SOLVED)
    return found


CALLED = programs_of("tricks_functions.md") | {
    "a NUL": "def f(xs):\n    return 1\0",
    "a lone surrogate": "x = '\ud800'\ndef f(xs):\n    return [x]",
    "a deep expression": f"x = {'(' * 5000}{')' * 5000}",
}
RUN = programs_of("tricks_scripts.md")


@pytest.mark.parametrize("trick", CALLED)
def test_tricks_with_functions(trick, sandbox):
    verdict = called(CALLED[trick], sandbox)
    assert (verdict.score, verdict.passed) == (0.0, False), verdict


@pytest.mark.parametrize("trick", RUN)
def test_tricks_with_scripts(trick, sandbox):
    verdict = run(RUN[trick], sandbox)
    assert (verdict.score, verdict.passed) == (0.0, False), verdict


def test_files_of_the_tests_are_out_of_reach(bubblewrap, tmp_path):
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"answer": [1, 2, 3]}))
    for place in (answers, Path("/etc/passwd"), Path("/proc/self/environ"), Path(__file__), Path.home() / ".bashrc"):
        peek = f"def f(xs):\n    open({str(place)!r}).read()\n    return sorted(xs)"
        assert called(peek, bubblewrap).reason == "code.raised", place


def test_nothing_of_the_trainer_is_in_its_reach(bubblewrap, monkeypatch):
    monkeypatch.setenv("SECRET", "hidden")
    look = (Path(__file__).parent / "look_around.py").read_text()
    cases = [{"stdin": "", "stdout": "[]\n"}]
    verdict = stdio(fenced(look), None, cases, sandbox=bubblewrap, allow_constant=True)
    assert verdict.score == 1.0, verdict


def test_namespaces_of_its_own(bubblewrap):
    program = "import os, socket\nprint(os.getppid(), os.getuid(), socket.gethostname(), os.listdir('/inside'))"
    cases = [{"stdin": "", "stdout": ""}]
    (run,) = SANDBOXES[bubblewrap].run(Job(program, "script", cases, 5, 10, 512, 64))
    assert run.payload.startswith(b"1 65534 sandbox ["), run


def test_nothing_is_written_outside(bubblewrap, tmp_path):
    for place in (tmp_path / "x", Path("/x"), Path("/inside/x"), Path("/dev/x"), Path("/usr/lib/x")):
        write = f"def f(xs):\n    open({str(place)!r}, 'w').write('x')\n    return sorted(xs)"
        assert called(write, bubblewrap).reason == "code.raised", place
        assert not place.exists()
    link = "import os\ndef f(xs):\n    os.symlink('/', 'root')\n    open('root/x', 'w')\n    return sorted(xs)"
    assert called(link, bubblewrap).score == 0.0


def test_no_file_is_there_in_the_next_case(sandbox):
    program = "import os\nprint(len(os.listdir('.')))\nopen('left', 'w').write('x')"
    cases = [{"stdin": "", "stdout": "0"}] * 3
    verdict = stdio(fenced(program), None, cases, sandbox=sandbox, allow_constant=True)
    assert verdict.score == 1.0


def test_the_folder_for_files_is_limited(bubblewrap):
    fill = (
        "def f(xs):\n    for n in range(9):\n        with open(f'/tmp/{n}', 'wb') as file:\n"
        "            file.write(bytes(2 ** 22))\n    return sorted(xs)"
    )
    assert called(fill, bubblewrap).reason == "code.raised"


def test_no_network(sandbox):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        call = (
            f"import socket\ndef f(xs):\n    socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)\n"
            "    return sorted(xs)"
        )
        assert called(call, sandbox).reason == "code.raised"
        with pytest.raises(TimeoutError):
            server.accept()


def test_nobody_outlives_the_program(sandbox, descendants):
    daemon = (
        "import os, threading, time\ndef f(xs):\n    for start in (os.fork, os.forkpty):\n"
        "        try:\n            start()\n        except OSError:\n            pass\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\n    return xs"
    )
    before = descendants()
    for program in (daemon, "while True: pass"):
        called(program, sandbox)
    for program in (daemon + "\nf(0)", "while True: pass"):
        with closing(SANDBOXES[sandbox].run(Job(program, "script", [{"stdin": ""}] * 2, 0.2, 2, 256, 64))) as runs:
            next(runs)
            assert descendants() - before, "the driver is expected to be there between two cases"
    deadline = time.monotonic() + 5
    while descendants() - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not descendants() - before


def test_case_after_case_starts_afresh(sandbox):
    program = "calls = []\ndef f(xs):\n    calls.append(1)\n    return sorted(xs) if len(calls) == 1 else None"
    assert called(program, sandbox, **PATIENT).score == 1.0


def test_a_program_sees_the_inputs_of_its_own_case_alone(sandbox):
    program = (
        "import gc, sys\ndef f(xs):\n    held = repr([o for o in gc.get_objects() if type(o) in (dict, list)])\n"
        "    return sorted(xs) if '-1.5' not in held or -1.5 in xs else None"
    )
    assert called(program, sandbox, **PATIENT).score == 1.0


def test_all_tricks_end_in_time(sandbox):
    began = time.monotonic()
    assert called("while True: pass", sandbox, case_seconds=10, total_seconds=1).reason == "code.timeout"
    assert time.monotonic() - began < 4


def test_many_at_once(sandbox):
    verdicts = [None] * 6

    def one(place):
        verdicts[place] = called(
            "def f(xs):\n    return sorted(xs)" if place % 2 else "import os\nos._exit(0)", sandbox, **PATIENT
        )

    threads = [threading.Thread(target=one, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.score for one in verdicts] == [0.0, 1.0] * 3
    assert all(one.status is Status.OK for one in verdicts)
