"""Spliced, unspliced and ambiguous counts: which of them make the counts of a cell, and the layers that keep them apart.

Tools that quantify both messenger and its precursor write the counts in parts, so that each matrix holds a part only:

- alevin-fry (USA mode): one matrix with rows ``gene`` (spliced), ``gene-U`` (unspliced) and ``gene-A`` (ambiguous)
- kb (nac, lamanno): matrices, or layers of an h5ad whose X is one of them
- STARsolo (Velocyto), velocyto, scVelo: matrices or layers beside the whole
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
    "is_sum",
    "merge_matrices",
    "merge_row_parts",
    "part_of",
    "parts_of",
    "sum_parts",
]

SPLICED, UNSPLICED, AMBIGUOUS = "spliced", "unspliced", "ambiguous"
KEPT = (SPLICED, UNSPLICED)
"""Parts that are kept as layers."""

ALL_PARTS = "S+U+A"
"""The sum that counts in parts make where none is asked for."""

_PARTS = {"S": SPLICED, "U": UNSPLICED, "A": AMBIGUOUS}
_SYNONYMS = {SPLICED: SPLICED, "mature": SPLICED, UNSPLICED: UNSPLICED, "nascent": UNSPLICED, AMBIGUOUS: AMBIGUOUS, "spanning": AMBIGUOUS}
PART_WORDS = tuple(sorted(_SYNONYMS, key=len, reverse=True))
"""Words by which parts go, longer ones first."""

_WORD = re.compile(rf"(^|[._\- ])({'|'.join(_SYNONYMS)})(?=[._\- ]|$)", re.IGNORECASE)
_SUM = re.compile(r"^[SUA](\+[SUA])*$")
_ROW = re.compile(r"^(.+)-([UA])$")
_MIXED_SHARE = 0.2
"""Share of the rows that end in ``-U`` or ``-A`` in USA mode, of two thirds, from which on they are parts."""


def part_of(name: str) -> str:
    """Tell which part of the counts a matrix is called by; empty for none.

    >>> part_of("cells_x_genes.mature.mtx"), part_of("unspliced"), part_of("matrix.mtx.gz"), part_of("Ms")
    ('spliced', 'unspliced', '', '')
    """
    found = _WORD.search(name)
    return _SYNONYMS[found[2].casefold()] if found else ""


def is_sum(matrix: str) -> bool:
    """Tell whether the option ``matrix`` asks for a sum of parts, such as ``S+A``.

    >>> is_sum("S+U+A"), is_sum("spliced")
    (True, False)
    """
    return bool(_SUM.match(matrix))


def parts_of(matrix: str, default: str) -> tuple[str, ...]:
    """Parts that make the counts: those that ``matrix`` asks for, else ``default``."""
    return tuple(_PARTS[letter] for letter in dict.fromkeys((matrix if is_sum(matrix) else default).split("+")))


def sum_parts(parts: Mapping[str, Any], wanted: Iterable[str]) -> Any:
    """Add the wanted parts that there are.

    Raises
    ------
    InputError
        If there is none.
    """
    found = [parts[name] for name in wanted if name in parts]
    if not found:
        raise InputError(f"the input holds none of the parts {', '.join(wanted)} (parts: {some(parts)}).")
    total = found[0]
    for part in found[1:]:
        total = total + part
    return total


def merge_row_parts(table: Table, matrix: str) -> Table:
    """Put together the parts that stand on rows of their own, as alevin-fry writes them; the same table where none do.

    Counts are spliced and ambiguous ones, as for cells; ``S+U+A`` takes all, as for nuclei.
    """
    from scipy import sparse

    rows = _parts_of_rows(table)
    if rows is None:
        return table
    names, part, gene = rows
    entries = table.entries if not is_lazy(table.entries) else _refuse_lazy()
    n_genes = len(names)
    parts = {
        letter: sparse.csr_matrix(entries @ sparse.csr_matrix((np.ones(len(at)), (at, gene[at])), shape=(len(gene), n_genes)))
        for letter, at in ((letter, np.flatnonzero(part == letter)) for letter in _PARTS.values())
    }
    wanted = parts_of(matrix, "S+A")
    ids = np.array([_base(name) for name in table.gene_ids[np.unique(gene, return_index=True)[1]]], dtype=object)
    told = f"Each gene has rows for spliced, unspliced (-U) and ambiguous (-A) counts; counts are {' + '.join(wanted)}"
    cure = ", as for cells: for nuclei, set load.matrix=S+U+A." if wanted == (SPLICED, AMBIGUOUS) else ", as asked."
    layers = {name: parts[name].astype(np.float32) for name in KEPT}
    made = replace(table, entries=sum_parts(parts, wanted), symbols=names, gene_ids=ids, kinds=None, genomes=None, layers=layers)
    return made.noted(told + cure)


def _refuse_lazy() -> Any:
    raise InputError("rows of spliced, unspliced and ambiguous counts are not put together by the engine dask: use the engine memory.")


def _base(name: str) -> str:
    """Name of the gene of a row."""
    found = _ROW.match(name)
    return genes.strip_version(found[1]) if found else name


def _parts_of_rows(table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Names of the genes, part of each row and number of its gene; None where rows are no parts."""
    import pandas as pd

    ends = Counter(str(name)[-1:] for name in table.symbols if str(name).endswith(("-U", "-A")))
    if min(ends["U"], ends["A"]) < _MIXED_SHARE * len(table.symbols):
        return None
    listed = set(table.symbols)
    found = [_ROW.match(str(name)) for name in table.symbols]
    paired = sum(genes.strip_version(match[1]) in listed for match in found if match)
    if paired < 0.9 * (ends["U"] + ends["A"]):
        return None
    part = np.array([SPLICED if match is None else _PARTS[match[2]] for match in found], dtype=object)
    gene, names = pd.factorize(np.array([_base(name) for name in table.symbols], dtype=object))
    return np.asarray(names, dtype=object), part, np.asarray(gene)


def merge_matrices(tables: Sequence[Table], roles: Sequence[str], matrix: str) -> Table:
    """Put together matrices that stand beside each other: the whole and its parts, or parts alone, which are added.

    Parameters
    ----------
    tables
        The whole or the first part, then further parts; cells and genes may differ, what one lacks is zero.
    roles
        Part that each is, empty for the whole.
    matrix
        The option: a sum of parts, or anything else for the whole.
    """
    main = tables[0]
    if len(tables) == 1:
        return main.noted(f"The matrix is called {roles[0]}: it holds a part of the counts.") if roles[0] else main
    cells, gene_ids = (_all_names([getattr(table, side) for table in tables], bool(roles[0])) for side in ("barcodes", "gene_ids"))
    placed = [_placed(table, cells, gene_ids) for table in tables]
    parts = {role: values for role, values in zip(roles, placed, strict=True) if role}
    layers = {name: parts[name] for name in KEPT if name in parts}
    if not roles[0] and not is_sum(matrix):
        return replace(main, layers=layers).noted(f"Layers {', '.join(layers)} were taken from the matrices beside.")
    wanted = parts_of(matrix, "S+U+A")
    symbols = dict(zip(gene_ids, gene_ids, strict=True))
    for table in reversed(tables):
        symbols |= dict(zip(table.gene_ids, table.symbols, strict=True))
    made = replace(
        main,
        entries=sum_parts(parts, wanted),
        barcodes=cells,
        gene_ids=gene_ids,
        symbols=np.array([symbols[name] for name in gene_ids], dtype=object),
        obs=main.obs if len(cells) == len(main.barcodes) else None,
        kinds=main.kinds if len(gene_ids) == len(main.gene_ids) else None,
        layers=layers,
    )
    return made.noted(f"Each matrix holds a part of the counts; counts are {' + '.join(name for name in wanted if name in parts)}.")


def _all_names(listed: Sequence[np.ndarray], united: bool) -> np.ndarray:
    """Names of the first list, with those of the others after them where ``united``."""
    import pandas as pd

    return np.asarray(pd.unique(np.concatenate(listed)), dtype=object) if united and _differ(listed) else listed[0]


def _differ(listed: Sequence[np.ndarray]) -> bool:
    return any(not np.array_equal(listed[0], other) for other in listed[1:])


def _placed(table: Table, cells: np.ndarray, gene_ids: np.ndarray) -> Any:
    """Place the counts of a table on the given cells and genes; zero where it has none.

    Raises
    ------
    InputError
        If a name stands twice, so that its place cannot be told.
    """
    import pandas as pd
    from scipy import sparse

    values = table.entries
    for axis, (own, wanted) in enumerate(((table.barcodes, cells), (table.gene_ids, gene_ids))):
        if np.array_equal(own, wanted):
            continue
        index = pd.Index(own)
        if not index.is_unique:
            raise InputError(f"parts of the counts list other {('cells', 'genes')[axis]}, and {own[index.duplicated()][0]!r} stands twice.")
        at = index.get_indexer(wanted)
        here = np.flatnonzero(at >= 0)
        move = sparse.csr_matrix((np.ones(len(here), dtype=values.dtype), (here, at[here])), shape=(len(wanted), len(own)))
        values = move @ values if axis == 0 else values @ move.T
    return sparse.csr_matrix(values)
