"""The report in a real browser: charts, filters, text that must stay text, two window sizes, and a live run."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lydite.report import read_run, write_report
from lydite.report.serve import ReportServer

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)
# Runs in the page before its own scripts do, so that nothing escapes it.
WATCH = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifts += one.value;
}).observe({ type: "layout-shift", buffered: true });
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


class Page:
    """A tab of Chromium with the questions that these tests ask of it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str, width: int = 1400, height: int = 900) -> None:
        self.size(width, height)
        self.driver.get(url)
        self.until("return document.documentElement.dataset.ready === 'yes'")

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def js(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def until(self, condition: str, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not self.js(condition):
            assert time.monotonic() < deadline, f"never came true: {condition}"
            time.sleep(0.05)

    def set(self, name: str, value: str | bool) -> None:
        """Gives a filter a value, as a hand would, and waits for the list."""
        self.js(
            "const one = document.querySelector(`#filters [name=${arguments[0]}]`);"
            "if (one.type === 'checkbox') one.checked = arguments[1]; else one.value = arguments[1];"
            "if (one.type !== 'checkbox' && one.value !== arguments[1]) throw new Error('no such choice');"
            "for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind, { bubbles: true }));",
            name,
            value,
        )
        # The filter waits for the typing to end.
        self.until("return !document.getElementById('completion-list').hasAttribute('aria-busy')")

    def press(self, which: str, beginning: str) -> None:
        """Clicks the first of these whose text begins like this."""
        self.js(
            "const begins = (one) => one.textContent.startsWith(arguments[1]);"
            "[...document.querySelectorAll(arguments[0])].find(begins).click()",
            which,
            beginning,
        )

    def clear(self) -> None:
        self.js("document.getElementById('reset').click()")

    @property
    def count(self) -> int:
        text: str = self.js("return document.getElementById('count').textContent")
        return int(text.split()[0].replace(",", ""))

    @property
    def console(self) -> list[str]:
        return [f"{one['level']}: {one['message']}" for one in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    yield Page(driver)
    driver.quit()


@pytest.fixture(scope="module")
def report(page: Page, finished_run: Path) -> Page:
    """The finished run's page, opened wide."""
    page.open(write_report(finished_run).as_uri())
    return page


@pytest.fixture(scope="module")
def records(finished_run: Path) -> list[dict[str, Any]]:
    return [dict(one) for one in read_run(finished_run).completions()]


def test_probes_are_shown_by_reward(report: Page) -> None:
    cards = report.js("return [...document.querySelectorAll('#probes article')].map((one) => one.innerText)")
    assert len(cards) == 2
    assert cards[0].startswith("correct: probes")
    assert "passed 3 of 12 attack texts, 3 kinds, in 4 rounds" in cards[0]
    assert "enumeration" in cards[0]
    assert "passed none of 4 canaries" in cards[1]


def test_charts_are_drawn(report: Page) -> None:
    charts = report.js(
        "const drawn = (path) => /[LHV]/.test(path.getAttribute('d'));"
        "return [...document.querySelectorAll('.chart')].map((one) => [one.querySelector('h3').textContent,"
        "[...one.querySelectorAll('.scatterlayer path')].filter(drawn).length])"
    )
    assert len(charts) == 21
    assert [title for title, paths in charts if paths < 1] == []
    drawn = dict(charts)
    assert drawn["Reward"] >= 2  # band and line
    assert drawn["Where a step's time goes"] >= 5
    labels = report.js("return [...document.querySelectorAll('.plot')].map((one) => one.getAttribute('aria-label'))")
    assert all("at step 40" in label for label in labels)


def test_the_drawn_points_are_the_runs(report: Page, finished_run: Path) -> None:
    drawn = report.js("return document.querySelector('#chart-heldout .plot').data[0].y")
    assert drawn == [one["value"] for one in read_run(finished_run).evals]


@pytest.mark.parametrize(
    ("settings", "fits"),
    [
        ({"malformed": True}, lambda one: one["format_error"] is not None),
        ({"cut": True}, lambda one: one["finish_reason"] == "length"),
        ({"from": "3", "to": "7"}, lambda one: 3 <= one["step"] <= 7),
        ({"low": "1.2"}, lambda one: one["reward"] >= 1.2),
        ({"high": "0.3", "malformed": True}, lambda one: one["reward"] <= 0.3 and one["format_error"]),
        ({"reward": "correct", "outcome": "failed"}, lambda one: one["rewards"]["correct"]["passed"] is False),
        ({"outcome": "timeout"}, lambda one: any(v["status"] == "timeout" for v in one["rewards"].values())),
        ({"reward": "judge", "outcome": "abstain"}, lambda one: one["rewards"]["judge"]["status"] == "abstain"),
        ({"reason": "=number.different"}, lambda one: one["rewards"]["correct"]["reason"] == "number.different"),
        ({"search": "  1 + 1  "}, lambda one: "1 + 1" in one["prompt"]),
        (
            {"search": "WE ADD THE TENS", "from": "39"},
            lambda one: "We add the tens" in one["completion"] and one["step"] >= 39,
        ),
    ],
)
def test_filters_leave_exactly_what_fits(
    report: Page, records: list[dict[str, Any]], settings: dict[str, Any], fits: Callable[[dict[str, Any]], bool]
) -> None:
    report.clear()
    assert report.count == len(records)
    for name, value in settings.items():
        report.set(name, value)
    expected = sum(bool(fits(one)) for one in records)
    assert report.count == expected
    assert 0 < expected < len(records)
    assert report.js("return document.querySelectorAll('#completion-list > li').length") == min(20, expected)
    report.clear()
    assert report.count == len(records)


def test_a_search_for_what_is_not_there_says_so(report: Page) -> None:
    report.set("search", "no completion says this")
    assert report.count == 0
    assert "No completion fits" in report.js("return document.getElementById('completion-list').textContent")
    report.clear()


def rewards_shown(report: Page) -> list[float]:
    shown = report.js(
        "return [...document.querySelectorAll('#completion-list .cell-reward b')].map((one) => one.textContent)"
    )
    return [float(text) for text in shown]


def test_sorting_and_paging(report: Page, records: list[dict[str, Any]]) -> None:
    report.clear()
    highest = sorted((round(one["reward"], 3) for one in records), reverse=True)
    report.set("order", "reward-down")
    assert rewards_shown(report) == highest[:20]
    report.js("[...document.querySelectorAll('#completion-list + .pager button')].at(-1).click()")
    assert rewards_shown(report) == highest[20:40]
    assert report.js("return document.querySelector('#completion-list + .pager span').textContent") == "Page 2 of 128"
    report.set("order", "reward-up")
    assert rewards_shown(report) == highest[::-1][:20]
    report.clear()


def test_a_completion_opens_with_every_verdict_and_reason(report: Page, records: list[dict[str, Any]]) -> None:
    report.clear()
    report.js("document.querySelector('#completion-list summary').click()")
    report.until("return document.querySelector('#completion-list details[open] table') !== null")
    detail = report.js("return document.querySelector('#completion-list details[open] .detail').innerText")
    first = next(one for one in records if one["step"] == 40)
    for name, verdict in first["rewards"].items():
        assert name in detail
        assert verdict["reason"] in detail
    report.press(".detail button", "All answers")
    assert report.count == 8
    report.clear()


def test_a_reason_in_the_statistics_leads_to_its_completions(report: Page, records: list[dict[str, Any]]) -> None:
    report.press(".reasons button", "ConnectionError")
    assert report.count == sum(one["rewards"]["judge"]["status"] == "error" for one in records)
    report.clear()


def test_held_out_answers_can_be_compared(report: Page, finished_run: Path) -> None:
    evals = read_run(finished_run).evals
    last = {one["sample"]: one["passed"] for one in evals[-1]["answers"]}
    broken = sum(one["passed"] and not last[one["sample"]] for one in evals[0]["answers"])
    choose = (
        "const one = document.getElementById(arguments[0]);"
        "one.value = arguments[1]; one.dispatchEvent(new Event('change'))"
    )
    report.js(choose, "heldout-against", "1")
    report.js(choose, "heldout-kind", "broken")
    assert report.js("return document.querySelectorAll('#heldout-table tbody tr').length") == min(10, broken) > 0
    assert f"{broken} right → wrong" in report.js("return document.getElementById('heldout-counts').textContent")
    assert report.js("return document.querySelector('#heldout-table th:last-child').textContent") == "After (step 40)"


def test_what_a_completion_says_stays_text(report: Page) -> None:
    report.clear()
    report.set("search", "window.attacked")
    assert report.count == 1
    report.js("document.querySelector('#completion-list details').open = true")
    report.until("return document.querySelector('#completion-list details[open] pre') !== null")
    shown = report.js("return document.querySelectorAll('#completion-list details[open] pre')[1].textContent")
    assert shown.startswith(
        '</script><script>window.attacked = 1</script><img src=x onerror="window.attacked = 2"><!--'
    )
    assert report.js("return window.attacked === undefined")
    assert report.js("return document.querySelectorAll('main img, main script').length") == 0
    report.clear()


def test_markup_that_got_in_all_the_same_could_not_run(report: Page) -> None:
    """The policy is the second lock: here the first one is opened by hand."""
    report.js("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.attacked = 3\">')")
    report.js("const s = document.createElement('script'); s.text = 'window.attacked = 4'; document.body.append(s)")
    report.until("return window.violations.length >= 2")
    assert report.js("return window.attacked === undefined")
    report.js("document.querySelector('body > img').remove(); document.body.lastChild.remove(); window.violations = []")
    assert report.console  # the browser says what it refused; the log is empty again after this


def test_nothing_is_asked_of_a_network_and_nothing_is_complained_of(page: Page, finished_run: Path) -> None:
    page.open(write_report(finished_run).as_uri())
    page.set("search", "12")
    assert page.js("return performance.getEntriesByType('resource').map((one) => one.name)") == []
    assert page.js("return window.violations") == []
    assert page.console == []


@pytest.mark.parametrize("width", [1400, 900, 400])
def test_no_window_scrolls_sideways_and_nothing_jumps(page: Page, finished_run: Path, width: int) -> None:
    page.open(write_report(finished_run).as_uri(), width=width)
    page.js("document.querySelectorAll('#completion-list details').forEach((one) => { one.open = true; })")
    page.until("return document.querySelectorAll('#completion-list .detail').length === 20")
    scrolls = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.js(scrolls) == 0
    wide = page.js(
        "const outside = (box) => box.width > 0 && box.right > document.documentElement.clientWidth + 1;"
        "return [...document.querySelectorAll('main *')].filter((one) =>"
        " !one.closest('.scroll, svg, .sr') && outside(one.getBoundingClientRect())).map((one) => one.className)"
    )
    assert wide == []
    page.open(write_report(finished_run).as_uri(), width=width)
    page.js("window.scrollTo(0, document.body.scrollHeight)")
    time.sleep(0.3)
    assert page.js("return window.shifts") < 0.01


def test_a_keyboard_reaches_and_opens_a_completion(report: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    report.clear()
    report.js("document.querySelector('#reset').focus()")
    body = report.driver.switch_to.active_element
    body.send_keys(Keys.TAB)
    focused = report.driver.switch_to.active_element
    assert focused.tag_name == "summary"
    focused.send_keys(Keys.ENTER)
    report.until("return document.activeElement.parentElement.matches('[open]:has(.detail)')")
    unnamed = report.js(
        "return [...document.querySelectorAll('input, select, button')].filter((one) =>"
        " !(one.labels && one.labels.length) && !one.getAttribute('aria-label') && !one.textContent.trim()).length"
    )
    assert unnamed == 0
    ids = report.js("return [...document.querySelectorAll('[id]:not(svg *)')].map((one) => one.id)")
    assert len(ids) == len(set(ids))


def test_dark_is_dark_and_changes_at_once(page: Page, finished_run: Path) -> None:
    page.open(write_report(finished_run).as_uri())
    look = (
        "return [getComputedStyle(document.body).backgroundColor,"
        " document.querySelector('#chart-heldout .scatterlayer path.js-line').style.stroke]"
    )
    light = page.js(look)
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    time.sleep(0.5)
    dark = page.js(look)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert light[0] == "rgb(246, 244, 238)"
    assert dark[0] == "rgb(16, 15, 12)"
    assert light[1] != dark[1]


def test_ten_thousand_completions_filter_fast_enough_to_type(page: Page, finished_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    shutil.copytree(finished_run, folder, ignore=shutil.ignore_patterns("report.html"))
    lines = (folder / "completions.jsonl").read_text().split("\n")[:-1]
    with (folder / "completions.jsonl").open("a") as log:
        for again in range(1, 4):
            for line in lines:
                log.write(json.dumps({**json.loads(line), "step": 40 * again + json.loads(line)["step"]}) + "\n")
    path = write_report(folder)
    assert path.stat().st_size < 15_000_000
    page.open(path.as_uri())
    assert page.count == 10_240
    page.set("search", "15 + ")
    found = page.count
    assert found % 4 == 0
    assert 0 < found < 10_240
    assert page.js("return document.querySelectorAll('#completion-list > li').length") == 20


def test_a_live_page_follows_and_keeps_its_filters(page: Page, small_run: Path) -> None:
    server = ReportServer(small_run)
    server.start()
    try:
        page.open(server.url)
        assert page.js("return document.getElementById('status').textContent") == "running"
        assert page.count == 4 * 64
        page.set("outcome", "failed")
        page.set("search", "what is")
        failed = page.count
        page.js("const one = document.querySelector('#completion-list summary'); one.click(); one.focus()")
        key = page.js("return document.activeElement.parentElement.dataset.key")
        lines = [json.loads(line) for line in (small_run / "completions.jsonl").read_text().split("\n")[:-1]]
        metrics = [json.loads(line) for line in (small_run / "metrics.jsonl").read_text().split("\n")[:-1]]
        added = [{**one, "step": 0} for one in lines if any(v["passed"] is False for v in one["rewards"].values())][:8]
        with (small_run / "completions.jsonl").open("a") as log:
            log.write("".join(json.dumps(one) + "\n" for one in added))
        with (small_run / "metrics.jsonl").open("a") as log:
            log.write(json.dumps({**metrics[-1], "step": 5}) + "\n")
        page.until("return document.querySelector('#chart-reward .plot').data.at(-1).x.at(-1) === 5")
        assert page.count == failed + 8
        assert page.js("return document.querySelector('#filters [name=search]').value") == "what is"
        assert page.js("return document.activeElement.parentElement.dataset.key") == key
        assert page.js("return document.activeElement.parentElement.open")
        (small_run / "summary.json").write_text('{"stopped": "finished"}')
        page.until("return document.getElementById('status').textContent === 'finished'")
        assert page.js("return window.violations") == []
        assert page.console == []
        asked = page.js("return performance.getEntriesByType('resource').map((one) => new URL(one.name).origin)")
        assert set(asked) == {server.url.rstrip("/")}
    finally:
        server.close()
    page.until("return document.getElementById('status').textContent === 'connection lost'")
