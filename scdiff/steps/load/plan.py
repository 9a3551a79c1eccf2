"""From paths and a sample sheet to a list of sources, without reading a matrix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scdiff.errors import ConfigError, InputError, did_you_mean
from scdiff.steps.load.hdf5 import hdf5_layout, own_samples
from scdiff.steps.load.sheet import Row, read_sheet
from scdiff.steps.load.soup import raw_beside

__all__ = ["Source", "plan_inputs"]

_ZARR = (".zgroup", "zarr.json")
_HDF5 = (".h5ad", ".h5", ".hdf5", ".loom")
_DENSE = re.compile(r"\.(csv|tsv|txt|tab)(\.gz)?$", re.IGNORECASE)
_MATRIX = re.compile(r"^(?P<prefix>.*?)matrix\.mtx(\.gz)?$")
_SUFFIXES = re.compile(r"\.(h5ad|h5|hdf5|loom|csv|tsv|txt|tab)(\.gz)?$", re.IGNORECASE)
_GENERIC = re.compile(
    r"^((filtered|raw)_(gene_bc_matri(x|ces)|feature_bc_matrix)(_h5)?|outs|count|matrix|counts|gene|gene_counts|(hg|mm|grch|grcm)\d+\w*)$",
    re.IGNORECASE,
)
"""Names that programs give to files and folders; the sample is named by the folder above."""

_ALLOWED = "h5ad, zarr, 10x h5, loom, a folder with matrix.mtx, barcodes.tsv and features.tsv, or a csv, tsv or txt table (also .gz)"


@dataclass(frozen=True)
class Source:
    """One sample to load.

    Parameters
    ----------
    sample
        Name, unique among the sources.
    path
        The file or folder as it was given.
    layout
        ``h5ad``, ``10x h5 (v1)``, ``10x h5 (v3)``, ``10x mtx``, ``loom`` or ``dense table``.
    files
        The files to read: one, or matrix, barcodes and features.
    label
        Name of the sample in ``obs["sample"]`` of an h5ad; empty where the whole file is the sample.
    fields
        Further columns of the sample sheet, as text.
    control
        Whether it is a declared control.
    positive_control
        Whether that control holds nothing but positive cells, instead of none.
    raw
        The unfiltered matrix of the same sample, for its empty droplets; None where there is none.
    """

    sample: str
    path: Path
    layout: str
    files: tuple[Path, ...]
    label: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    control: bool = False
    positive_control: bool = False
    raw: Source | None = None


def plan_inputs(
    inputs: Sequence[Path | str] | Path | str, *, samples: Path | str | None = None, control: Sequence[str] = ()
) -> list[Source]:
    """Find out what there is to load, and check all of it that can be checked without reading a matrix.

    Use it to test a command line or a sample sheet before hours are spent; :func:`load` starts with it.
    A folder with several prefixed matrices, and an h5ad with ``obs["sample"]``, give several sources.

    Parameters
    ----------
    inputs
        Files and folders; may be empty if the sheet has the column ``path``.
    samples
        Sample sheet (csv or tsv) with the column ``sample`` and any of ``path,raw,donor,condition,day,control,...``;
        paths are relative to the sheet. With ``inputs`` it must describe each of their samples.
    control
        Names of samples that hold no positive cell, besides those the sheet marks.

    Raises
    ------
    InputError
        If an input is missing, damaged or of no known layout.
    ConfigError
        If there is nothing to load, an input is given twice, ``control`` names no sample, or the sheet
        has faults; all faults of the sheet are listed, one a line.
    """
    paths = [Path(inputs)] if isinstance(inputs, (str, Path)) else [Path(path) for path in inputs]
    if not paths and samples is None:
        raise ConfigError("there is nothing to load: give files or folders, or a sample sheet.")
    _refuse_twice(paths)
    groups = {path.resolve(): _expand(path) for path in paths}
    sources = _joined(Path(samples), groups) if samples is not None else [source for group in groups.values() for source in group]
    named = _uniquely_named(sources)
    _refuse_pooled_name(named)
    return _controlled(named, [control] if isinstance(control, str) else control)


def _refuse_pooled_name(sources: Sequence[Source]) -> None:
    """Refuse a sample called like the row that pools all samples."""
    for source in sources:
        if source.sample == "all":
            raise ConfigError(f"{source.path}: a sample is named 'all', which names the pooled row of the results. Rename it.")


def _refuse_twice(paths: Sequence[Path]) -> None:
    """Refuse the same input given twice: its cells would count twice."""
    resolved = [path.resolve() for path in paths]
    for place, path in enumerate(resolved):
        if path in resolved[:place]:
            raise ConfigError(f"{paths[place]}: this input is given twice: name each file or folder once.")


def _expand(path: Path) -> list[Source]:
    """Find the sources of one file or folder, each with the unfiltered matrix that stands beside it."""
    sources, beside = _found(path), raw_beside(path)
    return sources if beside is None or len(sources) > 1 else [replace(sources[0], raw=_raw(beside))]


def _raw(path: Path) -> Source:
    """Find the one unfiltered matrix that a path names."""
    sources = _found(path)
    if len(sources) > 1:
        raise InputError(f"{path}: the unfiltered matrix of a sample is one, but there are {len(sources)}: name the one.")
    return sources[0]


def _found(path: Path) -> list[Source]:
    """Find the sources of one file or folder."""
    if path.is_dir() and any((path / name).is_file() for name in _ZARR):
        return _labelled(path, "zarr")
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file or folder.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty.")
    if match := _MATRIX.match(path.name):
        return [_triple(path, path.parent, match["prefix"])]
    if path.suffix.lower() in _HDF5:
        return _hdf5(path)
    if _DENSE.search(path.name):
        return [Source(_stem(path), path, "dense table", (path,))]
    raise InputError(f"{path}: {path.suffix or 'a file without suffix'} is no format that scdiff reads; allowed: {_ALLOWED}.")


def _hdf5(path: Path) -> list[Source]:
    """Find the sources of one HDF5 file: one, or one for each sample that an h5ad names."""
    layout = hdf5_layout(path)
    return _labelled(path, layout) if layout == "h5ad" else [Source(_stem(path), path, layout, (path,))]


def _labelled(path: Path, layout: str) -> list[Source]:
    """One source for each sample that a store names itself, else one."""
    return [Source(label, path, layout, (path,), label) for label in own_samples(path)] or [Source(_stem(path), path, layout, (path,))]


def _folder(path: Path) -> list[Source]:
    """Find the sources of a folder: each matrix in it, or the one matrix folder below it."""
    if prefixes := _prefixes(path):
        return [_triple(path, path, prefix) for prefix in prefixes]
    inner = sorted(child for child in path.iterdir() if child.is_dir() and _prefixes(child))
    files = sorted(child.name for child in path.iterdir() if child.is_file() and _SUFFIXES.search(child.name))
    raw = {raw_beside(child) for child in inner}
    filtered = [child for child in inner if child not in raw]
    if len(filtered) == 1 and not files:
        return [replace(source, path=path) for source in _expand(filtered[0])]
    found = [*(child.name for child in inner), *files]
    if found:
        raise InputError(f"{path}: the folder holds several inputs ({', '.join(found[:6])}): name the one to load, or each of them.")
    raise InputError(f"{path}: the folder holds no matrix.mtx or matrix.mtx.gz; allowed: {_ALLOWED}.")


def _prefixes(folder: Path) -> list[str]:
    """Prefixes of the matrices in a folder, sorted; the empty one for a plain ``matrix.mtx``."""
    matches = (_MATRIX.match(child.name) for child in folder.iterdir() if child.is_file())
    return sorted({match["prefix"] for match in matches if match})


def _triple(path: Path, folder: Path, prefix: str) -> Source:
    """Source of the matrix, barcodes and features with one prefix."""
    files = [_first_file(folder, prefix, stems) for stems in (("matrix.mtx",), ("barcodes.tsv",), ("features.tsv", "genes.tsv"))]
    missing = [what for file, what in zip(files, ("matrix.mtx", "barcodes.tsv", "features.tsv or genes.tsv"), strict=True) if file is None]
    if missing:
        raise InputError(f"{folder}: {prefix}{' and '.join(missing)} (plain or .gz) is missing beside {prefix}matrix.mtx.")
    found = tuple(file for file in files if file is not None)
    if empty := [file for file in found if file.stat().st_size == 0]:
        raise InputError(f"{empty[0]}: the file is empty.")
    return Source(prefix.rstrip("_.-") or _stem(folder), path, "10x mtx", found)


def _first_file(folder: Path, prefix: str, stems: Iterable[str]) -> Path | None:
    """Return the first of the named files that exists, gzipped or plain."""
    candidates = (folder / f"{prefix}{stem}{suffix}" for stem in stems for suffix in (".gz", ""))
    return next((path for path in candidates if path.is_file()), None)


def _stem(path: Path) -> str:
    """Name of a sample from its path, passing over names that programs give."""
    named = (_SUFFIXES.sub("", part.name) for part in (path.absolute(), *path.absolute().parents))
    return next((name for name in named if name and not _GENERIC.match(name)), "sample")


def _uniquely_named(sources: Sequence[Source]) -> list[Source]:
    """Give a repeated name a number."""
    named: dict[str, Source] = {}
    for source in sources:
        name, number = source.sample, 2
        while name in named:
            name, number = f"{source.sample}_{number}", number + 1
        named[name] = replace(source, sample=name)
    return list(named.values())


def _controlled(sources: list[Source], control: Sequence[str]) -> list[Source]:
    """Mark the declared negative controls."""
    known = [source.sample for source in sources]
    for name in control:
        if name not in known:
            raise ConfigError(f"control: there is no sample {name!r}. {did_you_mean(name, known)}")
    return [replace(source, control=source.control or source.sample in control) for source in sources]


def _joined(sheet: Path, groups: dict[Path, list[Source]]) -> list[Source]:
    """Join the rows of the sheet with the sources of the inputs, or of its own paths."""
    rows, faults = read_sheet(sheet)
    if not groups:
        faults += [f"line {row.line}: sample {row.sample!r} has no path, and no inputs are given." for row in rows if row.path is None]
        rows = [row for row in rows if row.path is not None]
        groups = _from_rows(rows, faults)
    joined: dict[int, Source] = {}
    for row in rows:
        _match(row, groups, joined, faults)
    flat = [source for group in groups.values() for source in group]
    faults += [f"sample {source.sample!r} of {source.path} has no row in the sheet." for source in flat if id(source) not in joined]
    if faults:
        raise ConfigError("\n".join(f"{sheet}: {fault}" for fault in faults))
    return [joined[id(source)] for source in flat]


def _from_rows(rows: Sequence[Row], faults: list[str]) -> dict[Path, list[Source]]:
    """Find the sources of the paths that the sheet names; none for a path that cannot be used."""
    groups: dict[Path, list[Source]] = {}
    for row in rows:
        if row.path is None or row.path.resolve() in groups:
            continue
        try:
            groups[row.path.resolve()] = _expand(row.path)
        except InputError as error:
            groups[row.path.resolve()] = []
            faults.append(f"line {row.line}: {error}")
    return groups


def _match(row: Row, groups: Mapping[Path, list[Source]], joined: dict[int, Source], faults: list[str]) -> None:
    """Find the source that a row describes and enter it in ``joined``, or say why there is none."""
    everywhere = [source for group in groups.values() for source in group]
    group = everywhere if row.path is None else groups.get(row.path.resolve())
    if group is None:
        faults.append(f"line {row.line}: {row.path} is not among the inputs: add it, or give no inputs to load the whole sheet.")
        return
    free = [source for source in group if id(source) not in joined]
    alone = free if row.path is not None and len(group) == 1 else []  # the sheet may name what stands alone in its file
    found = [source for source in free if source.sample == row.sample] or alone
    if found:
        told = replace(found[0], sample=row.sample, fields=row.fields)
        try:
            told = told if row.raw is None else replace(told, raw=_raw(row.raw))
        except InputError as error:
            faults.append(f"line {row.line}: {error}")
        joined[id(found[0])] = replace(told, control=row.control, positive_control=row.positive_control)
    elif group or row.path is None:
        known = did_you_mean(row.sample, [source.sample for source in free]) if free else "Every sample has its row already."
        faults.append(f"line {row.line}: there is no sample {row.sample!r} in {row.path or 'the inputs'}. {known}")
