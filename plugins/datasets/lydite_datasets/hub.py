"""Any Hugging Face data set, from the hub or from a local folder, through the package `datasets`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lydite import DataError, Sample, did_you_mean
from lydite_datasets.rows import Columns, Table


def hub(
    *,
    path: str,
    name: str | None = None,
    split: str = "train",
    revision: str | None = None,
    streaming: bool = False,
    prompt: str | None = None,
    messages: str | None = None,
    reference: str | None = None,
    reference_after: str | None = None,
    id: str | None = None,
) -> Iterable[Sample]:
    """The samples of one split; `streaming` reads rows as they are asked for and downloads no more than that.

    Raises:
        DataError: when the data set, configuration, split or revision cannot be had, with what `datasets` says.
    """
    columns = Columns(prompt, messages, reference, reference_after, id)
    _check_local(path)
    import datasets

    asked = f"the data set {path!r}" + (f", configuration {name!r}" if name else "") + f", split {split!r}"
    with _quiet():
        try:
            found = datasets.load_dataset(path, name=name, split=split, revision=revision, streaming=streaming)
        except Exception as error:
            raise DataError(f"{asked} cannot be loaded: {type(error).__name__}: {error}") from error

    def rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
        try:
            for number, row in enumerate(found):
                yield f"{asked}, row {number}", row
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{asked} cannot be read: {type(error).__name__}: {error}") from error

    return Table(asked, rows, columns, None if streaming else len(found))


def _check_local(path: str) -> None:
    """A path that can only be local must exist: `datasets` would go and ask the hub for it."""
    if not path.startswith((".", "/", "~")):
        return
    folder = Path(path).expanduser()
    if not folder.exists():
        names = [one.name for one in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise DataError(f"there is no folder or file {path}{did_you_mean(folder.name, names)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of `datasets`, which would break up the run's own."""
    import datasets

    shown = datasets.are_progress_bars_disabled() is False
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
