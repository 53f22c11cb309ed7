"""Worked cases of the project's own making: choices, doses, contraindications, red flags. No real patient's data."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from string import ascii_uppercase
from typing import Any, Literal, TypeAlias

from lydite import DataError, Sample

Kind: TypeAlias = Literal["choice", "dose", "contraindication", "red-flags"]


def cases(
    *,
    kind: Kind | Sequence[Kind] = ("choice", "dose", "contraindication", "red-flags"),
    split: Literal["train", "heldout", "all"] = "all",
    seed: int = 0,
    instruction: str = "",
) -> list[Sample]:
    """The cases of some kinds and one split, in an order drawn from the seed.

    A choice's options are shuffled by the seed too, so that no letter is right more often than chance; its prompt ends
    in the lettered options, its reference is the right letter, and the column `options` maps letters to texts. Every
    sample has the columns `kind`, `split` and `worked` (how the answer comes about), and those its reward asks for. An
    `instruction` is put on a line of its own behind each prompt.

    Raises:
        DataError: when no case is left.
    """
    kinds = {kind} if isinstance(kind, str) else set(kind)
    rows = [row for row in _rows() if row["kind"] in kinds and split in ("all", row["split"])]
    if not rows:
        raise DataError(f"medical/cases has no cases for kind = {kind!r}, split = {split!r}")
    random.Random(f"medical/cases {seed}").shuffle(rows)  # noqa: S311
    return [_sample(row, seed, instruction) for row in rows]


def _rows() -> Iterator[dict[str, Any]]:
    text = (files("lydite_medical") / "data" / "cases.jsonl").read_text(encoding="utf-8")
    return (json.loads(line) for line in text.splitlines())


def _sample(row: Mapping[str, Any], seed: int, instruction: str) -> Sample:
    about = {"kind": row["kind"], "split": row["split"], "worked": row["worked"]}
    if row["kind"] != "choice":
        return Sample(row["id"], _asked(row["prompt"], instruction), row["reference"], {**row["columns"], **about})
    texts = list(row["columns"]["options"])
    random.Random(f"{row['id']} {seed}").shuffle(texts)  # noqa: S311
    options = dict(zip(ascii_uppercase, texts, strict=False))
    right = next(letter for letter, text in options.items() if text == row["reference"])
    listed = "\n".join(f"{letter}. {text}" for letter, text in options.items())
    prompt = _asked(f"{row['prompt']}\n{listed}", instruction)
    return Sample(row["id"], prompt, right, {**row["columns"], "options": options, **about})


def _asked(prompt: str, instruction: str) -> str:
    return f"{prompt}\n{instruction}" if instruction else prompt
