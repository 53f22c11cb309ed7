"""Where an author's case file lies when it is not named: beside the code that offers the reward."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lydite.plugins import Offer

FOLDER = "cases"


def default_case_file(offer: Offer) -> Path | None:
    """`cases/NAME.jsonl` in the import package of the plugin, or beside its file; None for a plain function.

    NAME is what stands behind the last `/` of the reward's name. The file need not exist.
    """
    name = f"{offer.name.rsplit('/', 1)[-1]}.jsonl"
    owner = offer.owner
    if owner.source == "file":
        return Path(owner.location).parent / FOLDER / name
    if owner.source != "entry_point":
        return None
    spec = importlib.util.find_spec(owner.location.split(":")[0].strip().split(".")[0])
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / FOLDER / name
