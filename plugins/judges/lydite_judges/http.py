"""One POST of JSON, with a deadline over all of it."""

from __future__ import annotations

import http.client
import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import IO, Any, Final

LARGEST: Final = 4_000_000
"""Bytes of a reply; a chat reply is a thousand times smaller."""
_BLOCK: Final = 65_536
_HERE: Final = frozenset(["127.0.0.1", "localhost", "::1"])


class Refused(Exception):  # noqa: N818 - an outcome that the caller sorts, not an error for a user
    """The server did not give a reply."""

    def __init__(self, why: str, *, again: bool, served: bool = False, wait: float = 0.0) -> None:
        super().__init__(why)
        self.again = again
        """Whether asking once more makes sense."""
        self.served = served
        """Whether the server may have done the work, and bill it."""
        self.wait = wait
        """Seconds that the server wants to be left alone."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(_NoRedirects)
_DIRECT: Final = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))
"""For this machine itself, which no proxy can reach."""


def post(url: str, body: Mapping[str, Any], headers: Mapping[str, str], seconds: float) -> Any:
    """The reply's JSON, within that many seconds from the first byte sent to the last one read.

    Raises:
        Refused: on any other outcome.
    """
    deadline = time.monotonic() + seconds
    request = urllib.request.Request(  # noqa: S310 - the caller allows http and https only
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}, method="POST"
    )
    opener = _DIRECT if urllib.parse.urlsplit(url).hostname in _HERE else _OPENER
    try:
        with opener.open(request, timeout=seconds) as response:
            content = _read(response, deadline)
    except urllib.error.HTTPError as error:
        raise _refusal(error) from None
    except TimeoutError:
        raise Refused(f"no reply within {seconds:.3g} s", again=True, served=True) from None
    except urllib.error.URLError as error:
        timed_out = isinstance(error.reason, TimeoutError)
        why = f"no reply within {seconds:.3g} s" if timed_out else f"cannot be reached: {error.reason}"
        raise Refused(why, again=True) from None
    except (OSError, http.client.HTTPException) as error:
        why = f"the connection broke: {type(error).__name__}: {error}"
        raise Refused(why, again=True, served=True) from None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Refused(f"the reply is not JSON: {content[:120]!r}", again=True, served=True) from None


def _refusal(error: urllib.error.HTTPError) -> Refused:
    with error:
        try:
            told = error.read(300).decode(errors="replace").strip()
        except (OSError, http.client.HTTPException):
            told = ""
    again = error.code in (408, 409, 425, 429) or error.code >= 500
    return Refused(
        f"HTTP {error.code}: {told or error.reason}", again=again, wait=_seconds(error.headers.get("Retry-After"))
    )


def _seconds(retry_after: str | None) -> float:
    """A Retry-After in seconds; 0 when it is a date or nonsense."""
    try:
        wait = float(retry_after or 0)
    except ValueError:
        return 0.0
    return wait if math.isfinite(wait) and wait > 0 else 0.0


def _read(response: Any, deadline: float) -> bytes:
    """All of the body. A socket's own timeout starts anew with each byte, so a slow drip would never end."""
    parts: list[bytes] = []
    size = 0
    while block := response.read1(_BLOCK):
        parts.append(block)
        size += len(block)
        if size > LARGEST:
            raise Refused(f"the reply is larger than {LARGEST} bytes", again=False, served=True)
        if time.monotonic() > deadline:
            raise TimeoutError
    return b"".join(parts)
