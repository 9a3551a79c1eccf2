"""Read one source as a table of exact counts, and check that table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scdiff.compute.blocks import is_lazy
from scdiff.errors import ConfigError, InputError
from scdiff.steps.load.checks import counts, features, names
from scdiff.steps.load.checks.called import clean_names
from scdiff.steps.load.checks.parts import is_sum, merge_row_parts
from scdiff.steps.load.readers import dense, hdf5, loom, robject, text  # noqa: F401 the readers register
from scdiff.steps.load.readers.lazy import compute_first_block, make_exact_lazily, survey_lazily
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.source import Source
from scdiff.steps.load.table import Hold, Table, reading, some

__all__ = ["read_table", "refuse_bad_table", "refuse_not_lazy", "refuse_repeated_barcodes"]

_GIVE_COUNTS = "Give the raw counts, from before normalisation."


def read_table(
    source: Source, matrix: str, species: str, *, hold: Hold = "memory", recover: bool = False
) -> Table:
    """Read the genes of one matrix of counts, under their approved symbols.

    The error names the file if the genes cannot be used.

    Raises
    ------
    InputError
        If no matrix holds counts, or no row is a gene.
    ConfigError
        If an option does not fit the file.
    """
    counted = _read_counts(source, matrix, species, hold=hold, recover=recover)
    try:
        return names.approve_names(features.keep_genes(clean_names(counted), species), species)
    except InputError as error:
        raise InputError(f"{source.path}: {error}") from error.__cause__


def _read_counts(source: Source, matrix: str, species: str, *, hold: Hold, recover: bool) -> Table:
    """Read the first matrix of a source that holds counts, as exact integers."""
    faults: list[tuple[str, counts.Fault]] = []
    for table in _read_matrices(source, matrix, species, hold=hold):
        seen = _survey(table.entries)
        fault = (
            None
            if 0 in table.entries.shape
            else counts.find_fault(compute_first_block(table.entries), seen)
        )
        if fault is None:
            return _make_exact(source, table, seen, faults)
        faults.append((table.matrix or "the matrix", fault))
    cause, cure = _list_faults(faults) or "the file holds no matrix", _GIVE_COUNTS
    if hold != "disk" and any(fault.kind is counts.Kind.LOGGED for _, fault in faults):
        if recover:
            return _recover(source, matrix, species, faults, hold)
        cure += (
            " If you have only these values, try to recover exact counts: --set load.recover=true."
        )
    raise InputError(f"{source.path}: no integer counts: {cause}. {cure}")


def _survey(values: Any) -> counts.Survey:
    """Survey the values of a matrix, in memory or on disk."""
    return survey_lazily(values) if is_lazy(values) else counts.survey_values(values)


def _round_counts(values: Any, seen: counts.Survey) -> Any:
    """Make exact counts of a matrix, in memory or on disk."""
    return make_exact_lazily(values, seen) if is_lazy(values) else counts.make_exact(values, seen)


def _list_faults(faults: Sequence[tuple[str, counts.Fault]]) -> str:
    """List the matrices that hold no counts, each with the reason."""
    return "; ".join(f"{name} {fault}" for name, fault in faults)


def _recover(
    source: Source,
    matrix: str,
    species: str,
    faults: Sequence[tuple[str, counts.Fault]],
    hold: Hold,
) -> Table:
    """Recover the counts of the matrix of most genes whose logarithm can be undone.

    Raises
    ------
    InputError
        If that is possible for no matrix.
    """
    against: list[str] = []
    best: Table | None = None
    tables = _read_matrices(source, matrix, species, hold=hold)
    for table, (name, fault) in zip(tables, faults, strict=True):
        entries, sentence = None, fault.sentence
        if fault.kind is counts.Kind.LOGGED:
            entries, sentence = counts.recover_counts(table.entries)
        if entries is None:
            against.append(f"{name}: {sentence}")
        elif best is None or entries.shape[1] > best.entries.shape[1]:
            best = replace(table, entries=entries).repaired(sentence)
    if best is not None:
        return _make_exact(source, best, counts.survey_values(best.entries), faults)
    listed = "; ".join(against)
    raise InputError(f"{source.path}: no integer counts: {listed}. {_GIVE_COUNTS}")


def refuse_not_lazy(source: Source, matrix: str, species: str) -> None:
    """Raise an error if the engine dask cannot read a source.

    Raises
    ------
    ConfigError
        If it is in an archive, or of a layout that is read into memory only.
    """
    if source.members:
        raise ConfigError(
            f"{source.path}: the engine dask does not read archives. "
            "Unpack the archive, or use the engine memory."
        )
    next(_read_matrices(source, matrix, species, hold="disk"), None)


def _read_matrices(source: Source, matrix: str, species: str, *, hold: Hold) -> Iterator[Table]:
    """Yield the matrices of a source that may hold its counts.

    Only errors of the reading itself are reported as errors of the file.
    """
    tables = _start_reader(source, matrix, species, hold)
    while True:
        with reading(source.path, source.layout):
            table = next(tables, None)
            if table is not None:
                _refuse_wrong_shape(table, hold)
                table = merge_row_parts(table, matrix)
        if table is None:
            return
        yield table


def _refuse_wrong_shape(table: Table, hold: Hold) -> None:
    """Raise an error if names and matrix differ in size, or an index is out of range.

    An index out of range would make later code read memory of other objects.
    """
    n_cells, n_genes = table.entries.shape
    if (len(table.barcodes) != n_cells and hold != "some") or len(table.symbols) != n_genes:
        raise ValueError(
            f"{len(table.barcodes):,} cells and {len(table.symbols):,} genes have names, "
            f"but the matrix is {n_cells:,} x {n_genes:,}"
        )
    for values in (table.entries, *table.layers.values()):
        if values.shape != table.entries.shape:
            raise ValueError(
                f"not all layers ({', '.join(table.layers)}) are {n_cells:,} x {n_genes:,}, "
                "which is the shape of the matrix"
            )
        if not is_lazy(values):
            values.check_format()


def _start_reader(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:
    """Start the reader of a source's layout.

    Raises
    ------
    ConfigError
        If the engine dask cannot read this layout.
    """
    card = READERS[source.layout.reader]
    if hold == "disk" and not card.facts["lazy"]:
        lazy = " and ".join(sorted(other.name for other in READERS.cards() if other.facts["lazy"]))
        raise ConfigError(
            f"{source.path}: the engine dask reads {lazy}, not {source.layout}. "
            "Use the engine memory, or convert the file."
        )
    return card.function(source, matrix, species, hold)


def _make_exact(
    source: Source, table: Table, seen: counts.Survey, faults: Sequence[tuple[str, counts.Fault]]
) -> Table:
    """Round float noise away, and note this and which of several matrices was used."""
    for sentence in source.said:
        table = table.noted(sentence)
    clean = _check_layers(replace(table, entries=_round_counts(table.entries, seen)))
    if seen.noise:
        clean = clean.repaired(
            f"Counts had float noise of up to {seen.noise:.1g} and were rounded to integers."
        )
    if table.matrix:
        passed = f" ({_list_faults(faults)})" if faults else ""
        clean = clean.noted(f"Counts were taken from {table.matrix}{passed}.")
    return clean


def _check_layers(table: Table) -> Table:
    """Keep the spliced and unspliced layers that hold counts, and note which do not."""
    kept: dict[str, Any] = {}
    for name, values in table.layers.items():
        seen = _survey(values)
        if seen.minimum < 0 or seen.n_fractional or seen.n_not_finite:
            table = table.noted(f"Layer {name} holds no counts and was left out.")
        else:
            kept[name] = _round_counts(values, seen)
    return replace(table, layers=kept)


def _refuse_missing_parts(path: Path, table: Table, matrix: str) -> None:
    """Raise an error if the option asks for a sum of parts and the input has no parts."""
    if is_sum(matrix) and not table.layers:
        raise ConfigError(
            f"{path}: load.matrix is {matrix!r}, but the input has no spliced and unspliced counts "
            "to add. Leave this option out."
        )


def refuse_bad_table(path: Path, table: Table, matrix: str) -> None:
    """Raise an error if a table lacks the parts that ``matrix`` names, is too small or transposed.

    Raises
    ------
    InputError
        If there are fewer than two cells, no genes, or genes in place of cells.
    ConfigError
        If ``matrix`` is a sum of parts that the table lacks.
    """
    _refuse_missing_parts(path, table, matrix)
    n_cells, n_genes = table.entries.shape
    if n_cells < 2:
        raise InputError(
            f"{path}: the file holds {n_cells or 'no'} cell{'s' * (n_cells == 0)}; "
            "two or more are needed."
        )
    if n_genes == 0:
        raise InputError(f"{path}: the file holds no genes.")
    if features.is_transposed(table):
        raise InputError(
            f"{path}: the cells have names of genes ({some(table.barcodes)}), so the matrix is "
            "transposed. Give cells in rows and genes in columns."
        )


def refuse_repeated_barcodes(path: Path, samples: np.ndarray, barcodes: np.ndarray) -> None:
    """Raise an error if a barcode occurs twice in one sample.

    Raises
    ------
    InputError
        Because the two cells could not be distinguished.
    """
    import pandas as pd

    twice = pd.DataFrame({"sample": samples, "barcode": barcodes}).duplicated().to_numpy()
    if twice.any():
        raise InputError(
            f"{path}: {twice.sum():,} barcodes occur twice in one sample "
            f"(e.g. {barcodes[twice][0]!r}). Make cell names unique within each sample."
        )
