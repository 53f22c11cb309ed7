"""What the source of a reward must not do is found, with its line; what only looks alike is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lydite.testing.scan import RULES, scan, source_files

BAD = [
    ("runs-code", "eval(x)"),
    ("runs-code", "exec('a = 1')"),
    ("runs-code", "compile(x, '', 'exec')"),
    ("runs-code", "__import__('os')"),
    ("runs-code", "import builtins\nbuiltins.eval(x)"),
    ("reads-expressions", "import sympy\nsympy.sympify(x)"),
    ("reads-expressions", "from sympy.parsing.sympy_parser import parse_expr\nparse_expr(x)"),
    ("reads-expressions", "from sympy import sympify as read\nread(x)"),
    ("reads-expressions", "import sympy as sp\nsp.S(x)"),
    ("unpickles", "import pickle\npickle.loads(x)"),
    ("unpickles", "from pickle import loads as read\nread(x)"),
    ("unpickles", "import joblib\njoblib.load(x)"),
    ("loads-yaml", "import yaml\nyaml.load(x)"),
    ("loads-yaml", "import yaml\nyaml.load(x, Loader=yaml.Loader)"),
    ("starts-a-shell", "import os\nos.system(x)"),
    ("starts-a-shell", "import subprocess\nsubprocess.run(x, shell=True)"),
    ("sets-alarms", "import signal\nsignal.alarm(3)"),
    ("sets-alarms", "from signal import setitimer\nsetitimer(0, 3)"),
    ("pattern-without-timeout", "import re\ndef f(text, *, pattern):\n    return re.search(pattern, text)"),
    ("pattern-without-timeout", "import re\ndef f(text, pattern):\n    return re.compile(f'^{pattern}$')"),
    ("pattern-without-timeout", "import re\ndef f(text, word):\n    return re.sub('a' + word, '', text)"),
    ("pattern-without-timeout", "import regex\nasync def f(text, pattern):\n    return regex.search(pattern, text)"),
    ("network", "import socket"),
    ("network", "from urllib import request"),
    ("network", "def f():\n    import requests"),
    ("network", "from httpx import get"),
]
FINE = [
    "import re\nre.compile('a+')",
    "import re\nWORD = 'a'\ndef f(text):\n    return re.search(WORD, text)",
    "import re\ndef f(text, word):\n    return re.search(f'^{re.escape(word)}$', text)",
    "import regex\ndef f(text, pattern):\n    return regex.search(pattern, text, timeout=1.0)",
    "import regex\ndef f(text, pattern):\n    return regex.compile(pattern).search(text, timeout=1.0)",
    "import ast\nast.literal_eval('1')",
    "import json\njson.loads(x)",
    "import yaml\nyaml.safe_load(x)\nyaml.load(x, Loader=yaml.SafeLoader)",
    "import subprocess\nsubprocess.run(['ls'], shell=False)",
    "from urllib.parse import quote",
    "class A:\n    def eval(self):\n        return self.model.eval()",
    "text = 'eval(x) exec(y)'  # eval(z)",
    "def compile_pattern(x):\n    return x\ncompile_pattern(1)",
]


@pytest.mark.parametrize(("rule", "source"), BAD)
def test_it_is_found(tmp_path: Path, rule: str, source: str) -> None:
    file = tmp_path / "bad.py"
    file.write_text(f'"""A module."""\n\n{source}\n')
    found = scan(file)
    assert {one.rule for one in found} == {rule}
    assert all(one.line > 2 and one.source in source for one in found)
    assert str(found[0]).startswith("bad.py:")


@pytest.mark.parametrize("source", FINE)
def test_what_looks_alike_is_not(tmp_path: Path, source: str) -> None:
    file = tmp_path / "fine.py"
    file.write_text(source)
    assert scan(file) == []


def test_the_files_that_a_reward_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "reaching"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("from reaching.two import second\ndef first(text):\n    return second(text)\n")
    (package / "two.py").write_text("import json\nfrom . import three\ndef second(text):\n    return three.third\n")
    (package / "three.py").write_text("third = 3\n")
    (package / "four.py").write_text("import socket\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from importlib import import_module

    files = source_files(import_module("reaching.one").first)
    assert [file.name for file in files if file.name != "__init__.py"] == ["one.py", "three.py", "two.py"]


def test_the_section_names_file_and_line(
    checked: Any, failed: Any, tmp_path: Path, pool: Any, write_cases: Any, kit: Any
) -> None:
    from lydite.testing import check

    plugin = tmp_path / "evaluating.py"
    plugin.write_text(
        "import lydite\n"
        "def evaluating(answer, reference):\n"
        "    if not isinstance(reference, str) or not reference.isalpha():\n"
        "        return None\n"
        "    return float(answer == reference) if True else eval(answer)\n"
        "@lydite.hookimpl\n"
        "def lydite_rewards():\n"
        "    return {'evaluating': evaluating}\n"
    )
    report = check("evaluating", cases=write_cases(kit.rows_of(kit.plain)), plugins=[plugin], pool=pool)
    assert (
        report.find("runs-code").got == "evaluating.py:5: return float(answer == reference) if True else eval(answer)"
    )
    assert {item.name for item in report.sections[-2].items} == set(RULES)
