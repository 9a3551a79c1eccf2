"""One matrix as it stands in a file, and the one place where a reader's error becomes ours."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scdiff.errors import InputError, ScdiffError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["READER_ERRORS", "Hold", "Table", "choose_stretches", "reading", "some"]

Hold = Literal["memory", "disk", "some"]
"""What is read of a matrix: all, nothing until a step passes over it, or the cells of :func:`choose_stretches`."""

READER_ERRORS = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError, zlib.error, csv.Error)


@dataclass(frozen=True)
class Table:
    """A matrix of values with its names, before or after the checks.

    Parameters
    ----------
    entries
        Values as CSR, shape (n_cells, n_genes); of a look at a file, of some cells only.
    barcodes
        Cell names, str, shape (n_cells,).
    symbols, gene_ids
        Gene names and stable identifiers, str, shape (n_genes,).
    obs
        What the file says of each cell, n_cells rows; None for nothing.
    kinds, genomes
        10x feature type and genome of each gene, str, shape (n_genes,); None where the file does not say.
    written
        Gene names as the file has them, str, shape (n_genes,); None where they are the symbols.
    matrix
        Which matrix of the file this is; empty where there is only one.
    layers
        Spliced and unspliced counts, where the file has them; CSR, shape (n_cells, n_genes) each.
    notes, repairs
        Sentences on what was seen and on what was changed.
    """

    entries: Any
    barcodes: np.ndarray
    symbols: np.ndarray
    gene_ids: np.ndarray
    obs: pd.DataFrame | None = None
    kinds: np.ndarray | None = None
    genomes: np.ndarray | None = None
    written: np.ndarray | None = None
    matrix: str = ""
    layers: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()

    def noted(self, sentence: str) -> Table:
        """Return the same table with one more note."""
        return replace(self, notes=(*self.notes, sentence))

    def repaired(self, sentence: str) -> Table:
        """Return the same table with one more repair."""
        return replace(self, repairs=(*self.repairs, sentence))

    def genes(self, keep: np.ndarray) -> Table:
        """Return the table of the genes in the mask ``keep``; the same table where all are kept."""
        if keep.all():
            return self
        parts: dict[str, Any] = {
            name: None if (part := getattr(self, name)) is None else part[keep]
            for name in ("symbols", "gene_ids", "kinds", "genomes", "written")
        }
        kept = np.flatnonzero(keep)
        layers = {name: values[:, kept] for name, values in self.layers.items()}
        return replace(self, entries=self.entries[:, kept], layers=layers, **parts)

    def cells(self, keep: np.ndarray) -> Table:
        """Return the table of the cells in the mask ``keep``."""
        kept = np.flatnonzero(keep)
        obs = None if self.obs is None else self.obs.iloc[kept]
        layers = {name: values[kept] for name, values in self.layers.items()}
        return replace(self, entries=self.entries[kept], barcodes=self.barcodes[kept], obs=obs, layers=layers)


@contextmanager
def reading(path: Path, layout: str) -> Iterator[None]:
    """Turn whatever a reader raises inside the block into one sentence that names the file.

    Raises
    ------
    InputError
        Naming ``path``, what it should have been and what the reader said.
    """
    try:
        yield
    except ScdiffError:
        raise
    except MemoryError as error:
        raise InputError(
            f"{path}: there is not enough memory for what the file claims to hold ({' '.join(str(error).split())[:120]}): it is damaged, "
            "or too large for this machine; h5ad and zarr can stay on disk (--engine dask)."
        ) from error
    except _reader_errors() as error:
        raise InputError(_sentence(path, layout, error)) from error


def _reader_errors() -> tuple[type[Exception], ...]:
    """All that the readers are known to raise; asked for only once an error is on its way."""
    from lzma import LZMAError  # these four derive from nothing narrower than Exception
    from tarfile import TarError
    from zipfile import BadZipFile

    from anndata._io.specs.registry import IORegistryError

    return (*READER_ERRORS, IORegistryError, LZMAError, TarError, BadZipFile)


def _sentence(path: Path, layout: str, error: Exception) -> str:
    """Say one reader's error."""
    text = " ".join(str(error).split())
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return f"{path}: the file is truncated (cut off before its end): copy or download it again."
    if isinstance(error, PermissionError):
        return f"{path}: the file may not be read by this user: change its permissions."
    cause = f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
    return f"{path}: this cannot be read as {layout} ({cause}); is the file damaged or of another kind?"


LOOKED_AT = 500
"""Cells of each of three stretches of a file that a look reads: the first, those in the middle, the last."""


def choose_stretches(n_cells: int) -> list[slice]:
    """Stretches of cells that a look at a file reads.

    >>> choose_stretches(10_000), choose_stretches(1_200)
    ([slice(0, 500, None), slice(4750, 5250, None), slice(9500, 10000, None)], [slice(0, 1200, None)])
    """
    if n_cells <= 3 * LOOKED_AT:
        return [slice(0, n_cells)]
    return [slice(start, start + LOOKED_AT) for start in (0, (n_cells - LOOKED_AT) // 2, n_cells - LOOKED_AT)]


def some(names: Any, most: int = 3) -> str:
    """Name the first few of many.

    >>> some(["a", "b", "c", "d"])
    'a, b, c, ...'
    """
    listed = [str(name) for name in names]
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")
