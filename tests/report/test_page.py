"""The page as a file: self-contained, bounded, and closed to whatever a completion says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from lydite.errors import ConfigError, MissingExtraError
from lydite.report import page as page_module
from lydite.report import write_report
from lydite.report.gallery import PAGE_BUDGET, CompletionsDigest
from lydite.report.payload import payload_of
from lydite.report.reader import read_run


class Scripts(HTMLParser):
    """Every script of a page, as a browser's parser cuts them out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._inside = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.found.append((dict(attrs), ""))
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._inside:
            attributes, text = self.found[-1]
            self.found[-1] = (attributes, text + data)


@pytest.fixture(scope="module")
def page(finished_run: Path) -> str:
    return write_report(finished_run).read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    return dict(json.loads(Scripts(page).found[0][1]))


def test_the_page_is_one_file_that_asks_for_nothing(page: str) -> None:
    for tag, attributes in Scripts(page).tags:
        assert "src" not in attributes, tag
        assert tag not in ("iframe", "object", "embed", "base")
        if tag == "link":
            assert str(attributes["href"]).startswith("data:")
    assert "@import" not in page[: page.index("</style>")]
    assert "default-src 'none'" in page
    assert "connect-src 'none'" in page
    assert len(page.encode()) < 15_000_000


def test_only_the_pages_own_scripts_may_run(page: str) -> None:
    scripts = Scripts(page).found
    assert [attributes.get("type") for attributes, _ in scripts] == ["application/json", None, None]
    for _, code in scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page
    policy = next(str(one["content"]) for tag, one in Scripts(page).tags if one.get("http-equiv"))
    script_rule = next(rule for rule in policy.split("; ") if rule.startswith("script-src"))
    assert "unsafe" not in script_rule
    assert script_rule.count("sha256-") == 2


def test_a_completion_cannot_end_the_script_it_stands_in(page: str) -> None:
    start = page.index('id="data">') + len('id="data">')
    inside = page[start : page.index("</script>", start)]
    assert "<" not in inside
    assert "\u2028" not in inside
    texts = [item[1] for group in data_of(page)["completions"]["groups"] for item in group["items"]]
    assert len(texts) == 2560
    assert sum("</script><script>window.attacked = 1</script>" in text for text in texts) == 1


def test_text_is_never_handed_over_as_markup() -> None:
    scripts = [one for one in (files("lydite.report") / "assets").iterdir() if one.name.endswith(".js")]
    assert len(scripts) == 6
    for script in scripts:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", script.read_text()
        ), script.name


def test_the_data_says_what_the_files_say(page: str, finished_run: Path) -> None:
    data = data_of(page)
    tiles = {tile["label"]: tile["value"] for tile in data["overview"]["tiles"]}
    summary = json.loads((finished_run / "summary.json").read_text())
    heldout = summary["heldout"]
    assert tiles["Held-out accuracy"] == f"{heldout['first'] * 100:.1f}% → {heldout['last'] * 100:.1f}%"
    assert tiles["Steps"] == "40 of 40"
    assert tiles["Peak memory"] == "2.17 GB"
    assert tiles["Tokens per second"] == "684"
    assert data["overview"]["status"] == "finished"
    assert [one[0] for one in data["overview"]["plugins"]] == ["lydite-formats", "lydite-text"]
    assert data["config"].startswith('name = "arithmetic"')
    verifiers = {one["name"]: one for one in data["verifiers"]}
    assert list(verifiers) == ["correct", "format", "judge"]
    assert verifiers["judge"]["seconds_max"] > verifiers["judge"]["seconds_mean"] > 0.03
    assert sum(n for _, _, n in verifiers["correct"]["reasons"]) == 2560


def test_what_judges_cost_is_told(tmp_path: Path, finished_run: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    account = {"requests": 1200, "replies": 1190, "failed": 10, "prompt_tokens": 9000, "completion_tokens": 1000}
    (folder / "judges.json").write_text(json.dumps({"judges": {"m at u": {**account, "cost": 0.25, "by_second": {}}}}))
    digest = CompletionsDigest(folder / "completions.jsonl")
    digest.update()
    told = json.loads(payload_of(read_run(folder), digest))["judges"]
    assert told == [["m at u", "1,200 requests, 1,190 replies, 10 failed, 10,000 tokens, cost 0.25"]]


def test_held_out_answers_stand_side_by_side(page: str, finished_run: Path) -> None:
    heldout = data_of(page)["heldout"]
    best = json.loads((finished_run / "summary.json").read_text())["heldout"]["best_step"]
    assert [one["step"] for one in heldout["later"]] == [best, 40]
    assert heldout["first"]["step"] == 0
    assert len(heldout["questions"]) == len(heldout["first"]["answers"]) == len(heldout["later"][1]["answers"]) == 100
    assert re.fullmatch(r"What is \d+ \+ \d+\?", heldout["questions"][0]["question"])


def test_a_run_that_goes_on_has_a_page_too(small_run: Path) -> None:
    data = data_of(write_report(small_run).read_text())
    assert data["overview"]["status_text"] == "not finished"
    assert data["heldout"] is None
    assert {tile["label"]: tile["value"] for tile in data["overview"]["tiles"]}["Steps"] == "4 of 40"


def test_a_run_that_has_only_started_has_a_page_too(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('name = "<b>new</b>"\n')
    text = write_report(tmp_path).read_text()
    assert data_of(text)["charts"] == []
    assert data_of(text)["overview"]["name"] == "<b>new</b>"


def test_a_folders_name_is_text_in_the_title(tmp_path: Path) -> None:
    folder = tmp_path / "<i>run & more"
    folder.mkdir()
    (folder / "config.toml").write_text("")
    assert "<title>&lt;i&gt;run &amp; more · lydite report</title>" in write_report(folder).read_text()


def test_huge_completions_leave_the_page_bounded(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    verdict = {"score": 1.0, "value": 1.0, "weight": 1.0, "status": "ok", "reason": "r"}
    with (tmp_path / "completions.jsonl").open("w") as log:
        for step in range(300):
            for index in range(4):
                text = f"{step} {index} " + "word " * 4000
                log.write(
                    json.dumps(
                        {
                            "step": step,
                            "sample": "s",
                            "index": index,
                            "prompt": "p",
                            "completion": text,
                            "rewards": {"r": verdict},
                        }
                    )
                    + "\n"
                )
    path = write_report(tmp_path)
    gallery = data_of(path.read_text())["completions"]
    assert path.stat().st_size < 15_000_000
    assert gallery["total"] == 1200
    assert gallery["shown"] < 1200
    assert gallery["every"] > 1
    assert len(path.read_text()) > PAGE_BUDGET / 4
    assert data_of(path.read_text())["verifiers"][0]["n"] == 1200


def test_half_a_character_does_not_stop_the_page(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    (tmp_path / "completions.jsonl").write_text(
        '{"step": 1, "sample": "s", "index": 0, "completion": "a\\ud800b", "rewards": {}}\n'
    )
    groups = data_of(write_report(tmp_path).read_text(encoding="utf-8"))["completions"]["groups"]
    assert groups[0]["items"][0][1] == "a?b"


def test_no_run_no_page(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a run folder"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_plotly_the_extra_is_named(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page_module._plotly.cache_clear()
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lydite\[report\]"'):
        write_report(small_run)
    assert not (small_run / "report.html").exists()
