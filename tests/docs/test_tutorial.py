"""The tutorial, followed from its first line to its last, with a tiny model and a short run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.author import Author

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
FENCE = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHORT = {"max_steps = 40": "max_steps = 2", "per_device_train_batch_size = 64": "per_device_train_batch_size = 8",
         "n = 64": "n = 2"}  # fmt: skip


@pytest.mark.slow
def test_the_tutorial_is_followed_to_the_end(author: Author) -> None:
    blocks = [(match[1], match[2], match[3]) for match in FENCE.finditer(PAGE.read_text())]
    files = {name: text for _, name, text in blocks if name}
    said = [text for language, name, text in blocks if language == "text" and not name]
    _, check, mend, audit, move, build, train, after = [text for language, _, text in blocks if language == "bash"]
    (trial,) = [text for language, name, text in blocks if language == "python" and not name]
    (author.folder / "cases").mkdir()
    for name, text in files.items():
        for whole, short in SHORT.items():
            text = text.replace(whole, short)
        (author.folder / name).write_text(text)
    (author.folder / "trial.py").write_text(trial)
    assert author.types("python trial.py").returncode == 0

    failed = author.types(check)
    assert failed.returncode == 1
    lines = failed.stdout.splitlines()
    missing = [line for line in said[0].splitlines() if line not in lines]
    assert missing == []

    passed = author.types(mend)
    assert (passed.returncode, said[1].strip() in passed.stdout) == (0, True), passed.stdout

    measured = author.types(audit)
    assert measured.returncode == 0, measured.stderr
    figures = json.loads((author.folder / "right.json").read_text())
    assert (figures["fpr"], round(figures["tpr"] * figures["positives"])) == (0.0, figures["positives"] - 2)

    assert author.types(move).returncode == 0
    built = author.types(build)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "sums/right passes" in built.stdout
    (wheel,) = (author.folder / "dist").glob("*.whl")
    assert wheel.name.startswith("lydite_sums-1.0.0")

    trained = author.types(train)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "nothing was trained" in trained.stdout
    assert "lydite-sums" in (author.folder / "runs" / "train" / "manifest.json").read_text()
    assert "on 12 labelled rows" in trained.stderr, "the figures travel with the plugin"

    told = author.types(after.replace("--n 8", "--n 2"))
    assert told.returncode == 0, told.stderr
    assert len((author.folder / "answers.jsonl").read_text().splitlines()) == 2
