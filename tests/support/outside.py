"""The world outside, as a process sees it through a proxy that notes who was asked for and answers nobody.

def test_it(outside: Outside) -> None:
    subprocess.run(command, env=outside.environment(os.environ))
    assert outside.asked == []
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_MARKS = (
    "CI",
    "PYTEST_CURRENT_TEST",
    "PYTEST_VERSION",
    "PYTEST_XDIST_WORKER",
    "GITHUB_ACTIONS",
    "NO_PROXY",
    "no_proxy",
)
"""By which a program could know that it is only tested."""


class Outside:
    """A proxy on this machine. Use it as a context manager."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """The first line of each request: `CONNECT api.example.org:443 HTTP/1.1`."""
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def environment(self, environ: Mapping[str, str], **settings: str) -> dict[str, str]:
        """An environment whose requests go to this proxy, which has this folder's modules, and no marks of a test."""
        host, port = self._server.getsockname()
        proxies = {name: f"http://{host}:{port}" for one in _PROXIES for name in (one, one.upper())}
        kept = {name: value for name, value in environ.items() if name not in _MARKS}
        path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [environ.get("PYTHONPATH")])])
        return {**kept, **proxies, "PYTHONPATH": path, **settings}

    def __enter__(self) -> Outside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # closed
                return
            with connection:
                connection.settimeout(2.0)
                try:
                    line = connection.recv(4096).split(b"\r\n")[0].decode("latin-1")
                    self.asked.append(line or "(nothing)")
                    connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                except OSError:
                    self.asked.append("(nothing)")
