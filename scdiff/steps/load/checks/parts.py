"""Spliced, unspliced and ambiguous counts: which are the counts of a cell, which become layers.

Tools that quantify both mature and precursor RNA write the counts in parts, so that each matrix
holds only one part:

- alevin-fry (USA mode): one matrix with rows ``gene`` (spliced), ``gene-U`` (unspliced) and
  ``gene-A`` (ambiguous)
- kb (nac, lamanno): matrices, or layers of an h5ad whose X is one of them
- STARsolo (Velocyto), velocyto, scVelo: matrices or layers next to the total
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scdiff import genes
from scdiff.compute.blocks import is_lazy
from scdiff.errors import InputError
from scdiff.steps.load.table import Table, some

__all__ = [
    "ALL_PARTS",
    "AMBIGUOUS",
    "KEPT",
    "PART_WORDS",
    "SPLICED",
    "UNSPLICED",
    "detect_part",
    "is_sum",
    "merge_matrices",
    "merge_row_parts",
    "select_parts",
    "sum_parts",
]

SPLICED, UNSPLICED, AMBIGUOUS = "spliced", "unspliced", "ambiguous"
KEPT = (SPLICED, UNSPLICED)
"""Parts that are kept as layers."""

ALL_PARTS = "S+U+A"
"""Sum of parts that is used if the option ``matrix`` does not name one."""

_PARTS = {"S": SPLICED, "U": UNSPLICED, "A": AMBIGUOUS}
_SYNONYMS = {
    SPLICED: SPLICED,
    "mature": SPLICED,
    UNSPLICED: UNSPLICED,
    "nascent": UNSPLICED,
    AMBIGUOUS: AMBIGUOUS,
    "spanning": AMBIGUOUS,
}
PART_WORDS = tuple(sorted(_SYNONYMS, key=len, reverse=True))
"""Names of parts in files, longer ones first."""

_WORD = re.compile(rf"(^|[._\- ])({'|'.join(_SYNONYMS)})(?=[._\- ]|$)", re.IGNORECASE)
_SUM = re.compile(r"^[SUA](\+[SUA])*$")
_ROW = re.compile(r"^(.+)-([UA])$")
_PAIRED_SHARE = 0.9
"""Share of the rows with these endings, 0-1, whose gene also has a row. Chosen, not tuned."""

_MIXED_SHARE = 0.2
"""Share of the rows, 0-1, that must end in ``-U``, and in ``-A``, to be parts of counts. In USA
mode each has one third. Chosen, not tuned."""


def detect_part(name: str) -> str:
    """Return the part of the counts that the name of a matrix states; empty if it states no part.

    >>> names = ("cells_x_genes.mature.mtx", "unspliced", "matrix.mtx.gz", "Ms")
    >>> [detect_part(name) for name in names]
    ['spliced', 'unspliced', '', '']
    """
    found = _WORD.search(name)
    return _SYNONYMS[found[2].casefold()] if found else ""


def is_sum(matrix: str) -> bool:
    """Check whether the option ``matrix`` is a sum of parts, such as ``S+A``.

    >>> is_sum("S+U+A"), is_sum("spliced")
    (True, False)
    """
    return bool(_SUM.match(matrix))


def select_parts(matrix: str, default: str) -> tuple[str, ...]:
    """List the parts whose sum is the counts: those in ``matrix``, otherwise ``default``."""
    return tuple(
        _PARTS[letter]
        for letter in dict.fromkeys((matrix if is_sum(matrix) else default).split("+"))
    )


def sum_parts(parts: Mapping[str, Any], wanted: Iterable[str]) -> Any:
    """Add the wanted parts that are present.

    Raises
    ------
    InputError
        If no wanted part is present.
    """
    found = [parts[name] for name in wanted if name in parts]
    if not found:
        raise InputError(
            f"the input holds none of the parts {', '.join(wanted)} (parts: {some(parts)})."
        )
    total = found[0]
    for part in found[1:]:
        total = total + part
    return total


def merge_row_parts(table: Table, matrix: str) -> Table:
    """Join parts that have rows of their own, as alevin-fry writes them.

    Other tables are returned unchanged. Counts are spliced and ambiguous ones, as for cells.
    ``S+U+A`` adds all, as for nuclei.

    Raises
    ------
    InputError
        If the rows are in counts that stay on disk.
    """
    from scipy import sparse

    rows = _find_row_parts(table)
    if rows is None:
        return table
    if is_lazy(table.entries):
        raise InputError(
            "the engine dask does not join rows of spliced, unspliced and ambiguous counts. "
            "Use the engine memory."
        )
    names, part, gene = rows
    parts = {}
    for kind in _PARTS.values():
        at = np.flatnonzero(part == kind)
        gather = sparse.csr_matrix(
            (np.ones(len(at)), (at, gene[at])), shape=(len(gene), len(names))
        )
        parts[kind] = sparse.csr_matrix(table.entries @ gather)
    wanted = select_parts(matrix, "S+A")
    first = table.gene_ids[np.unique(gene, return_index=True)[1]]
    merged = replace(
        table,
        entries=sum_parts(parts, wanted),
        symbols=names,
        gene_ids=np.array([_name_gene(name) for name in first], dtype=object),
        kinds=None,
        genomes=None,
        layers={name: parts[name].astype(np.float32) for name in KEPT},
    )
    cure = ", as requested."
    if wanted == (SPLICED, AMBIGUOUS):
        cure = ", as for cells. For nuclei, set load.matrix=S+U+A."
    return merged.noted(
        "Each gene has rows for spliced, unspliced (-U) and ambiguous (-A) counts; counts are "
        f"{' + '.join(wanted)}{cure}"
    )


def _name_gene(name: str) -> str:
    """Return the gene that a row belongs to."""
    found = _ROW.match(name)
    return genes.strip_version(found[1]) if found else name


def _find_row_parts(table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Find the genes, the part of each row, and the gene number of each row.

    Return None if the rows are not parts.
    """
    import pandas as pd

    ends = Counter(str(name)[-1:] for name in table.symbols if str(name).endswith(("-U", "-A")))
    if min(ends["U"], ends["A"]) < _MIXED_SHARE * len(table.symbols):
        return None
    listed = set(table.symbols)
    found = [_ROW.match(str(name)) for name in table.symbols]
    paired = sum(genes.strip_version(match[1]) in listed for match in found if match)
    if paired < _PAIRED_SHARE * (ends["U"] + ends["A"]):
        return None
    part = np.array(
        [SPLICED if match is None else _PARTS[match[2]] for match in found], dtype=object
    )
    gene, names = pd.factorize(np.array([_name_gene(name) for name in table.symbols], dtype=object))
    return np.asarray(names, dtype=object), part, np.asarray(gene)


def merge_matrices(tables: Sequence[Table], roles: Sequence[str], matrix: str) -> Table:
    """Join matrices of one sample: the total and its parts, or only parts, which are added.

    Parameters
    ----------
    tables
        The total or the first part, then further parts. Cells and genes may differ; a missing value
        is zero.
    roles
        Part that each table holds, empty for the total.
    matrix
        The option: a sum of parts, or anything else for the total.
    """
    main = tables[0]
    if len(tables) == 1 and roles[0]:
        return main.noted(
            f"The matrix has the name {roles[0]}: it holds only a part of the counts."
        )
    if len(tables) == 1:
        return main
    is_partial = bool(roles[0])
    cells = _unite_names([table.barcodes for table in tables], is_partial)
    gene_ids = _unite_names([table.gene_ids for table in tables], is_partial)
    placed = [_place(table, cells, gene_ids) for table in tables]
    parts = {role: values for role, values in zip(roles, placed, strict=True) if role}
    layers = {name: parts[name] for name in KEPT if name in parts}
    if not is_partial and not is_sum(matrix):
        listed = ", ".join(layers)
        return replace(main, layers=layers).noted(
            f"Layers {listed} come from the matrices next to this one."
        )
    wanted = select_parts(matrix, "S+U+A")
    merged = replace(
        main,
        entries=sum_parts(parts, wanted),
        barcodes=cells,
        gene_ids=gene_ids,
        symbols=_find_symbols(tables, gene_ids),
        obs=main.obs if len(cells) == len(main.barcodes) else None,
        kinds=main.kinds if len(gene_ids) == len(main.gene_ids) else None,
        layers=layers,
    )
    listed = " + ".join(name for name in wanted if name in parts)
    return merged.noted(f"Each matrix holds a part of the counts; counts are {listed}.")


def _find_symbols(tables: Sequence[Table], gene_ids: np.ndarray) -> np.ndarray:
    """Return the symbol of each gene, from the first table that has it; shape (n_genes,)."""
    symbols = dict(zip(gene_ids, gene_ids, strict=True))
    for table in reversed(tables):
        symbols |= dict(zip(table.gene_ids, table.symbols, strict=True))
    return np.array([symbols[name] for name in gene_ids], dtype=object)


def _unite_names(listed: Sequence[np.ndarray], united: bool) -> np.ndarray:
    """Return the names of the first list; if ``united``, followed by those of the other lists."""
    import pandas as pd

    return (
        np.asarray(pd.unique(np.concatenate(listed)), dtype=object)
        if united and _differ(listed)
        else listed[0]
    )


def _differ(listed: Sequence[np.ndarray]) -> bool:
    """Check whether the lists differ."""
    return any(not np.array_equal(listed[0], other) for other in listed[1:])


def _place(table: Table, cells: np.ndarray, gene_ids: np.ndarray) -> Any:
    """Place the counts of a table on the given cells and genes, with zeros for missing ones.

    Raises
    ------
    InputError
        If a name occurs twice, so that its place is ambiguous.
    """
    import pandas as pd
    from scipy import sparse

    values = table.entries
    for axis, (own, wanted) in enumerate(((table.barcodes, cells), (table.gene_ids, gene_ids))):
        if np.array_equal(own, wanted):
            continue
        index = pd.Index(own)
        if not index.is_unique:
            raise InputError(
                f"parts of the counts list different {('cells', 'genes')[axis]}, and "
                f"{own[index.duplicated()][0]!r} occurs twice. Make the names unique."
            )
        at = index.get_indexer(wanted)
        here = np.flatnonzero(at >= 0)
        move = sparse.csr_matrix(
            (np.ones(len(here), dtype=values.dtype), (here, at[here])),
            shape=(len(wanted), len(own)),
        )
        values = move @ values if axis == 0 else values @ move.T
    return sparse.csr_matrix(values)
