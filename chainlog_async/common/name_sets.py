"""Several names to ask for at once, or to leave out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, TypedDict

import msgspec

NameDimension: TypeAlias = Literal["chain", "provider", "model", "caller"]

NAME_COLUMNS: Final[Mapping[NameDimension, str]] = {
    "chain": "chain_name",
    "provider": "provider_id",
    "model": "model",
    "caller": "caller",
}
"""The column that has the name, of a request and of usage."""

MAX_NAMES: Final = 100
"""Most names of one `NameSet`."""


class NameSet(msgspec.Struct, frozen=True, kw_only=True):
    """Names of a dimension: one of them has to match, or, if `excluded`, none may. The caller "" stands for no caller.

    Raises `ValueError` for no names at all, or for more than `MAX_NAMES`.
    """

    dimension: NameDimension
    names: tuple[str, ...]
    excluded: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MAX_NAMES:
            raise ValueError(f"{self.dimension} has {len(self.names)} names; give 1 to {MAX_NAMES}")

    def admits(self, name: str | None) -> bool:
        """Whether a request with this name matches."""
        return ((name or "") in self.names) is not self.excluded


class NamesAskedFor(TypedDict):
    """Names that are asked for, as the fields of `RequestFilter` and `UsageFilter`."""

    chain: str | None
    provider: str | None
    model: str | None
    caller: str | None
    names: tuple[NameSet, ...]


def names_asked_for(
    given: Mapping[NameDimension, Sequence[str]], excluded: Mapping[NameDimension, Sequence[str]]
) -> NamesAskedFor:
    """The filter for names of which one has to match and others may not; a single name has a faster field of its own.

    Raises `ValueError` for more than `MAX_NAMES` of a dimension.
    """
    # The name "" can be searched for as one of several only.
    single = {dimension: names[0] for dimension, names in given.items() if len(names) == 1 and names[0]}
    sets = [NameSet(dimension=key, names=tuple(names)) for key, names in given.items() if names and key not in single]
    sets += [NameSet(dimension=key, names=tuple(names), excluded=True) for key, names in excluded.items() if names]
    return NamesAskedFor(
        chain=single.get("chain"),
        provider=single.get("provider"),
        model=single.get("model"),
        caller=single.get("caller"),
        names=tuple(sets),
    )


def name_parameters(sets: Iterable[NameSet]) -> Mapping[str, tuple[str, ...] | None]:
    """The names by the parameters of a query, ``chain_any``, ``chain_none`` and so on; None where there are none.

    Of two sets of the same kind, the names in both have to match, or those of either may not.
    """
    found: dict[str, tuple[str, ...] | None] = {
        f"{key}_{kind}": None for key in NAME_COLUMNS for kind in ("any", "none")
    }
    for one in sets:
        parameter = f"{one.dimension}_{'none' if one.excluded else 'any'}"
        before = found[parameter]
        if before is None:
            found[parameter] = one.names
        elif one.excluded:
            found[parameter] = (*before, *one.names)
        else:
            found[parameter] = tuple(name for name in before if name in one.names)
    return found


def asked_of(sets: Iterable[NameSet]) -> frozenset[NameDimension]:
    """The dimensions that the sets are about."""
    return frozenset(one.dimension for one in sets)
