"""What plugins offer: named things of a few kinds, and who offers each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args

from lydite.errors import PluginError

Kind: TypeAlias = Literal[
    "rewards", "group_rewards", "formats", "datasets", "judges", "environments", "observers", "algorithms"
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
SINGULAR: Final[Mapping[Kind, str]] = {
    "rewards": "reward",
    "group_rewards": "group reward",
    "formats": "format",
    "datasets": "data set",
    "judges": "judge",
    "environments": "environment",
    "algorithms": "algorithm",
    "observers": "observer",
}


@dataclass(frozen=True, slots=True)
class Owner:
    """Where a plugin came from."""

    plugin: str
    """Name of the entry point, or the stem of a file."""
    distribution: str
    version: str
    source: Literal["entry_point", "file", "function"]
    location: str
    """What a worker process imports: the entry point's value or the file's absolute path; empty for a function."""
    sha256: str = ""
    """Over the plugin's Python files, for the run's manifest."""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}" if self.source == "entry_point" else self.distribution

    @property
    def key(self) -> str:
        """What the plugin is registered under. Two distributions may give their entry points one name."""
        return f"{self.distribution}:{self.plugin}:{self.location}"


@dataclass(frozen=True, slots=True)
class Offer:
    """One named thing that a plugin offers."""

    kind: Kind
    name: str
    thing: Callable[..., Any]
    owner: Owner


@dataclass(frozen=True, slots=True)
class Failure:
    """A plugin that could not be loaded, and why."""

    owner: Owner
    cause: str

    def __str__(self) -> str:
        return f"plugin {self.owner.plugin!r} of {self.owner} failed to load: {self.cause}"


def add_offer(offers: dict[Kind, dict[str, Offer]], offer: Offer) -> None:
    """Puts an offer beside the others of its kind.

    Raises:
        PluginError: when it has no name or cannot be called, or somebody offers the name already.
    """
    word = SINGULAR[offer.kind]
    if not isinstance(offer.name, str) or not offer.name or offer.name != offer.name.strip():
        raise PluginError(f"a {word} needs a name without spaces around it, got {offer.name!r}")
    if not callable(offer.thing):
        raise PluginError(f"the {word} {offer.name!r} must be callable, got {type(offer.thing).__name__}")
    # Rewards and group rewards are asked for in the same place of a configuration, so they share their names.
    rivals: tuple[Kind, ...] = (
        ("rewards", "group_rewards") if offer.kind in ("rewards", "group_rewards") else (offer.kind,)
    )
    for kind in rivals:
        other = offers[kind].get(offer.name)
        if other is not None:
            raise PluginError(f"the {word} {offer.name!r} is offered twice: by {other.owner} and by {offer.owner}")
    offers[offer.kind][offer.name] = offer


def frozen_offers(offers: Mapping[Kind, Mapping[str, Offer]]) -> Mapping[Kind, Mapping[str, Offer]]:
    """The offers as they are now, which nobody can change any more."""
    return MappingProxyType({kind: MappingProxyType(dict(offers[kind])) for kind in KINDS})
