"""Links between pages lead somewhere, their anchors too."""

from __future__ import annotations

import re
from pathlib import Path

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def broken_links(page: Path, text: str) -> list[str]:
    found = []
    for target in LINK.findall(FENCED.sub("", text)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            found.append(target)
    return found


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text()) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = (
        "# A heading\n[a](nothing.md) [b](#a-heading) [c](#no-heading) [d](https://example.org) [e](page.md#a-heading)"
    )
    page.write_text(text)
    assert broken_links(page, text) == ["nothing.md", "#no-heading"]


def test_every_guide_is_in_the_index() -> None:
    docs = Path(__file__).parents[2] / "docs"
    index = (docs / "index.md").read_text()
    pages = [*docs.glob("*.md"), *docs.glob("reference/*.md")]
    assert len(pages) > 5
    missing = [one.name for one in pages if one.name != "index.md" and f"{one.relative_to(docs)})" not in index]
    assert not missing


def test_the_picture_is_a_picture() -> None:
    picture = Path(__file__).parents[2] / "docs" / "images" / "report.png"
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "(docs/images/report.png)" in (Path(__file__).parents[2] / "README.md").read_text()
