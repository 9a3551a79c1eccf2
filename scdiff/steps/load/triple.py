"""Which files of a folder belong together: matrix, barcodes and features under the many names that they are given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scdiff.errors import InputError
from scdiff.steps.load.source import Source, chosen_name

__all__ = ["MATRIX", "triples"]

MATRIX = re.compile(r"\.mtx(\.gz)?$", re.IGNORECASE)
_LIST = re.compile(r"\.(tsv|txt|csv|tab)(\.gz)?$", re.IGNORECASE)


def _ending(words: str) -> re.Pattern[str]:
    """Match the words that a name ends with."""
    return re.compile(rf"(^|[._\- ]+)({words})$", re.IGNORECASE)


_MATRIX_WORDS = _ending(
    r"matrix|matrices|counts?|umis?|expression|dge|gene|sparse|mtx|(cells|spots)_x_genes|quants_mat|uniqueandmult-\w+",
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
    asked = [file for file in every if MATRIX.sub("", file.name) == MATRIX.sub("", only.name)] if only else _whole(folder, every)
    keys = {matrix: _key(_prefix(matrix)) for matrix in asked}
    if twice := [file for file in asked if list(keys.values()).count(keys[file]) > 1]:
        names = ", ".join(file.name for file in twice)
        raise InputError(f"{folder}: the folder holds several inputs of one name ({names}): name the one that holds the counts.")
    lists = _once(file for file in files if _LIST.search(file.name))
    whole = {_key(_prefix(matrix)) for matrix in _unpartial(every)}
    return [_triple(folder, only or matrix, lists, whole | {keys[matrix]}) for matrix in asked]


def _once(files: Iterable[Path]) -> list[Path]:
    """Sorted files; of a plain one and a gzipped one of the same name, the gzipped."""
    return sorted({file.name.removesuffix(".gz"): file for file in sorted(files)}.values())


def _unpartial(matrices: Sequence[Path]) -> list[Path]:
    return [file for file in matrices if not _PARTIAL.search(MATRIX.sub("", file.name))]


def _whole(folder: Path, matrices: Sequence[Path]) -> list[Path]:
    """Leave out matrices that hold a part of the counts, or none."""
    whole = _unpartial(matrices)
    if len(matrices) > 1 and not whole:
        names = ", ".join(file.name for file in matrices)
        raise InputError(f"{folder}: the matrices hold parts of the counts or no counts ({names}): name the one to load.")
    return whole or list(matrices)


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
    named = chosen_name(_prefix(matrix))
    return Source(named, matrix if named else folder, "10x mtx", found)


def _belonging(folder: Path, matrix: Path, role: _Role, lists: Sequence[Path], key: str, taken: set[str], *, shared: bool) -> Path | None:
    """Find the list of one role: of the matrix's own prefix, else the only one that is no other matrix's; None for none.

    Raises
    ------
    InputError
        If several could be meant.
    """
    keyed = {file: _key(role.words.sub("", stem)) for file in lists if role.words.search(stem := _LIST.sub("", file.name))}
    own = [file for file, its in keyed.items() if its == key]
    free = [file for file, its in keyed.items() if its not in taken] if shared else []
    found = _usual(own or [file for file in free if f"{key}_".startswith(f"{keyed[file]}_")] or free)
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
