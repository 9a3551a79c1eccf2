"""What an HDF5 file may not hold: anything that is read from elsewhere, and links without end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py

__all__ = ["MOST_LINKS", "foreign"]

MOST_LINKS, MOST_PATHS, DEEPEST = 100_000, 100_000, 64
"""Links that are looked at; ways from the root to something, of which links to the same group make many; groups within each other."""

_LIBRARY_LINKS = 64
"""Kinds of links from this number on are defined by programs: the last of them leads to another file."""


@dataclass
class _Walk:
    """What was seen of a file: paths below each group by its address, None while the group is open."""

    n_links: int = 0
    paths: dict[Any, int | None] = field(default_factory=dict)


def foreign(handle: h5py.File) -> str:
    """Say what in a file leads out of it, or round in circles; empty where nothing does.

    No link out is followed to tell this.
    """
    try:
        _paths_below(handle, "", _Walk())
    except _Foreign as found:
        return str(found)
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        return f"its groups cannot be walked through ({str(error)[:80]}), so the file is damaged"
    return ""


class _Foreign(Exception):  # noqa: N818 the end of a walk, not an error of its own
    """What ends the walk."""


def _paths_below(group: h5py.Group, place: str, walk: _Walk) -> int:
    """Count the paths that start at a group."""
    import h5py

    about = h5py.h5o.get_info(group.id)
    address = about.fileno, about.addr
    known = walk.paths.get(address, 0)
    if known is None:
        raise _Foreign(f"{place} leads back to a group that it stands in")
    if known:
        return known
    if place.count("/") > DEEPEST:
        raise _Foreign(f"groups stand more than {DEEPEST} deep within each other")
    walk.paths[address], n_paths = None, 1
    for name in _listed(group, place):
        n_paths += _paths_of(group, name, f"{place}/{name}", walk)
        if n_paths > MOST_PATHS:
            raise _Foreign(f"links lead to its groups on more than {MOST_PATHS:,} ways")
    walk.paths[address] = n_paths
    return n_paths


def _listed(group: h5py.Group, place: str) -> list[str]:
    """List the links of a group; one that cannot be listed may hide anything."""
    try:
        return list(group)
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise _Foreign(f"{place or 'its first group'} cannot be listed ({str(error)[:80]}), so the file is damaged") from None


def _paths_of(group: h5py.Group, name: str, place: str, walk: _Walk) -> int:
    """Count the paths through one link."""
    import h5py

    walk.n_links += 1
    if walk.n_links > MOST_LINKS:
        raise _Foreign(f"it holds more than {MOST_LINKS:,} links")
    try:
        if group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type >= _LIBRARY_LINKS:
            raise _Foreign(f"{place} is a link to another file")
        item = group.get(name)
    except (LookupError, OSError, RuntimeError, ValueError):  # damaged: no reader opens it either
        return 1
    if isinstance(item, h5py.Dataset) and (why := _outside(item)):
        raise _Foreign(f"{place} {why}")
    return _paths_below(item, place, walk) if isinstance(item, h5py.Group) else 1


def _outside(dataset: h5py.Dataset) -> str:
    """Say whether the values of an array stand in other files; empty where they do not."""
    import h5py

    about = dataset.id.get_create_plist()
    if about.get_layout() == h5py.h5d.VIRTUAL:
        return "is a virtual array, put together from other places"
    return "keeps its values in another file" if about.get_external_count() else ""
