"""load: from files to a trustworthy AnnData.

::

    plan     paths and sheet -> sources         (sheet, folder, triple, archive)
    read     source -> table                    (hdf5, text, dense, robject)
    check    table -> exact counts, genes once  (counts, features, names)
    soup     unfiltered matrix -> counts of the empty droplets
    join     tables -> AnnData with its record
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scdiff.errors import ConfigError, InputError, ScdiffError
from scdiff.steps._blocks import is_lazy
from scdiff.steps.load import counts, dense, features, hdf5, join, loom, names, robject, soup, text
from scdiff.steps.load.archive import opened
from scdiff.steps.load.lazy import exact_lazily, first_block, survey_lazily
from scdiff.steps.load.look import Look, looked
from scdiff.steps.load.plan import Source, plan_inputs
from scdiff.steps.load.table import Hold, Table, reading, some

if TYPE_CHECKING:
    from anndata import AnnData

    Place = Callable[[Source], Source]
    """Gives a source the files that it is read from."""

__all__ = ["Source", "load", "look_at", "plan_inputs"]

logger = logging.getLogger(__name__)

_FEW_CELLS = 10
"""So many cells of two inputs may be alike by chance."""

_SPECIES = ("auto", "human", "mouse")


def load(
    inputs: Sequence[Path | str] | Path | str = (),
    *,
    samples: Path | str | None = None,
    species: Literal["auto", "human", "mouse"] = "auto",
    control: Sequence[str] = (),
    matrix: str = "auto",
    engine: Literal["memory", "dask"] = "memory",
    recover: bool = False,
) -> AnnData:
    """Load files as one object of verified counts.

    The first step of every analysis. Whatever later steps rely on is checked here: integer counts,
    unique cells, each gene once. What was repaired or is worth knowing is recorded, not only logged.

    Parameters
    ----------
    inputs
        h5ad, zarr, 10x h5, loom, rds, rda, csv, tsv or txt (also .gz) files, folders with a 10x matrix, folders of several
        samples, or archives of these (tar, tar.gz, zip); each is a sample, unless an h5ad names its own in
        ``obs["sample"]``, or a folder or archive holds several.
        Beside ``filtered_...`` the unfiltered ``raw_...`` is read too, for the soup of its empty droplets.
    samples
        Sample sheet (csv, tsv or xlsx): ``sample`` and any of ``path,raw,donor,condition,day,control,...``; ``raw``
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
    recover
        Where no matrix holds counts, undo the logarithm of counts that were scaled cell by cell, if whole numbers come out in
        every cell (:func:`scdiff.steps.load.counts.recovered`); said in the record.

    Writes
    ------
    layers["counts"] (CSR, or a dask array of CSR blocks; exact integers), obs["sample"], obs["control"], columns of the sheet in obs,
    var["gene_id"], var["name_in_file"], uns["scdiff"]["input"]; X stays empty.

    Raises
    ------
    InputError
        If a file is missing, damaged, holds no counts, fewer than two cells, a barcode twice in a sample, or the cells of another;
        or if the inputs share no gene.
    ConfigError
        If the sheet has faults, or an option names something unknown.
    """
    if species not in _SPECIES:
        raise ConfigError(f"load(): species is {species!r}; allowed: {', '.join(_SPECIES)}.")
    sources = plan_inputs(inputs, samples=samples, control=control)
    hold: Hold = "disk" if engine == "dask" else "memory"
    groups = _by_file(sources)
    with join.hashed(list(dict.fromkeys(group[0].files for group in groups))) as hashes:
        with opened(sources) as at:
            parts = [_part(group, at, matrix, species, hold=hold, recover=recover) for group in groups]
        told, notes = join.told_species(parts, species)
        adata = join.joined(parts, species=told, notes=notes, hashes=hashes)
    _refuse_same_cells(parts)
    _log(adata.uns["scdiff"]["input"])
    return adata


def look_at(
    sources: Sequence[Source], *, species: str = "auto", matrix: str = "auto", engine: str = "memory"
) -> tuple[list[Look], list[str]]:
    """Tell what :func:`load` would read, from some cells of each file where its layout allows to read only some.

    Parameters
    ----------
    sources
        From :func:`plan_inputs`.
    species, matrix, engine
        As for :func:`load`.

    Returns
    -------
    An entry for each sample that can be read, as far as the cells looked at tell; a sentence for each file that cannot.
    """
    looks: list[Look] = []
    faults: list[str] = []
    parts: list[join.Part] = []
    for group in _by_file(sources):
        try:
            if engine == "dask":
                _refuse_off_disk(group[0], matrix, species)
            with opened(group) as at:
                found, part = _looks(group, at, species, matrix)
            looks, parts = [*looks, *found], [*parts, part]
        except ScdiffError as error:
            faults.append(str(error))
    try:
        if not faults:
            join.refuse_apart(parts, species)
    except InputError as error:
        faults.append(str(error))
    return looks, faults


def _refuse_off_disk(source: Source, matrix: str, species: str) -> None:
    """Refuse what the engine dask does not read."""
    _refuse_packed(source)
    next(_tables(source, matrix, species, hold="disk"), None)


def _refuse_packed(source: Source) -> None:
    if source.members:
        raise ConfigError(f"{source.path}: the engine dask reads no archives: unpack it, or use the engine memory.")


def _looks(sources: tuple[Source, ...], at: Place, species: str, matrix: str) -> tuple[list[Look], join.Part]:
    """Look into one file."""
    path, table = at(sources[0]).path, _genes(at(sources[0]), matrix, species, hold="some")
    _refuse_too_small(path, table)
    samples = _samples(sources, table)
    _refuse_twice(path, samples, table.barcodes)
    part = join.Part(sources, features.symbols_once(table), samples)
    told, notes = join.told_species([part], species)
    return [looked(source, table, int((samples == source.sample).sum()), told, notes) for source in sources], part


def _refuse_same_cells(parts: Sequence[join.Part]) -> None:
    """Refuse two inputs that hold the same cells, which would count twice: the same barcodes with the same number of counts."""
    known: dict[tuple[str, float], int] = {}
    for number, part in enumerate(parts if len(parts) > 1 else ()):
        if is_lazy(part.table.entries):
            return
        depth = np.asarray(part.table.entries.sum(axis=1, dtype=np.float64)).ravel()
        cells = [(soup.LANE.sub("", str(name)), total) for name, total in zip(part.table.barcodes, depth, strict=True)]
        seen = [known[cell] for cell in cells if cell in known]
        if len(seen) > max(_FEW_CELLS, len(cells) / 2):
            other, this = (one.sources[0] for one in (parts[max(set(seen), key=seen.count)], part))
            raise InputError(
                f"{this.path}: {len(seen):,} of {len(cells):,} cells of {this.sample!r} stand in {other.sample!r} ({other.path}), too, "
                "with as many counts: they would count twice. Give each cell once."
            )
        known |= dict.fromkeys(cells, number)


def _log(record: dict[str, Any]) -> None:
    """Tell what was recorded."""
    for sentence in record["repairs"]:
        logger.warning("repaired: %s", sentence)
    for sentence in record["notes"]:
        logger.info("%s", sentence)


def _by_file(sources: Sequence[Source]) -> list[tuple[Source, ...]]:
    """Group the sources by what is read at once."""
    groups: dict[tuple[Any, ...], list[Source]] = {}
    for source in sources:
        groups.setdefault((source.files, source.members), []).append(source)
    return [tuple(group) for group in groups.values()]


def _part(sources: tuple[Source, ...], at: Place, matrix: str, species: str, *, hold: Hold, recover: bool) -> join.Part:
    """Read and check one file; ``at`` says where the files of a source are to be read."""
    if hold == "disk":
        _refuse_packed(sources[0])
    path = at(sources[0]).path
    table = _genes(at(sources[0]), matrix, species, hold=hold, recover=recover)
    _refuse_too_small(path, table)
    samples = _samples(sources, table)
    _refuse_twice(path, samples, table.barcodes)
    table, soups = features.symbols_once(table), {}
    for source in sources:
        if source.raw is not None:
            soups[source.sample], said = _soup(at(source.raw), table, samples == source.sample, species)
            table = table.noted(said)
    return join.Part(sources, table, samples, {sample: counts for sample, counts in soups.items() if counts is not None})


def _soup(raw: Source, table: Table, cells: np.ndarray, species: str) -> tuple[Any, str]:
    """Sum the empty droplets on the genes of ``table``, None where they hold too little; and say so."""
    unfiltered = features.symbols_once(_genes(raw, "auto", species))
    counted, said = soup.empty_droplets(unfiltered, table.barcodes[cells], raw.path)
    return None if counted is None else soup.on_genes(counted, unfiltered.symbols, table.symbols), said


def _genes(source: Source, matrix: str, species: str, *, hold: Hold = "memory", recover: bool = False) -> Table:
    """Read one matrix of counts, genes only, by their approved symbols; what is wrong with it names the file."""
    try:
        return names.approved(features.genes_only(_counts(source, matrix, species, hold=hold, recover=recover), species), species)
    except InputError as error:
        raise (error if str(error).startswith(str(source.path)) else InputError(f"{source.path}: {error}")) from error.__cause__


def _counts(source: Source, matrix: str, species: str, *, hold: Hold, recover: bool) -> Table:
    """Read the first matrix of a source that holds counts, as exact integers."""
    faults: list[str] = []
    for table in _tables(source, matrix, species, hold=hold):
        seen = survey_lazily(table.entries) if is_lazy(table.entries) else counts.survey(table.entries)
        fault = "" if 0 in table.entries.shape else counts.fault(first_block(table.entries), seen)
        if not fault:
            return _exact(source, table, seen, faults)
        faults.append(f"{table.matrix or 'the matrix'} {fault}")
    cause, cure = "; ".join(faults) or "the file holds no matrix", "Give the raw counts, before normalisation."
    if "log-normalised" in cause and hold == "memory":
        if recover:
            return _recovered(source, matrix, species, faults)
        cure = f"{cure[:-1]}, or let them be recovered where that can be done exactly: --set load.recover=true."
    raise InputError(f"{source.path}: no integer counts: {cause}. {cure}")


def _recovered(source: Source, matrix: str, species: str, faults: Sequence[str]) -> Table:
    """Recover the counts of the first matrix whose logarithm can be undone."""
    against: list[str] = []
    for table, fault in zip(_tables(source, matrix, species, hold="memory"), faults, strict=True):
        entries, said = counts.recovered(table.entries) if "log-normalised" in fault else (None, fault)
        if entries is not None:
            whole = replace(table, entries=entries)
            return _exact(source, whole.repaired(said), counts.survey(entries), faults)
        against.append(f"{table.matrix or 'the matrix'}: {said}")
    raise InputError(f"{source.path}: no integer counts: {'; '.join(against)}. Give the raw counts, before normalisation.")


def _tables(source: Source, matrix: str, species: str, *, hold: Hold) -> Iterator[Table]:
    """Yield the matrices of a source that may hold its counts; what goes wrong in reading, and only that, is the file's fault."""
    tables = _reader(source, matrix, species, hold)
    while True:
        with reading(source.path, source.layout):
            table = next(tables, None)
            if table is not None:
                _refuse_unfit(table, hold)
        if table is None:
            return
        yield table


def _refuse_unfit(table: Table, hold: Hold) -> None:
    """Refuse names that are not as many as the matrix has rows and columns, and indices out of range, which would read foreign memory."""
    n_cells, n_genes = table.entries.shape
    if (len(table.barcodes) != n_cells and hold != "some") or len(table.symbols) != n_genes:
        raise ValueError(
            f"{len(table.barcodes):,} cells and {len(table.symbols):,} genes are named, the matrix is {n_cells:,} x {n_genes:,}"
        )
    if not is_lazy(table.entries):
        table.entries.check_format()


def _reader(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:
    """Start the reader of a source's layout."""
    if source.layout in ("h5ad", "zarr"):
        return hdf5.read_stored(source.files[0], matrix, hold=hold)
    if hold == "disk":
        raise ConfigError(f"{source.path}: the engine dask reads h5ad and zarr, not {source.layout}. Use the engine memory, or convert it.")
    if source.layout == "loom":
        return loom.read_loom(source.files[0], matrix, species)
    if source.layout.startswith("10x h5"):
        return hdf5.read_10x_h5(source.files[0], matrix, species, hold=hold)
    if source.layout == "10x mtx":
        return text.read_10x_mtx(source.files, matrix, species)
    if source.layout == "R object":
        return robject.read_r(source.files[0], matrix, species)
    return dense.read_dense(source.files[0], matrix, species)


def _exact(source: Source, table: Table, seen: counts.Survey, faults: Sequence[str]) -> Table:
    """Round off float noise, and say so; say which matrix of several was taken."""
    for sentence in source.said:
        table = table.noted(sentence)
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
