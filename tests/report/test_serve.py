"""Following a run that goes on, over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lydite.errors import ConfigError
from lydite.report.serve import Follower, ReportServer


def ask(url: str, path: str, host: str | None = None, method: str = "GET") -> tuple[int, dict[str, str], str]:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), text


@pytest.fixture
def server(small_run: Path) -> Iterator[ReportServer]:
    made = ReportServer(small_run)
    made.start()
    yield made
    made.close()


def append_step(folder: Path, step: int) -> None:
    metrics = (folder / "metrics.jsonl").read_text().splitlines()
    completions = (folder / "completions.jsonl").read_text().splitlines()
    with (folder / "completions.jsonl").open("a") as log:
        for line in completions[:8]:
            log.write(json.dumps({**json.loads(line), "step": step}) + "\n")
    with (folder / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({**json.loads(metrics[0]), "step": step, "reward": 9.0}) + "\n")


def test_the_page_may_ask_its_own_server_and_nothing_else(server: ReportServer) -> None:
    status, headers, page = ask(server.url, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "connect-src 'self'" in page
    assert '"live":true' in page
    assert '"status":"running"' in page


def test_news_come_only_when_there_are_any(server: ReportServer, small_run: Path) -> None:
    _, _, text = ask(server.url, "/data.json")
    first = json.loads(text)
    assert ask(server.url, f"/data.json?have={first['version']}")[0] == 204
    append_step(small_run, 5)
    status, _, text = ask(server.url, f"/data.json?have={first['version']}")
    second = json.loads(text)
    assert status == 200
    assert second["version"] > first["version"]
    assert second["completions"]["total"] == first["completions"]["total"] + 8
    assert second["charts"][0]["data"][-1]["y"][-1] == 9.0
    assert ask(server.url, f"/data.json?have={second['version']}")[0] == 204


def test_the_end_of_the_run_is_news(server: ReportServer, small_run: Path) -> None:
    have = json.loads(ask(server.url, "/data.json")[2])["version"]
    (small_run / "summary.json").write_text('{"stopped": "finished", "seconds": 10}')
    data = json.loads(ask(server.url, f"/data.json?have={have}")[2])
    assert data["overview"]["status"] == "finished"


def test_only_two_things_are_served(server: ReportServer) -> None:
    for path in ("/config.toml", "/../config.toml", "/report.html", "/data.json/x", "/completions.jsonl"):
        assert ask(server.url, path)[0] == 404, path
    assert ask(server.url, "/", method="POST")[0] == 501
    assert ask(server.url, "/data.json?have=nonsense")[0] == 200


def test_a_foreign_name_that_points_here_is_refused(server: ReportServer) -> None:
    assert ask(server.url, "/data.json", host="evil.example")[0] == 403
    port = urlsplit(server.url).port
    for name in ("localhost", "127.0.0.1", "[::1]"):
        assert ask(server.url, "/data.json", host=f"{name}:{port}")[0] == 200


def test_a_run_that_is_deleted_meanwhile_is_an_error_not_an_end(server: ReportServer, small_run: Path) -> None:
    assert ask(server.url, "/data.json")[0] == 200
    hidden = small_run.with_name("hidden")
    small_run.rename(hidden)
    status, _, text = ask(server.url, "/data.json")
    assert status == 500
    assert "is not a run folder" in text
    hidden.rename(small_run)
    assert ask(server.url, "/data.json")[0] == 200


def test_following_reads_what_was_added_only(small_run: Path) -> None:
    follower = Follower(small_run)
    first = json.loads(follower.news() or "")
    assert follower.news(first["version"]) is None
    # The part that was read is spoilt, size kept: reading it again would show.
    log = small_run / "completions.jsonl"
    size = log.stat().st_size
    log.write_bytes(b"\n" * size)
    append = json.dumps({"step": 5, "sample": "s", "index": 0, "completion": "new", "rewards": {}})
    with log.open("a") as file:
        file.write(append + "\n")
    second = json.loads(follower.news(first["version"]) or "")
    assert second["completions"]["total"] == first["completions"]["total"] + 1


def test_no_run_and_a_taken_port_are_clear_errors(tmp_path: Path, small_run: Path) -> None:
    with pytest.raises(ConfigError, match="is not a run folder"):
        ReportServer(tmp_path / "nothing")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot serve on 127\.0\.0\.1:{port}: .*take another --port"):
            ReportServer(small_run, port=port)


def test_ctrl_c_ends_it_cleanly(small_run: Path) -> None:
    code = "import sys; from lydite.report.serve import serve_report; serve_report(sys.argv[1]); print('after')"
    # A shell may have started the tests with interrupts ignored, which children inherit.
    restore = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    process = subprocess.Popen(
        [sys.executable, "-c", restore + code, str(small_run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    url = line.split()[1]
    assert ask(url, "/data.json")[0] == 200
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "after\n", "")


def test_a_folder_may_be_followed_before_its_first_step(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "config.toml").write_text("")
    data = json.loads(Follower(folder).news() or "")
    assert (data["charts"], data["completions"]["total"], data["overview"]["status"]) == ([], 0, "running")
    shutil.rmtree(folder)
