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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scdiff.accessor import register
from scdiff.compute.blocks import is_lazy
from scdiff.errors import ConfigError, InputError, ScdiffError
from scdiff.steps.load import join, soup
from scdiff.steps.load.checks import counts, features, names
from scdiff.steps.load.checks.called import clean_names, refuse_unknown
from scdiff.steps.load.checks.parts import ALL_PARTS, is_sum, merge_row_parts
from scdiff.steps.load.identity import describe_samples, samples_of
from scdiff.steps.load.look import Look, summarise_look
from scdiff.steps.load.plan.archive import open_archives
from scdiff.steps.load.plan.inputs import Source, plan_inputs
from scdiff.steps.load.readers import dense, hdf5, loom, robject, text  # noqa: F401 the readers register
from scdiff.steps.load.readers.lazy import exact_lazily, first_block, survey_lazily
from scdiff.steps.load.readers.object import matrices_of, sources_in
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.table import Hold, Table, reading, some
from scdiff.steps.load.tags import of_known_sample
from scdiff.steps.load.twice import refuse_same_cells

if TYPE_CHECKING:
    from anndata import AnnData

    Place = Callable[[Source], Source]
    """Gives a source the files that it is read from."""

__all__ = ["Source", "load", "load_object", "look_at", "plan_inputs"]

logger = logging.getLogger(__name__)

_SPECIES = ("auto", "human", "mouse")


def load(
    inputs: Sequence[Path | str] | Path | str = (),
    *,
    samples: Path | str | Mapping[str, Any] | None = None,
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
        samples, or archives of these (tar, tar.gz, zip); each is a sample, unless a file names its own (``obs["sample"]``,
        ``sample_id``, ``orig.ident``, Parse's table of the cells, the list of ``cellranger aggr``), or a folder or archive holds several.
        Beside ``filtered_...`` the unfiltered ``raw_...`` is read too, for the soup of its empty droplets.
    samples
        Sample sheet (csv, tsv or xlsx): ``sample`` and any of ``path,raw,donor,condition,day,control,...``; ``raw``
        is the sample's unfiltered matrix.
        Paths are relative to the sheet; further columns become columns of ``obs``. Or a mapping with ``key``, the column about the
        cells that names their samples, as in ``{"key": "donor_id"}``, and ``sheet``, where there is one.
    species
        ``auto`` tells it from the gene names; ``unknown`` is recorded where they do not tell.
    control
        Samples that hold no positive cell (medium control, day 0).
    matrix
        Matrix of an h5ad that holds the counts: ``X``, ``raw`` or a layer. ``auto`` takes the first that
        holds integer counts of X, ``layers["counts"]``, the other layers, raw. Other layouts have one.
        Where the counts stand in parts, a sum of spliced, unspliced and ambiguous ones: ``S+A``, as for cells, is what ``auto`` takes
        of the rows of alevin-fry; ``S+U+A``, as for nuclei, what it takes of matrices and layers.
    engine
        ``memory`` holds the counts in memory. ``dask`` leaves them on disk (h5ad or zarr, stored by cell), as a dask
        array whose blocks are computed when a step passes over them.
    recover
        Where no matrix holds counts, undo the logarithm of counts that were scaled cell by cell, if whole numbers come out in
        every cell (:func:`scdiff.steps.load.checks.counts.recover_counts`); said in the record.

    Writes
    ------
    layers["counts"] (CSR, or a dask array of CSR blocks; exact integers), layers["spliced"] and layers["unspliced"] where every
    input has them, obs["sample"], obs["control"], columns of the sheet in obs,
    var["gene_id"], var["name_in_file"], uns["scdiff"]["input"]; X stays empty.

    Raises
    ------
    InputError
        If a file is missing, damaged, holds no counts, fewer than two cells, a barcode twice in a sample, the cells of another, or
        names of no genes; or if the inputs share no gene.
    ConfigError
        If the sheet has faults, or an option names something unknown.
    """
    if species not in _SPECIES:
        raise ConfigError(f"load(): species is {species!r}; allowed: {', '.join(_SPECIES)}.")
    sources = plan_inputs(inputs, samples=samples, control=control)
    hold: Hold = "disk" if engine == "dask" else "memory"
    groups = _by_file(sources)
    with join.hash_source(list(dict.fromkeys(group[0].files for group in groups))) as hashes:
        with open_archives(sources) as at:
            parts = [_part(group, at, matrix, species, hold=hold, recover=recover) for group in groups]
        told, notes = join.detect_species_of_parts(parts, species)
        adata = join.join_parts(parts, species=told, notes=notes, hashes=hashes)
    refuse_same_cells(parts)
    _log(adata.uns["scdiff"]["input"])
    register()
    return adata


def load_object(
    adata: AnnData, *, counts: str, sample: str | None, donor: str | None, species: str, control: Sequence[str]
) -> tuple[AnnData, str]:
    """Load an object in memory as :func:`load` does a file; the options are those of :func:`scdiff.pp.prepare`.

    Returns
    -------
    A new object with the same cells in the same order, and the matrix that its counts were taken from, as ``counts`` names it.
    The given object is not changed; the counts may share memory with it.

    Raises
    ------
    InputError
        As :func:`load`.
    ConfigError
        If an option names something that is not there.
    """
    if species not in _SPECIES:
        raise ConfigError(f"prepare(): species is {species!r}; allowed: {', '.join(_SPECIES)}.")
    sources = tuple(sources_in(adata, sample=sample, donor=donor, control=control))
    part = _part(sources, lambda source: source, counts, species, hold="memory", recover=False)
    told, notes = join.detect_species_of_parts([part], species)
    made = join.join_parts([part], species=told, notes=notes, hashes=lambda _files: "")
    taken = part.table.matrix
    if is_sum(counts) or taken not in matrices_of(adata):
        taken = counts if is_sum(counts) else ALL_PARTS
    return made, taken


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
    parts: list[join.Part] = []
    faults: list[str] = []
    for group in _by_file(sources):
        try:
            if engine == "dask":
                _refuse_off_disk(group[0], matrix, species)
            with open_archives(group) as at:
                parts.append(_glance(group, at, species, matrix))
            looks += _looks(parts[-1], species)
        except ScdiffError as error:
            faults.append(str(error))
    for refuse in (partial(_refuse_apart, species=species), refuse_same_cells) if not faults else (refuse_same_cells,):
        try:
            refuse(parts)
        except ScdiffError as error:
            faults.append(str(error))
    return looks, faults


def _refuse_apart(parts: Sequence[join.Part], species: str) -> None:
    """Refuse inputs that cannot be put together, from some cells of each."""
    join.refuse_apart([replace(part, table=features.symbols_once(part.table)) for part in parts], species)


def _refuse_off_disk(source: Source, matrix: str, species: str) -> None:
    """Refuse what the engine dask does not read."""
    _refuse_packed(source)
    next(_tables(source, matrix, species, hold="disk"), None)


def _refuse_packed(source: Source) -> None:
    if source.members:
        raise ConfigError(f"{source.path}: the engine dask reads no archives: unpack it, or use the engine memory.")


def _glance(sources: tuple[Source, ...], at: Place, species: str, matrix: str) -> join.Part:
    """Read some cells of one file."""
    path, table = at(sources[0]).path, _genes(at(sources[0]), matrix, species, hold="some")
    _refuse_no_parts(path, table, matrix)
    _refuse_too_small(path, table)
    table = refuse_unknown(path, table, species)
    table, samples = of_known_sample(sources, table, samples_of(sources, table), cut=False)
    _refuse_twice(path, samples, table.barcodes)
    return join.Part(sources, table, samples)


def _looks(part: join.Part, species: str) -> list[Look]:
    """Sum up what the cells of one file tell that were read."""
    told, notes = join.detect_species_of_parts([part], species)
    said = [*notes, *describe_samples(part.sources), *join.own_columns(part)[1]]
    return [summarise_look(source, part.table, int((part.samples == source.sample).sum()), told, said) for source in part.sources]


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
    _refuse_no_parts(path, table, matrix)
    _refuse_too_small(path, table)
    table = refuse_unknown(path, table, species)
    table, samples = of_known_sample(sources, table, samples_of(sources, table), cut=True)
    _refuse_twice(path, samples, table.barcodes)
    for said in describe_samples(sources):
        table = table.noted(said)
    table, soups = features.symbols_once(table), {}
    for source in sources:
        if source.raw is not None:
            soups[source.sample], said = _soup(at(source.raw), table, samples == source.sample, species, matrix)
            table = table.noted(said)
    return join.Part(sources, table, samples, {sample: counts for sample, counts in soups.items() if counts is not None})


def _soup(raw: Source, table: Table, cells: np.ndarray, species: str, matrix: str) -> tuple[Any, str]:
    """Sum the empty droplets on the genes of ``table``, None where they hold too little; and say so."""
    unfiltered = features.symbols_once(_genes(raw, matrix if is_sum(matrix) else "auto", species))
    counted, said = soup.empty_droplets(unfiltered, table.barcodes[cells], raw.path)
    return None if counted is None else soup.on_genes(counted, unfiltered.symbols, table.symbols), said


def _genes(source: Source, matrix: str, species: str, *, hold: Hold = "memory", recover: bool = False) -> Table:
    """Read one matrix of counts, genes only, by their approved symbols; what is wrong with it names the file."""
    counted = _counts(source, matrix, species, hold=hold, recover=recover)
    try:
        return names.approve_names(features.genes_only(clean_names(counted), species), species)
    except InputError as error:
        raise InputError(f"{source.path}: {error}") from error.__cause__


def _counts(source: Source, matrix: str, species: str, *, hold: Hold, recover: bool) -> Table:
    """Read the first matrix of a source that holds counts, as exact integers."""
    faults: list[tuple[str, counts.Fault]] = []
    for table in _tables(source, matrix, species, hold=hold):
        seen = survey_lazily(table.entries) if is_lazy(table.entries) else counts.survey(table.entries)
        fault = None if 0 in table.entries.shape else counts.fault(first_block(table.entries), seen)
        if fault is None:
            return _exact(source, table, seen, faults)
        faults.append((table.matrix or "the matrix", fault))
    cause, cure = _listed(faults) or "the file holds no matrix", "Give the raw counts, before normalisation."
    if hold == "memory" and any(fault.kind is counts.Kind.LOGGED for _, fault in faults):
        if recover:
            return _recovered(source, matrix, species, faults)
        cure = f"{cure[:-1]}, or let them be recovered where that can be done exactly: --set load.recover=true."
    raise InputError(f"{source.path}: no integer counts: {cause}. {cure}")


def _listed(faults: Sequence[tuple[str, counts.Fault]]) -> str:
    """List the matrices that hold no counts, and why."""
    return "; ".join(f"{name} {fault}" for name, fault in faults)


def _recovered(source: Source, matrix: str, species: str, faults: Sequence[tuple[str, counts.Fault]]) -> Table:
    """Recover the counts of the first matrix whose logarithm can be undone."""
    against: list[str] = []
    for table, (name, fault) in zip(_tables(source, matrix, species, hold="memory"), faults, strict=True):
        entries, said = counts.recover_counts(table.entries) if fault.kind is counts.Kind.LOGGED else (None, fault.sentence)
        if entries is not None:
            whole = replace(table, entries=entries)
            return _exact(source, whole.repaired(said), counts.survey(entries), faults)
        against.append(f"{name}: {said}")
    raise InputError(f"{source.path}: no integer counts: {'; '.join(against)}. Give the raw counts, before normalisation.")


def _tables(source: Source, matrix: str, species: str, *, hold: Hold) -> Iterator[Table]:
    """Yield the matrices of a source that may hold its counts; what goes wrong in reading, and only that, is the file's fault."""
    tables = _reader(source, matrix, species, hold)
    while True:
        with reading(source.path, source.layout):
            table = next(tables, None)
            if table is not None:
                _refuse_unfit(table, hold)
                table = merge_row_parts(table, matrix)
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
    for values in (table.entries, *table.layers.values()):
        if values.shape != table.entries.shape:
            raise ValueError(f"the layers {', '.join(table.layers)} are not all {n_cells:,} x {n_genes:,}, as the matrix is")
        if not is_lazy(values):
            values.check_format()


def _reader(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:
    """Start the reader of a source's layout."""
    card = READERS[source.layout.reader]
    if hold == "disk" and not card.facts["lazy"]:
        lazy = " and ".join(sorted(other.name for other in READERS.cards() if other.facts["lazy"]))
        raise ConfigError(f"{source.path}: the engine dask reads {lazy}, not {source.layout}. Use the engine memory, or convert it.")
    return card.function(source, matrix, species, hold)


def _exact(source: Source, table: Table, seen: counts.Survey, faults: Sequence[tuple[str, counts.Fault]]) -> Table:
    """Round off float noise, and say so; say which matrix of several was taken."""
    for sentence in source.said:
        table = table.noted(sentence)
    clean = _checked_layers(replace(table, entries=(exact_lazily if is_lazy(table.entries) else counts.exact)(table.entries, seen)))
    if seen.noise:
        clean = clean.repaired(f"Counts carried float noise up to {seen.noise:.1g} and were rounded to integers.")
    if table.matrix:
        passed = f" ({_listed(faults)})" if faults else ""
        clean = clean.noted(f"Counts were taken from {table.matrix}{passed}.")
    return clean


def _checked_layers(table: Table) -> Table:
    """Keep the spliced and unspliced counts that are counts; say which are not."""
    kept: dict[str, Any] = {}
    for name, values in table.layers.items():
        seen = survey_lazily(values) if is_lazy(values) else counts.survey(values)
        if seen.minimum < 0 or seen.n_fractional or seen.n_not_finite:
            table = table.noted(f"Layer {name} holds no counts and was left out.")
        else:
            kept[name] = (exact_lazily if is_lazy(values) else counts.exact)(values, seen)
    return replace(table, layers=kept)


def _refuse_no_parts(path: Path, table: Table, matrix: str) -> None:
    """Refuse to take a sum of parts of what has none."""
    if is_sum(matrix) and not table.layers:
        raise ConfigError(f"{path}: load.matrix is {matrix!r}, but the input has no spliced and unspliced counts to add: leave it out.")


def _refuse_too_small(path: Path, table: Table) -> None:
    """Refuse a table without cells or genes, or with one cell."""
    n_cells, n_genes = table.entries.shape
    if n_cells < 2:
        raise InputError(f"{path}: the file holds {n_cells or 'no'} cell{'s' * (n_cells == 0)}; two or more are needed.")
    if n_genes == 0:
        raise InputError(f"{path}: the file holds no genes.")
    if features.is_transposed(table):
        raise InputError(f"{path}: cells carry gene names ({some(table.barcodes)}): the matrix is transposed; give cells x genes.")


def _refuse_twice(path: Path, samples: np.ndarray, barcodes: np.ndarray) -> None:
    """Refuse a barcode that stands twice in one sample: its cells cannot be told apart."""
    import pandas as pd

    twice = pd.DataFrame({"sample": samples, "barcode": barcodes}).duplicated().to_numpy()
    if twice.any():
        raise InputError(
            f"{path}: {twice.sum():,} barcodes stand twice in one sample (e.g. {barcodes[twice][0]!r}): "
            "make cell names unique within each sample."
        )
