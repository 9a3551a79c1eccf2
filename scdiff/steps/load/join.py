"""From checked tables to one AnnData: shared genes, unique cells, columns, the input record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scdiff import genes, keys, programs
from scdiff.compute.blocks import is_lazy
from scdiff.errors import InputError
from scdiff.steps.load.cells import as_plain_column, gather_obs
from scdiff.steps.load.checks import counts
from scdiff.steps.load.hashes import Files, hash_files
from scdiff.steps.load.part import Part
from scdiff.steps.load.readers.lazy import compute_first_block
from scdiff.steps.shared.states import gene_list

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Part", "as_plain_column", "detect_species_of_parts", "join_parts", "refuse_apart"]

_ENOUGH_GENES = 100
"""Number of genes from which a file's own species counts as detected. Chosen, not tuned."""


def detect_species_of_parts(parts: Sequence[Part], asked: str) -> tuple[str, tuple[str, ...]]:
    """Detect the species of all parts, and describe the result for the record.

    Raises
    ------
    InputError
        If the species of the files differ, or scdiff does not know them.
    """
    detected = _detect_one_species(parts, asked)
    path, other = _find_foreign_species(parts)
    if other and asked == "auto":
        raise InputError(
            f"{path}: the genes are those of {other}; scdiff knows the genes of human, mouse "
            "and rat. If the programmes name their genes as this file does (a programme of your "
            "own can, under human = [...]), give --species human; otherwise give another file."
        )
    if other:
        foreign = f"The species was given as {asked}, but the genes are those of {other}"
        return asked, (f"{foreign}: only genes with the same symbol are found.",)
    if asked == "auto" and detected:
        return detected, ()
    if asked == "auto":
        unknown = "The species could not be detected from the gene names"
        return "unknown", (f"{unknown}; give it with the option species.",)
    differs = f"The species was given as {asked}, but the gene names look like {detected}."
    return asked, (differs,) if detected and detected != asked else ()


def _detect_one_species(parts: Sequence[Part], asked: str) -> str | None:
    """Detect the species that all parts share; None if no part has a known species."""
    found = _detect_each(parts, asked)
    if "rat" in found:  # the names of another part can be those of mouse and rat
        found = _detect_each(parts, "rat")
    sure = {
        species
        for part, species in zip(parts, found, strict=True)
        if species and len(part.table.symbols) >= _ENOUGH_GENES
    }
    if len(sure) > 1:
        pairs = zip(_name_files(parts), found, strict=True)
        listed = ", ".join(f"{name} {species or 'unknown'}" for name, species in pairs)
        raise InputError(
            f"the inputs are of different species ({listed}). Run each species separately."
        )
    return next((species for species in found if species), None)


def _detect_each(parts: Sequence[Part], likely: str) -> list[genes.Species | None]:
    """Detect the species of each part."""
    return [
        genes.detect_species(sorted(part.table.symbols), part.table.gene_ids, likely=likely)
        for part in parts
    ]


def _name_files(parts: Sequence[Part]) -> list[str]:
    """Return a short name for the file of each part.

    It is the name of the file. Files of the same name also get as many of their folders as are
    needed to distinguish them.
    """
    paths = [part.sources[0].path for part in parts]
    names = []
    for path in paths:
        others = {other for other in paths if other != path and other.name == path.name}
        depth = 1
        while depth < len(path.parts) and any(
            other.parts[-depth:] == path.parts[-depth:] for other in others
        ):
            depth += 1
        names.append(str(Path(*path.parts[-depth:])))
    return names


def _find_foreign_species(parts: Sequence[Part]) -> tuple[Path | None, str]:
    """Find the first part of a species that scdiff does not know; its path and species."""
    for part in parts:
        if species := genes.foreign_species(part.table.symbols, part.table.gene_ids):
            return part.sources[0].path, species
    return None, ""


def refuse_apart(parts: Sequence[Part], species: str) -> None:
    """Raise an error if the parts cannot be joined, judged from some cells of each part.

    Raises
    ------
    InputError
        If the parts belong to different species or share no gene.
    """
    detect_species_of_parts(parts, species)
    _find_shared_genes(parts)
    gather_obs(parts)


def join_parts(
    parts: Sequence[Part],
    *,
    species: str,
    notes: Sequence[str],
    hashes: Callable[[Files], str] | None = None,
) -> AnnData:
    """Build the object that all steps start from.

    Parameters
    ----------
    parts
        One or more. Cells and genes keep their order; genes have that of the first part.
    species
        ``human``, ``mouse``, ``rat`` or ``unknown``.
    notes
        Sentences to record before those of the tables.
    hashes
        Returns the hash of the files of a part; if it is missing, the files are hashed here.

    Raises
    ------
    InputError
        If the parts share no gene.
    """
    from anndata import AnnData

    symbols, rows, lost = _find_shared_genes(parts)
    matrices = [_pick(part.table.entries, row) for part, row in zip(parts, rows, strict=True)]
    matrix = _stack(matrices)
    obs, dropped = gather_obs(parts)
    layers, missing = _join_layers(parts, rows)
    adata = AnnData(
        obs=obs,
        var=_build_var(parts[0], symbols, rows[0]),
        layers={keys.COUNTS.name: matrix, **layers},
    )
    technology, reads = counts.detect_technology(compute_first_block(matrix))
    record = {
        "species": species,
        "technology": technology,
        "files": _describe_files(parts, species, hashes or hash_files),
        "absent": _as_objects(_list_absent_markers(symbols, species)),
        **_record_positive_controls(parts),
        **_record_soups(parts, rows, symbols),
    }
    sentences = [*notes, *lost, *dropped, *missing, *_collect_sentences(parts, "notes")]
    if reads:
        sentences.append(reads)
    record["notes"] = _as_objects(sentences)
    record["repairs"] = _as_objects(_collect_sentences(parts, "repairs"))
    adata.uns[keys.ROOT] = {keys.INPUT.name: record}
    return adata


def _pick(matrix: Any, columns: np.ndarray | None) -> Any:
    """Select columns of a matrix; None selects all."""
    return matrix if columns is None else matrix[:, columns]


def _build_var(first: Part, symbols: np.ndarray, row: np.ndarray | None) -> pd.DataFrame:
    """Build the table of the genes, from the first part."""
    import pandas as pd

    kept = slice(None) if row is None else row
    table = first.table
    written = table.symbols if table.written is None else table.written
    columns = {keys.GENE_ID.name: table.gene_ids[kept], keys.NAME_IN_FILE.name: written[kept]}
    return pd.DataFrame(
        {name: values.astype(object) for name, values in columns.items()},
        index=pd.Index(symbols, dtype=object),
    )


def _record_positive_controls(parts: Sequence[Part]) -> dict[str, Any]:
    """Return the record entry of the declared positive controls; empty without such controls."""
    sources = [source for part in parts for source in part.sources]
    declared = [source.sample for source in sources if source.positive_control]
    return {"positive_controls": _as_objects(declared)} if declared else {}


def _record_soups(
    parts: Sequence[Part], rows: Sequence[np.ndarray | None], symbols: np.ndarray
) -> dict[str, Any]:
    """Return the record entry of the empty droplets; empty if no sample has them."""
    soups = {
        name: soup if row is None else soup[row]
        for part, row in zip(parts, rows, strict=True)
        for name, soup in part.soups.items()
    }
    if not soups:
        return {}
    profiles = {
        "samples": _as_objects(list(soups)),
        "genes": symbols.astype(object),
        "counts": np.column_stack(list(soups.values())),
    }
    return {"soup": profiles}


def _join_layers(
    parts: Sequence[Part], rows: Sequence[np.ndarray | None]
) -> tuple[dict[str, Any], list[str]]:
    """Join the spliced and unspliced counts that every part has, and note the layers left out."""
    every = list(dict.fromkeys(name for part in parts for name in part.table.layers))
    layers: dict[str, Any] = {}
    notes: list[str] = []
    for name in every:
        if any(name not in part.table.layers for part in parts):
            notes.append(f"Layer {name} was left out: not every input has it.")
            continue
        pairs = zip(parts, rows, strict=True)
        layers[name] = _stack([_pick(part.table.layers[name], row) for part, row in pairs])
    return layers, notes


def _stack(values: Sequence[Any]) -> Any:
    """Stack the cells of several matrices."""
    from scipy import sparse

    if len(values) == 1:
        return values[0]
    if is_lazy(values[0]):
        from dask import array

        return array.concatenate(values, axis=0)
    return sparse.csr_matrix(sparse.vstack(values))


def _as_objects(sentences: Sequence[str]) -> np.ndarray:
    """Return sentences as an array of str objects."""
    return np.array(list(sentences), dtype=object)


def _collect_sentences(parts: Sequence[Part], kind: Literal["notes", "repairs"]) -> list[str]:
    """List the notes or repairs of all tables, each with the name of its file."""
    return [
        f"{name}: {sentence}"
        for name, part in zip(_name_files(parts), parts, strict=True)
        for sentence in getattr(part.table, kind)
    ]


def _find_shared_genes(
    parts: Sequence[Part],
) -> tuple[np.ndarray, list[np.ndarray | None], list[str]]:
    """Find the genes that every part has.

    Returns
    -------
    Their symbols; their columns in each part (None means all, in order); a sentence for each part
    that loses genes.
    """
    import pandas as pd

    first = parts[0].table.symbols
    indexes = [pd.Index(part.table.symbols) for part in parts]
    keep = np.all([index.get_indexer(first) >= 0 for index in indexes], axis=0)
    symbols = first[keep]
    names = _name_files(parts)
    if not len(symbols):
        pairs = zip(names, parts, strict=True)
        sizes = ", ".join(f"{name} {len(part.table.symbols):,}" for name, part in pairs)
        raise InputError(
            f"the inputs share no gene (genes: {sizes}). "
            "They must name genes in the same way and be of one species."
        )
    rows = [
        None if np.array_equal(index, symbols) else index.get_indexer(symbols) for index in indexes
    ]
    lost = [
        f"{name}: {n_lost:,} of {len(part.table.symbols):,} genes are not in "
        "every input and were left out (absent is not zero)."
        for name, part in zip(names, parts, strict=True)
        if (n_lost := len(part.table.symbols) - len(symbols))
    ]
    return symbols, rows, lost


def _describe_files(
    parts: Sequence[Part], species: str, hashes: Callable[[Files], str]
) -> pd.DataFrame:
    """Return one row per sample: path, hash, layout, numbers of cells and genes, list of genes."""
    import pandas as pd

    rows: dict[str, dict[str, Any]] = {}
    for part in parts:
        digest = hashes(part.sources[0].files)
        listed = gene_list(part.table.symbols, species)
        for source in part.sources:
            rows[source.sample] = {
                "path": str(source.path),
                "raw": str(source.raw.path) if source.raw else "",
                "sha256": digest,
                "layout": source.layout.value,
                "n_cells": int((part.samples == source.sample).sum()),
                "n_genes": len(part.table.symbols),
                "gene_list": listed,
            }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.Index(list(rows), dtype=object)
    return frame.astype(dict.fromkeys(("path", "raw", "sha256", "layout", "gene_list"), object))


def _list_absent_markers(symbols: np.ndarray, species: str) -> list[str]:
    """List the marker genes of the default main programme that have no row."""
    of = genes.resolve_species(species)
    lookup = genes.Lookup(list(symbols), of)
    program = programs.load_program(programs.DEFAULT_PROGRAMS[0])
    wanted = [gene for marker in program.markers for gene in marker.genes(of)]
    return [gene for gene in wanted if not lookup.find([gene])]
