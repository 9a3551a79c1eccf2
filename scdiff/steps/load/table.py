"""One matrix as a file holds it, and the one place where an error of a reader becomes ours."""

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
"""How much of a matrix is read: all (``memory``), nothing until a step needs it (``disk``), or the
cells of :func:`choose_stretches` (``some``)."""

READER_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    OverflowError,
    zlib.error,
    csv.Error,
)
"""Errors that readers raise for damaged files."""


@dataclass(frozen=True)
class Table:
    """A matrix of values with its names, before or after the checks.

    Parameters
    ----------
    entries
        Values as CSR, shape (n_cells, n_genes). If a look at a file made the table, rows of some
        cells only.
    barcodes
        Cell names, str, shape (n_cells,).
    symbols, gene_ids
        Gene names and stable identifiers, str, shape (n_genes,).
    obs
        Columns about the cells in the file, n_cells rows; None if there are no columns.
    kinds, genomes
        10x feature type and genome of each gene, str, shape (n_genes,); None if the file does not
        state them.
    written
        Gene names as the file has them, str, shape (n_genes,); None if they are the symbols.
    matrix
        Name of this matrix in the file; empty if the file has only one.
    layers
        Spliced and unspliced counts, if the file has them; CSR, shape (n_cells, n_genes) each.
    notes, repairs
        Sentences on what was observed and on what was changed.
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
        """Return the table of the genes in the mask ``keep``; the same table if all are kept."""
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
        return replace(
            self, entries=self.entries[kept], barcodes=self.barcodes[kept], obs=obs, layers=layers
        )


@contextmanager
def reading(path: Path, layout: str) -> Iterator[None]:
    """Turn every error that a reader raises inside the block into one sentence that names the file.

    Raises
    ------
    InputError
        With ``path``, the expected format and the message of the reader.
    """
    try:
        yield
    except InputError as error:
        if path.name in str(error):
            raise
        raise InputError(f"{path}: {error}") from error.__cause__
    except ScdiffError:
        raise
    except MemoryError as error:
        raise InputError(
            f"{path}: there is not enough memory for the size that the file states "
            f"({' '.join(str(error).split())[:120]}). It is damaged, or too large for this "
            "machine; h5ad and zarr can stay on disk (--engine dask)."
        ) from error
    except _reader_errors() as error:
        raise InputError(_describe_error(path, layout, error)) from error


def _reader_errors() -> tuple[type[Exception], ...]:
    """Return the errors that readers are known to raise.

    The imports run only after an error has occurred.
    """
    from lzma import LZMAError  # these four derive from Exception directly
    from tarfile import TarError
    from zipfile import BadZipFile

    from anndata._io.specs.registry import IORegistryError

    return (*READER_ERRORS, IORegistryError, LZMAError, TarError, BadZipFile)


def _describe_error(path: Path, layout: str, error: Exception) -> str:
    """Describe the error of a reader in one sentence."""
    text = " ".join(str(error).split())
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return f"{path}: the file is truncated (its end is missing). Copy or download it again."
    if isinstance(error, PermissionError):
        return f"{path}: you have no permission to read this file. Change its permissions."
    cause = f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
    return (
        f"{path}: this cannot be read as {layout} ({cause}). "
        "Check whether the file is damaged or has another format."
    )


LOOKED_AT = 500
"""Cells in each of the three stretches that a look reads: at the start, in the middle, at the end
of a file. Chosen, not tuned."""


def choose_stretches(n_cells: int) -> list[slice]:
    """Return the stretches of cells that a look at a file reads.

    >>> [(stretch.start, stretch.stop) for stretch in choose_stretches(10_000)]
    [(0, 500), (4750, 5250), (9500, 10000)]
    >>> choose_stretches(1_200)
    [slice(0, 1200, None)]
    """
    if n_cells <= 3 * LOOKED_AT:
        return [slice(0, n_cells)]
    starts = (0, (n_cells - LOOKED_AT) // 2, n_cells - LOOKED_AT)
    return [slice(start, start + LOOKED_AT) for start in starts]


def some(names: Any, most: int = 3) -> str:
    """List the first few of many names.

    >>> some(["a", "b", "c", "d"])
    'a, b, c, ...'
    """
    listed = [str(name) for name in names]
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")
