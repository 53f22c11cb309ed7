"""A world outside that notes who asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.outside import Outside


@pytest.fixture
def outside() -> Iterator[Outside]:
    with Outside() as proxy:
        yield proxy
