"""One POST of JSON, with a deadline over all of it."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, Any, Final

LARGEST: Final = 4_000_000
"""Bytes of a reply; a chat reply is a thousand times smaller."""
_BLOCK: Final = 65_536


class Refused(Exception):  # noqa: N818 - an outcome that the caller sorts, not an error for a user
    """The server did not give a reply; `again` says whether asking once more makes sense."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(_NoRedirects)


def post(url: str, body: Mapping[str, Any], headers: Mapping[str, str], seconds: float) -> Any:
    """The reply's JSON, within that many seconds from the first byte sent to the last one read.

    Raises:
        Refused: on any other outcome.
    """
    deadline = time.monotonic() + seconds
    request = urllib.request.Request(  # noqa: S310 - the caller allows http and https only
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}, method="POST"
    )
    try:
        with _OPENER.open(request, timeout=seconds) as response:
            content = _read(response, deadline)
    except urllib.error.HTTPError as error:
        with error:
            told = error.read(300).decode(errors="replace").strip()
        again = error.code in (408, 409, 425, 429) or error.code >= 500
        raise Refused(f"HTTP {error.code}: {told or error.reason}", again=again) from None
    except TimeoutError:
        raise Refused(f"no reply within {seconds:g} s", again=True) from None
    except urllib.error.URLError as error:
        timed_out = isinstance(error.reason, TimeoutError)
        why = f"no reply within {seconds:g} s" if timed_out else f"cannot be reached: {error.reason}"
        raise Refused(why, again=True) from None
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"the connection broke: {type(error).__name__}: {error}", again=True) from None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Refused(f"the reply is not JSON: {content[:120]!r}", again=True) from None


def _read(response: Any, deadline: float) -> bytes:
    """All of the body. A socket's own timeout starts anew with each byte, so a slow drip would never end."""
    parts: list[bytes] = []
    size = 0
    while block := response.read1(_BLOCK):
        parts.append(block)
        size += len(block)
        if size > LARGEST:
            raise Refused(f"the reply is larger than {LARGEST} bytes", again=False)
        if time.monotonic() > deadline:
            raise TimeoutError
    return b"".join(parts)
