"""One environment for all tests that install what they wrote."""

from __future__ import annotations

import pytest
from support.fresh_environment import FreshEnvironment, make_environment


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    return make_environment(tmp_path_factory.mktemp("fresh"))
