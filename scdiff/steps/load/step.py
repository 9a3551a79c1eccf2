"""load: from files to a trustworthy AnnData.

::

    plan     paths and sample sheet -> sources  (inputs, sheet, folder, triple, archive)
    read     source -> table of exact counts    (read.py; readers/, checks/)
    soup     unfiltered matrix -> counts of the empty droplets
    join     tables -> AnnData with its record
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scdiff import keys
from scdiff.accessor import register
from scdiff.errors import ConfigError, ScdiffError
from scdiff.genes import SPECIES
from scdiff.steps.load import join, soup
from scdiff.steps.load.cells import read_own_columns
from scdiff.steps.load.checks import features
from scdiff.steps.load.checks.called import refuse_unknown
from scdiff.steps.load.checks.parts import ALL_PARTS, is_sum
from scdiff.steps.load.hashes import hash_in_background
from scdiff.steps.load.identity import assign_samples, describe_samples
from scdiff.steps.load.look import Look, summarise_look
from scdiff.steps.load.plan.archive import open_archives
from scdiff.steps.load.plan.inputs import Source, plan_inputs
from scdiff.steps.load.read import (
    read_table,
    refuse_bad_table,
    refuse_not_lazy,
    refuse_repeated_barcodes,
)
from scdiff.steps.load.readers.object import matrices_of, sources_in
from scdiff.steps.load.table import Hold, Table
from scdiff.steps.load.tags import drop_unknown_samples
from scdiff.steps.load.twice import refuse_same_cells

if TYPE_CHECKING:
    from anndata import AnnData

    Place = Callable[[Source], Source]
    """Returns a source with the paths of its unpacked files."""

__all__ = ["Source", "load", "load_object", "look_at", "plan_inputs"]

logger = logging.getLogger(__name__)

_SPECIES = ("auto", *SPECIES)
"""Values that the option ``species`` allows."""


def load(
    inputs: Sequence[Path | str] | Path | str = (),
    *,
    samples: Path | str | Mapping[str, Any] | None = None,
    species: Literal["auto", "human", "mouse", "rat"] = "auto",
    control: Sequence[str] = (),
    matrix: str = "auto",
    engine: Literal["memory", "dask"] = "memory",
    recover: bool = False,
) -> AnnData:
    """Load files as one object of verified counts.

    This is the first step of every analysis. It checks what later steps rely on: integer counts,
    unique cells, each gene once. The record, not only the log, lists every repair and every note.

    Parameters
    ----------
    inputs
        Files: h5ad, zarr, 10x h5, loom, rds, rda, csv, tsv or txt (also .gz). Folders: a 10x
        matrix, or several samples. Archives of these: tar, tar.gz, zip. Each input is one sample,
        unless it names several samples: in a column of its cells (``obs["sample"]``, ``sample_id``,
        ``orig.ident``, the cell table of Parse), in the list of ``cellranger aggr``, or as several
        matrices in one folder or archive.
        If an unfiltered ``raw_...`` matrix is next to a ``filtered_...`` one, load reads it too, to
        measure the ambient RNA in its empty droplets.
    samples
        Sample sheet (csv, tsv or xlsx) with the column ``sample`` and any of
        ``path,raw,donor,condition,day,control,...``. ``raw`` is the unfiltered matrix of the
        sample. Paths are relative to the sheet. Other columns become columns of ``obs``.
        Or a mapping with ``key``, the column about the cells that names their samples, as in
        ``{"key": "donor_id"}``, and optionally the ``sheet``.
    species
        ``auto`` detects the species from the gene names, and records ``unknown`` if that fails.
    control
        Samples that hold no positive cell (medium control, day 0).
    matrix
        Matrix of an h5ad that holds the counts: ``X``, ``raw`` or the name of a layer. ``auto``
        uses the first that holds integer counts of X, ``layers["counts"]``, the other layers, raw;
        raw comes first if it has more genes, and ``layers["counts"]`` before X if their integers
        differ.
        Other layouts have one matrix.
        If the file holds the counts in parts, this is a sum of spliced (S), unspliced (U) and
        ambiguous (A) counts. ``S+A`` is usual for cells, and ``auto`` uses it for the rows of
        alevin-fry. ``S+U+A`` is usual for nuclei, and ``auto`` uses it for matrices and layers.
    engine
        ``memory`` holds the counts in memory. ``dask`` leaves them on disk (h5ad or zarr, stored by
        cell) as a dask array. Each step then computes one block at a time.
    recover
        If no matrix holds counts, undo the logarithm of counts that were scaled cell by cell. This
        works only if the result is whole numbers in every cell
        (:func:`scdiff.steps.load.checks.counts.recover_counts`). The record mentions it.

    Writes
    ------
    layers["counts"] (CSR, or a dask array of CSR blocks; exact integers), layers["spliced"] and
    layers["unspliced"] if every input has them, obs["sample"], obs["control"], columns of the sheet
    in obs, var["gene_id"], var["name_in_file"], uns["scdiff"]["input"]. X stays empty.

    Raises
    ------
    InputError
        If a file is missing or damaged, holds no counts or fewer than two cells, has a barcode
        twice in one sample, repeats the cells of another input, or has no gene names. Also if the
        inputs share no gene.
    ConfigError
        If the sheet has errors, or an option has an unknown value.
    """
    if species not in _SPECIES:
        raise ConfigError(f"load(): species is {species!r}; allowed: {', '.join(_SPECIES)}.")
    sources = plan_inputs(inputs, samples=samples, control=control)
    hold: Hold = "disk" if engine == "dask" else "memory"
    groups = _group_by_file(sources)
    with hash_in_background(list(dict.fromkeys(group[0].files for group in groups))) as hashes:
        with open_archives(sources) as at:
            parts = [
                _read_part(group, at, matrix, species, hold=hold, recover=recover)
                for group in groups
            ]
        detected, notes = join.detect_species_of_parts(parts, species)
        adata = join.join_parts(parts, species=detected, notes=notes, hashes=hashes)
    refuse_same_cells(parts)
    _log_record(adata.uns[keys.ROOT][keys.INPUT.name])
    register()
    return adata


def load_object(
    adata: AnnData,
    *,
    counts: str,
    sample: str | None,
    donor: str | None,
    species: str,
    control: Sequence[str],
) -> tuple[AnnData, str]:
    """Load an object in memory as :func:`load` loads a file.

    The options are those of :func:`scdiff.pp.prepare`.

    Returns
    -------
    A new object with the same cells in the same order, and the matrix that holds its counts, as
    ``counts`` names it. The input is not changed; the counts may share memory with it.

    Raises
    ------
    InputError
        As :func:`load`.
    ConfigError
        If an option names something that the object does not have.
    """
    if species not in _SPECIES:
        raise ConfigError(f"prepare(): species is {species!r}; allowed: {', '.join(_SPECIES)}.")
    sources = tuple(sources_in(adata, sample=sample, donor=donor, control=control))
    part = _read_part(sources, lambda source: source, counts, species, hold="memory", recover=False)
    detected, notes = join.detect_species_of_parts([part], species)
    made = join.join_parts([part], species=detected, notes=notes, hashes=lambda _files: "")
    taken = part.table.matrix
    if is_sum(counts) or taken not in matrices_of(adata):
        taken = counts if is_sum(counts) else ALL_PARTS
    return made, taken


def look_at(
    sources: Sequence[Source],
    *,
    species: str = "auto",
    matrix: str = "auto",
    engine: str = "memory",
    recover: bool = False,
) -> tuple[list[Look], list[str]]:
    """Report what :func:`load` would read, from a sample of the cells if the layout allows that.

    Parameters
    ----------
    sources
        From :func:`plan_inputs`.
    species, matrix, engine, recover
        As for :func:`load`.

    Returns
    -------
    One entry for each sample that can be read, based on the cells that were read; one sentence for
    each file that cannot be read.
    """
    looks: list[Look] = []
    parts: list[join.Part] = []
    faults: list[str] = []
    for group in _group_by_file(sources):
        try:
            if engine == "dask":
                refuse_not_lazy(group[0], matrix, species)
            with open_archives(group) as at:
                parts.append(_read_some(group, at, species, matrix, recover=recover))
            looks += _summarise_part(parts[-1], species)
        except ScdiffError as error:
            faults.append(str(error))
    checks: list[Callable[[Sequence[join.Part]], None]] = [refuse_same_cells]
    if not faults:
        checks.insert(0, partial(_refuse_apart, species=species))
    for refuse in checks:
        try:
            refuse(parts)
        except ScdiffError as error:
            faults.append(str(error))
    return looks, faults


def _refuse_apart(parts: Sequence[join.Part], species: str) -> None:
    """Raise an error if the inputs cannot be joined, judged from some cells of each."""
    join.refuse_apart(
        [replace(part, table=features.merge_symbols(part.table)) for part in parts], species
    )


def _read_some(
    sources: tuple[Source, ...], at: Place, species: str, matrix: str, *, recover: bool
) -> join.Part:
    """Read some cells of one file."""
    path = at(sources[0]).path
    table = read_table(at(sources[0]), matrix, species, hold="some", recover=recover)
    refuse_bad_table(path, table, matrix)
    table = refuse_unknown(path, table, species)
    table, samples = drop_unknown_samples(sources, table, assign_samples(sources, table), cut=False)
    refuse_repeated_barcodes(path, samples, table.barcodes)
    return join.Part(sources, table, samples)


def _summarise_part(part: join.Part, species: str) -> list[Look]:
    """Summarise the cells that were read of one file."""
    detected, notes = join.detect_species_of_parts([part], species)
    notes = (*notes, *describe_samples(part.sources), *read_own_columns(part)[1])
    return [
        summarise_look(
            source, part.table, int((part.samples == source.sample).sum()), detected, notes
        )
        for source in part.sources
    ]


def _log_record(record: dict[str, Any]) -> None:
    """Log the repairs and the notes of the record."""
    for sentence in record["repairs"]:
        logger.warning("repaired: %s", sentence)
    for sentence in record["notes"]:
        logger.info("%s", sentence)


def _group_by_file(sources: Sequence[Source]) -> list[tuple[Source, ...]]:
    """Group the sources that one call reads."""
    groups: dict[tuple[Any, ...], list[Source]] = {}
    for source in sources:
        groups.setdefault((source.files, source.members), []).append(source)
    return [tuple(group) for group in groups.values()]


def _read_part(
    sources: tuple[Source, ...], at: Place, matrix: str, species: str, *, hold: Hold, recover: bool
) -> join.Part:
    """Read and check one file.

    ``at`` returns a source with the paths of its unpacked files.
    """
    if hold == "disk" and sources[0].members:
        refuse_not_lazy(sources[0], matrix, species)
    path = at(sources[0]).path
    table = read_table(at(sources[0]), matrix, species, hold=hold, recover=recover)
    refuse_bad_table(path, table, matrix)
    table = refuse_unknown(path, table, species)
    table, samples = drop_unknown_samples(sources, table, assign_samples(sources, table), cut=True)
    refuse_repeated_barcodes(path, samples, table.barcodes)
    for sentence in describe_samples(sources):
        table = table.noted(sentence)
    table = features.merge_symbols(table)
    soups: dict[str, np.ndarray] = {}
    for source in sources:
        if source.raw is None:
            continue
        cells = samples == source.sample
        counts, sentence = _sum_empty_droplets(at(source.raw), table, cells, species, matrix)
        table = table.noted(sentence)
        if counts is not None:
            soups[source.sample] = counts
    return join.Part(sources, table, samples, soups)


def _sum_empty_droplets(
    raw: Source, table: Table, cells: np.ndarray, species: str, matrix: str
) -> tuple[Any, str]:
    """Sum the empty droplets per gene of ``table``, and describe the result.

    The sum is None if the droplets hold too few counts.
    """
    asked = matrix if is_sum(matrix) else "auto"
    unfiltered = features.merge_symbols(read_table(raw, asked, species))
    counted, sentence = soup.sum_empty_droplets(unfiltered, table.barcodes[cells], raw.path)
    if counted is None:
        return None, sentence
    return soup.align_to_genes(counted, unfiltered.symbols, table.symbols), sentence
