"""What docs/from-trl.md says of its own example is what the command says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lydite.configfile import read_config
from lydite.configfile.trl import from_trl
from lydite.configfile.trl.reading import PLUGINS
from lydite.plugins import load_plugins

PAGE = Path(__file__).parents[2] / "docs" / "from-trl.md"


def test_the_example_becomes_what_the_page_says(desk: Any) -> None:
    blocks = [block for block in desk.lay_out(PAGE) if block.language == "text" and not block.file]
    made = from_trl(Path("grpo.yaml"))
    first, second = ([line for line in block.text.splitlines() if line] for block in blocks[:2])
    assert list(made.lines[: len(first)]) == first
    assert set(second) <= set(made.lines)
    config = read_config(made.tables)
    assert config.train.max_steps == 20
    load_plugins(allow=PLUGINS)
