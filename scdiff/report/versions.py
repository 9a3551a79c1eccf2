"""Versions of the software that computed a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["list_versions", "versions", "versions_yaml"]

_FIRST = ("python", "scdiff")
_PACKAGES = (
    "scanpy", "anndata", "numpy", "scipy", "pandas", "scikit-learn", "igraph", "leidenalg",
)  # fmt: skip


def versions(adata: AnnData) -> dict[str, str]:
    """Return the versions that the run recorded, or the installed ones if it recorded none.

    Python and scdiff come first, then the packages by name, because a stored result keeps no order.

    Reads
    -----
    ``uns["scdiff"]["run"]``
    """
    recorded = adata.uns.get("scdiff", {}).get("run", {}).get("versions", {})
    found = {str(name): str(version) for name, version in recorded.items()} or list_versions()
    return {
        name: found[name] for name in sorted(found, key=lambda name: (name not in _FIRST, name))
    }


def list_versions() -> dict[str, str]:
    """Return the installed versions of Python, scdiff and the packages that it uses."""
    import platform
    from importlib import metadata

    from scdiff import __version__

    found = {"scdiff": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def versions_yaml(adata: AnnData) -> str:
    """Return the versions as YAML, as workflows gather them: one process, its packages below it.

    Reads
    -----
    ``uns["scdiff"]["run"]``
    """
    import yaml

    return yaml.safe_dump({"scdiff": versions(adata)}, sort_keys=False)
