"""Which rows are genes, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from scdiff import genes, programs
from scdiff.compute.blocks import is_lazy
from scdiff.errors import InputError
from scdiff.steps.load.table import Table, some

__all__ = [
    "fill_names",
    "gene_evidence",
    "genes_only",
    "is_barcode",
    "is_common",
    "is_gene_kind",
    "is_transposed",
    "looks_stable",
    "mostly_barcodes",
    "pick_genome",
    "symbols_once",
]

_ENSEMBL = re.compile(r"^ENS[A-Z]*G[\d_]")
_BARCODE = re.compile(r"(^|[^A-Za-z])[ACGTN]{6,}([^A-Za-z]|$)")
_NOT_A_GENE = re.compile(
    r"^(ERCC-\d{5}|__(no_feature|ambiguous|too_low_aQual|not_aligned|alignment_not_unique)|N_(unmapped|multimapping|noFeature|ambiguous)"
    r"|unmapped|(ADT|HTO)[-_.].*|CMO3\d\d|.*[-_.][ACGT]{15}|(?i:hashtag.*|.*[-_.]hashtag.*|.*totalseq.*|.*anti[-_.](human|mouse).*))$"
)
_GENE_KINDS = frozenset(
    ("gene expression", "gex", "rna", "mrna", "gene", "genes", "expression", "transcript", "transcripts", "transcriptome", "scrna")
)
_OTHER_KINDS = re.compile(
    r"antibod|^adt|protein(?!.coding)|^prot$|^ab$|hto|hashtag|hashing|crispr|guide|grna|multiplex|cell.?plex|cmo|custom|peak|atac|"
    r"chromatin|vdj|antigen|spike|ercc|barcode|tag",
    re.IGNORECASE,
)
"""How files call features that are genes, and features that are not; what is called otherwise, such as ``lncRNA``, tells neither."""

_DATE = re.compile(
    r"^(\d{1,2}[-. ](Mar|Sep|Dec|Oct|Feb|Apr)|(Mar|Sep|Dec)[-. ]\d{1,2}|\d{4}[-/](0?[2349]|1[02])[-/]\d{1,2}( 00:00:00)?)$",
    re.IGNORECASE,
)
_COMMON = re.compile(
    r"^(MT-|RP[LS]\d|(ACTB|ACTG1|B2M|CD63|COL1A[12]|COL3A1|EEF1A1|FTL1?|FTH1|GAPDH|LGALS1|LUM|MALAT1|S100A6|SPARC|TMSB4X|TMSB10|TPT1|VIM)$)",
    re.IGNORECASE,
)
_SPECIES_OF_GENOME = {"human": ("grch", "hg"), "mouse": ("grcm", "mm")}


def is_barcode(name: str) -> bool:
    """Tell whether a name carries a cell barcode.

    >>> is_barcode("rna_AGATCGTTCTAGACCA-1"), is_barcode("GATA3")
    (True, False)
    """
    return bool(_BARCODE.search(name))


def looks_stable(names: np.ndarray) -> bool:
    """Tell whether most names are Ensembl or numeric identifiers rather than symbols."""
    return bool(len(names)) and sum(bool(_ENSEMBL.match(name)) or name.isdigit() for name in names) > len(names) / 2


def gene_evidence(names: Iterable[str]) -> int:
    """Count the names that only genes have: Ensembl ids, common symbols, and genes of the shipped programmes by any of their names."""
    listed = list(dict.fromkeys(names))
    species: tuple[Literal["human", "mouse"], ...] = ("human", "mouse")
    wanted = {of: [gene for program in programs.load_programs() for gene in program.score_genes(of)] for of in species}
    return _n_common(listed) + max(len(genes.Lookup(listed, of, former=False).find(wanted[of])) for of in species)


def is_common(name: str) -> bool:
    """Tell whether a name is a symbol that nearly every cell expresses.

    >>> is_common("ACTB"), is_common("Rpl3"), is_common("PDX1")
    (True, True, False)
    """
    return bool(_COMMON.match(name))


def _n_common(names: Iterable[str]) -> int:
    """Count Ensembl ids and symbols that nearly every matrix holds."""
    return sum(bool(_COMMON.match(name) or _ENSEMBL.match(name)) for name in names)


def is_transposed(table: Table) -> bool:
    """Tell whether the cells carry the names of genes, or the genes those of cells."""
    genes_as_cells, genes_as_genes = _n_common(table.barcodes), _n_common(table.symbols)
    cells_as_genes = genes_as_genes == 0 and mostly_barcodes(table.symbols) and not mostly_barcodes(table.barcodes)
    return genes_as_cells > 10 * max(1, genes_as_genes) or cells_as_genes


def mostly_barcodes(names: Sequence[str] | np.ndarray) -> bool:
    """Tell whether more than half of the names carry a cell barcode."""
    return sum(map(is_barcode, names)) > len(names) / 2


def fill_names(symbols: Any, gene_ids: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return symbols and identifiers as str, each filled from the other where blank, Ensembl versions cut off.

    Raises
    ------
    InputError
        If a gene has neither.
    """
    first, second = _texts(symbols), _texts(gene_ids)
    if blank := [row for row, pair in enumerate(zip(first, second, strict=True), start=1) if not any(pair)]:
        raise InputError(f"{len(blank)} genes have no name (row {some(blank)}): give each row of the matrix a gene name.")
    texts = [[genes.strip_version(a or b) for a, b in zip(*pair, strict=True)] for pair in ((first, second), (second, first))]
    return np.array(texts[0], dtype=object), np.array(texts[1], dtype=object)


def _texts(names: Any) -> list[str]:
    """Names as stripped str; empty for a missing one."""
    return ["" if name is None or name != name else str(name).strip() for name in names]  # noqa: PLR0124 NaN alone differs from itself


def genes_only(table: Table, species: str) -> Table:
    """Leave out what is no gene (antibodies, spike-ins, counters) and all but one genome; say so.

    Raises
    ------
    InputError
        If nothing is left.
    """
    table = _one_genome(_expression_only(table), species)
    no_gene = np.array([bool(_NOT_A_GENE.match(name)) for name in table.symbols], dtype=bool)
    if no_gene.all():
        raise InputError(f"none of the {len(no_gene)} rows is a gene: give the matrix of the genes of these cells.")
    if no_gene.any():
        table = table.genes(~no_gene).noted(f"{no_gene.sum()} rows are no genes ({some(table.symbols[no_gene])}) and were left out.")
    dates = [name for name in table.symbols if _DATE.match(name)]
    return table.noted(f"{len(dates)} gene names were turned into dates by a spreadsheet ({some(dates)}).") if dates else table


def is_gene_kind(kind: str) -> bool:
    """Tell whether a type of features is that of genes.

    >>> is_gene_kind("Gene Expression"), is_gene_kind("GEX"), is_gene_kind("Antibody Capture")
    (True, True, False)
    """
    return kind.casefold().replace("_", " ") in _GENE_KINDS


def _expression_only(table: Table) -> Table:
    """Keep the features of type Gene Expression, where the file has types."""
    if table.kinds is None:
        return table
    kinds = np.array(_texts(table.kinds), dtype=object)
    are_genes = np.array([is_gene_kind(kind) for kind in kinds], dtype=bool)
    keep = are_genes | (kinds == "") if are_genes.any() else np.array([not _OTHER_KINDS.search(kind) for kind in kinds], dtype=bool)
    if not keep.any():
        raise InputError(f"no feature is of type 'Gene Expression' (types: {some(sorted(set(kinds)))}): the file holds another assay.")
    if keep.all():
        return table
    others = {kind: int((kinds == kind).sum()) for kind in sorted(set(kinds[~keep]))}
    listed = ", ".join(f"{count} {kind}" for kind, count in others.items())
    return table.genes(keep).noted(f"Features that are not genes were left out: {listed}.")


def _one_genome(table: Table, species: str) -> Table:
    """Keep one genome of a mixed reference, and cut its name off the symbols."""
    known = sorted(set(table.genomes) - {""}) if table.genomes is not None else []
    if len(known) < 2 or table.genomes is None:
        return table
    totals = {genome: float(table.entries[:, np.flatnonzero(table.genomes == genome)].sum()) for genome in known}
    chosen, note = pick_genome(totals, species)
    genomes = table.genomes
    table = _with_shares(table, [genome for genome in known if genome != chosen])
    kept = table.genes(np.isin(genomes, [chosen, ""]))
    symbols = np.array([re.sub(rf"^{re.escape(chosen)}_+", "", name) for name in kept.symbols], dtype=object)
    gene_ids = np.array([re.sub(rf"^{re.escape(chosen)}_+", "", name) for name in kept.gene_ids], dtype=object)
    return replace(kept, symbols=symbols, gene_ids=gene_ids).noted(note)


def _with_shares(table: Table, others: Sequence[str]) -> Table:
    """Add the share of each cell's counts that other genomes have, 0-1, as columns ``share_<genome>``; say how much it is."""
    import pandas as pd

    if is_lazy(table.entries) or table.genomes is None:
        return table
    total = np.maximum(np.asarray(table.entries.sum(axis=1), dtype=float).ravel(), 1)
    shares = {
        genome: np.asarray(table.entries[:, np.flatnonzero(table.genomes == genome)].sum(axis=1), dtype=float).ravel() / total
        for genome in others
    }
    for genome, share in shares.items():
        n_most = int((share > 0.5).sum())
        table = table.noted(
            f"{genome} has {100 * np.median(share):.1f} % of the counts of the median cell, and more than half in {n_most:,} of "
            f"{len(share):,} cells, which are not left out."
        )
    if len(total) != len(table.barcodes):
        return table
    obs = pd.DataFrame(index=range(len(total))) if table.obs is None else table.obs.copy(deep=False)
    for genome, share in shares.items():
        obs[f"share_{genome}"] = share
    return replace(table, obs=obs)


def pick_genome(totals: dict[str, float], species: str) -> tuple[str, str]:
    """Choose a genome, with the sentence that says so: the one of the asked ``species``, else the human or mouse one with most counts.

    >>> pick_genome({"hg19": 10.0, "mm10": 20.0}, "auto")
    ('mm10', 'The file holds several genomes (hg19 10, mm10 20 counts); mm10 is used, the human or mouse one with most counts.')
    """
    asked = {genome: total for genome, total in totals.items() if _is_genome_of(genome, species)}
    known = {genome: total for genome, total in totals.items() if any(_is_genome_of(genome, name) for name in _SPECIES_OF_GENOME)}
    pool, reason = (asked, f"the one of {species}") if asked else (known, "the human or mouse one with most counts")
    pool, reason = (pool, reason) if pool else (totals, "the one with most counts")
    chosen = min(pool, key=lambda genome: (-pool[genome], genome))
    listed = ", ".join(f"{genome} {total:,.0f}" for genome, total in sorted(totals.items()))
    return chosen, f"The file holds several genomes ({listed} counts); {chosen} is used, {reason}."


def _is_genome_of(genome: str, species: str) -> bool:
    """Tell whether a reference name is one of ``species``, such as GRCh38 or mm10_chr1."""
    return genome.casefold() == species or bool(
        re.match(rf"({'|'.join(_SPECIES_OF_GENOME.get(species, ('(?!)',)))})\d", genome, re.IGNORECASE)
    )


def symbols_once(table: Table) -> Table:
    """Sum the counts of genes that share a symbol, so that every symbol stands once; say so.

    Raises
    ------
    InputError
        If there are such genes in counts that stay on disk.
    """
    import pandas as pd
    from scipy import sparse

    codes, unique = pd.factorize(table.symbols)
    if len(unique) == len(table.symbols):
        return table
    if is_lazy(table.entries):
        raise InputError(
            f"some gene symbols stand on several rows ({some(unique[np.bincount(codes) > 1])}), which the engine dask does not sum. "
            "Make the names of the genes unique, or use the engine memory."
        )
    exact_sums = table.entries.dtype if float(table.entries.max()) * np.bincount(codes).max() < 2**24 else np.float64
    gather = sparse.csr_matrix((np.ones(len(codes), dtype=exact_sums), (np.arange(len(codes)), codes)), shape=(len(codes), len(unique)))
    entries, *others = (sparse.csr_matrix(values @ gather) for values in (table.entries, *table.layers.values()))
    entries.sort_indices()
    ids, written = (_listed(names, codes) for names in (table.gene_ids, table.symbols if table.written is None else table.written))
    repeated = sorted(unique[np.bincount(codes) > 1])
    symbols = np.asarray(unique, dtype=object)
    layers = dict(zip(table.layers, others, strict=True))
    merged = replace(table, entries=entries, symbols=symbols, gene_ids=ids, kinds=None, genomes=None, written=written, layers=layers)
    return merged.repaired(
        f"{len(repeated)} gene symbols stood on several rows ({some(repeated)}); their counts were summed: "
        f"{len(codes):,} rows became {len(unique):,} genes."
    )


def _listed(names: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """List the names of each group, each once, with bars between; shape (n_groups,)."""
    _, first = np.unique(codes, return_index=True)
    listed = names[first]
    for code in np.flatnonzero(np.bincount(codes) > 1):
        listed[code] = "|".join(dict.fromkeys(names[codes == code]))
    return listed
