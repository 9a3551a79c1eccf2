"""Which files of a folder belong together: matrix, barcodes and features under their many names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scdiff.errors import InputError
from scdiff.steps.load.checks.parts import AMBIGUOUS, PART_WORDS, SPLICED, UNSPLICED, detect_part
from scdiff.steps.load.source import Layout, Source, strip_program_name

__all__ = ["MATRIX", "find_triples"]

MATRIX = re.compile(r"\.mtx(\.gz)?$", re.IGNORECASE)
"""Suffixes of matrices in the Matrix Market format."""

_LIST = re.compile(r"\.(tsv|txt|csv|tab)(\.gz)?$", re.IGNORECASE)
"""Suffixes of lists of genes and cells."""


def _match_end(words: str) -> re.Pattern[str]:
    """Compile a pattern for words at the end of a name."""
    return re.compile(rf"(^|[._\- ]+)({words})$", re.IGNORECASE)


_MATRIX_WORDS = _match_end(
    r"matrix|matrices|counts?|umis?|expression|dge|gene|sparse|mtx"
    r"|(cells|spots)_x_genes([._](total|cell|nucleus))?|quants_mat"
    r"|uniqueandmult-\w+",
)
_GENE_WORDS = _match_end(
    r"(cells_x_genes[._])?(features?|(all_)?genes?([._\- ]?(names?|ids?|symbols?|list|info))?"
    r"|quants_mat_cols|rownames)",
)
_CELL_WORDS = _match_end(
    r"(cells_x_genes[._])?(barcodes?|cells?([._\- ]?(barcodes?|names?|ids?|metadata))?|colnames"
    r"|quants_mat_rows)",
)
_PARTIAL = re.compile(
    r"(^|[._\- ])((un)?spliced|ambiguous|spanning|mature|nascent|uniqueandmult-\w+"
    r"|(log)?normali[sz]ed|scaled|tpm|cpm|fpkm)([._\- ]|$)",
    re.IGNORECASE,
)
"""Matrices that hold a part of the counts, or no counts; not used if another matrix is next to
them."""

_PART = re.compile(rf"(^|[._\- ]+)({'|'.join(PART_WORDS)})(?=[._\- ]|$)", re.IGNORECASE)
_SUMS = re.compile(r"_x_genes[._](total|cell|nucleus)$", re.IGNORECASE)
"""Sums that ``kb count --sum`` writes next to the parts; ``total`` is the sum of all."""

_SEPARATORS = re.compile(r"[._\- ]+")
_FIRST = ("features", "genes.names", "genes", "barcodes")
"""Ends of the usual names of lists, the preferred one first."""


@dataclass(frozen=True)
class _Role:
    """A kind of list: the words at the end of its name, and its usual name."""

    words: re.Pattern[str]
    usual: str


_BARCODES, _FEATURES = (
    _Role(_CELL_WORDS, "barcodes.tsv"),
    _Role(_GENE_WORDS, "features.tsv or genes.tsv"),
)


def find_triples(folder: Path, files: Sequence[Path], only: Path | None = None) -> list[Source]:
    """Find the samples that a folder holds as matrix, barcodes and features.

    Names may have any prefix. All matrices share one list of genes that has no matrix of its own.
    They share a list of cells only if there is one matrix.

    Parameters
    ----------
    folder, files
        The folder and its files.
    only
        The one matrix to load.

    Raises
    ------
    InputError
        If a list is missing or empty, or several lists fit.
    """
    every = _drop_plain_twins(file for file in files if MATRIX.search(file.name))
    lists = _drop_plain_twins(file for file in files if _LIST.search(file.name))
    if only is not None:
        asked: dict[Path, list[Path]] = {
            file: [] for file in every if MATRIX.sub("", file.name) == MATRIX.sub("", only.name)
        }
    else:
        asked = _find_whole(folder, every)
    keys = {matrix: _fold_prefix(_strip_matrix(matrix)) for matrix in asked}
    if twice := [file for file in asked if list(keys.values()).count(keys[file]) > 1]:
        names = ", ".join(file.name for file in twice)
        raise InputError(
            f"{folder}: the folder holds several inputs of one name ({names}). "
            "Give the path of the one with the counts."
        )
    whole = {
        _fold_prefix(_strip_matrix(matrix))
        for matrix in _drop_partial(every)
        if not _SUMS.search(MATRIX.sub("", matrix.name))
    }
    found = []
    for matrix, parts in asked.items():
        source = _build_source(folder, only or matrix, lists, whole | {keys[matrix]})
        files_of_parts: list[Path] = []
        for part in parts:
            files_of_parts += _build_source(
                folder, part, lists, {_fold_prefix(_strip_matrix(part))}
            ).files
        found.append(replace(source, files=(*source.files, *files_of_parts)))
    return found


def _drop_plain_twins(files: Iterable[Path]) -> list[Path]:
    """Return the sorted files; of a plain and a gzipped file of one name, only the latter."""
    return sorted({file.name.removesuffix(".gz"): file for file in sorted(files)}.values())


def _drop_partial(matrices: Sequence[Path]) -> list[Path]:
    """Drop the matrices that hold a part of the counts, or no counts."""
    return [file for file in matrices if not _PARTIAL.search(MATRIX.sub("", file.name))]


def _find_whole(folder: Path, matrices: Sequence[Path]) -> dict[Path, list[Path]]:
    """Find the matrices that hold the counts, each with the matrices of parts next to it.

    If a folder holds only parts, the first is the matrix and the others are added to it.
    """
    parts = {file: part for file in matrices if (part := detect_part(MATRIX.sub("", file.name)))}
    named = {file: _fold_prefix(_strip_part(file)) for file in parts}
    whole: dict[Path, list[Path]] = {}
    for file in _drop_partial(matrices):
        beside = [part for part in parts if named[part] == _fold_prefix(_strip_matrix(file))]
        if not _SUMS.search(MATRIX.sub("", file.name)):
            whole[file] = _pick_one_each(parts, beside)
        elif not _are_all(parts, beside) and (_is_total(file) or not any(map(_is_total, matrices))):
            whole[file] = []
    taken = set(map(_fold_prefix, map(_strip_matrix, whole)))
    for key in dict.fromkeys(named.values()):
        beside = _pick_one_each(parts, [part for part in parts if named[part] == key])
        if key not in taken and _are_all(parts, beside):
            whole[beside[0]] = beside[1:]
    if len(matrices) > 1 and not whole:
        names = ", ".join(file.name for file in matrices)
        raise InputError(
            f"{folder}: the matrices hold parts of the counts or no counts ({names}). "
            "Give the path of the one to load."
        )
    return whole or {file: [] for file in matrices}


def _is_total(matrix: Path) -> bool:
    """Check whether a matrix is the sum of all parts."""
    return MATRIX.sub("", matrix.name).casefold().endswith("total")


def _pick_one_each(parts: Mapping[Path, str], files: Sequence[Path]) -> list[Path]:
    """Keep one file for each part, spliced first; return no file if a part has two."""
    order = {part: list[Path]() for part in (SPLICED, UNSPLICED, AMBIGUOUS)}
    for file in files:
        order[parts[file]].append(file)
    if any(len(found) > 1 for found in order.values()):
        return []
    return [file for found in order.values() for file in found]


def _are_all(parts: Mapping[Path, str], files: Sequence[Path]) -> bool:
    """Check whether files hold at least the spliced and the unspliced counts, each once."""
    return {SPLICED, UNSPLICED} <= {parts[file] for file in _pick_one_each(parts, files)}


def _strip_part(matrix: Path) -> str:
    """Remove the words for a matrix and for a part from the name of a matrix."""
    stem = MATRIX.sub("", matrix.name)
    return _strip_matrix(matrix.with_name(f"{re.sub(_PART, '', stem)}.mtx"))


def _strip_matrix(matrix: Path) -> str:
    """Remove the words for a matrix from the name of a matrix."""
    stem, before = MATRIX.sub("", matrix.name), ""
    while stem != before:
        before, stem = stem, _MATRIX_WORDS.sub("", stem)
    return stem.rstrip("._- ")


def _fold_prefix(prefix: str) -> str:
    """Write a prefix without case and separators."""
    return _SEPARATORS.sub("_", prefix).strip("_").casefold()


def _build_source(folder: Path, matrix: Path, lists: Sequence[Path], taken: set[str]) -> Source:
    """Build the source of one matrix, with the lists that belong to it.

    Raises
    ------
    InputError
        If a list is missing, or a file is empty.
    """
    key, alone = _fold_prefix(_strip_matrix(matrix)), len(taken) == 1
    barcodes = _find_list(folder, matrix, _BARCODES, lists, key, taken, shared=alone)
    features = _find_list(folder, matrix, _FEATURES, lists, key, taken, shared=True)
    if missing := [
        role.usual for role, file in ((_BARCODES, barcodes), (_FEATURES, features)) if file is None
    ]:
        raise InputError(
            f"{folder}: {' and '.join(missing)} (plain or .gz) is missing next to {matrix.name}."
        )
    found = tuple(file for file in (matrix, barcodes, features) if file is not None)
    if empty := [file for file in found if file.stat().st_size == 0]:
        raise InputError(f"{empty[0]}: the file is empty.")
    named = strip_program_name(_strip_part(matrix))
    return Source(named, matrix if named else folder, Layout.TENX_MTX, found)


def _find_list(
    folder: Path,
    matrix: Path,
    role: _Role,
    lists: Sequence[Path],
    key: str,
    taken: set[str],
    *,
    shared: bool,
) -> Path | None:
    """Find the list of one role that belongs to a matrix; None if there is no such list.

    This is the list with the prefix of the matrix, otherwise the only list that belongs to no other
    matrix. A list of genes of another matrix also fits if its prefix is the beginning of this
    prefix: it has the genes of all matrices.

    Raises
    ------
    InputError
        If several lists fit.
    """
    keyed = {
        file: _fold_prefix(role.words.sub("", stem))
        for file in lists
        if role.words.search(stem := _LIST.sub("", file.name))
    }
    own = [file for file, its_key in keyed.items() if its_key == key]
    free = [file for file, its_key in keyed.items() if its_key not in taken] if shared else []
    begins = [file for file, its_key in keyed.items() if f"{key}_".startswith(f"{its_key}_")]
    common = begins if shared and role is _FEATURES else []
    found = _prefer_usual(own or [file for file in free if file in begins] or free or common)
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise InputError(
            f"{folder}: several lists fit {matrix.name} ({names}). Leave only the right one there."
        )
    return found[0] if found else None


def _prefer_usual(files: Sequence[Path]) -> list[Path]:
    """Select the lists with the usual name if there are several."""
    for word in _FIRST if len(files) > 1 else ():
        if named := [file for file in files if _LIST.sub("", file.name).casefold().endswith(word)]:
            return named
    return list(files)
