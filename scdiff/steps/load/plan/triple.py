"""Which files of a folder belong together: matrix, barcodes and features under the many names that they are given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scdiff.errors import InputError
from scdiff.steps.load.checks.parts import AMBIGUOUS, PART_WORDS, SPLICED, UNSPLICED, part_of
from scdiff.steps.load.source import Layout, Source, chosen_name

__all__ = ["MATRIX", "triples"]

MATRIX = re.compile(r"\.mtx(\.gz)?$", re.IGNORECASE)
_LIST = re.compile(r"\.(tsv|txt|csv|tab)(\.gz)?$", re.IGNORECASE)


def _ending(words: str) -> re.Pattern[str]:
    """Match the words that a name ends with."""
    return re.compile(rf"(^|[._\- ]+)({words})$", re.IGNORECASE)


_MATRIX_WORDS = _ending(
    r"matrix|matrices|counts?|umis?|expression|dge|gene|sparse|mtx|(cells|spots)_x_genes([._](total|cell|nucleus))?|quants_mat"
    r"|uniqueandmult-\w+",
)
_GENE_WORDS = _ending(
    r"(cells_x_genes[._])?(features?|(all_)?genes?([._\- ]?(names?|ids?|symbols?|list|info))?|quants_mat_cols|rownames)",
)
_CELL_WORDS = _ending(
    r"(cells_x_genes[._])?(barcodes?|cells?([._\- ]?(barcodes?|names?|ids?|metadata))?|colnames|quants_mat_rows)",
)
_PARTIAL = re.compile(
    r"(^|[._\- ])((un)?spliced|ambiguous|spanning|mature|nascent|uniqueandmult-\w+|(log)?normali[sz]ed|scaled|tpm|cpm|fpkm)([._\- ]|$)",
    re.IGNORECASE,
)
"""Matrices that hold a part of the counts, or no counts: never taken where another one stands beside them."""

_PART = re.compile(rf"(^|[._\- ]+)({'|'.join(PART_WORDS)})(?=[._\- ]|$)", re.IGNORECASE)
_SUMS = re.compile(r"_x_genes[._](total|cell|nucleus)$", re.IGNORECASE)
"""Sums that ``kb count --sum`` writes beside the parts; ``total`` is of all."""

_SEPARATORS = re.compile(r"[._\- ]+")
_FIRST = ("features", "genes.names", "genes", "barcodes")


@dataclass(frozen=True)
class _Role:
    """A kind of list: the words that its name ends with, and how it is usually called."""

    words: re.Pattern[str]
    usual: str


_BARCODES, _FEATURES = _Role(_CELL_WORDS, "barcodes.tsv"), _Role(_GENE_WORDS, "features.tsv or genes.tsv")


def triples(folder: Path, files: Sequence[Path], only: Path | None = None) -> list[Source]:
    """Find the samples that stand in a folder as matrix, barcodes and features.

    Names may carry any prefix. One list of genes without a matrix of its own is shared by all matrices; a list
    of cells only where there is one matrix.

    Parameters
    ----------
    folder, files
        The folder and its files.
    only
        The one matrix that is asked for.

    Raises
    ------
    InputError
        If a list is missing or empty, or several could be meant.
    """
    every = _once(file for file in files if MATRIX.search(file.name))
    lists = _once(file for file in files if _LIST.search(file.name))
    if only is not None:
        asked: dict[Path, list[Path]] = {file: [] for file in every if MATRIX.sub("", file.name) == MATRIX.sub("", only.name)}
    else:
        asked = _whole(folder, every)
    keys = {matrix: _key(_prefix(matrix)) for matrix in asked}
    if twice := [file for file in asked if list(keys.values()).count(keys[file]) > 1]:
        names = ", ".join(file.name for file in twice)
        raise InputError(f"{folder}: the folder holds several inputs of one name ({names}): name the one that holds the counts.")
    whole = {_key(_prefix(matrix)) for matrix in _unpartial(every) if not _SUMS.search(MATRIX.sub("", matrix.name))}
    found = []
    for matrix, parts in asked.items():
        source = _triple(folder, only or matrix, lists, whole | {keys[matrix]})
        beside = [file for part in parts for file in _triple(folder, part, lists, {_key(_prefix(part))}).files]
        found.append(replace(source, files=(*source.files, *beside)))
    return found


def _once(files: Iterable[Path]) -> list[Path]:
    """Sorted files; of a plain one and a gzipped one of the same name, the gzipped."""
    return sorted({file.name.removesuffix(".gz"): file for file in sorted(files)}.values())


def _unpartial(matrices: Sequence[Path]) -> list[Path]:
    return [file for file in matrices if not _PARTIAL.search(MATRIX.sub("", file.name))]


def _whole(folder: Path, matrices: Sequence[Path]) -> dict[Path, list[Path]]:
    """Find the matrices that hold the counts, each with those beside it that hold a part of them.

    Where only parts stand in a folder, the first is taken for the matrix and the others are to be added to it.
    """
    parts = {file: part for file in matrices if (part := part_of(MATRIX.sub("", file.name)))}
    named = {file: _key(_unparted(file)) for file in parts}
    whole: dict[Path, list[Path]] = {}
    for file in _unpartial(matrices):
        beside = [part for part in parts if named[part] == _key(_prefix(file))]
        if not _SUMS.search(MATRIX.sub("", file.name)):
            whole[file] = _once_each(parts, beside)
        elif not _are_all(parts, beside) and (_is_total(file) or not any(map(_is_total, matrices))):
            whole[file] = []
    taken = set(map(_key, map(_prefix, whole)))
    for key in dict.fromkeys(named.values()):
        beside = _once_each(parts, [part for part in parts if named[part] == key])
        if key not in taken and _are_all(parts, beside):
            whole[beside[0]] = beside[1:]
    if len(matrices) > 1 and not whole:
        names = ", ".join(file.name for file in matrices)
        raise InputError(f"{folder}: the matrices hold parts of the counts or no counts ({names}): name the one to load.")
    return whole or {file: [] for file in matrices}


def _is_total(matrix: Path) -> bool:
    return MATRIX.sub("", matrix.name).casefold().endswith("total")


def _once_each(parts: Mapping[Path, str], files: Sequence[Path]) -> list[Path]:
    """Keep one file for each part, spliced first; none where a part has two."""
    order = {part: [file for file in files if parts[file] == part] for part in (SPLICED, UNSPLICED, AMBIGUOUS)}
    return [file for found in order.values() for file in found] if all(len(found) < 2 for found in order.values()) else []


def _are_all(parts: Mapping[Path, str], files: Sequence[Path]) -> bool:
    """Tell whether files are the spliced and the unspliced counts, at least, each once."""
    return {SPLICED, UNSPLICED} <= {parts[file] for file in _once_each(parts, files)}


def _unparted(matrix: Path) -> str:
    """Take off the name of a matrix the words for one, and for a part."""
    stem = MATRIX.sub("", matrix.name)
    return _prefix(matrix.with_name(f"{re.sub(_PART, '', stem)}.mtx"))


def _prefix(matrix: Path) -> str:
    """Take off the name of a matrix the words for one."""
    stem, before = MATRIX.sub("", matrix.name), ""
    while stem != before:
        before, stem = stem, _MATRIX_WORDS.sub("", stem)
    return stem.rstrip("._- ")


def _key(prefix: str) -> str:
    """Prefix without regard to case and separators."""
    return _SEPARATORS.sub("_", prefix).strip("_").casefold()


def _triple(folder: Path, matrix: Path, lists: Sequence[Path], taken: set[str]) -> Source:
    """Source of one matrix, with the lists that belong to it."""
    key, alone = _key(_prefix(matrix)), len(taken) == 1
    barcodes = _belonging(folder, matrix, _BARCODES, lists, key, taken, shared=alone)
    features = _belonging(folder, matrix, _FEATURES, lists, key, taken, shared=True)
    if missing := [role.usual for role, file in ((_BARCODES, barcodes), (_FEATURES, features)) if file is None]:
        raise InputError(f"{folder}: {' and '.join(missing)} (plain or .gz) is missing beside {matrix.name}.")
    found = tuple(file for file in (matrix, barcodes, features) if file is not None)
    if empty := [file for file in found if file.stat().st_size == 0]:
        raise InputError(f"{empty[0]}: the file is empty.")
    named = chosen_name(_unparted(matrix))
    return Source(named, matrix if named else folder, Layout.TENX_MTX, found)


def _belonging(folder: Path, matrix: Path, role: _Role, lists: Sequence[Path], key: str, taken: set[str], *, shared: bool) -> Path | None:
    """Find the list of one role: of the matrix's own prefix, else the only one that is no other matrix's; None for none.

    A list of genes of another matrix serves where its prefix is the beginning of this one's: the genes of all matrices.

    Raises
    ------
    InputError
        If several could be meant.
    """
    keyed = {file: _key(role.words.sub("", stem)) for file in lists if role.words.search(stem := _LIST.sub("", file.name))}
    own = [file for file, its in keyed.items() if its == key]
    free = [file for file, its in keyed.items() if its not in taken] if shared else []
    common = [file for file, its in keyed.items() if shared and role is _FEATURES and f"{key}_".startswith(f"{its}_")]
    found = _usual(own or [file for file in free if f"{key}_".startswith(f"{keyed[file]}_")] or free or common)
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise InputError(f"{folder}: several lists may belong to {matrix.name} ({names}): leave only the one that does.")
    return found[0] if found else None


def _usual(files: Sequence[Path]) -> list[Path]:
    """Of several lists, those with the usual name."""
    for word in _FIRST if len(files) > 1 else ():
        if named := [file for file in files if _LIST.sub("", file.name).casefold().endswith(word)]:
            return named
    return list(files)
