"""The site is built without a warning, has every page, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from lydite.plugins import import_file

ROOT = Path(__file__).parents[2]
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
site: Any = import_file(ROOT / "docs" / "site.py")


class Addresses(HTMLParser):
    """What a page loads, and where it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in LOADED and given.get(LOADED[tag]):
            self.loads.append(given[LOADED[tag]])
        if tag == "link" and given.get("rel") not in ("prev", "next", "canonical"):
            self.loads.append(given["href"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


def build(folder: Path, *, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=root, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    ran = build(folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


def test_every_page_is_in_the_navigation(built: Path) -> None:
    linked = Addresses()
    linked.feed((built / "index.html").read_text())
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/reference/*.md")]
    pages += [*ROOT.glob("plugins/*/README.md"), *ROOT.glob("rewards_contrib/*/README.md")]
    places = [str(site.place_of(page)).replace(".md", ".html") for page in pages]
    assert len(places) > 20
    assert [one for one in places if one not in linked.links and one != "index.html"] == []


def test_a_page_loads_nothing_from_elsewhere(built: Path) -> None:
    pages = list(built.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        found = Addresses()
        found.feed(page.read_text())
        assert found.loads
        assert [one for one in found.loads if urlsplit(one).netloc] == [], page
        for one in found.loads:
            file = urlsplit(one).path
            assert file.startswith("/") or (page.parent / file).is_file(), f"{page}: {one}"
    for style in built.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?https?:", style.read_text()), style


def test_links_to_elsewhere_are_addresses(built: Path) -> None:
    odd = []
    for page in built.rglob("*.html"):
        found = Addresses()
        found.feed(page.read_text())
        for one in found.links:
            parts = urlsplit(one)
            if parts.scheme and not (
                parts.scheme in ("http", "https") and re.fullmatch(r"[\w.-]+\.[a-z]{2,}", parts.netloc)
            ):
                odd.append(f"{page.name}: {one}")
    assert odd == []


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    for name in ("mkdocs.yml", "docs/site.py", "docs/site.css"):
        shutil.copy(ROOT / name, root / name)
    (root / "README.md").write_text("# Readme\n[a](docs/page.md#a-heading)\n")
    (root / "CHANGELOG.md").write_text("# Changes\n")
    index = "# Home\n## Begin\n[Readme](../README.md) [Changes](../CHANGELOG.md) [Page](page.md)\n"
    (root / "docs" / "index.md").write_text(index)
    (root / "docs" / "page.md").write_text("# Page\n## A heading\n[b](../README.md)\n")
    assert build(tmp_path / "well", root=root).returncode == 0
    for broken in ("[c](nothing.md)", "[c](#no-heading)", "[c](../README.md#no-heading)"):
        (root / "docs" / "page.md").write_text(f"# Page\n## A heading\n{broken}\n")
        ran = build(tmp_path / "broken", root=root)
        assert ran.returncode == 1, broken


def test_the_navigation_is_what_the_text_links() -> None:
    index = "[z](resuming.md)\n## One\n| a | [Memory](memory.md) |\n```text\n[x](vllm.md)\n```\n## Empty\nno\n"
    index += (
        "## Two\n[Law](law.md#the-task) [again](memory.md) [code](../plugins/adapters/README.md) [out](https://a.org)"
    )
    assert site.navigation(index) == [
        {"One": [{"Memory": "memory.md"}]},
        {"Two": [{"Law": "law.md"}, {"code": "plugins/adapters.md"}]},
    ]


def test_links_and_titles_are_as_the_site_has_them() -> None:
    class Page:
        class file:  # noqa: N801 - as MkDocs names it
            abs_src_path = str(ROOT / "plugins" / "adapters" / "README.md")
            src_uri = "plugins/adapters.md"

    text = (
        "[gym](../reasoning-gym/README.md#options) [docs](../../docs/memory.md) ![p](../../docs/images/report.png)\n"
        "[LICENSE](../../LICENSE) [up](https://a.org) [here](#in)\n```text run.toml\n[no](../x.md)\n```\n"
    )
    assert site.on_page_markdown(text, Page, None, None) == (
        "[gym](reasoning-gym.md#options) [docs](../memory.md) ![p](../images/report.png)\n"
        'LICENSE (`LICENSE`) [up](https://a.org) [here](#in)\n```toml title="run.toml"\n[no](../x.md)\n```\n'
    ).replace("LICENSE (`LICENSE`)", "`LICENSE`")
