"""What an HDF5 file must not hold: links to other files, and links in circles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py

__all__ = ["MOST_LINKS", "find_foreign_link"]

MOST_LINKS, MOST_PATHS, DEEPEST = 100_000, 100_000, 64
"""Limits of the walk through a file: links; paths from the root, which links to one group
multiply; depth of nested groups. Chosen, not tuned."""

_LIBRARY_LINKS = 64
"""Number from which link types are defined by programs (``H5L_TYPE_UD_MIN``). External links, to
other files, are among them."""


@dataclass
class _Walk:
    """State of the walk through a file: paths below each group, None while the group is open."""

    n_links: int = 0
    paths: dict[Any, int | None] = field(default_factory=dict)


def find_foreign_link(handle: h5py.File) -> str:
    """Describe what in a file leads out of it, or in circles; return an empty text if nothing does.

    The check follows no link to another file.
    """
    try:
        _count_paths(handle, "", _Walk())
    except _Foreign as found:
        return str(found)
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        return f"its groups cannot be listed ({str(error)[:80]}), so the file is damaged"
    return ""


class _Foreign(Exception):  # noqa: N818 the end of a walk, not an error of its own
    """The finding that ends the walk."""


def _count_paths(group: h5py.Group, place: str, walk: _Walk) -> int:
    """Count the paths that start at a group."""
    import h5py

    about = h5py.h5o.get_info(group.id)
    address = about.fileno, about.addr
    known = walk.paths.get(address, 0)
    if known is None:
        raise _Foreign(f"{place} leads back to a group that contains it")
    if known:
        return known
    if place.count("/") > DEEPEST:
        raise _Foreign(f"groups are nested more than {DEEPEST} deep")
    walk.paths[address], n_paths = None, 1
    for name in _list_links(group, place):
        n_paths += _follow_link(group, name, f"{place}/{name}", walk)
        if n_paths > MOST_PATHS:
            raise _Foreign(f"more than {MOST_PATHS:,} paths lead to its groups")
    walk.paths[address] = n_paths
    return n_paths


def _list_links(group: h5py.Group, place: str) -> list[str]:
    """List the links of a group; one that cannot be listed may hide anything."""
    try:
        return list(group)
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        name = place or "its root group"
        raise _Foreign(
            f"{name} cannot be listed ({str(error)[:80]}), so the file is damaged"
        ) from None


def _follow_link(group: h5py.Group, name: str, place: str, walk: _Walk) -> int:
    """Count the paths through one link."""
    import h5py

    walk.n_links += 1
    if walk.n_links > MOST_LINKS:
        raise _Foreign(f"it holds more than {MOST_LINKS:,} links")
    try:
        if group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type >= _LIBRARY_LINKS:
            raise _Foreign(f"{place} is a link to another file")
        item = group.get(name)
    except (
        LookupError,
        OSError,
        RuntimeError,
        ValueError,
    ):  # damaged; readers cannot open it either
        return 1
    if isinstance(item, h5py.Dataset) and (why := _find_outside_values(item)):
        raise _Foreign(f"{place} {why}")
    return _count_paths(item, place, walk) if isinstance(item, h5py.Group) else 1


def _find_outside_values(dataset: h5py.Dataset) -> str:
    """Describe whether the values of an array are in other files; empty if they are not."""
    import h5py

    about = dataset.id.get_create_plist()
    if about.get_layout() == h5py.h5d.VIRTUAL:
        return "is a virtual array, assembled from other places"
    return "has its values in another file" if about.get_external_count() else ""
