"""Learn a panel from files: verified counts, and the columns as the files name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scdiff import keys
from scdiff.errors import InputError
from scdiff.panels.learn import Panel, learn
from scdiff.panels.reference import Cells, read_cells

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["learn_from_files"]


def learn_from_files(
    references: Sequence[Path],
    backgrounds: Sequence[Path] = (),
    *,
    label: str,
    target: str,
    donor: str | None = None,
    markers: int = 3,
    require: Sequence[str] = (),
    seed: int = 0,
) -> Panel:
    """Learn a panel from files.

    Parameters
    ----------
    references
        Files with labelled cells.
    backgrounds
        Files without target cells.
    label, donor
        Columns of ``obs``, as the files name them.
    target, markers, require, seed
        As for :func:`scdiff.panels.learn.panel`.

    Raises
    ------
    InputError
        If a file is given twice.
    """
    hashes: dict[str, Path] = {}
    parts = [_read_file(path, hashes, label=label, donor=donor) for path in references]
    others = [_read_file(path, hashes, label=None, donor=None) for path in backgrounds]
    return learn(
        parts, others, label=label, target=target, markers=markers, require=require, seed=seed
    )


def _read_file(
    path: Path, hashes: dict[str, Path], *, label: str | None, donor: str | None
) -> Cells:
    """Read one file; note its hash in ``hashes``.

    Raises
    ------
    InputError
        If the same file was read before.
    """
    from scdiff.steps.load.step import load

    adata = load(path)
    digest = str(adata.uns[keys.ROOT][keys.INPUT.name]["files"]["sha256"].iloc[0])
    if digest in hashes:
        raise InputError(
            f"{path}: this is the same file as {hashes[digest]}. Give each file once: held-out "
            "cells must not be among those that the panel is learned from."
        )
    hashes[digest] = path
    if label is not None:
        _restore_columns(path, adata)
    origin = f"{path.name} (sha256 {digest})"
    return read_cells(adata, label=label, donor=donor, source=str(path), origin=origin)


def _restore_columns(path: Path, adata: AnnData) -> None:
    """Give the cells the columns of their h5ad file under the names that they have there.

    ``load`` renames some of them and leaves out those that a run writes.
    """
    import h5py
    from anndata.io import read_elem

    if path.suffix != ".h5ad" or not path.is_file():
        return
    with h5py.File(path) as file:
        own = read_elem(file["obs"])
    own.index = own.index.astype(str)
    if own.index.is_unique and adata.obs_names.isin(own.index).all():
        adata.obs = own.loc[adata.obs_names].join(
            adata.obs[[name for name in adata.obs if name not in own]]
        )
