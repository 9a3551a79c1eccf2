"""What a file or a folder holds: one sample or several, or a refusal where that cannot be told."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from scdiff.bounded import find_special_kind
from scdiff.errors import InputError
from scdiff.steps.load.checks.called import compute_known_share
from scdiff.steps.load.plan.archive import ARCHIVE, unpack_archive
from scdiff.steps.load.plan.triple import MATRIX, triples
from scdiff.steps.load.plan.unread import refuse_unread
from scdiff.steps.load.plan.wells import split_by_labels, wells_told
from scdiff.steps.load.readers.dense import describes, heading_and_values
from scdiff.steps.load.readers.hdf5 import hdf5_layout, own_samples
from scdiff.steps.load.readers.loom import loom_samples
from scdiff.steps.load.readers.robject import R_FILE, refuse_without_rdata
from scdiff.steps.load.readers.store import is_zarr, refuse_unsafe_store
from scdiff.steps.load.source import DENSE, HDF5, Layout, Source, bare, sample_name
from scdiff.steps.load.stream import open_text
from scdiff.steps.load.table import some
from scdiff.steps.load.tags import tags_told

__all__ = ["ALLOWED", "sources_of"]

ALLOWED = (
    "h5ad, zarr, 10x h5, loom, rds and rda of R, h5mu, a folder with matrix.mtx, barcodes.tsv and features.tsv, "
    "a csv, tsv or txt table (each also as .gz), or a tar or zip archive of these"
)
_DEEPEST = 6
_MOST_ENTRIES = 20_000
_PASSED_OVER = ("__MACOSX", "analysis", "spatial")
_NO_MATRIX = ("molecule_info.h5", "_posterior.h5", "raw_probe_bc_matrix.h5")
_SOLO, _NOT_OF_GENES = re.compile(r"solo\.out$", re.IGNORECASE), {"SJ", "Transcript3p"}
"""Folder of STARsolo, and what stands there that counts no genes: junctions, and distances to the ends of transcripts."""

_CHECKPOINT = "ckpt.tar.gz"
_NAMES_LOOKED_AT, _FEWEST_GENES = 200, 3
"""Rows of a table whose names are looked at, and genes among them, or among the names of its columns, below which it counts no genes."""

_COPY = re.compile(r"(\.(seurat|sce))?\.(h5ad|rds)$", re.IGNORECASE)
"""Endings of the same matrix in several formats, as nf-core/scrnaseq writes them (https://nf-co.re/scrnaseq/docs/output)."""

_COMBINED = re.compile(r"^combined_.*\.(h5ad|rds)$", re.IGNORECASE)
"""All samples of a run in one file, beside the files of each."""

_STATE = re.compile(r"(^|[/._\- ])(raw|filtered)(?=_(feature|gene)_bc|_matrix|_barcodes|[/.]|$)")


_FILTERED = re.compile(r"((?:^|[._\- ])(?:sample_)?)filtered")


def sources_of(path: Path) -> list[Source]:
    """Find the samples of one file or folder; those without a name of their own are named by their place.

    Raises
    ------
    InputError
        If there is none, a file is empty, damaged or of no known layout, or it cannot be told which is meant.
    """
    sources = _folder(path) if path.is_dir() and not is_zarr(path) else _file(path)
    return [source if source.sample else replace(source, sample=_named(source)) for source in sources]


def _named(source: Source) -> str:
    """Name by the file, or the folder of a triple."""
    return sample_name(source.files[0].parent if source.layout.is_folder else source.files[0])


def _file(path: Path) -> list[Source]:
    """Find the samples of one file, or of a zarr store."""
    if is_zarr(path):
        refuse_unsafe_store(path)
        return _labelled(path, Layout.ZARR)
    if kind := find_special_kind(path):
        raise InputError(f"{path}: this is {kind}, not a file or folder with data: write the data to a file first.")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file or folder.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty.")
    refuse_unread(path)
    if ARCHIVE.search(path.name):
        return _archived(path)
    if MATRIX.search(path.name):
        return _with_samples(triples(path.parent, _files(path.parent), path))
    if path.suffix.lower() in HDF5:
        layout = hdf5_layout(path)
        return _labelled(path, layout) if layout in (Layout.H5AD, Layout.LOOM) else wells_told([Source("", path, layout, (path,))])
    if R_FILE.search(path.name):
        refuse_without_rdata(path)
        return [Source("", path, Layout.R_OBJECT, (path,))]
    if DENSE.search(path.name):
        return _tagged(Source("", path, Layout.DENSE, (path,)), path)
    raise InputError(f"{path}: scdiff does not read {path.suffix or 'files without suffix'}; allowed: {ALLOWED}.")


def _archived(path: Path) -> list[Source]:
    """Find the samples of an archive as of the folder that it unpacks to; they are named by it, not by that folder."""
    with unpack_archive(path, heads=True) as folder:
        found = _file(folder) if is_zarr(folder) else _folder(folder)
        packed = [_packed(source, path, folder) for source in found]
        return packed if len(packed) > 1 or packed[0].label else _tagged(packed[0], path)


def _packed(source: Source, archive: Path, folder: Path) -> Source:
    """Source within an archive of a source that was unpacked."""
    members = tuple(file.relative_to(folder).as_posix() for file in source.files)
    place = archive.with_name(bare(archive.name)).joinpath(*members[:1])
    named = source.sample or sample_name(place.parent if source.layout.is_folder else place)
    raw = None if source.raw is None else _packed(source.raw, archive, folder)
    return replace(source, sample=named, path=archive, files=(archive,), members=members, raw=raw)


def _labelled(path: Path, layout: Layout) -> list[Source]:
    """One source for each sample that a store names itself, else one."""
    column, labels = loom_samples(path) if layout is Layout.LOOM else own_samples(path)
    return [Source(label, path, layout, (path,), label, column=column) for label in labels] or [Source("", path, layout, (path,))]


def _with_samples(sources: Sequence[Source]) -> list[Source]:
    """Tell the samples of triples apart where their lists of cells, or a list of wells, do."""
    return [told for source in sources for told in (split_by_labels(source) or tags_told(source, source.path) or wells_told([source]))]


def _tagged(source: Source, place: Path) -> list[Source]:
    """Tell the samples of a matrix apart where calls of sample tags beside it do."""
    return tags_told(source, place) or [source]


def _folder(path: Path) -> list[Source]:
    """Find the samples of a folder and the folders below: all of one kind, each named differently."""
    refuse_unread(path)
    found, passed = _strongest(path, _with_velocity(list(_below(path, path)), path))
    places = {source.path for source in found}
    twins = {place: _twin(place, path, places) for place in places}
    raw = {place for place in twins.values() if place in places}
    kept = [source for source in found if source.path not in raw and source.path.with_name(f"{source.path.name}.h5") not in places]
    kept = [
        replace(source, raw=_only(found, twins[source.path])) if twins[source.path] in raw and not source.label else source
        for source in kept
    ]
    if archives := [file for file in _files(path) if ARCHIVE.search(file.name) and not _may_hold_counts(file) and file.name != _CHECKPOINT]:
        if len(archives) == 1 and not kept:
            return _archived(archives[0])
        listed = ", ".join(file.name for file in archives[:3])
        raise InputError(f"{path}: the folder holds archives beside other inputs ({listed}): name the one to load, or each of them.")
    if not kept:
        raise InputError(f"{path}: the folder holds no matrix.mtx or matrix.mtx.gz; allowed: {ALLOWED}.")
    kept = [replace(source, said=(*source.said, *passed)) for source in kept]
    if len({source.files for source in kept}) == 1:
        return [replace(source, path=path) for source in kept]
    _refuse_unclear(path, kept)
    return kept


def _with_velocity(found: Sequence[Source], root: Path) -> list[Source]:
    """Put the parts that STARsolo counts into ``Velocyto`` to the counts of the same cells in ``Gene``, where both stand."""
    places = {source.files[0].parent: source for source in found}
    beside: dict[Path, Source] = {}
    for place in places:
        parts = place.relative_to(root).parts
        whole = root.joinpath(*("Gene" if part == "Velocyto" else part for part in parts))
        filtered = whole.with_name("filtered")  # before 2.7.9 all droplets alone were written, the cells among them
        alone = place.name == "raw" and place.with_name("filtered") not in places and filtered in places
        if "Velocyto" in parts and (alone or whole in places):
            beside[place] = places[filtered if alone else whole]
    kept = [source for source in found if source.files[0].parent not in beside]
    extra = {id(whole): places[place].files for place, whole in beside.items()}
    return [replace(source, files=(*source.files, *extra.get(id(source), ()))) for source in kept]


def _strongest(path: Path, found: Sequence[Source]) -> tuple[list[Source], tuple[str, ...]]:
    """Pass over what only repeats or describes the counts that stand beside it; say so."""
    beside = any(source.layout is not Layout.DENSE for source in found)
    kept = [source for source in found if source.layout is not Layout.DENSE or not _describes(source.files[0], beside=beside)] or list(
        found
    )
    copies = {_COPY.sub("", source.path.name) for source in kept if source.layout is Layout.H5AD}
    kept = [source for source in kept if source.layout is not Layout.R_OBJECT or _COPY.sub("", source.path.name) not in copies]
    names = {source.path.name for source in kept}
    twice = {name for name in names if name.endswith("_filtered.h5") and name.replace("_filtered.h5", ".h5") in names}  # CellBender
    kept = [source for source in kept if source.path.name.replace(".h5", "_filtered.h5") not in twice]
    parts = [source for source in kept if not _COMBINED.match(source.path.name)]
    kept = parts or kept
    places = [[source.path.relative_to(path).as_posix() for source in sources] for sources in (found, kept)]
    passed = sorted(set(places[0]) - set(places[1]))
    return kept, (f"Beside the counts were passed over: {some(passed, 6)}.",) if passed else ()


def _describes(file: Path, *, beside: bool) -> bool:
    """Tell by its heading whether a table describes cells or genes; ``beside`` a matrix of another kind also by naming no gene."""
    try:
        with open_text(file) as handle:
            lines, values = heading_and_values(handle)
            values += list(islice(handle, _NAMES_LOOKED_AT))
        separator = max("\t,; ", key=values[0].count)
        heading, *rows = csv.reader([lines[-1], *values], delimiter=separator)
    except (OSError, EOFError, ValueError, zlib.error, csv.Error):
        return False
    names = [row[0].strip() for row in rows if row]
    n_genes = max(compute_known_share(listed) * len(listed) for listed in (heading[:_NAMES_LOOKED_AT], names))
    return describes(heading) or (beside and n_genes < _FEWEST_GENES)


def _only(found: Sequence[Source], place: Path | None) -> Source:
    """Return the one source of a place."""
    here = [source for source in found if source.path == place]
    return here[0] if here[0].sample else replace(here[0], sample=_named(here[0]))


def _twin(place: Path, root: Path, places: Collection[Path]) -> Path | None:
    """Find the unfiltered matrix of a filtered one: at the same path with ``raw`` or ``unfiltered`` for ``filtered``.

    Of matrices with a prefix, also at the same path without that word, as DRAGEN names them.
    """
    parts = place.relative_to(root).parts
    words = ["raw", "unfiltered", *([""] if MATRIX.search(place.name) else [])]
    turned = [root.joinpath(*(_FILTERED.sub(f"\\g<1>{word}" if word else "", part) or part for part in parts)) for word in words]
    return next((twin for twin in turned if twin != place and twin in places), None)


def _refuse_unclear(path: Path, sources: Sequence[Source]) -> None:
    """Refuse several inputs that may be the same cells twice: of several kinds, or of the same name."""
    names = [source.sample or _named(source) for source in sources]
    kinds = {source.layout.reader for source in sources}
    states = {found[2] for source in sources if (found := _STATE.search(source.path.relative_to(path).as_posix()))}
    if len(kinds) == 1 and len(set(names)) == len(names) and len(states) < 2:
        return
    places = list(dict.fromkeys(source.path.relative_to(path).as_posix() for source in sources))
    listed = ", ".join(places[:6]) + (", ..." if len(places) > 6 else "")
    raise InputError(f"{path}: the folder holds several inputs ({listed}): name the one to load, or each of them.")


def _below(folder: Path, root: Path) -> Iterator[Source]:
    """Yield the sources of the folders below a folder, then of the folder itself."""
    if len(folder.relative_to(root).parts) > _DEEPEST:
        raise InputError(f"{root}: its folders are nested more than {_DEEPEST} deep: name the one to load, or each of them.")
    children = _visible(folder)
    pooled = {"multi"} if any(child.name == "per_sample_outs" for child in children) else set()  # cellranger multi: all samples in one
    for child in children:
        passed = {*_PASSED_OVER, *pooled, *(_NOT_OF_GENES if _SOLO.search(folder.name) else ())}
        if child.is_dir() and not is_zarr(child) and child.name not in passed:
            yield from _below(child, root)
    yield from _here(folder)


def _here(folder: Path) -> Iterator[Source]:
    """Yield the sources of the files of one folder: its triples, where there are any; else every matrix."""
    files, stores = _files(folder), [child for child in _visible(folder) if child.is_dir() and is_zarr(child)]
    if any(MATRIX.search(file.name) for file in files):
        yield from _with_samples(triples(folder, files))
        return
    for place in (*stores, *files):
        if place in stores or _may_hold_counts(place):
            yield from _file(place)


def _files(folder: Path) -> list[Path]:
    return [child for child in _visible(folder) if child.is_file()]


def _visible(folder: Path) -> list[Path]:
    """List what stands in a folder, sorted, hidden files left out."""
    children = sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    if len(children) > _MOST_ENTRIES:
        raise InputError(f"{folder}: the folder holds {len(children):,} files and folders: name the one to load, or each of them.")
    return children


def _may_hold_counts(file: Path) -> bool:
    """Tell by its suffix, for texts by their second line, whether a file of a folder may be an input."""
    if Path(file.name.removesuffix(".gz")).suffix.lower() in HDF5:
        return not file.name.endswith(_NO_MATRIX)
    return bool(R_FILE.search(file.name)) or (bool(DENSE.search(file.name)) and _is_numeric(file))


def _is_numeric(file: Path) -> bool:
    """Tell whether most fields of a text's second line are numbers; a text that cannot be read is not passed over."""
    try:
        with open_text(file) as handle:
            kept = (line for line in handle if not line.startswith("#"))
            next(kept, "")
            second = next(kept, "")
    except (OSError, EOFError, ValueError, zlib.error):
        return True
    separator = max("\t,; ", key=second.count)
    fields = [field for line in csv.reader([second], delimiter=separator) for field in line[1:]]
    return len(fields) > 0 and sum(_is_number(field) for field in fields) > len(fields) / 2


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
