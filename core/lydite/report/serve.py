"""The report of a run that goes on: a page that asks its own small server for news."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from lydite.errors import ConfigError, LyditeError
from lydite.report.gallery import CompletionsDigest
from lydite.report.page import render_page
from lydite.report.payload import payload_of
from lydite.report.reader import check_run_folder, read_run

_WATCHED = (
    "config.toml",
    "manifest.json",
    "metrics.jsonl",
    "timings.jsonl",
    "evals.jsonl",
    "skipped.jsonl",
    "summary.json",
)


class Follower:
    """The page's data of a run folder, read again only where a file has changed."""

    def __init__(self, folder: Path) -> None:
        check_run_folder(folder)
        self.folder = folder
        self._digest = CompletionsDigest(folder / "completions.jsonl")
        self._seen: tuple[tuple[int, int], ...] = ()
        self._payload = ""
        self._version = 0
        self._lock = threading.Lock()

    def news(self, have: int | None = None) -> str | None:
        """The data as JSON text; None where version `have` is still the newest."""
        with self._lock:
            state = tuple(self._state(name) for name in _WATCHED)
            grown = self._digest.update()
            if grown or state != self._seen:
                self._version += 1
                run = read_run(self.folder)
                self._payload = payload_of(run, self._digest, version=self._version, live=True)
                self._seen = state
            return None if have == self._version else self._payload

    def _state(self, name: str) -> tuple[int, int]:
        path = self.folder / name
        if not path.is_file():
            return (0, 0)
        stat = path.stat()
        return (stat.st_mtime_ns, stat.st_size)


class ReportServer:
    """A server of one run's report; it listens from the moment it is made.

    Raises:
        ConfigError: when the folder holds no run, or the address cannot be listened on.
        MissingExtraError: when plotly is not installed.
    """

    def __init__(self, folder: Path | str, host: str = "127.0.0.1", port: int = 0) -> None:
        folder = Path(folder)
        follower = Follower(folder)
        render_page("{}", title=folder.name, live=True)  # what is missing is said now, not to a browser later
        try:
            self._http = _Server((host, port), follower)
        except OSError as error:
            raise ConfigError(
                f"cannot serve on {host}:{port}: {error.strerror}; take another --port, or 0 for any free one"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._http.server_address[1]}/"
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serves from a thread of its own."""
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), daemon=True, name="lydite-report")
        self._thread.start()

    def wait(self) -> None:
        """Serves until interrupted."""
        self._http.serve_forever(0.2)

    def close(self) -> None:
        """Stops serving and gives the port back."""
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join()
            self._thread = None
        self._http.server_close()


def serve_report(
    folder: Path | str, host: str = "127.0.0.1", port: int = 0, *, ready: Callable[[str], None] | None = None
) -> None:
    """Nothing; serves the report until Ctrl-C.

    Port 0 takes any free one; `ready` is told the address, which is printed otherwise.

    Raises:
        ConfigError: when the folder holds no run, or the address cannot be listened on.
        MissingExtraError: when plotly is not installed.
    """
    server = ReportServer(folder, host, port)
    (ready or _announce)(server.url)
    try:
        server.wait()
    except KeyboardInterrupt:
        return
    finally:
        server.close()


def _announce(url: str) -> None:
    print(f"report: {url}  (Ctrl-C ends it)", flush=True)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], follower: Follower) -> None:
        super().__init__(address, _Handler)
        self.follower = follower
        self.only_local = _is_loopback(address[0])


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answers for the page and for its data; there is nothing else."""
        asked = urlsplit(self.path)
        if self.server.only_local and not self._asked_for_this_machine():
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "this report is served to this machine only\n")
            return
        try:
            if asked.path == "/":
                payload = self.server.follower.news() or "{}"
                page = render_page(payload, title=self.server.follower.folder.name, live=True)
                self._answer(HTTPStatus.OK, "text/html", page)
            elif asked.path == "/data.json":
                have = parse_qs(asked.query).get("have", [""])[0]
                payload = self.server.follower.news(int(have) if have.isdigit() else None) or ""
                self._answer(HTTPStatus.OK if payload else HTTPStatus.NO_CONTENT, "application/json", payload)
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is only / and /data.json\n")
        except (LyditeError, OSError) as error:  # the folder may be gone, or the reader
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"{error}\n")

    def _asked_for_this_machine(self) -> bool:
        """False where a page from elsewhere had its own name point here, to read what is served (DNS rebinding)."""
        name = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        return name == "localhost" or _is_loopback(name)

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        content = text.encode("utf-8", "replace")
        try:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the reader closed the page

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: a line for each poll would bury everything else on the console."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
