"""What MkDocs is told of these pages, so that one text serves a reader of the repository and a reader of the site.

`mkdocs.yml` names this file as a hook. The READMEs of the packages become pages, links between the repository's files
become links between pages, and the navigation is read off `index.md`.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS: Final = Path(__file__).resolve().parent
ROOT: Final = DOCS.parent
FENCE: Final = re.compile(
    r"^(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=fence)[ ]*$", re.MULTILINE | re.DOTALL
)
LINK: Final = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
HIGHLIGHTED: Final = {".py": "python", ".toml": "toml", ".jsonl": "json", ".json": "json", ".yaml": "yaml"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The configuration with the navigation that `index.md` has: its headings, and the pages linked below each."""
    config.nav = [{"Home": "index.md"}, *navigation((DOCS / "index.md").read_text())]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files with the pages that lie outside `docs/`."""
    for path, name in outside().items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page's text with links as the site has them, and the file that a block stands for as its title."""
    assert page.file.abs_src_path is not None, "every page is a file of the repository"
    source = Path(page.file.abs_src_path)
    parts: list[str] = []
    end = 0
    for match in FENCE.finditer(markdown):
        parts += [_linked(markdown[end : match.start()], source, page.file.src_uri), _titled(match)]
        end = match.end()
    return "".join([*parts, _linked(markdown[end:], source, page.file.src_uri)])


def outside() -> dict[Path, str]:
    """The pages that lie outside `docs/`, and what each is called on the site."""
    found = {ROOT / "README.md": "overview.md", ROOT / "CHANGELOG.md": "changes.md"}
    for folder in ("plugins", "rewards_contrib"):
        for path in sorted((ROOT / folder).glob("*/README.md")):
            found[path] = f"plugins/{path.parent.name}.md"
    return found


def navigation(index: str) -> list[dict[str, Any]]:
    """For each second heading of the text a section, with the pages linked below it in their order.

    A page that is linked twice stands where it is linked first.
    """
    sections: list[dict[str, Any]] = []
    seen: set[str] = set()
    for heading, text in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", index, re.MULTILINE | re.DOTALL):
        pages: list[dict[str, str]] = []
        for match in LINK.finditer(FENCE.sub("", text)):
            name = place_of((DOCS / match["target"].partition("#")[0]).resolve())
            if name is not None and name.endswith(".md") and name not in seen:
                seen.add(name)
                pages.append({match["text"]: name})
        if pages:
            sections.append({heading: pages})
    return sections


def place_of(path: Path) -> str | None:
    """Where the site has a file of the repository; None where it does not have it."""
    if path in outside():
        return outside()[path]
    if path.is_relative_to(DOCS) and path.suffix != ".py":
        return path.relative_to(DOCS).as_posix()
    return None


def _linked(text: str, source: Path, page: str) -> str:
    return LINK.sub(lambda match: _link(match, source, page), text)


def _link(match: re.Match[str], source: Path, page: str) -> str:
    target, _, anchor = match["target"].partition("#")
    if not target or ":" in target:
        return match[0]
    path = (source.parent / target).resolve()
    name = place_of(path)
    if name is not None:
        way = posixpath.relpath(name, posixpath.dirname(page) or ".")
        return f"{match['picture']}[{match['text']}]({way}{'#' * bool(anchor)}{anchor})"
    if not path.exists() or not path.is_relative_to(ROOT):
        return match[0]  # a broken link stays one, and a strict build says so
    shown = path.relative_to(ROOT).as_posix()
    return f"`{shown}`" if match["text"].strip("`") == shown else f"{match['text']} (`{shown}`)"


def _titled(match: re.Match[str]) -> str:
    """The block with the second word behind its fence as a title, highlighted by the name of that file."""
    language, *rest = match["info"].split()[:2] or [""]
    if not rest:
        return match[0]
    shown = HIGHLIGHTED.get(Path(rest[0]).suffix, language)
    return f'{match["fence"]}{shown} title="{rest[0]}"\n{match["text"]}{match["fence"]}'
