"""What a reward's source must not do, found by reading it; nothing is run."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

RULES: Final = {
    "runs-code": "eval, exec, compile or __import__ run what they are given; parse instead",
    "reads-expressions": "sympify and parse_expr run what they are given; use a parser of a grammar",
    "unpickles": "pickle, marshal, dill and joblib run what they load; use JSON",
    "loads-yaml": "yaml.load makes objects; use yaml.safe_load",
    "starts-a-shell": "a shell reads more into a text than you mean; pass a list of arguments without shell=True",
    "sets-alarms": "an alarm works in the main thread alone; the deadline is lydite's, in a process that can be killed",
    "pattern-without-timeout": "a pattern that a user wrote can take hours; use the package regex with timeout=",
    "network": "a reward that asks the network is slow, differs from day to day, and leaks; use a judge plugin",
}
"""Each rule, and what to do instead."""

_CODE: Final = frozenset({"eval", "exec", "compile", "__import__"})
_EXPRESSIONS: Final = frozenset({"sympify", "parse_expr"})
_PICKLES: Final = frozenset({"pickle", "cPickle", "cloudpickle", "dill", "marshal", "joblib", "shelve"})
_LOADERS: Final = frozenset({"load", "loads", "open", "Unpickler"})
_ALARMS: Final = frozenset({"alarm", "setitimer"})
_NETWORK: Final = (
    "socket", "urllib.request", "urllib3", "requests", "httpx", "aiohttp", "http.client", "ftplib", "smtplib",
    "telnetlib", "websocket", "websockets", "grpc", "openai", "anthropic", "boto3", "paramiko",
)  # fmt: skip
_SEARCHES: Final = frozenset(
    {"compile", "match", "search", "fullmatch", "findall", "finditer", "split", "sub", "subn", "template"}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in the source that breaks a rule."""

    rule: str
    file: Path
    line: int
    source: str
    """The line itself, without the white space around it."""

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}: {self.source}"


def source_files(function: Callable[..., Any]) -> list[Path]:
    """The file of a function, and those of its own package that it imports, directly or not."""
    target: Any = inspect.unwrap(function)
    module = getattr(target, "__module__", None) or type(target).__module__
    first = _file_of(module) or _file_of_object(target)
    if first is None:
        return []
    top = module.split(".")[0]
    found: dict[str, Path] = {module: first}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        is_package = found[name].name == "__init__.py"
        for imported in _imports(found[name], name, is_package):
            if imported.split(".")[0] != top or imported in found:
                continue
            file = _file_of(imported)
            if file is not None:
                found[imported] = file
                waiting.append(imported)
    return sorted(set(found.values()))


def scan(file: Path) -> list[Finding]:
    """Every place of a Python file that breaks a rule, in the order of its lines.

    Raises:
        SyntaxError: when it is no Python.
    """
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    visitor = _Visitor()
    visitor.visit(ast.parse(text))
    return [
        Finding(rule, file, line, lines[line - 1].strip()[:160] if line <= len(lines) else "")
        for line, rule in sorted(set(visitor.found))
    ]


class _Visitor(ast.NodeVisitor):
    """Collects (line, rule) over a module."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []
        self._aliases: dict[str, str] = {}
        """What a local name stands for: `re` for `import re`, `re.search` for `from re import search`."""
        self._parameters: list[set[str]] = []

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            self._aliases[one.asname or one.name.split(".")[0]] = one.name if one.asname else one.name.split(".")[0]
            self._network(node.lineno, one.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        for one in node.names:
            self._aliases[one.asname or one.name] = f"{module}.{one.name}"
            if node.level == 0:
                self._network(node.lineno, f"{module}.{one.name}")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._name(node.func)
        module, _, last = name.rpartition(".")
        if (module in ("", "builtins") and last in _CODE) and self._aliases.get(last, last) == last:
            self.found.append((node.lineno, "runs-code"))
        if last in _EXPRESSIONS or name == "sympy.S":
            self.found.append((node.lineno, "reads-expressions"))
        if module.split(".")[0] in _PICKLES and last in _LOADERS:
            self.found.append((node.lineno, "unpickles"))
        if name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all") and not _safe_loader(node):
            self.found.append((node.lineno, "loads-yaml"))
        if name in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput") or _says(
            node, "shell"
        ):
            self.found.append((node.lineno, "starts-a-shell"))
        if module == "signal" and last in _ALARMS:
            self.found.append((node.lineno, "sets-alarms"))
        if self._is_open_pattern(node, module, last):
            self.found.append((node.lineno, "pattern-without-timeout"))
        self.generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = node.args
        self._parameters.append({one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)})
        self.generic_visit(node)
        self._parameters.pop()

    def _is_open_pattern(self, node: ast.Call, module: str, last: str) -> bool:
        """Whether a pattern comes from an argument of the enclosing function and nothing limits its time."""
        if module not in ("re", "regex") or last not in _SEARCHES or not node.args:
            return False
        if module == "regex" and (last == "compile" or any(one.arg == "timeout" for one in node.keywords)):
            return False  # a compiled pattern of regex takes its time limit where it is used
        known = set().union(*self._parameters) if self._parameters else set()
        return any(name in known for name in _bare_names(node.args[0]))

    def _network(self, line: int, module: str) -> None:
        if any(module == one or module.startswith(f"{one}.") for one in _NETWORK):
            self.found.append((line, "network"))

    def _name(self, node: ast.expr) -> str:
        """The dotted name of what is called, with aliases resolved; empty where it has none."""
        if isinstance(node, ast.Name):
            return self._aliases.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            before = self._name(node.value)
            return f"{before}.{node.attr}" if before else f"?.{node.attr}"
        return ""


def _bare_names(node: ast.expr) -> Iterator[str]:
    """Names that become part of a pattern as they are: not those inside a call such as re.escape(name)."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.JoinedStr):
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from _bare_names(part.value)
    elif isinstance(node, ast.BinOp):
        yield from _bare_names(node.left)
        yield from _bare_names(node.right)


def _safe_loader(node: ast.Call) -> bool:
    given = [*node.args[1:], *(one.value for one in node.keywords if one.arg == "Loader")]
    return any("Safe" in ast.unparse(one) for one in given)


def _says(node: ast.Call, keyword: str) -> bool:
    return any(
        one.arg == keyword and isinstance(one.value, ast.Constant) and one.value.value is True for one in node.keywords
    )


def _imports(file: Path, module: str, is_package: bool) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".") if is_package else module.split(".")[:-1]
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, *([base] if base else [])])
            yield base
            yield from (f"{base}.{one.name}" for one in node.names)


def _file_of(module: str) -> Path | None:
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if file is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError):
            return None
        file = spec.origin if spec is not None else None
    return Path(file) if file and file.endswith(".py") and Path(file).is_file() else None


def _file_of_object(target: Any) -> Path | None:
    try:
        file = inspect.getsourcefile(target if callable(target) and hasattr(target, "__code__") else type(target))
    except (TypeError, OSError):
        return None
    return Path(file) if file and Path(file).is_file() else None
