"""Other people's logs and bars stay off the screen, and what the user set stays set."""

from __future__ import annotations

import logging
import os

import pytest
from transformers.utils import logging as transformers_logging

from lydite.policy import quiet_libraries
from lydite.policy.quiet import without_chatter


def test_bars_and_advice_are_off(capfd: pytest.CaptureFixture[str]) -> None:
    transformers_logging.enable_progress_bar()
    transformers_logging.set_verbosity_info()
    quiet_libraries()
    for _ in transformers_logging.tqdm(range(3), desc="a bar"):
        pass
    for name in ("transformers.anything", "peft", "bitsandbytes.cextension", "datasets"):
        logging.getLogger(name).warning("advice")
    assert capfd.readouterr() == ("", "")


def test_what_the_user_set_in_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    quiet_libraries()
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


def test_an_error_comes_through_the_silence() -> None:
    with pytest.raises(OSError, match="gone"), without_chatter():
        raise OSError("gone")
