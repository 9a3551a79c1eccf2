"""Detection of the rows that are genes, and of their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scdiff import genes, programs
from scdiff.compute.blocks import is_lazy
from scdiff.errors import InputError
from scdiff.steps.load.table import Table, some

__all__ = [
    "are_mostly_barcodes",
    "count_gene_names",
    "fill_names",
    "is_barcode",
    "is_common",
    "is_gene_kind",
    "is_transposed",
    "keep_genes",
    "looks_stable",
    "merge_symbols",
    "pick_genome",
]

_ENSEMBL = re.compile(r"^ENS[A-Z]*G[\d_]")
_BARCODE = re.compile(r"(^|[^A-Za-z])[ACGTN]{6,}([^A-Za-z]|$)")
_NOT_A_GENE = re.compile(
    r"^(ERCC-\d{5}|__(no_feature|ambiguous|too_low_aQual|not_aligned|alignment_not_unique)"
    r"|N_(unmapped|multimapping|noFeature|ambiguous)"
    r"|unmapped|(ADT|HTO)[-_.].*|CMO3\d\d|.*[-_.][ACGT]{15}"
    r"|(?i:hashtag.*|.*[-_.]hashtag.*|.*totalseq.*|.*anti[-_.](human|mouse).*))$"
)
"""Names of spike-ins, counters, antibodies and tags."""

_GENE_KINDS = frozenset(
    (
        "gene expression",
        "gex",
        "rna",
        "mrna",
        "gene",
        "genes",
        "expression",
        "transcript",
        "transcripts",
        "transcriptome",
        "scrna",
    )
)
_OTHER_KINDS = re.compile(
    r"antibod|^adt|protein(?!.coding)|^prot$|^ab$|hto|hashtag|hashing|crispr|guide|grna|multiplex"
    r"|cell.?plex|cmo|custom|peak|atac|"
    r"chromatin|vdj|antigen|spike|ercc|barcode|tag",
    re.IGNORECASE,
)
"""How files call features that are genes, and features that are not. Other types, such as
``lncRNA``, decide nothing."""

_DATE = re.compile(
    r"^(\d{1,2}[-. ](Mar|Sep|Dec|Oct|Feb|Apr)|(Mar|Sep|Dec)[-. ]\d{1,2}"
    r"|\d{4}[-/](0?[2349]|1[02])[-/]\d{1,2}( 00:00:00)?)$",
    re.IGNORECASE,
)
"""Gene names such as MARCH1 and SEPT2 after a spreadsheet turned them into dates."""

_COMMON = re.compile(
    r"^(MT-|RP[LS]\d|(ACTB|ACTG1|B2M|CD63|COL1A[12]|COL3A1|EEF1A1|FTL1?|FTH1|GAPDH|LGALS1|LUM"
    r"|MALAT1|S100A6|SPARC|TMSB4X|TMSB10|TPT1|VIM)$)",
    re.IGNORECASE,
)
"""Genes that nearly every cell expresses."""
_COMMON_OR_STABLE = re.compile(rf"(?:(?i:{_COMMON.pattern})|{_ENSEMBL.pattern})", re.MULTILINE)

_SPECIES_OF_GENOME = {
    "human": ("grch", "hg"),
    "mouse": ("grcm", "mm"),
    "rat": ("grcr", "mratbn", "rn", "rnor"),
}


def is_barcode(name: str) -> bool:
    """Check whether a name contains a cell barcode.

    >>> is_barcode("rna_AGATCGTTCTAGACCA-1"), is_barcode("GATA3")
    (True, False)
    """
    return bool(_BARCODE.search(name))


def looks_stable(names: np.ndarray) -> bool:
    """Check whether most names are Ensembl or numeric identifiers and not symbols."""
    n_stable = sum(bool(_ENSEMBL.match(name)) or name.isdigit() for name in names)
    return bool(len(names)) and n_stable > len(names) / 2


def count_gene_names(names: Iterable[str]) -> int:
    """Count the names that only genes have.

    These are Ensembl ids, common symbols, and genes of the shipped programmes by any of their
    names.
    """
    listed = list(dict.fromkeys(names))
    n_found = []
    for of in genes.SPECIES:
        wanted = [gene for program in programs.load_programs() for gene in program.score_genes(of)]
        n_found.append(len(genes.Lookup(listed, of, former=False).find(wanted)))
    return _count_common(listed) + max(n_found)


def is_common(name: str) -> bool:
    """Check whether a name is a symbol that nearly every cell expresses.

    >>> is_common("ACTB"), is_common("Rpl3"), is_common("PDX1")
    (True, True, False)
    """
    return bool(_COMMON.match(name))


def _count_common(names: Iterable[str]) -> int:
    """Count Ensembl ids and symbols that nearly every matrix has."""
    return len(_COMMON_OR_STABLE.findall("\n".join(names)))  # one text: a tenth of the time


def is_transposed(table: Table) -> bool:
    """Check whether the cells have names of genes, or the genes names of cells."""
    genes_as_cells, genes_as_genes = _count_common(table.barcodes), _count_common(table.symbols)
    cells_as_genes = (
        genes_as_genes == 0
        and are_mostly_barcodes(table.symbols)
        and not are_mostly_barcodes(table.barcodes)
    )
    return genes_as_cells > 10 * max(1, genes_as_genes) or cells_as_genes


def are_mostly_barcodes(names: Sequence[str] | np.ndarray) -> bool:
    """Check whether more than half of the names contain a cell barcode."""
    return sum(map(is_barcode, names)) > len(names) / 2


def fill_names(symbols: Any, gene_ids: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return symbols and identifiers as str; a blank is filled from the other list.

    Ensembl versions are removed.

    Raises
    ------
    InputError
        If a gene has neither.
    """
    first, second = _as_texts(symbols), _as_texts(gene_ids)
    if blank := [
        row for row, pair in enumerate(zip(first, second, strict=True), start=1) if not any(pair)
    ]:
        raise InputError(
            f"{len(blank)} genes have no name (row {some(blank)}). "
            "Give each row of the matrix a gene name."
        )
    texts = [
        [genes.strip_version(a or b) for a, b in zip(*pair, strict=True)]
        for pair in ((first, second), (second, first))
    ]
    return np.array(texts[0], dtype=object), np.array(texts[1], dtype=object)


def _as_texts(names: Any) -> list[str]:
    """Return names as stripped str; a missing name becomes empty."""
    is_missing = [name is None or name != name for name in names]  # noqa: PLR0124 only NaN differs from itself
    return [
        "" if missing else str(name).strip()
        for name, missing in zip(names, is_missing, strict=True)
    ]


def keep_genes(table: Table, species: str) -> Table:
    """Leave out rows that are not genes (antibodies, spike-ins, counters) and all but one genome.

    Notes on the table describe what was left out.

    Raises
    ------
    InputError
        If no row is left.
    """
    table = _keep_one_genome(_keep_expression(table), species)
    no_gene = np.array([bool(_NOT_A_GENE.match(name)) for name in table.symbols], dtype=bool)
    if no_gene.all():
        raise InputError(
            f"none of the {len(no_gene)} rows is a gene. Give the gene expression of these cells."
        )
    if no_gene.any():
        table = table.genes(~no_gene).noted(
            f"{no_gene.sum()} rows that are not genes ({some(table.symbols[no_gene])}) were left "
            "out."
        )
    dates = [name for name in table.symbols if _DATE.match(name)]
    if dates:
        table = table.noted(
            f"A spreadsheet turned {len(dates)} gene names into dates ({some(dates)})."
        )
    return table


def is_gene_kind(kind: str) -> bool:
    """Check whether a feature type is that of genes.

    >>> is_gene_kind("Gene Expression"), is_gene_kind("GEX"), is_gene_kind("Antibody Capture")
    (True, True, False)
    """
    return kind.casefold().replace("_", " ") in _GENE_KINDS


def _keep_expression(table: Table) -> Table:
    """Keep the features of type Gene Expression, if the file states types."""
    if table.kinds is None:
        return table
    kinds = np.array(_as_texts(table.kinds), dtype=object)
    are_genes = np.array([is_gene_kind(kind) for kind in kinds], dtype=bool)
    keep = np.array([not _OTHER_KINDS.search(kind) for kind in kinds], dtype=bool)
    if are_genes.any():
        keep = are_genes | (kinds == "")
    if not keep.any():
        raise InputError(
            f"no feature is of type 'Gene Expression' (types: {some(sorted(set(kinds)))}): "
            "the file holds another assay. Give the one with gene expression."
        )
    if keep.all():
        return table
    others = {kind: int((kinds == kind).sum()) for kind in sorted(set(kinds[~keep]))}
    listed = ", ".join(f"{count} {kind}" for kind, count in others.items())
    return table.genes(keep).noted(f"Features that are not genes were left out: {listed}.")


def _keep_one_genome(table: Table, species: str) -> Table:
    """Keep one genome of a mixed reference, and remove its name from the symbols."""
    known = sorted(set(table.genomes) - {""}) if table.genomes is not None else []
    if len(known) < 2 or table.genomes is None:
        return table
    totals = {
        genome: float(table.entries[:, np.flatnonzero(table.genomes == genome)].sum())
        for genome in known
    }
    chosen, note = pick_genome(totals, species)
    genomes = table.genomes
    table = _add_shares(table, [genome for genome in known if genome != chosen])
    kept = table.genes(np.isin(genomes, [chosen, ""]))
    prefix = re.compile(rf"^{re.escape(chosen)}_+")
    symbols = np.array([prefix.sub("", name) for name in kept.symbols], dtype=object)
    gene_ids = np.array([prefix.sub("", name) for name in kept.gene_ids], dtype=object)
    return replace(kept, symbols=symbols, gene_ids=gene_ids).noted(note)


def _add_shares(table: Table, others: Sequence[str]) -> Table:
    """Add the share of each cell's counts in other genomes, 0-1, as columns ``share_<genome>``.

    Notes state how large the shares are.
    """
    import pandas as pd

    if is_lazy(table.entries) or table.genomes is None:
        return table
    total = np.maximum(np.asarray(table.entries.sum(axis=1), dtype=float).ravel(), 1)
    shares = {}
    for genome in others:
        part = table.entries[:, np.flatnonzero(table.genomes == genome)]
        shares[genome] = np.asarray(part.sum(axis=1), dtype=float).ravel() / total
    for genome, share in shares.items():
        n_most = int((share > 0.5).sum())
        table = table.noted(
            f"{genome} has {100 * np.median(share):.1f} % of the counts of the median cell, and "
            f"more than half in {n_most:,} of {len(share):,} cells, which were kept."
        )
    if len(total) != len(table.barcodes):
        return table
    obs = pd.DataFrame(index=range(len(total))) if table.obs is None else table.obs.copy(deep=False)
    for genome, share in shares.items():
        obs[f"share_{genome}"] = share
    return replace(table, obs=obs)


def pick_genome(totals: dict[str, float], species: str) -> tuple[str, str]:
    """Choose a genome, and describe the choice for the record.

    The genome of the given ``species`` comes first, then the human, mouse or rat one with most
    counts.

    >>> pick_genome({"hg19": 10.0, "mm10": 20.0}, "auto")[0]
    'mm10'
    >>> pick_genome({"hg19": 10.0, "mm10": 20.0}, "human")[0]
    'hg19'
    """
    asked = {genome: total for genome, total in totals.items() if _is_genome_of(genome, species)}
    known = {
        genome: total
        for genome, total in totals.items()
        if any(_is_genome_of(genome, name) for name in _SPECIES_OF_GENOME)
    }
    pool, reason = totals, "the one with most counts"
    if known:
        pool, reason = known, "the human, mouse or rat one with most counts"
    if asked:
        pool, reason = asked, f"the one of {species}"
    chosen = min(pool, key=lambda genome: (-pool[genome], genome))
    listed = ", ".join(f"{genome} {total:,.0f}" for genome, total in sorted(totals.items()))
    return chosen, f"The file holds several genomes ({listed} counts); {chosen} is used, {reason}."


def _is_genome_of(genome: str, species: str) -> bool:
    """Check whether a reference name means ``species``, such as GRCh38 or mm10_chr1."""
    prefixes = "|".join(_SPECIES_OF_GENOME.get(species, ("(?!)",)))
    return genome.casefold() == species or bool(
        re.match(rf"({prefixes})_?\d", genome, re.IGNORECASE)
    )


def merge_symbols(table: Table) -> Table:
    """Sum the counts of genes that share a symbol, so that every symbol occurs once; note it.

    Raises
    ------
    InputError
        If such genes are in counts that stay on disk.
    """
    import pandas as pd

    codes, unique = pd.factorize(table.symbols)
    if len(unique) == len(table.symbols):
        return table
    if is_lazy(table.entries):
        raise InputError(
            f"some gene symbols have several rows ({some(unique[np.bincount(codes) > 1])}), which "
            "the engine dask does not sum. Make the names of the genes unique, or use the engine "
            "memory."
        )
    matrices = _sum_columns((table.entries, *table.layers.values()), codes, len(unique))
    matrices[0].sort_indices()
    written = table.symbols if table.written is None else table.written
    repeated = sorted(unique[np.bincount(codes) > 1])
    merged = replace(
        table,
        entries=matrices[0],
        symbols=np.asarray(unique, dtype=object),
        gene_ids=_join_names(table.gene_ids, codes),
        kinds=None,
        genomes=None,
        written=_join_names(written, codes),
        layers=dict(zip(table.layers, matrices[1:], strict=True)),
    )
    return merged.repaired(
        f"{len(repeated)} gene symbols had several rows ({some(repeated)}); their counts were "
        f"summed: {len(codes):,} rows became {len(unique):,} genes."
    )


def _sum_columns(matrices: Sequence[Any], codes: np.ndarray, n_groups: int) -> list[Any]:
    """Sum the columns of each group, in a number type that holds the sums exactly."""
    from scipy import sparse

    most = float(matrices[0].max()) * np.bincount(codes).max()
    dtype = matrices[0].dtype if most < 2**24 else np.float64
    columns = np.arange(len(codes))
    gather = sparse.csr_matrix(
        (np.ones(len(codes), dtype=dtype), (columns, codes)), shape=(len(codes), n_groups)
    )
    return [sparse.csr_matrix(values @ gather) for values in matrices]


def _join_names(names: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """List the names of each group, each once, joined by bars; shape (n_groups,)."""
    _, first = np.unique(codes, return_index=True)
    listed = names[first]
    for code in np.flatnonzero(np.bincount(codes) > 1):
        listed[code] = "|".join(dict.fromkeys(names[codes == code]))
    return listed
