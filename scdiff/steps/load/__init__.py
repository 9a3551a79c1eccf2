"""load: from files to a trustworthy AnnData.

::

    plan     paths and sheet -> sources         (sheet)
    read     source -> table                    (hdf5, text)
    check    table -> exact counts, genes once  (counts, features)
    soup     unfiltered matrix -> counts of the empty droplets
    join     tables -> AnnData with its record
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scdiff.errors import ConfigError, InputError
from scdiff.steps._blocks import is_lazy
from scdiff.steps.load import counts, features, hdf5, join, soup, text
from scdiff.steps.load.lazy import exact_lazily, first_block, survey_lazily
from scdiff.steps.load.plan import Source, plan_inputs
from scdiff.steps.load.table import Table, reading, some

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Source", "load", "plan_inputs"]

logger = logging.getLogger(__name__)

_SPECIES = ("auto", "human", "mouse")


def load(
    inputs: Sequence[Path | str] | Path | str = (),
    *,
    samples: Path | str | None = None,
    species: Literal["auto", "human", "mouse"] = "auto",
    control: Sequence[str] = (),
    matrix: str = "auto",
    engine: Literal["memory", "dask"] = "memory",
) -> AnnData:
    """Load files as one object of verified counts.

    The first step of every analysis. Whatever later steps rely on is checked here: integer counts,
    unique cells, each gene once. What was repaired or is worth knowing is recorded, not only logged.

    Parameters
    ----------
    inputs
        h5ad, zarr, 10x h5, loom, csv, tsv or txt (also .gz) files, or folders with a 10x matrix; each is a
        sample, unless an h5ad names its own in ``obs["sample"]``, or a folder holds several prefixed matrices.
        Beside ``filtered_...`` the unfiltered ``raw_...`` is read too, for the soup of its empty droplets.
    samples
        Sample sheet (csv or tsv): ``sample`` and any of ``path,raw,donor,condition,day,control,...``; ``raw``
        is the sample's unfiltered matrix.
        Paths are relative to the sheet; further columns become columns of ``obs``.
    species
        ``auto`` tells it from the gene names; ``unknown`` is recorded where they do not tell.
    control
        Samples that hold no positive cell (medium control, day 0).
    matrix
        Matrix of an h5ad that holds the counts: ``X``, ``raw`` or a layer. ``auto`` takes the first that
        holds integer counts of X, ``layers["counts"]``, the other layers, raw. Other layouts have one.
    engine
        ``memory`` holds the counts in memory. ``dask`` leaves them on disk (h5ad or zarr, stored by cell), as a dask
        array whose blocks are computed when a step passes over them.

    Writes
    ------
    layers["counts"] (CSR, or a dask array of CSR blocks; exact integers), obs["sample"], obs["control"], columns of the sheet in obs,
    var["gene_id"], uns["scdiff"]["input"]; X stays empty.

    Raises
    ------
    InputError
        If a file is missing, damaged, holds no counts, fewer than two cells, or a barcode twice in a sample;
        or if the inputs share no gene.
    ConfigError
        If the sheet has faults, or an option names something unknown.
    """
    if species not in _SPECIES:
        raise ConfigError(f"load(): species is {species!r}; allowed: {', '.join(_SPECIES)}.")
    sources = plan_inputs(inputs, samples=samples, control=control)
    parts = [_part(group, matrix, species, lazy=engine == "dask") for group in _by_file(sources)]
    told, notes = join.told_species(parts, species)
    adata = join.joined(parts, species=told, notes=notes)
    _log(adata.uns["scdiff"]["input"])
    return adata


def _log(record: dict[str, Any]) -> None:
    """Tell what was recorded."""
    for sentence in record["repairs"]:
        logger.warning("repaired: %s", sentence)
    for sentence in record["notes"]:
        logger.info("%s", sentence)


def _by_file(sources: Sequence[Source]) -> list[tuple[Source, ...]]:
    """Group the sources by what is read at once."""
    groups: dict[tuple[Path, ...], list[Source]] = {}
    for source in sources:
        groups.setdefault(source.files, []).append(source)
    return [tuple(group) for group in groups.values()]


def _part(sources: tuple[Source, ...], matrix: str, species: str, *, lazy: bool) -> join.Part:
    """Read and check one file."""
    path = sources[0].path
    table = _genes(sources[0], matrix, species, lazy=lazy)
    _refuse_too_small(path, table)
    samples = _samples(sources, table)
    _refuse_twice(path, samples, table.barcodes)
    table, soups = features.symbols_once(table), {}
    for source in sources:
        if source.raw is not None:
            soups[source.sample], said = _soup(source.raw, table, samples == source.sample, species)
            table = table.noted(said)
    return join.Part(sources, table, samples, {sample: counts for sample, counts in soups.items() if counts is not None})


def _soup(raw: Source, table: Table, cells: np.ndarray, species: str) -> tuple[Any, str]:
    """Sum the empty droplets on the genes of ``table``, None where they hold too little; and say so."""
    unfiltered = features.symbols_once(_genes(raw, "auto", species))
    counted, said = soup.empty_droplets(unfiltered, table.barcodes[cells], raw.path)
    return None if counted is None else soup.on_genes(counted, unfiltered.symbols, table.symbols), said


def _genes(source: Source, matrix: str, species: str, *, lazy: bool = False) -> Table:
    """Read one matrix of counts, genes only; what is wrong with it names the file."""
    try:
        return features.genes_only(_counts(source, matrix, species, lazy=lazy), species)
    except InputError as error:
        raise (error if str(error).startswith(str(source.path)) else InputError(f"{source.path}: {error}")) from error.__cause__


def _counts(source: Source, matrix: str, species: str, *, lazy: bool) -> Table:
    """Read the first matrix of a source that holds counts, as exact integers."""
    faults: list[str] = []
    for table in _tables(source, matrix, species, lazy=lazy):
        seen = survey_lazily(table.entries) if is_lazy(table.entries) else counts.survey(table.entries)
        fault = "" if 0 in table.entries.shape else counts.fault(first_block(table.entries), seen)
        if not fault:
            return _exact(table, seen, faults)
        faults.append(f"{table.matrix or 'the matrix'} {fault}")
    cause = "; ".join(faults) or "the file holds no matrix"
    raise InputError(f"{source.path}: no integer counts: {cause}. Give the raw counts, before normalisation.")


def _tables(source: Source, matrix: str, species: str, *, lazy: bool) -> Iterator[Table]:
    """Yield the matrices of a source that may hold its counts; what goes wrong in reading, and only that, is the file's fault."""
    tables = _reader(source, matrix, species, lazy=lazy)
    while True:
        with reading(source.path, source.layout):
            table = next(tables, None)
            if table is not None and not is_lazy(table.entries):
                table.entries.check_format()  # an index out of range would read foreign memory
        if table is None:
            return
        yield table


def _reader(source: Source, matrix: str, species: str, *, lazy: bool) -> Iterator[Table]:
    """Start the reader of a source's layout."""
    if source.layout in ("h5ad", "zarr"):
        return hdf5.read_stored(source.files[0], matrix, lazy=lazy)
    if lazy:
        raise ConfigError(f"{source.path}: the engine dask reads h5ad and zarr, not {source.layout}. Use the engine memory, or convert it.")
    if source.layout == "loom":
        return hdf5.read_loom(source.files[0], matrix, species)
    if source.layout.startswith("10x h5"):
        return hdf5.read_10x_h5(source.files[0], matrix, species)
    if source.layout == "10x mtx":
        return text.read_10x_mtx(source.files, matrix, species)
    return text.read_dense(source.files[0], matrix, species)


def _exact(table: Table, seen: counts.Survey, faults: Sequence[str]) -> Table:
    """Round off float noise, and say so; say which matrix of several was taken."""
    clean = replace(table, entries=(exact_lazily if is_lazy(table.entries) else counts.exact)(table.entries, seen))
    if seen.noise:
        clean = clean.repaired(f"Counts carried float noise up to {seen.noise:.1g} and were rounded to integers.")
    if table.matrix:
        passed = f" ({'; '.join(faults)})" if faults else ""
        clean = clean.noted(f"Counts were taken from {table.matrix}{passed}.")
    return clean


def _refuse_too_small(path: Path, table: Table) -> None:
    """Refuse a table without cells or genes, or with one cell."""
    n_cells, n_genes = table.entries.shape
    if n_cells < 2:
        raise InputError(f"{path}: the file holds {n_cells or 'no'} cell{'s' * (n_cells == 0)}; two or more are needed.")
    if n_genes == 0:
        raise InputError(f"{path}: the file holds no genes.")
    if features.is_transposed(table):
        raise InputError(f"{path}: cells carry gene names ({some(table.barcodes)}): the matrix is transposed; give cells x genes.")


def _samples(sources: tuple[Source, ...], table: Table) -> np.ndarray:
    """Sample of each cell of one file."""
    if not sources[0].label or table.obs is None:
        return np.full(len(table.barcodes), sources[0].sample, dtype=object)
    named = {source.label: source.sample for source in sources}
    return np.array([named[str(label)] for label in table.obs[hdf5.LABELS]], dtype=object)


def _refuse_twice(path: Path, samples: np.ndarray, barcodes: np.ndarray) -> None:
    """Refuse a barcode that stands twice in one sample: its cells cannot be told apart."""
    import pandas as pd

    twice = pd.DataFrame({"sample": samples, "barcode": barcodes}).duplicated().to_numpy()
    if twice.any():
        raise InputError(
            f"{path}: {twice.sum():,} barcodes stand twice in one sample (e.g. {barcodes[twice][0]!r}): "
            "make cell names unique within each sample."
        )
