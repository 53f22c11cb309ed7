"""Gold answers and columns for completions that were saved without them, found by id or by prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lydite.errors import DataError
from lydite.jsonl import read_objects
from lydite.rescore.saved import Saved, prompt_of, spoken_prompt

EXAMPLE: Final = '{"prompt": "2 + 2?", "reference": "4"}'


@dataclass(frozen=True, slots=True)
class Golds:
    """The rows of a data set by id and by prompt."""

    path: Path
    rows: Mapping[tuple[str, str], Mapping[str, Any]]
    reference: str

    def completed(self, saved: Saved) -> Saved:
        """The completion with the reference and the columns of its row.

        Raises:
            DataError: when no row has its id or its prompt.
        """
        row = self.rows.get(("id", saved.sample.id)) or self.rows.get(("prompt", _bare(saved.sample.prompt)))
        if row is None:
            raise DataError(
                f"{saved.where}: no row of {self.path} has the id {saved.sample.id!r:.60} or the prompt "
                f"{saved.prompt_text!r:.80}"
            )
        nested = row.get("columns") if isinstance(row.get("columns"), dict) else {}
        columns = {**saved.sample.columns, **row, **(nested or {})}
        has = self.reference in row
        sample = replace(
            saved.sample, reference=row[self.reference] if has else saved.sample.reference, columns=columns
        )
        return replace(saved, sample=sample, has_reference=has or saved.has_reference)


def read_golds(path: Path, reference: str = "reference") -> Golds:
    """The rows of a file of JSON lines {prompt or id, reference, ...columns}.

    Raises:
        DataError: on a line that is none, and on two rows for one prompt that do not agree.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for line, content in read_objects(path, example=EXAMPLE):
        where = f"{path}:{line}"
        keys = [("id", str(content["id"]))] if content.get("id") is not None else []
        if "prompt" in content:
            keys.append(("prompt", _bare(prompt_of(content["prompt"], where, "prompt"))))
        if not keys:
            raise DataError(f"{where}: expected a prompt or an id; a row such as {EXAMPLE}")
        for key in keys:
            other = rows.setdefault(key, content)
            if other.get(reference) != content.get(reference):
                raise DataError(f"{where}: another row has the same {key[0]} {key[1]!r:.60} and another {reference}")
    if not rows:
        raise DataError(f"{path} is empty; expected lines such as {EXAMPLE}")
    return Golds(path, rows, reference)


def _bare(prompt: Any) -> str:
    """What is asked; a system message is not part of it, since a run may have put it there."""
    if isinstance(prompt, str):
        return prompt.strip()
    said = [one for one in prompt if one["role"] != "system"]
    return said[0]["content"].strip() if len(said) == 1 else spoken_prompt(tuple(said))
