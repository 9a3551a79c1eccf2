"""From checked tables to one AnnData: shared genes, unique cells, sheet columns, the record of the input."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scdiff import genes, keys, programs
from scdiff.compute.blocks import is_lazy
from scdiff.errors import InputError
from scdiff.steps.load.checks import counts
from scdiff.steps.load.identity import rename_columns
from scdiff.steps.load.plan.inputs import Source
from scdiff.steps.load.readers.lazy import first_block
from scdiff.steps.load.table import Table, some
from scdiff.steps.shared.days import DAY, parse_days
from scdiff.steps.shared.states import gene_list

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    Files = tuple[Path, ...]

__all__ = ["Part", "as_plain_column", "detect_species_of_parts", "hash_source", "join_parts", "own_columns", "refuse_apart", "sha256"]

_ENOUGH_GENES = 100
"""From so many genes on, a file's own species is told."""


@dataclass(frozen=True)
class Part:
    """The checked table of one file, and the sources that its cells belong to.

    Parameters
    ----------
    sources
        Samples of the file; one, or one for each label.
    table
        Counts, canonical CSR of exact integers.
    samples
        Name of the sample of each cell, shape (n_cells,).
    soups
        By sample, counts of the empty droplets on the table's genes, shape (n_genes,).
    """

    sources: tuple[Source, ...]
    table: Table
    samples: np.ndarray
    soups: Mapping[str, np.ndarray] = field(default_factory=dict)


def detect_species_of_parts(parts: Sequence[Part], asked: str) -> tuple[str, tuple[str, ...]]:
    """Tell the species of all parts, with what there is to say about it.

    Raises
    ------
    InputError
        If the files are of different species.
    """
    found = {part.sources[0].path.name: genes.detect_species(sorted(part.table.symbols)) for part in parts}
    sure = {name: species for (name, species), part in zip(found.items(), parts, strict=False) if len(part.table.symbols) >= _ENOUGH_GENES}
    if len(set(sure.values()) - {None}) > 1:
        listed = ", ".join(f"{name} {species or 'unknown'}" for name, species in found.items())
        raise InputError(f"the inputs are of different species ({listed}): run each species by itself.")
    told = next((species for species in found.values() if species), None)
    foreign = {part.sources[0].path: genes.foreign_species(part.table.symbols, part.table.gene_ids) for part in parts}
    path, other = next(((path, species) for path, species in foreign.items() if species), (None, ""))
    if other and asked == "auto":
        raise InputError(
            f"{path}: the genes are those of {other}; scdiff knows the genes of human and mouse. If those of the programmes go by "
            "their human or mouse symbols here, too, say which with --species human or --species mouse; else give another file."
        )
    if other:
        return asked, (f"The species was given as {asked}, but the genes are those of {other}: only genes of the same symbol are found.",)
    if asked == "auto":
        unknown = ("The species cannot be told from the gene names; give it with the option species.",)
        return (told, ()) if told else ("unknown", unknown)
    differs = f"The species was given as {asked}, but the gene names look like {told}."
    return asked, (differs,) if told and told != asked else ()


def refuse_apart(parts: Sequence[Part], species: str) -> None:
    """Refuse what cannot be put together, as :func:`join_parts` would, from some cells of each part.

    Raises
    ------
    InputError
        If the parts are of different species or share no gene.
    """
    detect_species_of_parts(parts, species)
    _shared_genes(parts)
    _obs(parts)


def join_parts(parts: Sequence[Part], *, species: str, notes: Sequence[str], hashes: Callable[[Files], str] | None = None) -> AnnData:
    """Build the object that all steps start from.

    Parameters
    ----------
    parts
        One or more; cells and genes keep their order, genes that of the first part.
    species
        ``human``, ``mouse`` or ``unknown``.
    notes
        Sentences to be recorded before those of the tables.
    hashes
        Gives the hash of the files of a part; they are hashed here where it is not given.

    Raises
    ------
    InputError
        If the parts share no gene.
    """
    import pandas as pd
    from anndata import AnnData

    symbols, rows, lost = _shared_genes(parts)
    values = [part.table.entries if row is None else part.table.entries[:, row] for part, row in zip(parts, rows, strict=True)]
    matrix = values[0] if len(values) == 1 else _stacked(values)
    (obs, dropped), (layers, apart) = _obs(parts), _layers(parts, rows)
    first, kept = parts[0].table, slice(None) if rows[0] is None else rows[0]
    written = first.symbols if first.written is None else first.written
    columns = {keys.GENE_ID.name: first.gene_ids[kept], keys.NAME_IN_FILE.name: written[kept]}
    var = pd.DataFrame({name: values.astype(object) for name, values in columns.items()}, index=pd.Index(symbols, dtype=object))
    adata = AnnData(obs=obs, var=var, layers={keys.COUNTS.name: matrix, **layers})
    technology, reads = counts.technology(first_block(matrix))
    record = {
        "species": species,
        "technology": technology,
        "files": _files(parts, species, hashes or sha256),
        "absent": _texts(_absent(symbols, species)),
    }
    if declared := [source.sample for part in parts for source in part.sources if source.positive_control]:
        record["positive_controls"] = _texts(declared)
    soups = {name: soup if row is None else soup[row] for part, row in zip(parts, rows, strict=True) for name, soup in part.soups.items()}
    if soups:
        record["soup"] = {"samples": _texts(list(soups)), "genes": symbols.astype(object), "counts": np.column_stack(list(soups.values()))}
    told = [*notes, *lost, *dropped, *apart, *_collected(parts, "notes"), *([reads] if reads else [])]
    adata.uns["scdiff"] = {keys.INPUT.name: record | {"notes": _texts(told), "repairs": _texts(_collected(parts, "repairs"))}}
    return adata


def _layers(parts: Sequence[Part], rows: Sequence[np.ndarray | None]) -> tuple[dict[str, Any], list[str]]:
    """Spliced and unspliced counts, where every part has them; say which were left out."""
    every = list(dict.fromkeys(name for part in parts for name in part.table.layers))
    shared = [name for name in every if all(name in part.table.layers for part in parts)]
    found = {
        name: [part.table.layers[name] if row is None else part.table.layers[name][:, row] for part, row in zip(parts, rows, strict=True)]
        for name in shared
    }
    left_out = [f"Layer {name} was left out: not every input has it." for name in every if name not in shared]
    return {name: values[0] if len(values) == 1 else _stacked(values) for name, values in found.items()}, left_out


def _stacked(values: Sequence[Any]) -> Any:
    """Put the cells of several matrices below each other."""
    from scipy import sparse

    if is_lazy(values[0]):
        from dask import array

        return array.concatenate(values, axis=0)
    return sparse.csr_matrix(sparse.vstack(values))


def _texts(sentences: Sequence[str]) -> np.ndarray:
    return np.array(list(sentences), dtype=object)


def _collected(parts: Sequence[Part], kind: Literal["notes", "repairs"]) -> list[str]:
    """List the notes or repairs of all tables, each with its file's name."""
    return [f"{part.sources[0].path.name}: {sentence}" for part in parts for sentence in getattr(part.table, kind)]


def _shared_genes(parts: Sequence[Part]) -> tuple[np.ndarray, list[np.ndarray | None], list[str]]:
    """Genes that every part has, their columns in each part (None: all, in order), and what was lost."""
    import pandas as pd

    first = parts[0].table.symbols
    indexes = [pd.Index(part.table.symbols) for part in parts]
    keep = np.all([index.get_indexer(first) >= 0 for index in indexes], axis=0)
    symbols = first[keep]
    if not len(symbols):
        sizes = ", ".join(f"{part.sources[0].path.name} {len(part.table.symbols):,}" for part in parts)
        raise InputError(f"the inputs share no gene (genes: {sizes}): they must name genes in the same way and be of one species.")
    rows = [None if np.array_equal(index, symbols) else index.get_indexer(symbols) for index in indexes]
    lost = [
        f"{part.sources[0].path.name}: {n_lost:,} of {len(part.table.symbols):,} genes are not in every input and "
        "were left out (absent is not zero)."
        for part in parts
        if (n_lost := len(part.table.symbols) - len(symbols))
    ]
    return symbols, rows, lost


def _obs(parts: Sequence[Part]) -> tuple[pd.DataFrame, list[str]]:
    """Gather what is known of every cell: the file's own columns, the sheet's, sample and control."""
    import pandas as pd

    frames, notes = zip(*(own_columns(part) for part in parts), strict=True)
    obs = pd.concat([frame.reset_index(drop=True) for frame in frames], ignore_index=True)
    sources = [source for part in parts for source in part.sources]
    samples = np.concatenate([part.samples for part in parts])
    for name, values in _sheet_columns(sources).items():
        obs[name] = pd.Series(samples).map(values).to_numpy()
    declared = pd.Index(samples).isin([source.sample for source in sources if source.control])
    earlier = obs.pop("control").eq(True).to_numpy() if "control" in obs else False
    for name in obs:
        obs[name] = as_plain_column(obs[name])
    order = pd.Index([source.sample for source in sources], dtype=object)
    obs.insert(0, keys.SAMPLE.name, pd.Categorical(samples, categories=order))
    obs.insert(1, keys.CONTROL.name, declared | earlier)
    obs.index = _cell_names(parts, samples)
    return obs, [*(note for group in notes for note in group), *_mixed_donors(obs)]


def _mixed_donors(obs: pd.DataFrame) -> list[str]:
    """Say which samples hold cells of several donors: intervals over donors need a sample each."""
    if "donor" not in obs:
        return []
    donors = obs.groupby("sample", observed=True)["donor"].nunique()
    return [
        f"Sample {name!r} holds cells of {n_donors} donors and counts as one: give each donor its own sample for intervals over donors."
        for name, n_donors in donors[donors > 1].items()
    ]


def own_columns(part: Part) -> tuple[pd.DataFrame, list[str]]:
    """Columns that the file itself gives, without those that scdiff or the sheet writes, and what there is to say of them."""
    import pandas as pd

    obs = part.table.obs if part.table.obs is not None else pd.DataFrame(index=range(len(part.samples)))
    ours = {key.name for key in keys.KEYS if key.slot == "obs"}
    sheet = {name for source in part.sources for name in source.fields}
    keep_control = "control" in obs and pd.api.types.is_bool_dtype(obs["control"])
    taken = [str(name) for name in obs if str(name) in ours | sheet or str(name).startswith("scdiff_")]
    told = [name for name in taken if not (name == "control" and keep_control) and not (name == "sample" and part.sources[0].label)]
    kept = obs[[name for name in obs if str(name) not in taken or (name == "control" and keep_control)]]
    kept, said = rename_columns(kept.rename(columns=str), part.samples, part.table.barcodes, sheet)
    left_out = f"columns of obs that scdiff or the sheet writes were left out ({some(told, 20)})."
    return kept, [f"{part.sources[0].path.name}: {sentence}" for sentence in ([left_out] if told else []) + said]


def _sheet_columns(sources: Sequence[Source]) -> dict[str, dict[str, Any]]:
    """Column -> sample -> value: the day as a number, anything else as the text that it is; a blank is missing."""
    columns = dict.fromkeys(name for source in sources for name in source.fields)
    texts = {name: {source.sample: source.fields.get(name, "") for source in sources} for name in columns}
    return {
        name: dict(zip(given, parse_days(given.values()), strict=True))
        if name == DAY
        else {sample: text or np.nan for sample, text in given.items()}
        for name, given in texts.items()
    }


def as_plain_column(column: pd.Series) -> pd.Series:
    """Leave numbers and booleans as they are; make anything else a category of str, which every version can write."""
    import pandas as pd

    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column
    values = column.astype(object)
    texts = np.array([None if missing else str(value) for value, missing in zip(values, pd.isna(values), strict=True)], dtype=object)
    known = sorted({text for text in texts if text is not None})
    return pd.Series(pd.Categorical(texts, categories=pd.Index(known, dtype=object)), index=column.index)


def _cell_names(parts: Sequence[Part], samples: np.ndarray) -> pd.Index:
    """Barcodes, each with its sample in front where several samples share one."""
    import pandas as pd

    names = pd.Index(np.concatenate([part.table.barcodes for part in parts]), dtype=object)
    if names.is_unique:
        return names
    return pd.Index([f"{sample}:{name}" for sample, name in zip(samples, names, strict=True)], dtype=object)


def _files(parts: Sequence[Part], species: str, hashes: Callable[[Files], str]) -> pd.DataFrame:
    """One row per sample: where it came from, what it was, how much it held, which genes it lists."""
    import pandas as pd

    rows = {
        source.sample: {
            "path": str(source.path),
            "raw": str(source.raw.path) if source.raw else "",
            "sha256": digest,
            "layout": source.layout.value,
            "n_cells": int((part.samples == source.sample).sum()),
            "n_genes": len(part.table.symbols),
            "gene_list": listed,
        }
        for part in parts
        for digest, listed in ((hashes(part.sources[0].files), gene_list(part.table.symbols, species)),)
        for source in part.sources
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.Index(list(rows), dtype=object)
    return frame.astype(dict.fromkeys(("path", "raw", "sha256", "layout", "gene_list"), object))


@contextmanager
def hash_source(groups: Sequence[Files]) -> Iterator[Callable[[Files], str]]:
    """Hash files on a thread of their own while they are read; give what waits for the hash of some of them."""
    pool = ThreadPoolExecutor(1)
    begun = {files: pool.submit(sha256, files) for files in groups}
    try:
        yield lambda files: begun[files].result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def sha256(files: Files) -> str:
    """Hash of one file; of several, the hash over their names and hashes."""
    digests = []
    inside = [inner for path in files for inner in (path.rglob("*") if path.is_dir() else [path]) if inner.is_file()]
    for path in sorted(inside):
        with path.open("rb") as handle:
            digests.append(hashlib.file_digest(handle, "sha256").hexdigest())
    if len(digests) == 1:
        return digests[0]
    lines = "".join(f"{digest}  {path.name}\n" for digest, path in zip(digests, sorted(inside), strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def _absent(symbols: np.ndarray, species: str) -> list[str]:
    """Marker genes of the default main programme that have no row."""
    of: Literal["human", "mouse"] = "mouse" if species == "mouse" else "human"
    lookup = genes.Lookup(list(symbols), of)
    program = programs.load_program(programs.DEFAULT_PROGRAMS[0])
    return [gene for marker in program.markers for gene in marker.genes(of) if not lookup.find([gene])]
