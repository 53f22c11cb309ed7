"""The guide for authors, followed to the letter: its commands run, its edits are made, its outputs come."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.author import Author

PAGE = Path(__file__).parents[2] / "docs" / "publish-a-verifier.md"
FENCE = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REWARD = Path("lydite_my_rubric/answer.py")
CASES = Path("lydite_my_rubric/cases/answer.jsonl")


@pytest.mark.slow
def test_the_guide_is_followed_to_the_letter(author: Author) -> None:
    page = PAGE.read_text()
    blocks = [(match[1], match[2], match[3]) for match in FENCE.finditer(page)]
    texts = [text for language, name, text in blocks if language == "text" and not name]
    files = {name: text for language, name, text in blocks if language == "text" and name}
    begin, check, again, audit, build, train = [text for language, _, text in blocks if language == "bash"]
    read = next(text for language, _, text in blocks if language == "python" and "def read" in text)

    assert author.types(begin).returncode == 0
    assert author.folder.name == "lydite-my-rubric"
    passed = author.types(check)
    assert (passed.returncode, "my-rubric/answer passes" in passed.stdout) == (0, True), passed.stdout

    with (author.folder / CASES).open("a") as cases:
        cases.write(files["one-more-case.jsonl"])
    failed = author.types(check)
    assert failed.returncode == 1
    assert texts[0] in failed.stdout
    assert failed.stdout.count("FAILED") == 1

    source = (author.folder / REWARD).read_text()
    replaced = re.sub(
        r"def read\(.*?(?=\n\n\ndef )", lambda _: read[read.index("def read") :].rstrip(), source, flags=re.S
    )
    assert replaced != source
    (author.folder / REWARD).write_text(replaced)
    passed = author.types(again)
    assert (passed.returncode, "my-rubric/answer passes" in passed.stdout) == (0, True), passed.stdout

    generous = re.search(r"`(right = [^`]+)`", page)
    assert generous is not None
    (author.folder / REWARD).write_text(replaced.replace("right = given in accepted", generous[1]))
    failed = author.types(check)
    assert failed.returncode == 1
    assert all(line in failed.stdout.splitlines() for line in texts[1].splitlines())
    (author.folder / REWARD).write_text(replaced)

    cases_before = (author.folder / CASES).read_text()
    (author.folder / CASES).write_text(texts[2] + cases_before)
    assert author.types(check).returncode == 0
    (author.folder / CASES).write_text(cases_before)

    measured = author.types(audit)
    assert measured.returncode == 0, measured.stderr
    assert (author.folder / "lydite_my_rubric/calibration/answer.json").is_file()

    built = author.types(build)
    assert built.returncode == 0, built.stderr
    (wheel,) = (author.folder / "dist").glob("*.whl")
    assert wheel.name.startswith("lydite_my_rubric-")

    for name in ("train.toml", "questions.jsonl"):
        (author.folder / name).write_text(files[name])
    trained = author.types(train)
    assert trained.returncode == 0, trained.stderr
    assert "nothing was trained" in trained.stdout

    tested = author.types("pytest -q -p no:cacheprovider")
    assert tested.returncode == 0, tested.stdout
    command = re.search(r"`(pytest --lydite-check [^`]+)`", page)
    assert command is not None
    tested = author.types(f"{command[1]} -q -p no:cacheprovider")
    assert (tested.returncode, "12 passed" in tested.stdout) == (0, True), tested.stdout


def test_what_the_page_says_of_the_kit_is_so(desk: Any) -> None:
    from lydite.attacks import ATTACK_NAMES

    page = " ".join(PAGE.read_text().split())
    assert 36 <= len(ATTACK_NAMES) <= 44, "the page says: some forty"
    assert "some forty attacks" in page
