"""`report.html`: one self-contained page about a run, readable without any network."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from lydite.disk import write_atomically
from lydite.errors import MissingExtraError
from lydite.report.gallery import CompletionsDigest
from lydite.report.payload import payload_of
from lydite.report.reader import read_run

REPORT: Final = "report.html"
_SCRIPTS: Final = ("dom.js", "charts.js", "summary.js", "heldout.js", "completions.js", "app.js")


def write_report(folder: Path | str) -> Path:
    """The path of the page that was written into the run folder.

    Raises:
        ConfigError: when the folder holds no run.
        MissingExtraError: when plotly is not installed.
        WriteError: when the page cannot be written, for example on a full disk.
    """
    run = read_run(folder)
    digest = CompletionsDigest(run.folder / "completions.jsonl")
    digest.update()
    page = render_page(payload_of(run, digest), title=run.name)
    # Text of a model may hold half a character, which no encoding has room for.
    return write_atomically(run.folder / REPORT, page.encode("utf-8", "replace"))


def render_page(payload: str, *, title: str, live: bool = False) -> str:
    """The page around its data. With `live` it may ask the server that it came from for news, and nothing else.

    The page's own scripts are allowed by their digests, and no other: text that got into the page as markup
    in spite of everything could still not run.

    Raises:
        MissingExtraError: when plotly is not installed.
    """
    app, plotly = _app(), _plotly()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_digest(app)} {_digest(plotly)}",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "connect-src 'self'" if live else "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return _filled(
        _asset("page.html"),
        {
            "policy": policy,
            "title": html.escape(f"{title} · lydite report"),
            "style": _asset("page.css"),
            "data": _inert(payload),
            "app": app,
            "plotly": plotly,
        },
    )


def _inert(payload: str) -> str:
    """JSON that cannot end or disturb the script element it stands in: `<` only ever occurs inside its strings."""
    return payload.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its `{{names}}` replaced in one go, so that what is put in is never looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


@cache
def _app() -> str:
    """The page's script as it stands between its tags."""
    code = "\n".join(_asset(name) for name in _SCRIPTS)
    return f'\n"use strict";\n(() => {{\n{code}}})();\n'


@cache
def _plotly() -> str:
    """plotly.js as it stands between its tags; line ends as a browser reads them, or the digest would not fit."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingExtraError('the report draws its charts with plotly: pip install "lydite[report]"') from None
    code = str(get_plotlyjs()).replace("\r\n", "\n").replace("\r", "\n")
    return f"\n{code.strip()}\n"


def _digest(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return (files("lydite.report") / "assets" / name).read_text(encoding="utf-8")
