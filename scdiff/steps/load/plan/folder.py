"""The samples that a file or a folder holds, or an error if that is ambiguous."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from scdiff.bounded import find_special_kind
from scdiff.errors import InputError
from scdiff.steps.load.plan.archive import ARCHIVE, unpack_archive
from scdiff.steps.load.plan.peek import is_description, may_hold_counts
from scdiff.steps.load.plan.triple import MATRIX, find_triples
from scdiff.steps.load.plan.unread import refuse_unread
from scdiff.steps.load.plan.wells import split_by_labels, split_by_wells
from scdiff.steps.load.readers.hdf5 import detect_hdf5_layout, read_own_samples
from scdiff.steps.load.readers.loom import read_loom_samples
from scdiff.steps.load.readers.robject import R_FILE, refuse_without_rdata
from scdiff.steps.load.readers.store import is_zarr, refuse_unsafe_store
from scdiff.steps.load.source import DENSE, HDF5, Layout, Source, name_sample, strip_suffix
from scdiff.steps.load.table import some
from scdiff.steps.load.tags import split_by_tags

__all__ = ["ALLOWED", "find_sources"]

ALLOWED = (
    "h5ad, zarr, 10x h5, loom, rds and rda of R, h5mu, a folder with matrix.mtx, barcodes.tsv and "
    "features.tsv, a csv, tsv or txt table (each also as .gz), or a tar or zip archive of these"
)
"""What scdiff reads, for messages."""

_DEEPEST = 6
"""Levels of nested folders that are searched. Chosen, not tuned."""

_MOST_ENTRIES = 20_000
"""Files and folders in one folder that are searched. Chosen, not tuned."""

_SKIPPED = ("__MACOSX", "analysis", "spatial")
"""Folders that hold no counts."""

_SOLO, _NOT_OF_GENES = re.compile(r"solo\.out$", re.IGNORECASE), {"SJ", "Transcript3p"}
"""Folder of STARsolo, and its subfolders that count no genes: junctions, and distances to the
ends of transcripts."""

_CHECKPOINT = "ckpt.tar.gz"
"""Archive of CellBender with its state; it holds no counts."""

_COPY = re.compile(r"(\.(seurat|sce))?\.(h5ad|rds)$", re.IGNORECASE)
"""Suffixes of one matrix in several formats, as nf-core/scrnaseq writes them
(https://nf-co.re/scrnaseq/docs/output)."""

_COMBINED = re.compile(r"^combined_.*\.(h5ad|rds)$", re.IGNORECASE)
"""All samples of a run in one file, next to the files of each sample."""

_STATE = re.compile(r"(^|[/._\- ])(raw|filtered)(?=_(feature|gene)_bc|_matrix|_barcodes|[/.]|$)")
"""Words for an unfiltered or a filtered matrix in a path."""


_FILTERED = re.compile(r"((?:^|[._\- ])(?:sample_)?)filtered")
"""The word for a filtered matrix in a path."""


def find_sources(path: Path) -> list[Source]:
    """Find the samples of one file or folder; a sample without a name gets that of its path.

    Raises
    ------
    InputError
        If nothing can be loaded, a file is empty, damaged or of an unknown layout, or several
        inputs could be meant.
    """
    sources = _find_in_folder(path) if path.is_dir() and not is_zarr(path) else _find_in_file(path)
    return [
        source if source.sample else replace(source, sample=_name_source(source))
        for source in sources
    ]


def _name_source(source: Source) -> str:
    """Name a source by its file, or by the folder of a triple."""
    return name_sample(source.files[0].parent if source.layout.is_folder else source.files[0])


def _find_in_file(path: Path) -> list[Source]:
    """Find the samples of one file, or of a zarr store.

    Raises
    ------
    InputError
        If it is missing, empty, or of an unknown layout.
    """
    if is_zarr(path):
        refuse_unsafe_store(path)
        return _split_store(path, Layout.ZARR)
    _refuse_special(path)
    refuse_unread(path)
    if ARCHIVE.search(path.name):
        return _find_in_archive(path)
    if MATRIX.search(path.name):
        return _split_triples(find_triples(path.parent, _list_files(path.parent), path))
    if path.suffix.lower() in HDF5:
        layout = detect_hdf5_layout(path)
        if layout in (Layout.H5AD, Layout.LOOM):
            return _split_store(path, layout)
        return split_by_wells([Source("", path, layout, (path,))])
    if R_FILE.search(path.name):
        refuse_without_rdata(path)
        return [Source("", path, Layout.R_OBJECT, (path,))]
    if DENSE.search(path.name):
        return _split_by_tags(Source("", path, Layout.DENSE, (path,)), path)
    raise InputError(
        f"{path}: scdiff does not read {path.suffix or 'files without suffix'}; allowed: {ALLOWED}."
    )


def _refuse_special(path: Path) -> None:
    """Raise an error if a path is not a file with data."""
    if kind := find_special_kind(path):
        raise InputError(
            f"{path}: this is {kind}, not a file or folder with data. "
            "Write the data to a file first."
        )
    if not path.is_file():
        raise InputError(f"{path}: there is no such file or folder.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty.")


def _find_in_archive(path: Path) -> list[Source]:
    """Find the samples of an archive, in the folder that it unpacks to.

    The name of the archive, not of that folder, names them.
    """
    with unpack_archive(path, heads=True) as folder:
        found = _find_in_file(folder) if is_zarr(folder) else _find_in_folder(folder)
        packed = [_locate_in_archive(source, path, folder) for source in found]
        return packed if len(packed) > 1 or packed[0].label else _split_by_tags(packed[0], path)


def _locate_in_archive(source: Source, archive: Path, folder: Path) -> Source:
    """Build the source within an archive that corresponds to an unpacked source."""
    members = tuple(file.relative_to(folder).as_posix() for file in source.files)
    place = archive.with_name(strip_suffix(archive.name)).joinpath(*members[:1])
    named = source.sample or name_sample(place.parent if source.layout.is_folder else place)
    raw = None if source.raw is None else _locate_in_archive(source.raw, archive, folder)
    return replace(source, sample=named, path=archive, files=(archive,), members=members, raw=raw)


def _split_store(path: Path, layout: Layout) -> list[Source]:
    """Return one source for each sample that a store names; one source if it names none of them."""
    column, labels = read_loom_samples(path) if layout is Layout.LOOM else read_own_samples(path)
    return [Source(label, path, layout, (path,), label, column=column) for label in labels] or [
        Source("", path, layout, (path,))
    ]


def _split_triples(sources: Sequence[Source]) -> list[Source]:
    """Split triples into samples by their lists of cells, sample tags or a list of wells."""
    found: list[Source] = []
    for source in sources:
        split = (
            split_by_labels(source)
            or split_by_tags(source, source.path)
            or split_by_wells([source])
        )
        found += split
    return found


def _split_by_tags(source: Source, place: Path) -> list[Source]:
    """Split a matrix into samples if there are sample tag calls next to it."""
    return split_by_tags(source, place) or [source]


def _find_in_folder(path: Path) -> list[Source]:
    """Find the samples of a folder and its subfolders: of one kind, with different names."""
    refuse_unread(path)
    found, passed = _skip_repeats(path, _attach_velocity(list(_walk_folders(path, path)), path))
    kept = _attach_raw(path, found)
    archives = [
        file
        for file in _list_files(path)
        if ARCHIVE.search(file.name) and not may_hold_counts(file) and file.name != _CHECKPOINT
    ]
    if len(archives) == 1 and not kept:
        return _find_in_archive(archives[0])
    if archives:
        listed = ", ".join(file.name for file in archives[:3])
        raise InputError(
            f"{path}: the folder holds archives next to other inputs ({listed}). "
            "Give the path of the one to load, or of each of them."
        )
    if not kept:
        raise InputError(
            f"{path}: the folder holds no matrix.mtx or matrix.mtx.gz; allowed: {ALLOWED}."
        )
    kept = [replace(source, said=(*source.said, *passed)) for source in kept]
    if len({source.files for source in kept}) == 1:
        return [replace(source, path=path) for source in kept]
    _refuse_unclear(path, kept)
    return kept


def _attach_raw(root: Path, found: Sequence[Source]) -> list[Source]:
    """Attach unfiltered matrices to their filtered ones; of a folder and an h5, keep the h5."""
    places = {source.path for source in found}
    twins = {place: _find_twin(place, root, places) for place in places}
    raw = {place for place in twins.values() if place in places}
    kept: list[Source] = []
    for source in found:
        if source.path in raw or source.path.with_name(f"{source.path.name}.h5") in places:
            continue
        has_raw = twins[source.path] in raw and not source.label
        unfiltered = _pick_source(found, twins[source.path]) if has_raw else source.raw
        kept.append(replace(source, raw=unfiltered))
    return kept


def _attach_velocity(found: Sequence[Source], root: Path) -> list[Source]:
    """Attach the parts in ``Velocyto`` of STARsolo to the counts in ``Gene`` of the same cells."""
    places = {source.files[0].parent: source for source in found}
    beside: dict[Path, Source] = {}
    for place in places:
        parts = place.relative_to(root).parts
        whole = root.joinpath(*("Gene" if part == "Velocyto" else part for part in parts))
        # before 2.7.9, STAR wrote only the matrix of all droplets, which includes the cells
        filtered = whole.with_name("filtered")
        has_twin = place.with_name("filtered") in places
        is_only_raw = place.name == "raw" and not has_twin and filtered in places
        if "Velocyto" in parts and (is_only_raw or whole in places):
            beside[place] = places[filtered if is_only_raw else whole]
    kept = [source for source in found if source.files[0].parent not in beside]
    extra = {id(whole): places[place].files for place, whole in beside.items()}
    return [replace(source, files=(*source.files, *extra.get(id(source), ()))) for source in kept]


def _skip_repeats(path: Path, found: Sequence[Source]) -> tuple[list[Source], tuple[str, ...]]:
    """Skip files that only repeat or describe the counts next to them, and note which."""
    beside = any(source.layout is not Layout.DENSE for source in found)
    kept = [
        source
        for source in found
        if source.layout is not Layout.DENSE or not is_description(source.files[0], beside=beside)
    ] or list(found)
    copies = {_COPY.sub("", source.path.name) for source in kept if source.layout is Layout.H5AD}
    kept = [
        source
        for source in kept
        if source.layout is not Layout.R_OBJECT or _COPY.sub("", source.path.name) not in copies
    ]
    names = {source.path.name for source in kept}
    twice = {
        name
        for name in names
        if name.endswith("_filtered.h5") and name.replace("_filtered.h5", ".h5") in names
    }  # of CellBender
    kept = [
        source for source in kept if source.path.name.replace(".h5", "_filtered.h5") not in twice
    ]
    parts = [source for source in kept if not _COMBINED.match(source.path.name)]
    kept = parts or kept
    every, used = (
        {source.path.relative_to(path).as_posix() for source in sources}
        for sources in (found, kept)
    )
    skipped = some(sorted(every - used), 6)
    return kept, (f"Files next to the counts were skipped: {skipped}.",) if skipped else ()


def _pick_source(found: Sequence[Source], place: Path | None) -> Source:
    """Return the one source of a place."""
    here = [source for source in found if source.path == place]
    return here[0] if here[0].sample else replace(here[0], sample=_name_source(here[0]))


def _find_twin(place: Path, root: Path, places: Collection[Path]) -> Path | None:
    """Find the unfiltered matrix of a filtered one.

    It is at the path with ``raw`` or ``unfiltered`` for ``filtered``. For matrices with a prefix,
    it may also be at the path without that word, as DRAGEN writes it.
    """
    parts = place.relative_to(root).parts
    words = ["raw", "unfiltered", *([""] if MATRIX.search(place.name) else [])]
    twins = []
    for word in words:
        replacement = f"\\g<1>{word}" if word else ""
        twins.append(root.joinpath(*(_FILTERED.sub(replacement, part) or part for part in parts)))
    return next((twin for twin in twins if twin != place and twin in places), None)


def _refuse_unclear(path: Path, sources: Sequence[Source]) -> None:
    """Raise an error if several inputs may be the same cells twice.

    That is possible for inputs of several kinds, or with the same name.
    """
    names = [source.sample or _name_source(source) for source in sources]
    kinds = {source.layout.reader for source in sources}
    places = list(dict.fromkeys(source.path.relative_to(path).as_posix() for source in sources))
    states = {found[2] for place in places if (found := _STATE.search(place))}
    if len(kinds) == 1 and len(set(names)) == len(names) and len(states) < 2:
        return
    raise InputError(
        f"{path}: the folder holds several inputs ({some(places, 6)}). "
        "Give the path of the one to load, or of each of them."
    )


def _walk_folders(folder: Path, root: Path) -> Iterator[Source]:
    """Yield the sources of the subfolders of a folder, then of the folder itself."""
    if len(folder.relative_to(root).parts) > _DEEPEST:
        raise InputError(
            f"{root}: its folders are nested more than {_DEEPEST} deep. "
            "Give the path of the one to load, or of each of them."
        )
    children = _list_entries(folder)
    skipped = set(_SKIPPED)
    if any(child.name == "per_sample_outs" for child in children):
        skipped.add("multi")  # cellranger multi: all samples in one matrix
    if _SOLO.search(folder.name):
        skipped |= _NOT_OF_GENES
    for child in children:
        if child.is_dir() and not is_zarr(child) and child.name not in skipped:
            yield from _walk_folders(child, root)
    yield from _find_here(folder)


def _find_here(folder: Path) -> Iterator[Source]:
    """Yield the sources of one folder: its triples, otherwise every matrix."""
    files = _list_files(folder)
    stores = [child for child in _list_entries(folder) if child.is_dir() and is_zarr(child)]
    if any(MATRIX.search(file.name) for file in files):
        yield from _split_triples(find_triples(folder, files))
        return
    for place in (*stores, *files):
        if place in stores or may_hold_counts(place):
            yield from _find_in_file(place)


def _list_files(folder: Path) -> list[Path]:
    """List the files of a folder, sorted, without hidden ones."""
    return [child for child in _list_entries(folder) if child.is_file()]


def _list_entries(folder: Path) -> list[Path]:
    """List the entries of a folder, sorted, without hidden ones."""
    children = sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    if len(children) > _MOST_ENTRIES:
        raise InputError(
            f"{folder}: the folder holds {len(children):,} files and folders. "
            "Give the path of the one to load, or of each of them."
        )
    return children
